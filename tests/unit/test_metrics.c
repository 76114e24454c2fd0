/*
 * test_metrics.c - the numbers as text and as readings: names of every kind, what is left out, both
 * formats, the table's own rules; the Accept header.
 */
#include "core/metrics.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "core/accept.h"
#include "core/durations.h"
#include "core/escape.h"
#include "core/numbers.h"
#include "core/readings.h"
#include "unit.h"

/* Two pools, of which one has a name that wants to break out, and those who have none. */
static void
make_numbers(struct numbers *n, struct pool_numbers pools[2])
{
	memset(n, 0, sizeof(*n));
	memset(pools, 0, 2 * sizeof(pools[0]));
	n->wall_us = 1700000000000000;
	n->period_us = 10000000;
	n->memory_bytes = NAN;
	n->n = 2;
	n->pool = pools;
	pools[0].database = (char *) "app";
	pools[0].user = (char *) "joe";
	pools[0].total.query_count = 70;
	pools[0].total.query_time = 2500000;
	pools[0].period.query_count = 30;
	pools[0].counts.sessions = 5;
	pools[0].counts.waiters = 2;
	pools[0].measured.upto[METER_QUERY][3] = 60;
	pools[0].measured.upto[METER_QUERY][METER_BOUNDS] = 10;
	pools[0].measured.errors[errclass_of("57014")] = 4;
	pools[0].measured.errors_in_period[errclass_of("57014")] = 1;
	pools[0].latest_s[METER_WAIT][METER_P95] = 0.25;
	pools[1].database = (char *) "a\"b\\c\nd";
	pools[1].user = (char *) "\xc3\xbc\xff";
	n->no_pool.total.failed_login_count = 3;
}

static char *
text_of(const struct numbers *n, bool openmetrics)
{
	struct buf b;
	char *text;

	buf_init(&b);
	metrics_text(n, openmetrics, &b);
	text = calloc(1, buf_len(&b) + 1);
	memcpy(text, buf_data(&b), buf_len(&b));
	buf_fini(&b);
	return text;
}

static void
expect_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	if (at == NULL || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line \"%s\" in\n%s", line, text);
}

static void
test_prometheus(void **state)
{
	struct pool_numbers pools[2];
	struct numbers n;
	char *text;

	(void) state;
	make_numbers(&n, pools);
	text = text_of(&n, false);
	expect_line(text, "# TYPE perfkit_pooler_queries_total counter");
	expect_line(text, "perfkit_pooler_queries_total{database=\"app\",user=\"joe\"} 70");
	expect_line(text, "perfkit_pooler_queries_total{database=\"a\\\"b\\\\c\\nd\",user="
					  "\"\xc3\xbc\xef\xbf\xbd\"} 0");
	expect_line(text, "perfkit_pooler_clients_active{database=\"app\",user=\"joe\"} 3");
	expect_line(text, "perfkit_pooler_errors_total{database=\"app\",user=\"joe\",class=\"57\"} 4");
	expect_line(text, "perfkit_pooler_wait_p95_seconds{database=\"app\",user=\"joe\"} 0.25");
	expect_line(text, "perfkit_pooler_failed_logins_total 3");
	expect_line(text, "perfkit_pooler_query_seconds_sum{database=\"app\",user=\"joe\"} 2.5");
	expect_line(
		text, "perfkit_pooler_query_seconds_bucket{database=\"app\",user=\"joe\",le=\"+Inf\"} 70");
	expect_line(
		text,
		"perfkit_pooler_query_seconds_bucket{database=\"app\",user=\"joe\",le=\"0.000524288\"} 60");
	expect_line(text, "perfkit_pooler_query_seconds_count{database=\"app\",user=\"joe\"} 70");
	assert_null(strstr(text, "# UNIT"));
	assert_null(strstr(text, "# EOF"));
	/* What cannot be told is absent: no percentile, no class of errors, no memory, and no gauge of
	 * those who have no pool. */
	assert_null(strstr(text, "wait_p99_seconds{"));
	assert_null(strstr(text, "class=\"22\""));
	assert_null(strstr(text, "\nperfkit_pooler_memory_bytes"));
	assert_null(strstr(text, "\nperfkit_pooler_clients_active "));
	assert_null(strstr(text, "nan"));
	free(text);
}

static void
test_openmetrics(void **state)
{
	struct pool_numbers pools[2];
	struct numbers n;
	char *text;

	(void) state;
	make_numbers(&n, pools);
	text = text_of(&n, true);
	expect_line(text, "# TYPE perfkit_pooler_queries counter");
	expect_line(text, "perfkit_pooler_queries_total{database=\"app\",user=\"joe\"} 70");
	expect_line(text, "# TYPE perfkit_pooler_sent_bytes counter");
	expect_line(text, "# UNIT perfkit_pooler_sent_bytes bytes");
	expect_line(text, "# TYPE perfkit_pooler info");
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	free(text);
}

static const struct reading *
find(const struct readings *r, const char *metric, const char *labels)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->reading[i].metric, metric) == 0 && strcmp(r->reading[i].labels, labels) == 0)
			return &r->reading[i];
	return NULL;
}

static void
expect_reading(const struct readings *r, const char *metric, const char *labels, double logged)
{
	const struct reading *found = find(r, metric, labels);

	if (found == NULL)
		fail_msg("no %s %s", metric, labels);
	else if (fabs(reading_logged(found) - logged) > 1e-9)
		fail_msg("%s %s is %f", metric, labels, reading_logged(found));
}

#define JOE "{\"database\": \"app\", \"user\": \"joe\"}"

static void
test_readings(void **state)
{
	struct pool_numbers pools[2];
	struct numbers n;
	struct readings *r;

	(void) state;
	make_numbers(&n, pools);
	r = readings_new(&n, NULL);
	expect_reading(r, "pool_clients_waiting", JOE, 2);
	expect_reading(r, "pool_queries_per_second", JOE, 3);
	expect_reading(r, "pool_wait_p95_seconds", JOE, 0.25);
	expect_reading(r, "pool_errors_per_second",
				   "{\"database\": \"app\", \"user\": \"joe\", \"class\": \"57\"}", 0.1);
	expect_reading(r, "pool_failed_logins_per_second", "{}", 0);
	expect_reading(r, "pool_clients_waiting",
				   "{\"database\": \"a\\\"b\\\\c\\u000ad\", \"user\": \"\xc3\xbc\xef\xbf\xbd\"}",
				   0);
	assert_null(find(r, "pool_wait_p99_seconds", JOE));
	assert_int_equal(find(r, "pool_queries_per_second", JOE)->value, 70);
	for (size_t i = 0; i < r->n; i++)
		assert_true(isfinite(r->reading[i].value) && isfinite(r->reading[i].per_second));
	readings_free(r);
	/* Before the first period has ended there are no rates. */
	n.period_us = 0;
	r = readings_new(&n, NULL);
	assert_null(find(r, "pool_queries_per_second", JOE));
	expect_reading(r, "pool_clients_waiting", JOE, 2);
	readings_free(r);
	readings_free(NULL);
}

/* The mean, with all there are; nothing of the pool and the time that had none, nor of a pool that
 * is left out. */
static void
test_durations_are_readings(void **state)
{
	struct pool_numbers pools[2];
	struct numbers n;
	struct readings *r;
	struct durations *d = durations_new();
	struct meter_sum sum = {0};

	(void) state;
	make_numbers(&n, pools);
	pools[0].period.query_time = 3000000;
	sum.count[METER_QUERY][7] = 1;
	sum.count[METER_QUERY][300] = 5;
	durations_add(d, "app", "joe", &sum);
	durations_add(d, "left out", "joe", &sum);
	r = readings_new(&n, d);
	durations_free(d);
	expect_reading(r, "pool_query_seconds", JOE, 0.5);
	assert_string_equal(find(r, "pool_query_seconds", JOE)->histogram, "[7,1,300,5]");
	assert_null(find(r, "pool_wait_seconds", JOE));
	assert_null(find(r, "pool_queries_per_second", JOE)->histogram);
	for (size_t i = 0; i < r->n; i++)
		assert_true(r->reading[i].histogram == NULL || strcmp(r->reading[i].labels, JOE) == 0);
	readings_free(r);
}

static bool
is_snake_case(const char *name)
{
	for (; *name != '\0'; name++)
		if (!islower((unsigned char) *name) && !isdigit((unsigned char) *name) && *name != '_')
			return false;
	return true;
}

static void
check_rows(const struct metric *rows, int n)
{
	for (int i = 0; i < n; i++)
	{
		const struct metric *m = &rows[i];
		bool first = i == 0 || strcmp(m->text, rows[i - 1].text) != 0;
		size_t unit = strlen(m->unit);

		assert_true(is_snake_case(m->text) && is_snake_case(m->log));
		assert_true(unit == 0 || strcmp(m->text + strlen(m->text) - unit, m->unit) == 0);
		if (first && m->help[0] == '\0')
			fail_msg("%s has no help", m->text);
		assert_null(strpbrk(m->help, "\\\n\""));
		/* A family in one piece, and each series once. */
		for (int k = 0; k < i; k++)
			if (strcmp(rows[k].text, m->text) == 0 &&
				(first || strcmp(rows[k].label_value, m->label_value) == 0))
				fail_msg("%s twice", m->text);
	}
}

static void
test_table(void **state)
{
	(void) state;
	check_rows(metrics_of_pools, metrics_n_of_pools);
	check_rows(metrics_of_process, metrics_n_of_process);
}

static void
test_invalid_utf8(void **state)
{
	static const char *const bad[] = {"\x80",
									  "\xc0\x80",
									  "\xc1\xbf",
									  "\xe0\x80\x80",
									  "\xed\xa0\x80",
									  "\xf0\x80\x80\x80",
									  "\xf4\x90\x80\x80",
									  "\xf5",
									  "\xff",
									  "\xe2\x82",
									  "\xc3"};
	static const char *const good[] = {"\xc3\xbc", "\xe2\x82\xac", "\xed\x9f\xbf",
									   "\xf4\x8f\xbf\xbf", "a"};
	struct buf b;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		buf_init(&b);
		escape_json(&b, bad[i]);
		assert_memory_equal(buf_data(&b), "\xef\xbf\xbd", 3);
		buf_fini(&b);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		buf_init(&b);
		escape_label(&b, good[i]);
		assert_int_equal(buf_len(&b), strlen(good[i]));
		assert_memory_equal(buf_data(&b), good[i], strlen(good[i]));
		buf_fini(&b);
	}
}

static void
test_accept(void **state)
{
	static const struct
	{
		const char *header;
		bool openmetrics;
	} rows[] = {
		{NULL, false},
		{"", false},
		{"*/*", false},
		{"application/openmetrics-text", true},
		{"Application/OpenMetrics-Text ; Version=1.0.0", true},
		{"application/openmetrics-text;version=0.0.1", false},
		{"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.5", true},
		{"application/openmetrics-text;q=0.499,text/*;q=0.5", false},
		{"text/html,application/openmetrics-text;q=0.1", true},
		{"application/openmetrics-text;q=0", false},
		{"application/openmetrics-text;q=x", false},
		{"application/openmetrics-textual", false},
		{"a;q=,;;=;q=9,,,", false},
		{" ", false},
		{";", false},
		{",application/openmetrics-text", true},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (accept_openmetrics(rows[i].header) != rows[i].openmetrics)
			fail_msg("\"%s\"", rows[i].header);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prometheus), cmocka_unit_test(test_openmetrics),
		cmocka_unit_test(test_readings),   cmocka_unit_test(test_durations_are_readings),
		cmocka_unit_test(test_table),      cmocka_unit_test(test_invalid_utf8),
		cmocka_unit_test(test_accept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
