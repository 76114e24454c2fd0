/*-------------------------------------------------------------------------
 * planning.h
 *	  The planner hook: how long the statement that starts next was planned.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PLANNING_H
#define PERFKIT_PLANNING_H

#include "execution.h"

/* Planning is remembered per nesting level, until the executor starts. */
#define PERFKIT_MAX_PLANNINGS 16

typedef struct PerfkitPlanning
{
	bool valid;
	int64 queryid;
	int64 begin_ns;
	int64 end_ns;
} PerfkitPlanning;

/* Private to perfkit_planning_take().  Read by every statement: hidden. */
#pragma GCC visibility push(hidden)
extern PerfkitPlanning perfkit_plannings[];
#pragma GCC visibility pop

/* Installs the hook; while preloading. */
extern void perfkit_planning_init(void);

/*
 * The planning of the statement that starts to execute now, if it happened just
 * before, else NULL.  Every start at this nesting takes it away, so it cannot be old.
 */
static inline const PerfkitPlanning *
perfkit_planning_take(int64 queryid)
{
	PerfkitPlanning *planning = &perfkit_plannings[Min(perfkit_nesting, PERFKIT_MAX_PLANNINGS - 1)];
	bool mine = planning->valid && planning->queryid == queryid;

	planning->valid = false;
	return mine ? planning : NULL;
}

/*
 * The bind values of the statement of this message and text, if the error that
 * is being reported now came from its planning, else NULL.  Told once.
 */
extern ParamListInfo perfkit_planning_failed(TimestampTz message, const char *query_string);

#endif /* PERFKIT_PLANNING_H */
