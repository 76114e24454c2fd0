/*
 * test_str.c - string helpers at their edges.
 */
#include "unit.h"

#include <string.h>

#include "base/str.h"

static void
copy_is_bounded_and_terminated(void **state)
{
	char dst[4] = "xxx";

	(void) state;
	assert_true(str_copy(dst, sizeof(dst), "abc"));
	assert_string_equal(dst, "abc");
	assert_false(str_copy(dst, sizeof(dst), "wxyz"));
	assert_string_equal(dst, "wxy");
	assert_true(str_copy(dst, 1, ""));
	assert_string_equal(dst, "");
	assert_false(str_copy(dst, 0, ""));
}

static void
comparison_without_case_is_ascii_only(void **state)
{
	(void) state;
	assert_true(str_equal_nocase("", ""));
	assert_true(str_equal_nocase("Pool_Mode", "pOOL_mODE"));
	assert_false(str_equal_nocase("pool", "pool_"));
	assert_false(str_equal_nocase("pool_", "pool"));
	assert_false(str_equal_nocase("[", "{"));
	assert_false(str_equal_nocase("\xc3\x84", "\xc3\xa4"));
}

static void
integers_are_whole_and_in_range(void **state)
{
	static const char *const wrong[] = {"",
										"-",
										"+",
										" 1",
										"1 ",
										"1x",
										"0x10",
										"1.0",
										"--1",
										"9223372036854775808",
										"-9223372036854775809",
										"99999999999999999999999",
										"1e3"};
	int64_t v = 42;

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(str_to_int64(wrong[i], INT64_MIN, INT64_MAX, &v));
	assert_int_equal(v, 42);
	assert_true(str_to_int64("-9223372036854775808", INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MIN);
	assert_true(str_to_int64("9223372036854775807", INT64_MIN, INT64_MAX, &v));
	assert_true(v == INT64_MAX);
	assert_true(str_to_int64("+007", 7, 7, &v));
	assert_int_equal(v, 7);
	assert_false(str_to_int64("8", 1, 7, &v));
	assert_false(str_to_int64("0", 1, 7, &v));
	assert_int_equal(v, 7);
}

static void
nearest_is_within_three_edits_and_half_of_the_word(void **state)
{
	static const char *const keys[] = {"pool_mode", "pool_size", "listen_port", "listen_addr"};
	char huge[200];

	(void) state;
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_int_equal(str_nearest("pool_mod", keys, 4), 0);
	assert_int_equal(str_nearest("POOL_SIZE", keys, 4), 1);
	assert_int_equal(str_nearest("lisenport", keys, 4), 2);
	assert_int_equal(str_nearest("listenadrr", keys, 4), 3);
	assert_int_equal(str_nearest("pol_md", keys, 4), -1); /* three edits of six letters */
	assert_int_equal(str_nearest("po", keys, 4), -1);
	assert_int_equal(str_nearest("", keys, 4), -1);
	assert_int_equal(str_nearest("something else", keys, 4), -1);
	assert_int_equal(str_nearest(huge, keys, 4), -1);
	assert_int_equal(str_nearest("pool_mode", keys, 0), -1);
}

static void
trim_strips_both_ends(void **state)
{
	char text[] = " \t a b \r\n";
	char blank[] = " \n ";
	char empty[] = "";

	(void) state;
	assert_string_equal(str_trim(text), "a b");
	assert_string_equal(str_trim(blank), "");
	assert_string_equal(str_trim(empty), "");
}

static void
literals_are_safe_in_both_string_modes(void **state)
{
	char dst[32];

	(void) state;
	assert_int_equal(str_quote_literal(dst, sizeof(dst), ""), 2);
	assert_string_equal(dst, "''");
	assert_int_equal(str_quote_literal(dst, sizeof(dst), "it's"), 7);
	assert_string_equal(dst, "'it''s'");
	assert_int_equal(str_quote_literal(dst, sizeof(dst), "\\'"), 7);
	assert_string_equal(dst, "E'\\\\'''");
}

static void
identifiers_double_their_quotes_only(void **state)
{
	char dst[32];

	(void) state;
	assert_int_equal(str_quote_ident(dst, sizeof(dst), "a\"b\\'"), 8);
	assert_string_equal(dst, "\"a\"\"b\\'\"");
}

static void
quoting_refuses_what_does_not_fit(void **state)
{
	char dst[8];

	(void) state;
	assert_int_equal(str_quote_literal(dst, 8, "abcde"), 7);
	assert_int_equal(str_quote_literal(dst, 7, "abcde"), 0);
	assert_int_equal(str_quote_literal(dst, 8, "abc'e"), 0);
	assert_int_equal(str_quote_ident(dst, 0, ""), 0);
}

static void
secrets_differ_at_any_byte(void **state)
{
	uint8_t a[32];
	uint8_t b[32];

	(void) state;
	memset(a, 7, sizeof(a));
	memset(b, 7, sizeof(b));
	assert_true(str_equal_secret(a, b, sizeof(a)));
	for (size_t i = 0; i < sizeof(a); i++)
	{
		b[i] ^= 0x80;
		assert_false(str_equal_secret(a, b, sizeof(a)));
		b[i] ^= 0x80;
	}
	assert_true(str_equal_secret(a, b, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copy_is_bounded_and_terminated),
		cmocka_unit_test(comparison_without_case_is_ascii_only),
		cmocka_unit_test(integers_are_whole_and_in_range),
		cmocka_unit_test(nearest_is_within_three_edits_and_half_of_the_word),
		cmocka_unit_test(trim_strips_both_ends),
		cmocka_unit_test(literals_are_safe_in_both_string_modes),
		cmocka_unit_test(identifiers_double_their_quotes_only),
		cmocka_unit_test(quoting_refuses_what_does_not_fit),
		cmocka_unit_test(secrets_differ_at_any_byte),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
