/*-------------------------------------------------------------------------
 * planning.c
 *	  The planner hook: two clock reads around each planning that counts.
 *-------------------------------------------------------------------------
 */
#include "planning.h"

#include "access/xact.h"
#include "capture.h"
#include "nested.h"
#include "optimizer/planner.h"

PerfkitPlanning perfkit_plannings[PERFKIT_MAX_PLANNINGS];

/* The planning of a client's statement that did not succeed.  Pointers not ours, and soon gone. */
typedef struct FailedPlanning
{
	TimestampTz message; /* start of the client's message; 0: none has failed */
	const char *query_string;
	ParamListInfo params;
} FailedPlanning;

static planner_hook_type next_planner = NULL;
static FailedPlanning failed; /* what the client sent, if that is what failed last */


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
	PerfkitNested nested;
	PlannedStmt *result;
	int64 begin_ns;

	if (perfkit_capture_pass(db))
		return chain(parse, query_string, cursor_options, params);
	begin_ns = tracked ? perfkit_clock_ns() : 0;

	/* The planner may run functions of SQL. */
	perfkit_nesting++;
	PG_TRY();
	{
		perfkit_nested_watch(&nested);
		result = chain(parse, query_string, cursor_options, params);
		perfkit_nested_leave(&nested);
	}
	PG_CATCH();
	{
		perfkit_nesting = nesting;
		if (tracked && nesting > 0)
			perfkit_nested_planning_failed(parse, query_string, begin_ns);
		else if (tracked)
			failed = (FailedPlanning){GetCurrentStatementStartTimestamp(), query_string, params};
		PG_RE_THROW();
	}
	PG_END_TRY();
	perfkit_nesting = nesting;

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


ParamListInfo
perfkit_planning_failed(TimestampTz message, const char *query_string)
{
	ParamListInfo params =
		failed.message == message && failed.query_string == query_string ? failed.params : NULL;

	memset(&failed, 0, sizeof(failed));
	return params;
}


void
perfkit_planning_init(void)
{
	next_planner = planner_hook;
	planner_hook = plan_statement;
}
