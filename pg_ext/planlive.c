/*-------------------------------------------------------------------------
 * planlive.c
 *	  A timer at the threshold, and a wrapper around every node that sees it.
 *
 * A signal handler cannot EXPLAIN; it sets a flag.  The next node to be asked
 * for a row is a safe place: the transaction is healthy and no lock is held.
 *
 * L1  One statement of a backend is watched at a time, the outermost; what
 *     runs inside of it has its estimate only.
 * L2  The wrapper replaces PlanState.ExecProcNode alone and does what that does,
 *     so nothing has to be put back.  Without the flag it costs one branch.
 * L3  A plan in the middle of its run is looked at only if its instrumentation
 *     is ours and has no times.  With parallel workers running no
 *     subtransaction can be begun: there the estimate remains.
 *-------------------------------------------------------------------------
 */
#include "planlive.h"

#include <limits.h>
#include <signal.h>

#include "content.h"
#include "guard.h"
#include "miscadmin.h"
#include "planshare.h"
#include "nodes/nodeFuncs.h"
#include "publish.h"
#include "utils/float.h"
#include "utils/timeout.h"

PerfkitExecution *perfkit_planlive_watched = NULL;
double perfkit_planlive_instrumented_from = 0;
double perfkit_planlive_expensive_from = 0;

static volatile sig_atomic_t due = false;
static TimeoutId timer = MAX_TIMEOUTS; /* until it is registered */


static void
set_limits(int capture_plan, int min_cost)
{
	double never = get_float8_infinity();

	perfkit_planlive_expensive_from =
		capture_plan != PERFKIT_PLAN_OFF && min_cost >= 0 ? min_cost : never;
	perfkit_planlive_instrumented_from =
		capture_plan >= PERFKIT_PLAN_ACTUAL ? 0 : perfkit_planlive_expensive_from;
}


void
perfkit_planlive_assign_capture_plan(int value, void *extra)
{
	set_limits(value, perfkit_live_plan_min_cost);
}


void
perfkit_planlive_assign_min_cost(int value, void *extra)
{
	set_limits(perfkit_capture_plan, value);
}


void
perfkit_planlive_start(PerfkitExecution *owner, QueryDesc *query_desc)
{
	int wanted = INSTRUMENT_ROWS;

	if (perfkit_capture_plan >= PERFKIT_PLAN_ACTUAL)
		wanted |= INSTRUMENT_BUFFERS;
	if (perfkit_capture_plan == PERFKIT_PLAN_TIMING)
		wanted |= INSTRUMENT_TIMER;
	owner->live = true;
	owner->plan_desc = query_desc;
	owner->plan_instrumented = query_desc->instrument_options == 0;

	/* What somebody else counts is counted at no cost to us, but not for us to disturb. */
	if (owner->plan_instrumented || perfkit_capture_plan >= PERFKIT_PLAN_ACTUAL)
		query_desc->instrument_options |= wanted;
}


/* The time and the blocks it takes are not the statement's. */
static void
take(PerfkitExecution *owner, QueryDesc *query_desc, PerfkitPlanKind kind)
{
	PerfkitDatabase *db = perfkit_shmem_mine();

	if (db == NULL)
		return;
	perfkit_execution_end_segment(owner, perfkit_clock_ns());
	perfkit_execution_add_usage(owner);
	perfkit_content_take_plan(db, owner, query_desc, kind);
	perfkit_execution_resume_segment(owner, perfkit_clock_ns());
}


/* To those who look at what runs; of the client's statement only, for that is what they look at. */
static void
show(const PerfkitExecution *owner)
{
	PerfkitDatabase *db = perfkit_shmem_mine();

	if (db != NULL && owner->serial != 0 && owner->content != NULL && owner->content->plan != NULL)
		perfkit_planshare_put(db, owner->serial, owner->content);
}


/* The threshold has passed in the middle of the run. */
static pg_noinline void
look(PerfkitExecution *owner)
{
	due = false;
	if (!perfkit_guard_possible())
		return;
	take(owner, owner->plan_desc, PERFKIT_PLAN_KIND_PARTIAL);
	show(owner);
}


static TupleTableSlot *
next_row(PlanState *node)
{
	TupleTableSlot *row;

	if (unlikely(due) && perfkit_planlive_watched != NULL &&
		perfkit_planlive_watched->plan_desc->estate == node->state)
		look(perfkit_planlive_watched);
	if (node->instrument == NULL)
		return node->ExecProcNodeReal(node);
	InstrStartNode(node->instrument);
	row = node->ExecProcNodeReal(node);
	InstrStopNode(node->instrument, TupIsNull(row) ? 0.0 : 1.0);
	return row;
}


static TupleTableSlot *
first_row(PlanState *node)
{
	check_stack_depth();
	node->ExecProcNode = next_row;
	return next_row(node);
}


static bool
wrap(PlanState *node, void *arg)
{
	if (node == NULL || node->ExecProcNode == next_row)
		return false;
	node->ExecProcNode = first_row;
	return planstate_tree_walker(node, wrap, arg);
}


static void
at_threshold(void)
{
	due = true;
}


/* Time its server has spent on it, in the middle of a segment. */
static int64
spent_ns(const PerfkitExecution *owner)
{
	return perfkit_publish_spent_ns(owner) + perfkit_clock_ns() - owner->segment_ns;
}


/* Sets the clock for the rest of the time that the statement has. */
static void
watch(PerfkitExecution *owner, QueryDesc *query_desc)
{
	int64 rest_ms = perfkit_slow_query_threshold - spent_ns(owner) / 1000000;

	if (timer == MAX_TIMEOUTS)
		timer = RegisterTimeout(USER_TIMEOUT, at_threshold);
	(void) wrap(query_desc->planstate, NULL);
	due = false;
	perfkit_planlive_watched = owner;
	enable_timeout_after(timer, (int) Max(rest_ms, 1));
}


/* L1, L3 */
static bool
may_watch(const PerfkitExecution *owner, const QueryDesc *query_desc)
{
	if (perfkit_planlive_watched != NULL || perfkit_slow_query_threshold < 0)
		return false;
	if (!owner->plan_instrumented || (query_desc->instrument_options & INSTRUMENT_TIMER) != 0)
		return false;
	return owner->content == NULL || owner->content->plan_kind != PERFKIT_PLAN_KIND_PARTIAL;
}


void
perfkit_planlive_run(PerfkitExecution *owner, QueryDesc *query_desc)
{
	if (owner->plan_desc != query_desc)
	{
		/* A cursor that an earlier statement has declared. */
		owner->plan_desc = query_desc;
		owner->plan_instrumented = false;
	}
	if (query_desc->plannedstmt->planTree->total_cost < perfkit_planlive_expensive_from)
		return;
	if (!perfkit_content_has_plan(owner))
		take(owner, query_desc, PERFKIT_PLAN_KIND_ESTIMATE);
	show(owner);
	if (may_watch(owner, query_desc))
		watch(owner, query_desc);
}


void
perfkit_planlive_stop(void)
{
	disable_timeout(timer, false);
	perfkit_planlive_watched = NULL;
	due = false;
}


/* Does it run a query that may run again for it? */
static bool
fetches(const PerfkitExecution *owner)
{
	return owner->tag == CMDTAG_FETCH || owner->tag == CMDTAG_MOVE;
}


void
perfkit_planlive_end(PerfkitExecution *owner, QueryDesc *query_desc)
{
	bool counted = owner->plan_desc == query_desc &&
				   (owner->plan_instrumented || (!perfkit_planlive_adopts(owner) &&
												 perfkit_capture_plan >= PERFKIT_PLAN_ACTUAL));

	owner->plan_desc = NULL;

	/* Its query is the first that runs; those that REFRESH CONCURRENTLY runs then serve it. */
	if (perfkit_planlive_adopts(owner) && !fetches(owner))
		owner->live = false;
	if (!perfkit_publish_slow(spent_ns(owner)))
		return;
	if (counted)
		take(owner, query_desc, PERFKIT_PLAN_KIND_ACTUAL);
	else if (!perfkit_content_has_plan(owner))
		take(owner, query_desc, PERFKIT_PLAN_KIND_ESTIMATE);
}
