/*
 * test_stats.c - the table of counters: every field is added, named and found by number.
 */
#include "core/stats.h"

#include <string.h>

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_is_added),
		cmocka_unit_test(test_numbers_and_names_agree),
		cmocka_unit_test(test_sets_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
