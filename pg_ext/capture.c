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
#include "statements.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"

PerfkitLastStatement perfkit_last;
TimestampTz perfkit_capture_message = 0;
int perfkit_capture_declaring = -1;

const CommandTag perfkit_capture_tags[CMD_NOTHING + 1] = {
	[CMD_UNKNOWN] = CMDTAG_UNKNOWN, [CMD_SELECT] = CMDTAG_SELECT,   [CMD_UPDATE] = CMDTAG_UPDATE,
	[CMD_INSERT] = CMDTAG_INSERT,   [CMD_DELETE] = CMDTAG_DELETE,   [CMD_MERGE] = CMDTAG_MERGE,
	[CMD_UTILITY] = CMDTAG_UNKNOWN, [CMD_NOTHING] = CMDTAG_UNKNOWN,
};

static post_parse_analyze_hook_type next_analyze = NULL;


/* The places of constants, if its text may be asked for. */
static void
remember_places(const ParseState *pstate, const Query *query, const JumbleState *jumble)
{
	if (jumble == NULL)
		return;

	/* Only a Parse message has parameters whose types are still to be found. */
	if (perfkit_nesting == 0 && pstate->p_paramref_hook == NULL &&
		pstate->p_sourcetext == debug_query_string)
		perfkit_normalize_remember_message(pstate->p_sourcetext, query, jumble);
	else if (perfkit_nesting == 0 || perfkit_track == PERFKIT_TRACK_ALL ||
			 (perfkit_running != NULL && perfkit_running->tag == CMDTAG_PREPARE))
		perfkit_normalize_remember(pstate->p_sourcetext, query, jumble);
}


static void
after_analyze(ParseState *pstate, Query *query, JumbleState *jumble)
{
	if (next_analyze)
		next_analyze(pstate, query, jumble);
	if (perfkit_shmem_mine() == NULL)
		return;
	if (perfkit_nesting > 0 || perfkit_commit_inside(pstate->p_sourcetext))
	{
		remember_places(pstate, query, jumble);
		return;
	}
	if (perfkit_commit_parked != NULL)
		perfkit_commit_settle(NULL);
	remember_places(pstate, query, jumble);
	perfkit_last.parsed_message = GetCurrentStatementStartTimestamp();
	perfkit_last.queryid = (int64) query->queryId;
	perfkit_last.location = query->stmt_location;
	perfkit_last.length = query->stmt_len;
	perfkit_last.command = query->commandType;

	if (pstate->p_paramref_hook != NULL)
		perfkit_parsed_remember(pstate->p_sourcetext, perfkit_last.queryid);
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


static inline void
note_finished(const PerfkitExecution *e)
{
	perfkit_last.finished_message = e->message;
	perfkit_last.finished_source = e->source;
	perfkit_last.finished_location = e->location;
	perfkit_last.finished_length = e->length;
	perfkit_last.finished_ns = e->end_ns;
}


/* It is worth a row, or may fail in its commit. */
static pg_noinline void
finish_looked_at(PerfkitExecution *e, bool wanted)
{
	if (wanted)
	{
		/* Before what is taken now adds its own. */
		if (e->whole)
			perfkit_execution_add_usage(e);
		take_content(e);
	}
	e->params = NULL;
	if (e->level == 0)
		note_finished(e);
	finish_with_row(e, wanted);
}


static inline bool
worth_a_row(PerfkitExecution *e)
{
	return (e->news != 0 || e->persisted || perfkit_publish_slow(perfkit_publish_spent_ns(e)) ||
			perfkit_selection_sampled(e)) &&
		   !perfkit_selection_left_out(e);
}


void
perfkit_capture_finish(PerfkitExecution *e)
{
	perfkit_statements_success(e);
	if (unlikely(worth_a_row(e)))
	{
		finish_looked_at(e, true);
		return;
	}
	if (unlikely(perfkit_commit_matters(e)))
	{
		finish_looked_at(e, false);
		return;
	}
	if (e->level == 0)
		note_finished(e);
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
