/*
 * test_quota.c - places: never more than the limit, also with four threads at once; the list of
 * those who wait; turns; clients.
 */
#include "core/quota.h"

#include <pthread.h>
#include <string.h>

#include "unit.h"

#define THREADS 4
#define ROUNDS 20000
#define LIMIT 3

static struct
{
	struct quota quota;
	_Atomic int64_t holders;
	_Atomic int64_t too_many;
	_Atomic int64_t taken;
} st;

static void
test_places(void **state)
{
	struct quota q;

	(void) state;
	quota_init(&q, QUOTA_DATABASE, "app");
	for (int i = 0; i < 10; i++)
		assert_true(quota_take(&q)); /* no limit */
	atomic_store(&q.limit, 10);
	assert_false(quota_has_room(&q));
	assert_false(quota_take(&q));
	assert_false(quota_over(&q));
	quota_give(&q);
	assert_true(quota_has_room(&q));
	assert_true(quota_take(&q));
	atomic_store(&q.limit, 9);
	assert_true(quota_over(&q));
	quota_give(&q);
	assert_false(quota_over(&q));
	assert_false(quota_take(&q));
	quota_fini(&q);
	assert_true(quota_take(NULL) && quota_has_room(NULL) && !quota_over(NULL));
	quota_give(NULL);
}

static void
test_list_is_first_come_first_served(void **state)
{
	struct quota q;
	struct quota_seat seats[3];
	int i = 0;

	(void) state;
	quota_init(&q, QUOTA_USER, "alice");
	assert_null(quota_pop(&q));
	for (i = 0; i < 3; i++)
		quota_join(&q, &seats[i], NULL);
	assert_true(quota_enlist(&seats[1]));
	assert_true(quota_enlist(&seats[0]));
	assert_false(quota_enlist(&seats[1]));
	assert_ptr_equal(quota_pop(&q), &seats[1]);
	assert_true(quota_enlist(&seats[1]));
	assert_ptr_equal(quota_pop(&q), &seats[0]);
	assert_ptr_equal(quota_pop(&q), &seats[1]);
	assert_null(quota_pop(&q));
	i = 0;
	quota_foreach_seat(s, &q) i++;
	assert_int_equal(i, 3);
	quota_fini(&q);
}

/* From the middle, the front and the end; who stands on one that leaves finds the rest. */
static void
test_seats_that_leave(void **state)
{
	struct quota q;
	struct quota_seat seats[4];
	const int order[] = {1, 3, 0, 2};

	(void) state;
	quota_init(&q, QUOTA_USER, "alice");
	for (int i = 0; i < 4; i++)
		quota_join(&q, &seats[i], NULL);
	assert_true(quota_enlist(&seats[1]));
	assert_true(quota_enlist(&seats[2]));
	for (int i = 0; i < 4; i++)
	{
		int left = 0;

		quota_leave(&seats[order[i]]);
		quota_foreach_seat(s, &q)
		{
			for (int k = 0; k <= i; k++)
				assert_ptr_not_equal(s, &seats[order[k]]);
			left++;
		}
		assert_int_equal(left, 3 - i);
		if (i == 0)
			assert_ptr_equal(atomic_load(&seats[1].next), &seats[0]);
	}
	assert_null(quota_pop(&q));
	quota_fini(&q);
}

static void
test_wanted_by_others(void **state)
{
	struct quota q;

	(void) state;
	quota_init(&q, QUOTA_USER, "alice");
	assert_false(quota_wanted(&q, false));
	quota_block(&q);
	assert_true(quota_wanted(&q, false));
	assert_false(quota_wanted(&q, true)); /* by the asker only */
	quota_block(&q);
	assert_true(quota_wanted(&q, true));
	quota_unblock(&q);
	quota_unblock(&q);
	assert_false(quota_wanted(&q, false));
	quota_fini(&q);
}

static void
test_turns_are_not_taken_too_often(void **state)
{
	const uint64_t start = 1000000000;
	struct quota q;
	int turns = 0;

	(void) state;
	quota_init(&q, QUOTA_USER, "alice");
	for (uint64_t now = start; now < start + 1000000; now += 100)
		turns += quota_hand_over(&q, now);
	assert_in_range(turns, 2, 20);
	quota_fini(&q);
}

static void
test_clients(void **state)
{
	struct quota q;

	(void) state;
	quota_init(&q, QUOTA_USER, "alice");
	assert_true(quota_take_client(&q, 0));
	assert_true(quota_take_client(&q, 2));
	assert_false(quota_take_client(&q, 2));
	assert_int_equal(atomic_load(&q.clients), 2);
	quota_give_client(&q);
	assert_true(quota_take_client(&q, 2));
	quota_fini(&q);
}

static void *
take_and_give(void *arg)
{
	(void) arg;
	for (int i = 0; i < ROUNDS; i++)
	{
		if (!quota_take(&st.quota))
			continue;
		if (atomic_fetch_add(&st.holders, 1) >= LIMIT)
			atomic_fetch_add(&st.too_many, 1);
		atomic_fetch_add(&st.taken, 1);
		atomic_fetch_sub(&st.holders, 1);
		quota_give(&st.quota);
	}
	return NULL;
}

static void
test_never_more_than_the_limit(void **state)
{
	pthread_t threads[THREADS];

	(void) state;
	quota_init(&st.quota, QUOTA_LOGINS, "");
	atomic_store(&st.quota.limit, LIMIT);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&st.too_many), 0);
	assert_int_equal(atomic_load(&st.quota.used), 0);
	assert_true(atomic_load(&st.taken) >= ROUNDS);
	quota_fini(&st.quota);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_list_is_first_come_first_served),
		cmocka_unit_test(test_seats_that_leave),
		cmocka_unit_test(test_wanted_by_others),
		cmocka_unit_test(test_turns_are_not_taken_too_often),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_never_more_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
