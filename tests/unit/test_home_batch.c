/*
 * test_home_batch.c - readings as log_pooler() takes them, and the names of poolers.
 */
#include "core/home_batch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/readings.h"
#include "unit.h"

static const char *
text_of(struct readings *r, uint64_t dropped, uint64_t *rows)
{
	static char text[1024];
	struct buf out;

	buf_init(&out);
	*rows = home_batch(r, dropped, &out);
	assert_true(buf_len(&out) <= sizeof(text));
	memcpy(text, buf_data(&out), buf_len(&out));
	assert_int_equal(strlen(text) + 1, buf_len(&out));
	buf_fini(&out);
	return text;
}

static void
gauges_are_told_as_they_are_and_counters_as_rates(void **state)
{
	struct reading reading[] = {
		{"pool_clients_waiting", READING_GAUGE, "{\"database\": \"app\"}", 3, 0, NULL},
		{"pool_queries_per_second", READING_COUNTER, "{}", 1000, 0.1, NULL},
		{"pool_wait_seconds", READING_GAUGE, "{}", 0.5, 0, "[0,3,311,1]"},
	};
	struct readings r = {.period_us = 2000000, .n = 3, .reading = reading};
	uint64_t rows;

	(void) state;
	assert_string_equal(text_of(&r, 5, &rows),
						"[[\"pool_clients_waiting\",{\"database\": \"app\"},3],"
						"[\"pool_queries_per_second\",{},0.10000000000000001],"
						"[\"pool_wait_seconds\",{},0.5,[0,3,311,1]],"
						"[\"pooler_rows_dropped_per_second\",{},2.5]]");
	assert_int_equal(rows, 4);
	r = (struct readings){0};
	assert_string_equal(text_of(&r, 5, &rows), "[]");
	assert_int_equal(rows, 0);
}

static void
names_are_given_or_tell_machine_and_port(void **state)
{
	char name[HOME_NAME_MAX];
	char host[200] = "";
	char expected[HOME_NAME_MAX];

	(void) state;
	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	home_name(name, "west-1", 6432, 3);
	assert_string_equal(name, "west-1");
	home_name(name, "pool\xc3\xa9r", 6432, 0);
	assert_string_equal(name, "pool??r");
	snprintf(expected, sizeof(expected), "%s:6432", host);
	home_name(name, NULL, 6432, 0);
	assert_string_equal(name, expected);
	snprintf(expected, sizeof(expected), "%s:6432/3", host);
	home_name(name, "", 6432, 3);
	assert_string_equal(name, expected);
}

static void
only_what_is_not_ascii_is_replaced(void **state)
{
	char plain[] = "[\"a\"]";
	char other[] = "[\"\xe2\x82\xac\"]";

	(void) state;
	assert_false(home_plain(plain));
	assert_string_equal(plain, "[\"a\"]");
	assert_true(home_plain(other));
	assert_string_equal(other, "[\"???\"]");
	assert_false(home_plain(other));
}

static void
each_run_has_an_identity_of_its_own(void **state)
{
	char a[37];
	char b[37];

	(void) state;
	assert_true(home_run(a));
	assert_true(home_run(b));
	assert_int_equal(strlen(a), 36);
	assert_string_not_equal(a, b);
	assert_int_equal(a[8], '-');
	assert_int_equal(a[14], '4');
	assert_int_equal(a[23], '-');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gauges_are_told_as_they_are_and_counters_as_rates),
		cmocka_unit_test(names_are_given_or_tell_machine_and_port),
		cmocka_unit_test(only_what_is_not_ascii_is_replaced),
		cmocka_unit_test(each_run_has_an_identity_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
