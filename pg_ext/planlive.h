/*-------------------------------------------------------------------------
 * planlive.h
 *	  Plans that are to be had while, or before, their statement runs.
 *
 *	  start (counts rows) -> first run: estimate, clock set -> the threshold: partial
 *	  -> end: actual, if slow
 *
 * The first two are shown to others while the statement runs (planshare.h).
 *
 * Over perfkit.live_plan_min_cost a statement that fails, is cancelled or waits
 * for ever has its plan already.  Below it there is the start and the end of this,
 * and that with perfkit.capture_plan = actual or timing only; else the estimate is
 * taken when the statement was slow.  The owner of a plan is its own execution, or
 * the utility statement that it is the whole of (CREATE TABLE AS, REFRESH, COPY
 * (query), EXPLAIN ANALYZE, FETCH).
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PLANLIVE_H
#define PERFKIT_PLANLIVE_H

#include "execution.h"
#include "guc.h"

/* Is this a utility statement that a query is the whole of? */
static inline bool
perfkit_planlive_adopts(const PerfkitExecution *e)
{
	return e->live && e->query_desc == NULL;
}

/* The row that the plan of an executor with the slot `e` belongs to, or NULL.  In its hook. */
static inline PerfkitExecution *
perfkit_planlive_owner(PerfkitExecution *e)
{
	if (likely(e != NULL) || perfkit_running == NULL)
		return e;
	if (!perfkit_planlive_adopts(perfkit_running) || perfkit_nesting != perfkit_running->level + 1)
		return NULL;
	return perfkit_running;
}

/*
 * Costs from which on a plan is instrumented, and is expensive: had before its end.
 * What the two settings say, so that a statement has one number to compare.
 */
#pragma GCC visibility push(hidden)
extern double perfkit_planlive_instrumented_from;
extern double perfkit_planlive_expensive_from;
#pragma GCC visibility pop

/* The assign hooks of perfkit.capture_plan and live_plan_min_cost, for guc.c. */
extern void perfkit_planlive_assign_capture_plan(int value, void *extra);
extern void perfkit_planlive_assign_min_cost(int value, void *extra);

/* Are its nodes to count? */
static inline bool
perfkit_planlive_wanted(const QueryDesc *query_desc)
{
	return query_desc->plannedstmt->planTree->total_cost >= perfkit_planlive_instrumented_from;
}

/* Before ExecutorStart of what is wanted: asks for the instrumentation. */
extern void perfkit_planlive_start(PerfkitExecution *owner, QueryDesc *query_desc);

/*
 * Before ExecutorRun of what was started so, or belongs to a utility statement.
 * May throw a cancel.
 */
extern void perfkit_planlive_run(PerfkitExecution *owner, QueryDesc *query_desc);

/* Whose run the clock is set for, or NULL. */
extern PerfkitExecution *perfkit_planlive_watched;

/* Stops the clock. */
extern void perfkit_planlive_stop(void);

/* After ExecutorRun, whether it has failed or not. */
static inline void
perfkit_planlive_leave(const PerfkitExecution *owner)
{
	if (perfkit_planlive_watched == owner)
		perfkit_planlive_stop();
}

/*
 * After the last ExecutorRun, before ExecutorEnd, in an open segment of its owner:
 * takes the best plan there is, if that is slow by now.  May throw a cancel.
 */
extern void perfkit_planlive_end(PerfkitExecution *owner, QueryDesc *query_desc);

#endif /* PERFKIT_PLANLIVE_H */
