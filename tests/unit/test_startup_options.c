/*
 * test_startup_options.c - what `options` of a startup packet sets.
 */
#include "proto/startup_options.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

/* All settings of a text as "name=value;", and how it ends. */
static void
expect(const char *text, const char *settings, enum startup_option end)
{
	char found[4 * STARTUP_OPTION_MAX] = "";
	struct startup_setting one;
	enum startup_option result;
	size_t n = 0;

	while ((result = startup_option_next(&text, &one)) == STARTUP_OPTION_SET)
		n += (size_t) snprintf(found + n, sizeof(found) - n, "%s=%s;", one.name, one.value);
	assert_string_equal(found, settings);
	assert_int_equal(result, end);
}

static void
settings_are_read(void **state)
{
	(void) state;
	expect("", "", STARTUP_OPTION_END);
	expect(" \t ", "", STARTUP_OPTION_END);
	expect("-c a=b", "a=b;", STARTUP_OPTION_END);
	expect("  -c   geqo=off --TimeZone=Asia/Tokyo  ", "geqo=off;TimeZone=Asia/Tokyo;",
		   STARTUP_OPTION_END);
	expect("-ca=b --search-path=x,y", "a=b;search_path=x,y;", STARTUP_OPTION_END);
	expect("-c application_name=a\\ b\\\\c -c empty=", "application_name=a b\\c;empty=;",
		   STARTUP_OPTION_END);
	expect("-c a=b=c", "a=b=c;", STARTUP_OPTION_END);
	expect("-c a=end\\", "a=end;", STARTUP_OPTION_END);
}

static void
other_arguments_are_not(void **state)
{
	(void) state;
	expect("-d 3", "", STARTUP_OPTION_BAD);
	expect("foo", "", STARTUP_OPTION_BAD);
	expect("-", "", STARTUP_OPTION_BAD);
	expect("-c", "", STARTUP_OPTION_BAD);
	expect("-c a", "", STARTUP_OPTION_BAD);
	expect("-c =b", "", STARTUP_OPTION_BAD);
	expect("--", "", STARTUP_OPTION_BAD);
	expect("--a", "", STARTUP_OPTION_BAD);
	expect("-c a=b -W", "a=b;", STARTUP_OPTION_BAD);
}

static void
what_does_not_fit_is_bad(void **state)
{
	struct startup_setting one;
	char text[STARTUP_OPTION_MAX + 8];
	const char *at = text;

	(void) state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "-ca=", 4);
	text[STARTUP_OPTION_MAX] = '\0';
	expect(text, "", STARTUP_OPTION_BAD);
	text[STARTUP_OPTION_MAX - 1] = '\0';
	assert_int_equal(startup_option_next(&at, &one), STARTUP_OPTION_SET);
	assert_int_equal(strlen(one.value), STARTUP_OPTION_MAX - 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_read),
		cmocka_unit_test(other_arguments_are_not),
		cmocka_unit_test(what_does_not_fit_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
