/*
 * test_histogram.c - the extension's histogram: how far a quantile may be from the exact one, and
 * that adding histograms loses nothing.
 */
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"

#define LAST (PERFKIT_HISTOGRAM_BUCKETS - 1)

static const double quantiles[] = {0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1};

/* Numbers that are the same in every run. */
static uint64_t
next_number(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static double
next_share(uint64_t *state)
{
	return (double) (next_number(state) >> 11) / (double) (UINT64_C(1) << 53);
}

static int
compare(const void *a, const void *b)
{
	double left = *(const double *) a;
	double right = *(const double *) b;

	return left < right ? -1 : left > right;
}

static void
buckets_join_without_a_gap(void **state)
{
	(void) state;
	assert_int_equal(perfkit_histogram_bucket(-1), 0);
	assert_int_equal(perfkit_histogram_bucket(0), 0);
	assert_int_equal(perfkit_histogram_bucket(511), 0);
	assert_int_equal(perfkit_histogram_bucket((INT64_C(1) << 40) - 1), LAST - 1);
	assert_int_equal(perfkit_histogram_bucket(INT64_C(1) << 40), LAST);
	assert_int_equal(perfkit_histogram_bucket(INT64_MAX), LAST);
	for (int i = 1; i <= LAST; i++)
	{
		int64_t start = (int64_t) perfkit_histogram_start(i);

		assert_int_equal(perfkit_histogram_bucket(start), i);
		assert_int_equal(perfkit_histogram_bucket(start - 1), i - 1);
	}
	assert_true(isinf(perfkit_histogram_start(LAST + 1)));
}

static void
a_bucket_stands_for_its_values_within_five_percent(void **state)
{
	(void) state;
	assert_true(perfkit_histogram_start(1) <= 1e3);     /* a microsecond */
	assert_true(perfkit_histogram_start(LAST) >= 1e12); /* a thousand seconds */
	for (int i = 1; i < LAST; i++)
	{
		double low = perfkit_histogram_start(i);
		double high = perfkit_histogram_start(i + 1);
		double middle = perfkit_histogram_middle(i);

		assert_true(fabs(middle - low) / low <= 0.05);
		assert_true(fabs(high - middle) / high <= 0.05);
	}
}

/* Durations as they come: from a microsecond to a thousand seconds, in clusters and all over. */
static double
draw(uint64_t *state, int shape)
{
	double share = next_share(state);

	switch (shape)
	{
		case 0: /* every magnitude alike */
			return 1e3 * pow(1e9, share);
		case 1: /* one magnitude */
			return 1e6 + 9e6 * share;
		case 2: /* most in a narrow place, some far away */
			return share < 0.97 ? 2e5 * (1 + share / 10) : 3e9 * (1 + share);
		default: /* all equal */
			return 123456789;
	}
}

static void
quantiles_are_near_the_exact_ones(void **state)
{
	static double values[20000];
	uint64_t counts[PERFKIT_HISTOGRAM_BUCKETS];
	uint64_t seed = UINT64_C(0x9E3779B97F4A7C15);

	(void) state;
	for (int round = 0; round < 40; round++)
	{
		size_t n = 1 + next_number(&seed) % 20000;

		memset(counts, 0, sizeof(counts));
		for (size_t i = 0; i < n; i++)
		{
			values[i] = floor(draw(&seed, round % 4));
			counts[perfkit_histogram_bucket((int64_t) values[i])]++;
		}
		qsort(values, n, sizeof(double), compare);
		for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
		{
			double rank = ceil(quantiles[i] * (double) n);
			double exact = values[rank < 1 ? 0 : (size_t) rank - 1];
			double told = perfkit_histogram_quantile(counts, quantiles[i]);

			assert_true(fabs(told - exact) / exact <= 0.05);
		}
	}
}

static void
an_empty_one_has_no_quantile(void **state)
{
	uint64_t counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};

	(void) state;
	assert_true(perfkit_histogram_quantile(counts, 0.5) < 0);
}

static void
adding_is_associative_and_commutative(void **state)
{
	uint64_t part[3][PERFKIT_HISTOGRAM_BUCKETS];
	uint64_t all[PERFKIT_HISTOGRAM_BUCKETS] = {0};
	uint64_t left[PERFKIT_HISTOGRAM_BUCKETS];
	uint64_t right[PERFKIT_HISTOGRAM_BUCKETS];
	uint64_t seed = 42;

	(void) state;
	memset(part, 0, sizeof(part));
	for (int i = 0; i < 30000; i++)
	{
		int bucket = perfkit_histogram_bucket((int64_t) draw(&seed, i % 4));

		part[next_number(&seed) % 3][bucket]++;
		all[bucket]++;
	}

	/* (a + b) + c */
	memcpy(left, part[0], sizeof(left));
	perfkit_histogram_add(left, part[1]);
	perfkit_histogram_add(left, part[2]);

	/* (c + b) + a, by way of b + c */
	memcpy(right, part[2], sizeof(right));
	perfkit_histogram_add(right, part[1]);
	perfkit_histogram_add(part[0], right);

	assert_memory_equal(left, all, sizeof(all));
	assert_memory_equal(part[0], all, sizeof(all));
}

static void
the_deviation_is_near_the_exact_one(void **state)
{
	uint64_t counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};
	double squares = 0;
	int64_t ms = 1000 * 1000;

	(void) state;
	assert_true(perfkit_histogram_stddev(counts) == 0);
	counts[perfkit_histogram_bucket(7 * ms)] = 1000;
	assert_true(perfkit_histogram_stddev(counts) == 0);

	/* 1 to 100 ms, each once: the square root of (100² - 1) / 12 */
	counts[perfkit_histogram_bucket(7 * ms)] = 0;
	for (int i = 1; i <= 100; i++)
	{
		counts[perfkit_histogram_bucket(i * ms)]++;
		squares += (i - 50.5) * (i - 50.5);
	}
	squares = sqrt(squares / 100) * (double) ms;
	assert_true(fabs(perfkit_histogram_stddev(counts) - squares) < 0.03 * squares);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_join_without_a_gap),
		cmocka_unit_test(a_bucket_stands_for_its_values_within_five_percent),
		cmocka_unit_test(quantiles_are_near_the_exact_ones),
		cmocka_unit_test(an_empty_one_has_no_quantile),
		cmocka_unit_test(adding_is_associative_and_commutative),
		cmocka_unit_test(the_deviation_is_near_the_exact_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
