/*
 * clock.c - reads the system's clocks, or the source that a test has installed.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

static _Atomic(uint64_t (*)(void)) source_fn;

static _Thread_local struct
{
	bool turning;    /* the thread runs a loop */
	uint64_t now_us; /* 0: nobody has asked in this turn */
	uint64_t wall_us;
} turn;

static uint64_t
read_clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

uint64_t
clock_now_us(void)
{
	uint64_t (*source)(void) = atomic_load_explicit(&source_fn, memory_order_relaxed);
	uint64_t now = source != NULL ? source() : read_clock_us(CLOCK_MONOTONIC);

	/* 0 is free to mean "never" in the fields that hold a time. */
	return now != 0 ? now : 1;
}

uint64_t
clock_wall_us(void)
{
	return read_clock_us(CLOCK_REALTIME);
}

void
clock_turn_begin(void)
{
	turn.turning = true;
	turn.now_us = 0;
	turn.wall_us = 0;
}

void
clock_turn_over(void)
{
	clock_turn_begin();
	turn.turning = false;
}

uint64_t
clock_turn_us(void)
{
	if (!turn.turning)
		return clock_now_us();
	if (turn.now_us == 0)
		turn.now_us = clock_now_us();
	return turn.now_us;
}

uint64_t
clock_turn_wall_us(void)
{
	if (!turn.turning)
		return clock_wall_us();
	if (turn.wall_us == 0)
		turn.wall_us = clock_wall_us();
	return turn.wall_us;
}

void
clock_set_source(uint64_t (*source)(void))
{
	atomic_store_explicit(&source_fn, source, memory_order_relaxed);
}
