/*
 * test_value.c - text to value and back.
 */
#include "conf/value.h"

#include "unit.h"

#include <string.h>

#define S UINT64_C(1000000)
#define MS UINT64_C(1000)
#define MAX_US (UINT64_C(1000000000) * S)

static void
times_are_read(void **state)
{
	static const struct
	{
		const char *text;
		uint64_t unit;
		uint64_t us;
	} good[] = {
		{"0", S, 0},
		{"15", S, 15 * S},
		{"0.5", S, 500000},
		{"1.25", S, 1250000},
		{"0.000001", S, 1},
		{"0.0000001", S, 1}, /* not zero: zero means never */
		{"0.0", S, 0},
		{"1.9999999", S, 1999999},
		{"30", MS, 30 * MS},
		{"30s", MS, 30 * S},
		{"30 s", S, 30 * S},
		{"100ms", S, 100 * MS},
		{"7us", S, 7},
		{"2min", S, 120 * S},
		{"1.5h", S, 5400 * S},
		{"1d", S, 86400 * S},
		{"0.5D", S, 43200 * S},
		{"1000000000", S, MAX_US},
		{"0007", S, 7 * S},
	};

	(void) state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
	{
		uint64_t us = 12345;

		if (!value_time(good[i].text, good[i].unit, MAX_US, &us))
			fail_msg("refused: %s", good[i].text);
		if (us != good[i].us)
			fail_msg("%s: %llu us", good[i].text, (unsigned long long) us);
	}
}

static void
bad_times_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"-1",
		"+1",
		" 1",
		".5",
		"1.",
		"1.s",
		"1..2",
		"1,5",
		"nan",
		"inf",
		"1e3",
		"0x10",
		"abc",
		"5 m",
		"5minutes",
		"5s5",
		"1000000000.1",
		"1000000001",
		"99999999999999999999",
		"18446744073709551616",
		"99999999999999999999999d",
		"18446744073709551615",
		"12000d",
	};

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
	{
		uint64_t us = 12345;

		if (value_time(bad[i], S, MAX_US, &us))
			fail_msg("accepted: %s", bad[i]);
		assert_true(us == 12345);
	}
}

static void
sizes_are_read(void **state)
{
	int64_t n = -7;

	(void) state;
	assert_true(value_size("4096", 0, INT64_MAX, &n) && n == 4096);
	assert_true(value_size("64kB", 0, INT64_MAX, &n) && n == 65536);
	assert_true(value_size("1 mb", 0, INT64_MAX, &n) && n == 1 << 20);
	assert_true(value_size("2GB", 0, INT64_MAX, &n) && n == INT64_C(2) << 30);
	assert_true(value_size("10B", 10, 10, &n) && n == 10);
	n = -7;
	assert_false(value_size("9", 10, 20, &n));
	assert_false(value_size("21", 10, 20, &n));
	assert_false(value_size("1kB", 0, 1023, &n));
	assert_false(value_size("9223372036854775807GB", 0, INT64_MAX, &n));
	assert_false(value_size("99999999999999999999", 0, INT64_MAX, &n));
	assert_false(value_size("", 0, 10, &n));
	assert_false(value_size("-1", 0, 10, &n));
	assert_false(value_size("1.5kB", 0, INT64_MAX, &n));
	assert_false(value_size("1TB", 0, INT64_MAX, &n));
	assert_true(n == -7);
}

static void
booleans_are_read(void **state)
{
	static const char *const yes[] = {"1", "on", "ON", "yes", "True"};
	static const char *const no[] = {"0", "off", "no", "FALSE"};
	static const char *const bad[] = {"", "2", "-1", "y", "01", "truee", "1 "};
	bool b;

	(void) state;
	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
	{
		b = false;
		assert_true(value_bool(yes[i], &b) && b);
	}
	for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
	{
		b = true;
		assert_true(value_bool(no[i], &b) && !b);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(value_bool(bad[i], &b));
}

static void
octal_is_read(void **state)
{
	int64_t mode = -7;

	(void) state;
	assert_true(value_octal("0777", 0777, &mode) && mode == 0777);
	assert_true(value_octal("600", 0777, &mode) && mode == 0600);
	assert_true(value_octal("0", 0777, &mode) && mode == 0);
	mode = -7;
	assert_false(value_octal("1000", 0777, &mode));
	assert_false(value_octal("778", 0777, &mode));
	assert_false(value_octal("0o777", 0777, &mode));
	assert_false(value_octal("77777777777777777777777777777777", 0777, &mode));
	assert_false(value_octal("", 0777, &mode));
	assert_true(mode == -7);
}

static void
words_are_read(void **state)
{
	static const struct value_word words[] = {{"red", 1}, {"green", 2}, {NULL, 0}};
	int v = 0;

	(void) state;
	assert_true(value_word(words, "green", &v) && v == 2);
	assert_true(value_word(words, "RED", &v) && v == 1);
	assert_false(value_word(words, "gree", &v));
	assert_false(value_word(words, "", &v));
	assert_string_equal(value_word_name(words, 2), "green");
	assert_null(value_word_name(words, 3));
}

static void
times_are_printed_exactly(void **state)
{
	static const struct
	{
		uint64_t us;
		uint64_t unit;
		const char *text;
	} rows[] = {
		{0, S, "0"},           {15 * S, S, "15"},
		{500000, S, "0.5"},    {1, S, "0.000001"},
		{1250000, S, "1.25"},  {1234567 * S, S, "1234567"},
		{30 * S, MS, "30000"}, {1500, MS, "1.5"},
		{1001, MS, "1.001"},   {UINT64_MAX, S, "18446744073709.551615"},
	};
	char text[64];
	uint64_t back;

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		value_print_time(text, sizeof text, rows[i].us, rows[i].unit);
		assert_string_equal(text, rows[i].text);
		assert_true(value_time(text, rows[i].unit, UINT64_MAX, &back));
		assert_true(back == rows[i].us);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_read),
		cmocka_unit_test(bad_times_are_refused),
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(booleans_are_read),
		cmocka_unit_test(octal_is_read),
		cmocka_unit_test(words_are_read),
		cmocka_unit_test(times_are_printed_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
