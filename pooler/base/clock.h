/*
 * clock.h - the time, settable by tests.
 *
 * Durations come from the monotonic clock, dates from the wall clock; both in microseconds. Tests
 * install a stepped source, so nothing that decides by time ever calls clock_gettime() itself.
 *
 * What happens for every query asks for the time of the turn: reading a clock costs as much as
 * framing a message, and a query would ask ten times. That time is read when the first in a turn of
 * the thread's loop asks for it, so it is later than whatever woke the loop up and never goes back;
 * a turn lasts as long as its events take. A duration from one turn to another is therefore never
 * shorter than it was. Times of different threads may lie the wrong way round by a turn: compare
 * them by adding (now >= since + timeout), never by subtracting.
 */
#ifndef PERFKIT_BASE_CLOCK_H
#define PERFKIT_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds of a monotonic clock with an arbitrary origin; never 0. */
uint64_t clock_now_us(void);

/* Microseconds since the Unix epoch, for log lines and SHOW. */
uint64_t clock_wall_us(void);

/* The same two, as read when first asked for in this turn of the thread's loop; a thread that runs
 * no loop gets the time of now. */
uint64_t clock_turn_us(void);
uint64_t clock_turn_wall_us(void);

/* The thread's loop: has waited, and a turn begins; runs no more. */
void clock_turn_begin(void);
void clock_turn_over(void);

/* Replaces the monotonic source (tests only); NULL restores the real clock. */
void clock_set_source(uint64_t (*source)(void));

#endif
