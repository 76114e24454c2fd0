/*-------------------------------------------------------------------------
 * executor.c
 *	  Start -> Run ... Run -> Finish -> End (clock)
 *
 * What every statement pays stands here in a row, and what few need is in
 * functions of their own.  Below the threshold that is a clock at the end (and
 * at the start of what was not just planned), one copy of the usage counters
 * and the sigsetjmp of Start and Run; no lock, no palloc, no catalog.
 * Statements inside functions cost one compare when track is top.  The
 * instructions are counted by tests/bench/instructions.py.
 *-------------------------------------------------------------------------
 */
#include "executor.h"

#include "capture.h"
#include "failure.h"
#include "guc.h"
#include "miscadmin.h"
#include "nested.h"
#include "planid.h"
#include "planlive.h"
#include "planning.h"
#include "planseen.h"
#include "ruled.h"
#include "selection.h"

/* What a hook changes while it runs, to be put back, and whose it is: in memory, for PG_CATCH. */
typedef struct Frame
{
	PerfkitExecution *outer;
	PerfkitExecution *e; /* NULL: of nobody that is looked at */
} Frame;

static ExecutorStart_hook_type next_start = NULL;
static ExecutorRun_hook_type next_run = NULL;
static ExecutorFinish_hook_type next_finish = NULL;
static ExecutorEnd_hook_type next_end = NULL;


/* The slot for a statement that starts now, if it is looked at. */
static inline PerfkitExecution *
open_executor(PerfkitDatabase *db, QueryDesc *query_desc, int eflags)
{
	const bool ruled = perfkit_ruled(query_desc->plannedstmt);
	PerfkitExecution *e;
	const PerfkitPlanning *note;
	int64 now_ns;

	if (db == NULL || (eflags & EXEC_FLAG_EXPLAIN_ONLY) ||
		perfkit_capture_declaring == perfkit_nesting)
		return NULL;
	if (perfkit_nesting > 0 && perfkit_track != PERFKIT_TRACK_ALL)
		return NULL;
	if (unlikely(ruled) && perfkit_ruled_goes_on(query_desc, &e))
		return e;
	e = perfkit_capture_open(db, query_desc, query_desc->plannedstmt, query_desc->sourceText);
	if (e == NULL)
		return NULL;
	e->tag = perfkit_capture_tags[query_desc->operation];
	e->params = query_desc->params;
	note = perfkit_planning_take(e->queryid);
	if (likely(note != NULL))
	{
		now_ns = e->whole ? note->end_ns : perfkit_clock_ns();
		e->begin_ns = note->begin_ns;
		e->planning_ns = note->end_ns - note->begin_ns;
	}
	else
		e->begin_ns = now_ns = perfkit_clock_ns();
	if (unlikely(ruled))
		perfkit_ruled_begin(e, query_desc);
	perfkit_execution_begin_unmetered(e, now_ns);
	return e;
}


/* A hook of it, or of what runs inside of it, begins. */
static inline void
enter(Frame *frame, PerfkitExecution *e)
{
	frame->outer = perfkit_running;
	frame->e = e;
	perfkit_nesting++;
	if (e == NULL)
		return;
	perfkit_running = e;
	e->running = true;
	if (unlikely(e->segment_ns == 0))
		perfkit_execution_begin_segment(e, perfkit_clock_ns());
}


static inline void
leave(const Frame *frame)
{
	perfkit_nesting--;
	perfkit_running = frame->outer;
}


/* It has raised an error. */
static inline void
fail(const Frame *frame)
{
	leave(frame);
	perfkit_failure_caught(frame->e);
}


static pg_noinline void
end_piece(PerfkitExecution *e)
{
	perfkit_execution_end_segment(e, perfkit_clock_ns());
	perfkit_execution_add_usage(e);
	if (e->serial != 0)
		perfkit_slot_leave(e);
}


/* The hook is over and the statement goes on. */
static inline void
pause_segment(PerfkitExecution *e)
{
	if (e == NULL)
		return;
	e->running = false;
	if (!e->whole)
		end_piece(e);
}


/* Asks for what its plan needs while it runs, if that is to be looked at. */
static inline void
prepare_plan(PerfkitExecution *e, QueryDesc *query_desc, int eflags)
{
	PerfkitExecution *owner = perfkit_planlive_owner(e);

	if (owner != NULL && unlikely(perfkit_planlive_wanted(query_desc)) &&
		!(eflags & EXEC_FLAG_EXPLAIN_ONLY) && !perfkit_selection_left_out(owner) &&
		!perfkit_ruled_aside(owner, query_desc))
		perfkit_planlive_start(owner, query_desc);
}


static inline void
chain_start(QueryDesc *query_desc, int eflags)
{
	if (next_start)
		next_start(query_desc, eflags);
	else
		standard_ExecutorStart(query_desc, eflags);
}


static void
start_executor(QueryDesc *query_desc, int eflags)
{
	PerfkitDatabase *db = perfkit_shmem_mine();
	PerfkitExecution *e;
	Frame frame;

	if (perfkit_capture_pass(db))
	{
		chain_start(query_desc, eflags);
		return;
	}
	e = open_executor(db, query_desc, eflags);
	prepare_plan(e, query_desc, eflags);
	enter(&frame, e);
	PG_TRY();
	{
		chain_start(query_desc, eflags);
	}
	PG_CATCH();
	{
		fail(&frame);
		PG_RE_THROW();
	}
	PG_END_TRY();
	leave(&frame);

	/* As pg_stat_statements and EXPLAIN: what the start has read for itself is not counted. */
	if (frame.e != NULL)
		perfkit_execution_meter(frame.e);
	pause_segment(frame.e);
	if (frame.e != NULL && !frame.e->whole)
		perfkit_execution_watch(frame.e);
}


/* es_processed begins at zero in every run. */
static inline void
add_rows(PerfkitExecution *e, const QueryDesc *query_desc)
{
	if (e != NULL)
		e->rows += query_desc->estate->es_processed;
}


static inline void
chain_run(PERFKIT_RUN_PARAMETERS)
{
	if (next_run)
		next_run(PERFKIT_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(PERFKIT_RUN_ARGUMENTS);
}


static void
run_executor(PERFKIT_RUN_PARAMETERS)
{
	PerfkitExecution *const e = perfkit_execution_of(query_desc);
	PerfkitExecution *const owner = perfkit_planlive_owner(e);
	const bool live = owner != NULL && unlikely(owner->live);
	PerfkitNested nested;
	Frame frame;

	if (e == NULL && perfkit_capture_idle(perfkit_shmem_mine()))
	{
		chain_run(PERFKIT_RUN_ARGUMENTS);
		return;
	}
	enter(&frame, e);
	PG_TRY();
	{
		perfkit_nested_watch(&nested);
		if (live)
			perfkit_planlive_run(owner, query_desc);
		chain_run(PERFKIT_RUN_ARGUMENTS);
		perfkit_nested_leave(&nested);
	}
	PG_CATCH();
	{
		if (live)
			perfkit_planlive_leave(owner);
		add_rows(frame.e, query_desc);
		fail(&frame);
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
	add_rows(frame.e, query_desc);
	pause_segment(frame.e);
}


/* Has ExecutorFinish nothing to do, as after most SELECTs? */
static inline bool
finished_already(const EState *estate)
{
	return (estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) && estate->es_auxmodifytables == NIL;
}


static inline void
chain_finish(QueryDesc *query_desc)
{
	if (next_finish)
		next_finish(query_desc);
	else
		standard_ExecutorFinish(query_desc);
}


/* Triggers fire, or somebody else's hook looks on. */
static pg_noinline void
finish_work(QueryDesc *query_desc)
{
	PerfkitNested nested;
	Frame frame;

	enter(&frame, perfkit_execution_of(query_desc));
	PG_TRY();
	{
		perfkit_nested_watch(&nested);
		chain_finish(query_desc);
		perfkit_nested_leave(&nested);
	}
	PG_CATCH();
	{
		fail(&frame);
		PG_RE_THROW();
	}
	PG_END_TRY();
	leave(&frame);
	pause_segment(frame.e);
}


static void
finish_executor(QueryDesc *query_desc)
{
	if ((next_finish == NULL && finished_already(query_desc->estate)) ||
		perfkit_capture_idle(perfkit_shmem_mine()))
		chain_finish(query_desc);
	else
		finish_work(query_desc);
}


/* A cancel makes it fail after all. */
static pg_noinline void
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


/* Has it run with a plan that nobody has seen? */
static pg_noinline void
note_plan(PerfkitExecution *e, const PlannedStmt *plan)
{
	int64 plan_id;
	PerfkitPlanNews news = PERFKIT_PLAN_KNOWN;

	if (perfkit_selection_left_out(e))
		return;
	plan_id = perfkit_planid(plan).id;
	if (e->queryid != 0 && plan_id != 0)
		news = perfkit_planseen_note(MyDatabaseId, e->queryid, plan_id, e->message / USECS_PER_SEC);
	if (news == PERFKIT_PLAN_NEW)
		e->news = PERFKIT_REASON_PLAN_CHANGED;
	else if (news == PERFKIT_PLAN_OF_NEW_STATEMENT &&
			 perfkit_log_new_plans == PERFKIT_NEW_PLANS_ALL)
		e->news = PERFKIT_REASON_FIRST_SEEN;
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
		if (unlikely(e->live))
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
	if (unlikely(e->ruled) && (query_desc = perfkit_ruled_end(e, query_desc)) == NULL)
		return;
	perfkit_execution_end_segment(e, perfkit_clock_ns());
	if (!e->whole)
		perfkit_execution_add_usage(e);
	e->plan_desc = query_desc;
	if (unlikely(perfkit_log_new_plans != PERFKIT_NEW_PLANS_OFF))
		note_plan(e, query_desc->plannedstmt);
	perfkit_capture_finish(e);
}


void
perfkit_executor_init(void)
{
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
	next_run = ExecutorRun_hook;
	ExecutorRun_hook = run_executor;
	next_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_executor;
	next_end = ExecutorEnd_hook;
	ExecutorEnd_hook = end_executor;
}
