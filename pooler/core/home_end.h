/*
 * home_end.h - the last moment of core/home: the pooler ends, and waits until its numbers are
 * written, though not for long.
 *
 *     NOT -> AWAITS_PERIOD (it is ending, or being gathered) -> WRITES -> done()
 *
 * Main thread.
 */
#ifndef PERFKIT_CORE_HOME_END_H
#define PERFKIT_CORE_HOME_END_H

#include <stdint.h>

/* How long the pooler's end may be held up. A database takes some 0.6 s for the numbers of 500
 * pools in use. */
#define HOME_END_US 2000000

struct loop;

enum home_end
{
	HOME_END_NOT,
	HOME_END_AWAITS_PERIOD,
	HOME_END_WRITES
};

void home_end_start(struct loop *loop);

/* No done() any more. Tells the log what is lost with the pooler: so many rows, and the last period
 * where it is awaited; why: the database is away, NULL: it is not. */
void home_end_stop(uint64_t rows, const char *why);

/* done() comes when it is over or HOME_END_US are, never from within: it takes away what others are
 * at. */
void home_end_begin(void (*done)(void));

/* The last period's numbers are at hand. */
void home_end_period(void);

enum home_end home_end_state(void);

/* What is left of HOME_END_US, a millisecond at the least; of one that has begun. */
uint64_t home_end_left_us(void);

/* All is written, or nothing will be. */
void home_end_over(void);

#endif
