/*
 * test_saslprep.c - RFC 4013's examples, and where PostgreSQL goes its own way.
 */
#include "base/saslprep.h"

#include <string.h>

#include "unit.h"

static void
passwords_are_prepared(void **state)
{
	static const struct
	{
		const char *typed;
		const char *hashed;
	} rows[] = {
		{"", ""},
		{"user", "user"},
		{"with space", "with space"},
		{"I\xc2\xadX", "IX"},                         /* soft hyphen: nothing */
		{"\xc2\xaa", "a"},                            /* feminine ordinal */
		{"\xe2\x85\xa8", "IX"},                       /* roman numeral nine */
		{"a\xc2\xa0z", "a z"},                        /* no-break space */
		{"\xef\xac\x81sh", "fish"},                   /* ligature */
		{"e\xcc\x81", "\xc3\xa9"},                    /* composed */
		{"\xc3\xa9", "\xc3\xa9"},                     /* e with acute is that */
		{"\xe1\x84\x92\xe1\x85\xa1", "\xed\x95\x98"}, /* hangul */
		/* Unprepared: */
		{"\x07", "\x07"},                                 /* ASCII is not even looked at */
		{"\xc2\xaa\x07", "\xc2\xaa\x07"},                 /* forbidden character */
		{"\xd8\xa7\x31", "\xd8\xa7\x31"},                 /* Arabic letter that does not end it */
		{"\xc2\xaa\xff", "\xc2\xaa\xff"},                 /* no UTF-8 */
		{"\xc2\xaa\xc3", "\xc2\xaa\xc3"},                 /* cut off */
		{"\xc2\xaa\xed\xa0\x80", "\xc2\xaa\xed\xa0\x80"}, /* surrogate */
		{"\xc2\xaa\xf0\x9f\x98\x80", "\xc2\xaa\xf0\x9f\x98\x80"}, /* unassigned in Unicode 3.2 */
		{"\xc2\xad", "\xc2\xad"},                                 /* nothing would be left */
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char *p = saslprep(rows[i].typed);

		if (strcmp(p, rows[i].hashed) != 0)
			fail_msg("row %zu: \"%s\"", i, p);
		saslprep_free(&p);
		assert_null(p);
		saslprep_free(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passwords_are_prepared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
