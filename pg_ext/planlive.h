/*-------------------------------------------------------------------------
 * planlive.h
 *	  Plans that are to be had while, or before, their statement runs.
 *
 *	  start (counts rows) -> first run: estimate, clock set -> the threshold: partial
 *	  -> end: actual, if slow
 *
 * Below perfkit.live_plan_min_cost, and with perfkit.capture_plan = estimate,
 * nothing of this happens: the estimate is taken when the statement was slow.
 * Over it a statement that fails, is cancelled or waits for ever has its plan
 * already.  Its owner is its own execution, or the utility statement that it is
 * the whole of (CREATE TABLE AS, REFRESH, COPY (query), EXPLAIN ANALYZE, FETCH).
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

/* Is its plan to be had before it ends? */
static inline bool
perfkit_planlive_wanted(const QueryDesc *query_desc)
{
	return perfkit_capture_plan >= PERFKIT_PLAN_ACTUAL ||
		   (query_desc->plannedstmt->planTree->total_cost >= perfkit_live_plan_min_cost &&
			perfkit_live_plan_min_cost >= 0 && perfkit_capture_plan != PERFKIT_PLAN_OFF);
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
