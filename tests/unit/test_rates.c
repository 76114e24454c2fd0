/*
 * test_rates.c - buckets under a stepped clock, threads that take from one, and who is remembered.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rates.h"

#define S 1000000ull
#define START (1000 * S)

static struct rates rates;

static int
set_up(void **state)
{
	(void) state;
	rates_init(&rates);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	rates_fini(&rates);
	return 0;
}

/* How many may be taken at this moment. */
static int
drain(struct rate_entry *e, const struct rate *rate, uint64_t now)
{
	uint64_t wait;
	int n = 0;

	while (n < 100000 && rate_take(&rates, e, RATE_QUERIES, rate, now, &wait))
		n++;
	return n;
}

static void
test_burst_then_rate(void **state)
{
	const struct rate rate = {.per_s = 10, .burst_us = 2 * S};
	struct rate_entry *e = rates_join(&rates, RATE_USER, "alice");
	uint64_t now = START;
	uint64_t wait = 0;

	(void) state;
	assert_int_equal(drain(e, &rate, now), 20);
	assert_false(rate_take(&rates, e, RATE_QUERIES, &rate, now, &wait));
	assert_int_equal(wait, S / 10);
	/* It is right to the microsecond. */
	assert_false(rate_take(&rates, e, RATE_QUERIES, &rate, now + wait - 1, &wait));
	assert_int_equal(wait, 1);
	now += S / 10;
	assert_int_equal(drain(e, &rate, now), 1);
	now += S;
	assert_int_equal(drain(e, &rate, now), 10);
	/* More than full it does not get. */
	now += 3600 * S;
	assert_int_equal(drain(e, &rate, now), 20);
	rates_leave(&rates, &e);
	assert_null(e);
}

static void
test_one_at_least(void **state)
{
	const struct rate slow = {.per_s = 1, .burst_us = 0};
	const struct rate fast = {.per_s = 1000000, .burst_us = S / 1000};
	struct rate_entry *e = rates_join(&rates, RATE_USER, "alice");

	(void) state;
	assert_int_equal(drain(e, &slow, START), 1);
	assert_int_equal(drain(e, &slow, START + S - 1), 0);
	assert_int_equal(drain(e, &slow, START + S), 1);
	assert_int_equal(drain(e, &fast, START + 10 * S), 1000);
	rates_leave(&rates, &e);
}

/* Measures and names have a bucket each; users and addresses of one name too. */
static void
test_apart(void **state)
{
	const struct rate rate = {.per_s = 1, .burst_us = S};
	struct rate_entry *a = rates_join(&rates, RATE_USER, "x");
	struct rate_entry *b = rates_join(&rates, RATE_USER, "xy");
	struct rate_entry *c = rates_join(&rates, RATE_ADDRESS, "x");
	uint64_t wait;

	(void) state;
	assert_int_equal(drain(a, &rate, START), 1);
	assert_int_equal(drain(b, &rate, START), 1);
	assert_int_equal(drain(c, &rate, START), 1);
	assert_true(rate_take(&rates, a, RATE_CONNECTIONS, &rate, START, &wait));
	assert_false(rate_take(&rates, a, RATE_CONNECTIONS, &rate, START, &wait));
	rates_leave(&rates, &a);
	rates_leave(&rates, &b);
	rates_leave(&rates, &c);
}

static void
test_give_back(void **state)
{
	const struct rate rate = {.per_s = 5, .burst_us = S};
	struct rate_entry *e = rates_join(&rates, RATE_USER, "alice");

	(void) state;
	assert_int_equal(drain(e, &rate, START), 5);
	rate_give_back(e, RATE_QUERIES, &rate);
	assert_int_equal(drain(e, &rate, START), 1);
	rates_leave(&rates, &e);
}

static void
test_debts(void **state)
{
	const struct rate rate = {.per_s = 10, .burst_us = S};
	struct rate_entry *e = rates_join(&rates, RATE_USER, "alice");

	(void) state;
	/* Thirty were done with ten allowed: two seconds until the next. */
	rate_owe(e, RATE_QUERIES, &rate, 30, START);
	assert_int_equal(drain(e, &rate, START + 2 * S), 0);
	assert_int_equal(drain(e, &rate, START + 2 * S + S / 10), 1);
	/* However much it was, it is forgiven in a minute. */
	rate_owe(e, RATE_QUERIES, &rate, UINT64_MAX, START + 100 * S);
	rate_owe(e, RATE_QUERIES, &rate, 1000000, START + 100 * S);
	assert_int_equal(drain(e, &rate, START + 100 * S + RATES_DEBT_MAX_US - S), 0);
	assert_int_equal(drain(e, &rate, START + 100 * S + RATES_DEBT_MAX_US), 10);
	rates_leave(&rates, &e);
}

/* A bucket is in time: under a new rate it means the same. */
static void
test_rates_change(void **state)
{
	const struct rate slow = {.per_s = 2, .burst_us = S};
	const struct rate fast = {.per_s = 100, .burst_us = S};
	struct rate_entry *e = rates_join(&rates, RATE_USER, "alice");

	(void) state;
	assert_int_equal(drain(e, &slow, START), 2);
	assert_int_equal(drain(e, &fast, START), 0);
	assert_int_equal(drain(e, &fast, START + S / 2), 50);
	rates_leave(&rates, &e);
}

struct thread
{
	pthread_t id;
	struct rate_entry *e;
	int taken;
};

static void *
take_all(void *arg)
{
	const struct rate rate = {.per_s = 1000, .burst_us = 10 * S};
	struct thread *t = arg;
	uint64_t wait;

	while (rate_take(&rates, t->e, RATE_QUERIES, &rate, START, &wait))
		t->taken++;
	return NULL;
}

static void
test_threads(void **state)
{
	struct thread threads[4] = {{0}};
	struct rate_entry *e = rates_join(&rates, RATE_USER, "alice");
	int taken = 0;

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		threads[i].e = e;
		pthread_create(&threads[i].id, NULL, take_all, &threads[i]);
	}
	for (int i = 0; i < 4; i++)
	{
		pthread_join(threads[i].id, NULL);
		taken += threads[i].taken;
	}
	assert_int_equal(taken, 10000);
	assert_int_equal(e->refused[RATE_QUERIES], 4);
	rates_leave(&rates, &e);
}

static const struct rate_row *
row_of(const struct rate_row *rows, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static void
test_who_left_is_remembered(void **state)
{
	const struct rate rate = {.per_s = 1, .burst_us = S};
	struct rate_entry *e = rates_join(&rates, RATE_ADDRESS, "10.0.0.1");
	struct rate_entry *again = rates_join(&rates, RATE_ADDRESS, "10.0.0.1");
	const struct rate_row *row;
	struct rate_row *rows;
	int n;

	(void) state;
	assert_ptr_equal(e, again);
	assert_int_equal(drain(e, &rate, START), 1);
	rates_leave(&rates, &e);
	rates_leave(&rates, &again);
	rates_leave(&rates, &again);
	rows = rates_rows(&rates, START + S / 4, &n);
	row = row_of(rows, n, "10.0.0.1");
	assert_int_equal(row->clients, 0);
	assert_int_equal(row->refused[RATE_QUERIES], 1);
	assert_int_equal(row->ahead_us[RATE_QUERIES], S * 3 / 4);
	assert_int_equal(row->ahead_us[RATE_CONNECTIONS], 0);
	assert_true(row->refused_wall_us > 0);
	free(rows);
	e = rates_join(&rates, RATE_ADDRESS, "10.0.0.1");
	assert_int_equal(drain(e, &rate, START), 0);
	rates_leave(&rates, &e);
}

/* A hundred thousand addresses: those who are here, and the last of those who were. */
static void
test_many_addresses(void **state)
{
	const struct rate rate = {.per_s = 1, .burst_us = S};
	struct rate_entry *here = rates_join(&rates, RATE_ADDRESS, "here");
	struct rate_row *rows;
	char name[32];
	int n;

	(void) state;
	drain(here, &rate, START);
	for (int i = 0; i < 100000; i++)
	{
		struct rate_entry *e;

		snprintf(name, sizeof(name), "a%d", i);
		e = rates_join(&rates, RATE_ADDRESS, name);
		drain(e, &rate, START);
		rates_leave(&rates, &e);
	}
	rows = rates_rows(&rates, START, &n);
	/* Two rows of sums. */
	assert_int_equal(n, RATE_KINDS + RATES_KEPT + 1);
	assert_int_equal(rows[RATE_ADDRESS].refused[RATE_QUERIES], 100001);
	assert_int_equal(rows[RATE_ADDRESS].clients, 1);
	assert_int_equal(rows[RATE_USER].refused[RATE_QUERIES], 0);
	assert_non_null(row_of(rows, n, "here"));
	assert_non_null(row_of(rows, n, "a99999"));
	assert_null(row_of(rows, n, "a0"));
	free(rows);
	assert_int_equal(drain(here, &rate, START), 0);
	rates_leave(&rates, &here);
}

static void
test_tell(void **state)
{
	struct rate_entry *e = rates_join(&rates, RATE_USER, "alice");

	(void) state;
	assert_true(rate_tell(e, START));
	assert_false(rate_tell(e, START));
	assert_false(rate_tell(e, START + 9 * S));
	assert_true(rate_tell(e, START + 10 * S));
	rates_leave(&rates, &e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_burst_then_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_at_least, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_give_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_debts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rates_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_left_is_remembered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tell, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
