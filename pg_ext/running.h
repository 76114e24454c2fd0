/*-------------------------------------------------------------------------
 * running.h
 *	  The worker's look at the statements that run past the threshold: what
 *	  they wait for, and who blocks them; those that run long get their rows.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_RUNNING_H
#define PERFKIT_RUNNING_H

#include "shmem.h"
#include "slot.h"

/* Milliseconds a statement that is read from a slot has taken, by perfkit_clock_ns(). */
static inline double
perfkit_running_elapsed_ms(const PerfkitSlotView *v, int64 now_ns)
{
	return (now_ns - v->statement.begin_ns) / 1000000.0;
}

/* Whether it is past the threshold of its session. */
static inline bool
perfkit_running_slow(const PerfkitSlotView *v, int64 now_ns)
{
	return v->session.threshold_ms >= 0 &&
		   perfkit_running_elapsed_ms(v, now_ns) >= v->session.threshold_ms;
}

/* When it began: with its message, if it is the first of that. */
extern TimestampTz perfkit_running_started_at(const PerfkitSlotView *v, TimestampTz now,
											  int64 now_ns);

/*
 * The statement alone in what pg_stat_activity has of its backend, and whether
 * more of it was cut off there.
 */
extern const char *perfkit_running_text(const PerfkitSlotView *v, const char *activity, int *length,
										bool *cut);

/*
 * One look at the slots of this worker's database.  True when a statement runs
 * there, or has run since the last look.  With `may_store` rows are written,
 * and what their transactions throw is thrown.
 */
extern bool perfkit_running_look(PerfkitDatabase *db, bool may_store);

#endif /* PERFKIT_RUNNING_H */
