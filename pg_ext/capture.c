/*-------------------------------------------------------------------------
 * capture.c
 *	  The hook after parse analysis, and what a statement's own hooks share:
 *	  how it begins and what becomes of it in the end.
 *
 *	  analyze -> plan (clock, clock) -> execute (executor.c, utility.c) -> finish
 *
 * C1  Every hook chains, and restores nesting and the running slot whatever
 *     happens.
 * C2  A statement is the client's own at nesting 0, under a portal, and not
 *     inside the commit of the one before (deferred triggers run at nesting 0,
 *     fast-path function calls without a portal).
 * C3  Executions of a simple Query, and those begun and ended inside one
 *     PortalRun, are one piece: clocks are read at the ends only.  Others are
 *     timed hook by hook, so that the client's think time stays out.
 *-------------------------------------------------------------------------
 */
#include "capture.h"

#include "access/xact.h"
#include "commit.h"
#include "content.h"
#include "executor.h"
#include "failure.h"
#include "guc.h"
#include "miscadmin.h"
#include "normalize.h"
#include "parsed.h"
#include "parser/analyze.h"
#include "planning.h"
#include "selection.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"

PerfkitLastStatement perfkit_last;
int perfkit_capture_declaring = -1;

static TimestampTz last_started_message = 0;

static post_parse_analyze_hook_type next_analyze = NULL;


int
perfkit_capture_level(const char *source)
{
	if (perfkit_nesting > 0)
		return perfkit_nesting;
	if (perfkit_commit_inside(source))
		return 1;

	/* A background worker runs statements without a portal: they are its own. */
	return ActivePortal == NULL && MyBackendType != B_BG_WORKER ? 1 : 0;
}


void
perfkit_capture_next_statement(void)
{
	if (perfkit_commit_parked != NULL)
		perfkit_commit_settle(NULL);
	if (perfkit_execution_last != perfkit_execution_slots)
		perfkit_execution_sweep();
	perfkit_failure_next_statement();
	perfkit_last.parsed_message = 0;
}


CommandTag
perfkit_capture_tag(CmdType command)
{
	switch (command)
	{
		case CMD_SELECT:
			return CMDTAG_SELECT;
		case CMD_INSERT:
			return CMDTAG_INSERT;
		case CMD_UPDATE:
			return CMDTAG_UPDATE;
		case CMD_DELETE:
			return CMDTAG_DELETE;
		case CMD_MERGE:
			return CMDTAG_MERGE;
		default:
			return CMDTAG_UNKNOWN;
	}
}


static void
after_analyze(ParseState *pstate, Query *query, JumbleState *jumble)
{
	if (next_analyze)
		next_analyze(pstate, query, jumble);
	if (perfkit_shmem_mine() == NULL)
		return;
	if (jumble != NULL && (perfkit_nesting == 0 || perfkit_track == PERFKIT_TRACK_ALL))
		perfkit_normalize_remember(pstate->p_sourcetext, query, jumble);
	if (perfkit_nesting > 0 || perfkit_commit_inside(pstate->p_sourcetext))
		return;
	if (perfkit_commit_parked != NULL)
		perfkit_commit_settle(NULL);
	perfkit_last.parsed_message = GetCurrentStatementStartTimestamp();
	perfkit_last.queryid = (int64) query->queryId;
	perfkit_last.location = query->stmt_location;
	perfkit_last.length = query->stmt_len;
	perfkit_last.command = query->commandType;

	/* Only a Parse message has parameters whose types are still to be found. */
	if (pstate->p_paramref_hook != NULL)
		perfkit_parsed_remember(pstate->p_sourcetext, perfkit_last.queryid);
}


/* Is this execution one piece (C3)?  Also finds out whether a simple Query brought it. */
static void
judge_shape(PerfkitExecution *e)
{
	Portal portal = e->level == 0 ? ActivePortal : NULL;

	e->simple = portal != NULL && !portal->visible;
	e->whole =
		portal != NULL && (e->query_desc == NULL || e->simple || portal->status != PORTAL_DEFINED);
}


PerfkitExecution *
perfkit_capture_open(PerfkitDatabase *db, QueryDesc *query_desc, const PlannedStmt *statement,
					 const char *source)
{
	int level = perfkit_capture_level(source);
	PerfkitExecution *e;

	if (level == 0)
		perfkit_capture_next_statement();
	if (!perfkit_capture_tracked(level) || (level == 0 && !statement->canSetTag))
		return NULL;
	e = perfkit_execution_open(db, query_desc, level);
	if (e == NULL)
		return NULL;
	e->queryid = (int64) statement->queryId;
	e->source = source;
	e->in_message = source == debug_query_string;
	e->location = statement->stmt_location;
	e->length = statement->stmt_len;
	e->first = false;
	judge_shape(e);
	if (level == 0 && MyBackendType != B_BG_WORKER)
	{
		e->first = last_started_message != e->message;
		last_started_message = e->message;
	}
	return e;
}


/* It is wanted, or may be because of its commit: a row, now or after its commit. */
static void
finish_with_row(PerfkitExecution *e, bool wanted)
{
	PerfkitDatabase *db = perfkit_shmem_mine();

	if (e->whole && !wanted)
		perfkit_execution_add_usage(e);
	if (db != NULL && e->level == 0)
	{
		perfkit_commit_finish(db, e, wanted);
		return;
	}
	if (db != NULL && wanted)
		perfkit_publish(db, e, NULL);
	perfkit_execution_close(e);
}


/* The statement is over, but for this; a cancel makes it fail after all. */
static void
take_content(PerfkitExecution *e)
{
	PerfkitDatabase *db = perfkit_shmem_mine();

	PG_TRY();
	{
		perfkit_content_take_parameters(e, InvalidSnapshot);
		if (e->plan_desc != NULL && db != NULL && !perfkit_content_has_plan(e))
			perfkit_content_take_plan(db, e, e->plan_desc, PERFKIT_PLAN_KIND_ESTIMATE);
	}
	PG_CATCH();
	{
		perfkit_failure_caught(e);
		PG_RE_THROW();
	}
	PG_END_TRY();
}


void
perfkit_capture_finish(PerfkitExecution *e)
{
	bool wanted =
		(e->news != 0 || e->persisted || perfkit_publish_slow(perfkit_publish_spent_ns(e)) ||
		 perfkit_selection_sampled(e)) &&
		!perfkit_selection_left_out(e);

	if (wanted)
	{
		/* Before what is taken now adds its own. */
		if (e->whole)
			perfkit_execution_add_usage(e);
		take_content(e);
	}
	e->params = NULL;
	if (e->level == 0)
	{
		perfkit_last.finished_message = e->message;
		perfkit_last.finished_source = e->source;
		perfkit_last.finished_until = e->length > 0 ? Max(e->location, 0) + e->length : -1;
		perfkit_last.finished_ns = e->end_ns;
	}
	if (wanted || perfkit_commit_matters(e))
		finish_with_row(e, wanted);
	else
		perfkit_execution_close(e);
}


void
perfkit_capture_init(void)
{
	EnableQueryId();
	next_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = after_analyze;
	perfkit_planning_init();
	perfkit_executor_init();
}
