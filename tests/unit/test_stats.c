/*
 * test_stats.c - the table of counters: every field is added, named and found by number; and what
 * the pools that are gone leave behind (core/past).
 */
#include "core/stats.h"

#include <string.h>

#include "core/past.h"
#include "unit.h"

static void
test_every_field_is_added(void **state)
{
	struct stats a;
	struct stats b;

	(void) state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	for (int i = 0; i < STATS_FIELDS; i++)
	{
		((uint64_t *) &a)[i] = (uint64_t) i + 1;
		((uint64_t *) &b)[i] = (uint64_t) (i + 1) * 1000;
	}
	stats_add(&a, &b);
	for (int i = 0; i < STATS_FIELDS; i++)
	{
		assert_int_equal(stats_get(&a, i), (uint64_t) (i + 1) * 1001);
		assert_int_equal(stats_get(&b, i), (uint64_t) (i + 1) * 1000);
	}
}

static void
test_numbers_and_names_agree(void **state)
{
	struct stats s;

	(void) state;
	memset(&s, 0, sizeof(s));
	s.query_count = 7;
	s.wait_time = 9;
	assert_int_equal(stats_get(&s, STATS_query_count), 7);
	assert_int_equal(stats_get(&s, STATS_wait_time), 9);
	assert_string_equal(stats_name(STATS_query_count), "query_count");
	assert_string_equal(stats_name(STATS_wait_time), "wait_time");
	for (int i = 0; i < STATS_FIELDS; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(stats_name(i), stats_name(k));
}

/* P10: two loops' counters share no cache line. */
static void
test_sets_are_apart(void **state)
{
	struct stats row[2];

	(void) state;
	assert_int_equal((uintptr_t) &row[0] % STATS_ALIGN, 0);
	assert_int_equal((uintptr_t) &row[1] % STATS_ALIGN, 0);
}

/* What a database's pools have counted outlives them; its averages too. */
static void
test_past(void **state)
{
	static struct stats_kept pools[2];
	struct past *table = NULL;

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		pools[i].now.xact_count = 5;
		stats_end_period(&pools[i]);
		pools[i].now.xact_count = 7;
		assert_int_equal(pools[i].last_period.xact_count, 5);
		past_add(&table, "app", &pools[i]);
		assert_int_equal(pools[i].now.xact_count, 0);
	}
	past_add(&table, "other", &pools[0]);
	assert_int_equal(HASH_COUNT(table), 2);
	assert_string_equal(table->database, "app");
	assert_int_equal(table->kept.now.xact_count, 14);
	assert_int_equal(table->kept.last_period.xact_count, 10);
	stats_end_period(&table->kept);
	assert_int_equal(table->kept.last_period.xact_count, 4);
	past_drop(&table, "app");
	past_drop(&table, "nobody");
	assert_int_equal(HASH_COUNT(table), 1);
	past_clear(&table);
	assert_null(table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_is_added),
		cmocka_unit_test(test_numbers_and_names_agree),
		cmocka_unit_test(test_sets_are_apart),
		cmocka_unit_test(test_past),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
