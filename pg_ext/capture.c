/*-------------------------------------------------------------------------
 * capture.c
 *	  Parser and executor hooks.
 *
 *	  analyze -> plan (clock, clock) -> Start -> Run ... Run -> Finish -> End (clock)
 *
 * Below the threshold this costs two or three clock reads, one copy of the
 * usage counters and the sigsetjmp of each PG_TRY; no lock, no palloc, no
 * catalog.  Statements inside functions cost one compare when track is top.
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
#include "failure.h"
#include "guc.h"
#include "miscadmin.h"
#include "normalize.h"
#include "parsed.h"
#include "parser/analyze.h"
#include "planid.h"
#include "planlive.h"
#include "planning.h"
#include "planseen.h"
#include "selection.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"

/* What a hook changes while it runs, to be put back. */
typedef struct Frame
{
	PerfkitExecution *outer;
} Frame;

PerfkitLastStatement perfkit_last;
int perfkit_capture_declaring = -1;

static TimestampTz last_started_message = 0;

static post_parse_analyze_hook_type next_analyze = NULL;
static ExecutorStart_hook_type next_start = NULL;
static ExecutorRun_hook_type next_run = NULL;
static ExecutorFinish_hook_type next_finish = NULL;
static ExecutorEnd_hook_type next_end = NULL;


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
	if (perfkit_execution_count > 0)
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


static PerfkitExecution *
open_executor(QueryDesc *query_desc, int eflags)
{
	PerfkitDatabase *db = perfkit_shmem_mine();
	PerfkitExecution *e;
	const PerfkitPlanning *note;
	int64 now_ns;

	if (db == NULL || (eflags & EXEC_FLAG_EXPLAIN_ONLY) ||
		perfkit_capture_declaring == perfkit_nesting)
		return NULL;
	if (perfkit_nesting > 0 && perfkit_track != PERFKIT_TRACK_ALL)
		return NULL;
	e = perfkit_capture_open(db, query_desc, query_desc->plannedstmt, query_desc->sourceText);
	if (e == NULL)
		return NULL;
	e->tag = perfkit_capture_tag(query_desc->operation);
	e->params = query_desc->params;
	note = perfkit_planning_take(e->queryid);
	now_ns = note != NULL && e->whole ? note->end_ns : perfkit_clock_ns();
	e->begin_ns = note != NULL ? note->begin_ns : now_ns;
	e->planning_ns = note != NULL ? note->end_ns - note->begin_ns : -1;
	perfkit_execution_begin_segment(e, now_ns);
	return e;
}


static inline void
enter(Frame *frame, PerfkitExecution *e)
{
	frame->outer = perfkit_running;
	perfkit_nesting++;
	if (e == NULL)
		return;
	perfkit_running = e;
	e->running = true;
	if (e->segment_ns == 0)
		perfkit_execution_begin_segment(e, perfkit_clock_ns());
}


static inline void
leave(const Frame *frame)
{
	perfkit_nesting--;
	perfkit_running = frame->outer;
}


/* The hook is over and the statement goes on. */
static inline void
pause_segment(PerfkitExecution *e)
{
	if (e == NULL)
		return;
	e->running = false;
	if (e->whole)
		return;
	perfkit_execution_end_segment(e, perfkit_clock_ns());
	perfkit_execution_add_usage(e);
	if (e->serial != 0)
		perfkit_slot_leave(e);
}


static void
start_executor(QueryDesc *query_desc, int eflags)
{
	PerfkitExecution *volatile e = open_executor(query_desc, eflags);
	PerfkitExecution *owner = perfkit_planlive_owner(e);
	Frame frame;

	if (owner != NULL && perfkit_planlive_wanted(query_desc) &&
		!(eflags & EXEC_FLAG_EXPLAIN_ONLY) && !perfkit_selection_left_out(owner))
		perfkit_planlive_start(owner, query_desc);
	enter(&frame, e);
	PG_TRY();
	{
		if (next_start)
			next_start(query_desc, eflags);
		else
			standard_ExecutorStart(query_desc, eflags);
	}
	PG_CATCH();
	{
		leave(&frame);
		perfkit_failure_caught(e);
		PG_RE_THROW();
	}
	PG_END_TRY();
	leave(&frame);
	pause_segment(e);
	if (e != NULL && !e->whole)
		perfkit_execution_watch(e);
}


static void
run_executor(PERFKIT_RUN_PARAMETERS)
{
	PerfkitExecution *const found = perfkit_execution_of(query_desc);
	PerfkitExecution *const owner = perfkit_planlive_owner(found);
	const bool live = owner != NULL && owner->live;
	PerfkitExecution *volatile e = found;
	Frame frame;

	enter(&frame, e);
	PG_TRY();
	{
		if (live)
			perfkit_planlive_run(owner, query_desc);
		if (next_run)
			next_run(PERFKIT_RUN_ARGUMENTS);
		else
			standard_ExecutorRun(PERFKIT_RUN_ARGUMENTS);
	}
	PG_CATCH();
	{
		leave(&frame);
		if (live)
			perfkit_planlive_leave(owner);
		if (e != NULL)
			e->rows += query_desc->estate->es_processed;
		perfkit_failure_caught(e);
		PG_RE_THROW();
	}
	PG_END_TRY();
	leave(&frame);
	if (live)
	{
		perfkit_planlive_leave(owner);
		if (perfkit_planlive_adopts(owner))
			perfkit_planlive_end(owner, query_desc);
	}

	/* es_processed begins at zero in every run. */
	if (e != NULL)
		e->rows += query_desc->estate->es_processed;
	pause_segment(e);
}


/* Has ExecutorFinish nothing to do, as after most SELECTs? */
static bool
finished_already(const EState *estate)
{
	return (estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) && estate->es_auxmodifytables == NIL;
}


static void
finish_executor(QueryDesc *query_desc)
{
	PerfkitExecution *volatile e;
	Frame frame;

	if (next_finish == NULL && finished_already(query_desc->estate))
	{
		standard_ExecutorFinish(query_desc);
		return;
	}
	e = perfkit_execution_of(query_desc);
	enter(&frame, e);
	PG_TRY();
	{
		if (next_finish)
			next_finish(query_desc);
		else
			standard_ExecutorFinish(query_desc);
	}
	PG_CATCH();
	{
		leave(&frame);
		perfkit_failure_caught(e);
		PG_RE_THROW();
	}
	PG_END_TRY();
	leave(&frame);
	pause_segment(e);
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


/* Has it run with a plan that nobody has seen? */
static void
note_plan(PerfkitExecution *e, const PlannedStmt *plan)
{
	int64 plan_id = perfkit_planid(plan).id;
	PerfkitPlanNews news = PERFKIT_PLAN_KNOWN;

	if (e->queryid != 0 && plan_id != 0)
		news = perfkit_planseen_note(MyDatabaseId, e->queryid, plan_id, e->message / USECS_PER_SEC);
	if (news == PERFKIT_PLAN_NEW)
		e->news = PERFKIT_REASON_PLAN_CHANGED;
	else if (news == PERFKIT_PLAN_OF_NEW_STATEMENT &&
			 perfkit_log_new_plans == PERFKIT_NEW_PLANS_ALL)
		e->news = PERFKIT_REASON_FIRST_SEEN;
}


void
perfkit_capture_finish(PerfkitExecution *e)
{
	bool wanted =
		!perfkit_selection_left_out(e) &&
		(e->news != 0 || e->persisted || perfkit_publish_slow(perfkit_publish_spent_ns(e)) ||
		 perfkit_selection_sampled(e));
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


static void
take_live_plan(PerfkitExecution *e, QueryDesc *query_desc)
{
	PG_TRY();
	{
		perfkit_planlive_end(e, query_desc);
	}
	PG_CATCH();
	{
		perfkit_failure_caught(e);
		PG_RE_THROW();
	}
	PG_END_TRY();
}


static void
end_executor(QueryDesc *query_desc)
{
	PerfkitExecution *e = perfkit_execution_of(query_desc);

	if (e != NULL)
	{
		if (e->segment_ns == 0)
			perfkit_execution_begin_segment(e, perfkit_clock_ns());
		perfkit_execution_collect(e, query_desc->estate);
		if (e->live)
			take_live_plan(e, query_desc);

		/* From here on the memory context's callback has nothing to say. */
		e->query_desc = NULL;
		e->running = true;
	}
	if (next_end)
		next_end(query_desc);
	else
		standard_ExecutorEnd(query_desc);
	if (e == NULL)
		return;

	e->running = false;
	perfkit_execution_end_segment(e, perfkit_clock_ns());
	if (!e->whole)
		perfkit_execution_add_usage(e);
	e->plan_desc = query_desc;
	if (unlikely(perfkit_log_new_plans != PERFKIT_NEW_PLANS_OFF) && !perfkit_selection_left_out(e))
		note_plan(e, query_desc->plannedstmt);
	perfkit_capture_finish(e);
}


void
perfkit_capture_init(void)
{
	EnableQueryId();
	next_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = after_analyze;
	perfkit_planning_init();
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
	next_run = ExecutorRun_hook;
	ExecutorRun_hook = run_executor;
	next_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_executor;
	next_end = ExecutorEnd_hook;
	ExecutorEnd_hook = end_executor;
}
