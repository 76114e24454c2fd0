/*-------------------------------------------------------------------------
 * planning.c
 *	  The planner hook: two clock reads around each planning that counts.
 *-------------------------------------------------------------------------
 */
#include "planning.h"

#include "capture.h"
#include "optimizer/planner.h"

PerfkitPlanning perfkit_plannings[PERFKIT_MAX_PLANNINGS];

static planner_hook_type next_planner = NULL;


static inline PlannedStmt *
chain(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	return next_planner ? next_planner(parse, query_string, cursor_options, params)
						: standard_planner(parse, query_string, cursor_options, params);
}


static PlannedStmt *
plan_statement(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	const PerfkitDatabase *db = perfkit_shmem_mine();
	int nesting = perfkit_nesting;
	bool tracked =
		db != NULL && perfkit_capture_tracked(nesting) && nesting < PERFKIT_MAX_PLANNINGS;
	PlannedStmt *result;
	int64 begin_ns;

	if (perfkit_capture_pass(db))
		return chain(parse, query_string, cursor_options, params);
	begin_ns = tracked ? perfkit_clock_ns() : 0;

	/* The planner may run functions of SQL. */
	perfkit_nesting++;
	PG_TRY();
	{
		result = chain(parse, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		perfkit_nesting = nesting;
	}
	PG_END_TRY();

	if (tracked)
	{
		PerfkitPlanning *planning = &perfkit_plannings[nesting];

		planning->valid = true;
		planning->queryid = (int64) parse->queryId;
		planning->begin_ns = begin_ns;
		planning->end_ns = perfkit_clock_ns();
	}
	return result;
}


void
perfkit_planning_init(void)
{
	next_planner = planner_hook;
	planner_hook = plan_statement;
}
