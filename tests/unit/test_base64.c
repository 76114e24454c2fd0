/*
 * test_base64.c - RFC 4648's vectors, and one spelling only.
 */
#include "unit.h"

#include <string.h>

#include "base/base64.h"

static void
vectors_of_rfc_4648(void **state)
{
	static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
	static const char *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
										"Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

	(void) state;
	for (size_t i = 0; i < 7; i++)
	{
		char text[BASE64_LEN(6) + 1];
		uint8_t bytes[6];

		base64_encode((const uint8_t *) plain[i], strlen(plain[i]), text);
		assert_string_equal(text, coded[i]);
		assert_int_equal(strlen(text), BASE64_LEN(strlen(plain[i])));
		assert_int_equal(base64_decode(text, strlen(text), bytes, sizeof(bytes)), strlen(plain[i]));
		assert_memory_equal(bytes, plain[i], strlen(plain[i]));
	}
}

static void
every_byte_survives(void **state)
{
	uint8_t in[256];
	uint8_t out[256];
	char text[BASE64_LEN(256) + 1];

	(void) state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t) (i * 167 + 13);
	for (size_t n = 0; n <= sizeof(in); n++)
	{
		base64_encode(in, n, text);
		assert_int_equal(base64_decode(text, strlen(text), out, n), n);
		assert_memory_equal(in, out, n);
		if (n > 0)
			assert_int_equal(base64_decode(text, strlen(text), out, n - 1), -1);
	}
}

static void
other_spellings_are_refused(void **state)
{
	static const char *const wrong[] = {
		"Z",     "Zg",   "Zg=",  "Zg==Zg==", "Zh==", "Zm9=", "Z===",     "====",      "Zm9v\n",
		"Zm 9v", "Zm9-", "Zm9_", "=m9v",     "Z=9v", "Zm=v", "Zm9vYg=a", "\xc3\xa4=="};
	uint8_t out[16];

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (base64_decode(wrong[i], strlen(wrong[i]), out, sizeof(out)) != -1)
			fail_msg("'%s' was accepted", wrong[i]);
	assert_int_equal(base64_decode("Zm9\0", 4, out, sizeof(out)), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_rfc_4648),
		cmocka_unit_test(every_byte_survives),
		cmocka_unit_test(other_spellings_are_refused),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
