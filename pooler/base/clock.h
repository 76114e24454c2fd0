/*
 * clock.h - the time, settable by tests.
 *
 * Durations come from the monotonic clock, dates from the wall clock; both in microseconds. Tests
 * install a stepped source, so nothing that decides by time ever calls clock_gettime() itself.
 */
#ifndef PERFKIT_BASE_CLOCK_H
#define PERFKIT_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds of a monotonic clock with an arbitrary origin; never 0. */
uint64_t clock_now_us(void);

/* Microseconds since the Unix epoch, for log lines and SHOW. */
uint64_t clock_wall_us(void);

/* Replaces the monotonic source (tests only); NULL restores the real clock. */
void clock_set_source(uint64_t (*source)(void));

#endif
