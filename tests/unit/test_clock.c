/*
 * test_clock.c - the real clocks move forward, a test's source replaces the monotonic one.
 */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

static uint64_t stepped_us;

static uint64_t
stepped(void)
{
	return stepped_us;
}

static void
a_source_replaces_the_monotonic_clock(void **state)
{
	(void) state;
	clock_set_source(stepped);
	stepped_us = 1234567;
	assert_int_equal(clock_now_us(), 1234567);
	stepped_us = 2000000;
	assert_int_equal(clock_now_us(), 2000000);
	clock_set_source(NULL);
	assert_int_not_equal(clock_now_us(), 2000000);
}

static void
now_is_never_zero(void **state)
{
	(void) state;
	clock_set_source(stepped);
	stepped_us = 0;
	assert_int_equal(clock_now_us(), 1);
	clock_set_source(NULL);
}

static void
the_monotonic_clock_does_not_go_back(void **state)
{
	uint64_t last = clock_now_us();

	(void) state;
	for (int i = 0; i < 1000; i++)
	{
		uint64_t now = clock_now_us();

		assert_true(now >= last);
		last = now;
	}
}

static void
the_wall_clock_is_a_date_in_microseconds(void **state)
{
	time_t before = time(NULL);
	uint64_t wall_us = clock_wall_us();
	time_t after = time(NULL);

	(void) state;
	/* time() may read a coarser clock, one tick behind */
	assert_in_range(wall_us / 1000000, (uint64_t) before, (uint64_t) after + 1);
}

static void
a_turn_has_one_time(void **state)
{
	(void) state;
	clock_set_source(stepped);
	stepped_us = 10;
	clock_turn_begin();
	stepped_us = 11;
	assert_int_equal(clock_turn_us(), 11); /* that of the first who asks */
	stepped_us = 20;
	assert_int_equal(clock_turn_us(), 11);
	assert_int_equal(clock_now_us(), 20);
	assert_true(clock_turn_wall_us() == clock_turn_wall_us());
	clock_turn_begin();
	assert_int_equal(clock_turn_us(), 20);
	clock_turn_over();
	clock_set_source(NULL);
}

static void
without_a_loop_it_is_always_now(void **state)
{
	(void) state;
	clock_set_source(stepped);
	stepped_us = 30;
	assert_int_equal(clock_turn_us(), 30);
	stepped_us = 31;
	assert_int_equal(clock_turn_us(), 31);
	clock_set_source(NULL);
	assert_in_range(clock_turn_wall_us() / 1000000, (uint64_t) time(NULL) - 1,
					(uint64_t) time(NULL) + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_replaces_the_monotonic_clock),
		cmocka_unit_test(now_is_never_zero),
		cmocka_unit_test(the_monotonic_clock_does_not_go_back),
		cmocka_unit_test(a_turn_has_one_time),
		cmocka_unit_test(without_a_loop_it_is_always_now),
		cmocka_unit_test(the_wall_clock_is_a_date_in_microseconds),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
