/*
 * test_meter.c - times of a pool: how exact the percentiles are, that loops add up, what is kept
 * over periods, and that nothing is made before it is needed; classes of errors.
 */
#include "core/meter.h"

#include <math.h>
#include <string.h>

#include "unit.h"

#define LOOPS 3

/* What is within reach of the promise: 1 us to 1000 s. */
#define TIME_MIN 1
#define TIME_MAX 1000000000

static uint64_t
total(const struct meter_kept *k, enum meter_time what)
{
	uint64_t n = 0;

	for (int i = 0; i <= METER_BOUNDS; i++)
		n += k->upto[what][i];
	return n;
}

/* One time alone, of every size: what is told is within 5 % of it. */
static void
test_error_bound(void **state)
{
	(void) state;
	for (double us = TIME_MIN; us <= TIME_MAX; us *= 1.013)
	{
		struct meter m = {0};
		struct meter_latest latest = {0};
		struct meter_sum sum;
		uint64_t whole = (uint64_t) us;

		meter_time(&m, METER_QUERY, whole);
		meter_end_period(&m);
		meter_take_ended(&m, sizeof(m), 1, &latest, &sum);
		for (int i = 0; i < METER_SHARES; i++)
		{
			double off = atomic_load(&latest.ns[METER_QUERY][i]) / ((double) whole * 1000) - 1;

			if (fabs(off) > 0.05)
				fail_msg("%llu us: %+.1f %%", (unsigned long long) whole, 100 * off);
		}
		assert_true(atomic_load(&latest.ns[METER_WAIT][METER_P50]) == 0);
		meter_fini(&m);
	}
}

/* 1 to 1000 ms, dealt out to the loops: the percentiles are those of all. */
static void
test_loops_add_up(void **state)
{
	struct meter m[LOOPS] = {0};
	struct meter_latest latest = {0};
	struct meter_sum sum;
	uint64_t n = 0;
	static const double wanted_ms[METER_SHARES] = {500, 950, 990};

	(void) state;
	for (uint64_t ms = 1; ms <= 1000; ms++)
		meter_time(&m[ms * ms % LOOPS], METER_XACT, ms * 1000);
	for (int i = 0; i < LOOPS; i++)
		meter_end_period(&m[i]);
	assert_true(meter_take_ended(&m[0], sizeof(m[0]), LOOPS, &latest, &sum));
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
		n += sum.count[METER_XACT][i];
	assert_int_equal(n, 1000);
	for (int i = 0; i < METER_SHARES; i++)
		assert_true(fabs(atomic_load(&latest.ns[METER_XACT][i]) / 1e6 / wanted_ms[i] - 1) < 0.05);
	/* A period in which nothing was. */
	for (int i = 0; i < LOOPS; i++)
		meter_end_period(&m[i]);
	assert_false(meter_take_ended(&m[0], sizeof(m[0]), LOOPS, &latest, &sum));
	for (int i = 0; i < METER_SHARES; i++)
		assert_true(atomic_load(&latest.ns[METER_XACT][i]) == 0);
	for (int i = 0; i < LOOPS; i++)
		meter_fini(&m[i]);
}

/* What is kept is the same before and after the end of a period, and each bound is right to the
 * microsecond next to it. */
static void
test_bounds(void **state)
{
	struct meter m = {0};
	struct meter_kept before = {0};
	struct meter_kept after = {0};

	(void) state;
	for (int i = 0; i < METER_BOUNDS; i++)
	{
		uint64_t us = (uint64_t) (meter_bound(i) * 1e6);

		assert_true(fabs(meter_bound(i) - ldexp(65.536e-6, i)) < 1e-12);
		meter_time(&m, METER_WAIT, us);     /* just below it */
		meter_time(&m, METER_WAIT, us + 1); /* just above */
	}
	meter_read(&m, &before);
	meter_end_period(&m);
	meter_read(&m, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(before.upto[METER_WAIT][0], 1);
	for (int i = 1; i < METER_BOUNDS; i++)
		assert_int_equal(before.upto[METER_WAIT][i], 2);
	assert_int_equal(before.upto[METER_WAIT][METER_BOUNDS], 1);
	assert_int_equal(total(&before, METER_QUERY), 0);
	meter_fini(&m);
}

static void
test_extremes(void **state)
{
	struct meter m = {0};
	struct meter_kept k = {0};

	(void) state;
	meter_time(&m, METER_WAIT, 0);
	meter_time(&m, METER_WAIT, UINT64_MAX / 2000);
	meter_read(&m, &k);
	assert_int_equal(k.upto[METER_WAIT][0], 1);
	assert_int_equal(k.upto[METER_WAIT][METER_BOUNDS], 1);
	meter_fini(&m);
}

/* A pool that nobody uses costs nothing, and one that nobody uses any more only what it keeps. */
static void
test_made_when_needed(void **state)
{
	struct meter m = {0};
	struct meter_latest latest = {0};
	struct meter_sum sum;

	(void) state;
	meter_end_period(&m);
	meter_take_ended(&m, sizeof(m), 1, &latest, &sum);
	assert_null(m.kept);
	meter_time(&m, METER_WAIT, 1);
	assert_non_null(m.now);
	meter_end_period(&m);
	assert_null(m.now);
	assert_non_null(m.ended);
	meter_take_ended(&m, sizeof(m), 1, &latest, &sum);
	assert_null(m.ended);
	meter_end_period(&m);
	assert_null(m.now);
	assert_null(m.ended);
	meter_fini(&m);
}

/* The main thread did not come in time: nothing is lost but that period's percentiles. */
static void
test_two_ends_in_a_row(void **state)
{
	struct meter m = {0};
	struct meter_kept k = {0};

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		meter_time(&m, METER_QUERY, 100);
		meter_end_period(&m);
	}
	meter_read(&m, &k);
	assert_int_equal(total(&k, METER_QUERY), 3);
	meter_fini(&m);
}

static void
test_errors(void **state)
{
	static const struct
	{
		const char *sqlstate;
		const char *class;
	} rows[] = {
		{"57014", "57"},    {"22012", "22"}, {"XX000", "XX"}, {"HV00N", "HV"},    {"0A000", "0A"},
		{"ZZ123", "other"}, {"", "other"},   {"5", "other"},  {"0a000", "other"},
	};
	struct meter m = {0};
	struct meter_kept k = {0};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(errclass_code(errclass_of(rows[i].sqlstate)), rows[i].class);
	meter_error(&m, "57014");
	meter_error(&m, "57P01");
	meter_end_period(&m);
	meter_error(&m, "57P05");
	meter_read(&m, &k);
	assert_int_equal(k.errors[errclass_of("57000")], 3);
	assert_int_equal(k.errors_in_period[errclass_of("57000")], 2);
	assert_null(m.now);
	meter_fini(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_bound),      cmocka_unit_test(test_loops_add_up),
		cmocka_unit_test(test_bounds),           cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_made_when_needed), cmocka_unit_test(test_two_ends_in_a_row),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
