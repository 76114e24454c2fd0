/*
 * test_tally.c - the extension's tally: sums that are the same in every order, and a standard
 * deviation that does not drown.
 */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "tally.h"

#define SECOND INT64_C(1000000000)

static uint64_t
next_number(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void
an_empty_one_has_neither_mean_nor_deviation(void **state)
{
	PerfkitTally t = {0};

	(void) state;
	assert_true(perfkit_tally_mean(&t) == 0);
	assert_true(perfkit_tally_stddev(&t) == 0);
	perfkit_tally_success(&t, 5);
	assert_true(perfkit_tally_mean(&t) == 5);
	assert_true(perfkit_tally_stddev(&t) == 0);
}

static void
least_and_most_survive_failures_and_clocks_that_stand_still(void **state)
{
	PerfkitTally t = {0};
	PerfkitTally failed = {0};

	(void) state;
	failed.sums[PERFKIT_TALLY_ERRORS] = 1;
	perfkit_tally_success(&t, 7);
	perfkit_tally_success(&t, 3);
	perfkit_tally_add(&t, &failed);
	assert_int_equal(t.min_ns, 3);
	assert_int_equal(t.max_ns, 7);
	perfkit_tally_add(&failed, &t);
	assert_int_equal(failed.min_ns, 3);
	assert_int_equal(failed.max_ns, 7);
	perfkit_tally_success(&t, -1);
	assert_int_equal(t.min_ns, 0);
	assert_int_equal(t.sums[PERFKIT_TALLY_EXEC_NS], 10);
}

static void
deviation_of_small_and_of_huge_numbers(void **state)
{
	PerfkitTally small = {0};
	PerfkitTally near = {0};
	PerfkitTally huge = {0};

	(void) state;
	perfkit_tally_success(&small, 2);
	perfkit_tally_success(&small, 4);
	perfkit_tally_success(&small, 4);
	perfkit_tally_success(&small, 4);
	perfkit_tally_success(&small, 5);
	perfkit_tally_success(&small, 5);
	perfkit_tally_success(&small, 7);
	perfkit_tally_success(&small, 9);
	assert_true(perfkit_tally_stddev(&small) == 2);

	/* a microsecond up and down around ten seconds */
	for (int i = 0; i < 1000; i++)
		perfkit_tally_success(&near, 10 * SECOND + (i % 2 ? 1000 : -1000));
	assert_true(fabs(perfkit_tally_stddev(&near) - 1000) < 1);

	/* a thousand executions of a day each: the squares need more than 64 bits */
	for (int i = 0; i < 1000; i++)
		perfkit_tally_success(&huge, 86400 * SECOND + (i % 2 ? SECOND : -SECOND));
	assert_true(huge.squares_high > 0);
	assert_true(fabs(perfkit_tally_stddev(&huge) - SECOND) < 1e6);
}

static void
fill(PerfkitTally *t, uint64_t *seed)
{
	int n = 1 + (int) (next_number(seed) % 50);

	memset(t, 0, sizeof(*t));
	for (int i = 0; i < n; i++)
		perfkit_tally_success(t, (int64_t) (next_number(seed) % (UINT64_C(1) << (10 + i))));
	for (int i = PERFKIT_TALLY_ROWS; i < PERFKIT_N_TALLY_SUMS; i++)
		t->sums[i] = (int64_t) (next_number(seed) % 1000000);
}

static void
adding_is_associative_and_commutative(void **state)
{
	uint64_t seed = 4711;

	(void) state;
	for (int round = 0; round < 500; round++)
	{
		PerfkitTally part[3];
		PerfkitTally left;
		PerfkitTally right;

		for (int i = 0; i < 3; i++)
			fill(&part[i], &seed);

		/* (a + b) + c */
		left = part[0];
		perfkit_tally_add(&left, &part[1]);
		perfkit_tally_add(&left, &part[2]);

		/* a + (c + b) */
		right = part[2];
		perfkit_tally_add(&right, &part[1]);
		perfkit_tally_add(&part[0], &right);
		assert_memory_equal(&left, &part[0], sizeof(left));
	}
}

/* One by one, or in parts that are added: the same to the last bit. */
static void
parts_give_what_the_whole_gives(void **state)
{
	PerfkitTally whole = {0};
	PerfkitTally parts[4];
	PerfkitTally sum = {0};
	uint64_t seed = 99;

	(void) state;
	memset(parts, 0, sizeof(parts));
	for (int i = 0; i < 20000; i++)
	{
		int64_t ns = (int64_t) (next_number(&seed) >> (24 + i % 30));

		perfkit_tally_success(&whole, ns);
		perfkit_tally_success(&parts[next_number(&seed) % 4], ns);
	}
	for (int i = 0; i < 4; i++)
		perfkit_tally_add(&sum, &parts[i]);
	assert_memory_equal(&sum, &whole, sizeof(sum));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_has_neither_mean_nor_deviation),
		cmocka_unit_test(least_and_most_survive_failures_and_clocks_that_stand_still),
		cmocka_unit_test(deviation_of_small_and_of_huge_numbers),
		cmocka_unit_test(adding_is_associative_and_commutative),
		cmocka_unit_test(parts_give_what_the_whole_gives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
