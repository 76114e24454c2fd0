/*-------------------------------------------------------------------------
 * execution.c
 *	  The slots of running executions.
 *
 * E1  A slot is open from the first to the last hook of its statement.  When
 *     the portal is dropped without ExecutorEnd (ROLLBACK, errors elsewhere),
 *     the executor's memory context tells us through its reset callback; the
 *     portal's text is still there then, for that context is a child of the
 *     portal's.
 * E2  Whole executions need no such callback: only an error can end them
 *     early, and that passes our hooks or emit_log_hook (failure.c).
 *-------------------------------------------------------------------------
 */
#include "execution.h"

#include <sys/resource.h>

#include "access/xact.h"
#include "content.h"
#include "guc.h"
#include "miscadmin.h"
#include "publish.h"
#include "selection.h"
#include "utils/memutils.h"

/* More than anybody nests on purpose; what is deeper is counted, not followed. */
#define MAX_EXECUTIONS 64

int perfkit_nesting = 0;
PerfkitExecution *perfkit_running = NULL;

PerfkitExecution perfkit_execution_slots[MAX_EXECUTIONS];
int perfkit_execution_count = 0;


/* The executor's memory goes: ours to finish unless ExecutorEnd does it (then the slot is free). */
static void
executor_gone(void *arg)
{
	PerfkitExecution *e = arg;
	PerfkitDatabase *db = perfkit_shmem_mine();

	if (e->state != PERFKIT_SLOT_OPEN || e->query_desc == NULL)
		return;

	/* A portal dropped before its end is a success with the rows so far. */
	if (db != NULL && !e->running)
	{
		if (perfkit_publish_slow(perfkit_publish_spent_ns(e)) || perfkit_selection_sampled(e))
			perfkit_content_take_failed(e);
		perfkit_publish(db, e, NULL);
	}
	perfkit_execution_close(e);
}


static PerfkitExecution *
free_slot(void)
{
	if (perfkit_execution_count < MAX_EXECUTIONS)
		return &perfkit_execution_slots[perfkit_execution_count++];
	for (int i = 0; i < MAX_EXECUTIONS; i++)
	{
		if (perfkit_execution_slots[i].state == PERFKIT_SLOT_FREE)
			return &perfkit_execution_slots[i];
	}
	return NULL;
}


PerfkitExecution *
perfkit_execution_open(PerfkitDatabase *db, QueryDesc *query_desc, int level)
{
	PerfkitExecution *e = free_slot();

	if (e == NULL)
	{
		perfkit_count(db, PERFKIT_UNTRACKED_DEPTH, 1);
		return NULL;
	}
	e->state = PERFKIT_SLOT_OPEN;
	e->query_desc = query_desc;
	e->parent = perfkit_running;
	e->level = level;
	e->running = false;
	e->live = false;
	e->news = 0;
	e->id = 0;
	e->userid = GetUserId();
	e->params = NULL;
	e->content = NULL;
	e->application[0] = '\0';
	e->rows = 0;
	e->message = GetCurrentStatementStartTimestamp();
	e->segment_ns = 0;
	e->active_ns = 0;
	e->planning_ns = -1;
	e->commit_ns = -1;
	e->has_usage = false;
	e->workers_planned = -1;
	e->workers_launched = -1;
	e->serial = 0;
	e->persisted = false;
	e->sampled = false;
	e->has_cpu = false;
	e->has_jit = false;
	e->blocking_pid = 0;
	e->waits[0].ms = 0;
	return e;
}


void
perfkit_execution_watch(PerfkitExecution *e)
{
	e->gone.func = executor_gone;
	e->gone.arg = e;
	MemoryContextRegisterResetCallback(e->query_desc->estate->es_query_cxt, &e->gone);
}


PerfkitExecution *
perfkit_execution_find(const QueryDesc *query_desc)
{
	for (int i = perfkit_execution_count - 1; i >= 0; i--)
	{
		if (perfkit_execution_slots[i].query_desc == query_desc &&
			perfkit_execution_slots[i].state == PERFKIT_SLOT_OPEN)
			return &perfkit_execution_slots[i];
	}
	return NULL;
}


/* The CPU time of this process, leader only: parallel workers have their own. */
static void
cpu_now(struct timeval cpu[2])
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	cpu[0] = usage.ru_utime;
	cpu[1] = usage.ru_stime;
}


static void
begin_cpu(PerfkitExecution *e)
{
	if (!e->has_cpu)
		e->cpu_ms[0] = e->cpu_ms[1] = 0;
	e->has_cpu = true;
	cpu_now(e->cpu_at);
}


static void
add_cpu(PerfkitExecution *e)
{
	struct timeval now[2];

	cpu_now(now);
	for (int i = 0; i < 2; i++)
	{
		e->cpu_ms[i] += (now[i].tv_sec - e->cpu_at[i].tv_sec) * 1000.0 +
						(now[i].tv_usec - e->cpu_at[i].tv_usec) / 1000.0;
	}
}


void
perfkit_execution_resume_segment(PerfkitExecution *e, int64 now_ns)
{
	e->segment_ns = now_ns;
	e->buffers_at = pgBufferUsage;
	e->wal_at = pgWalUsage;
	if (unlikely(perfkit_track_cpu))
		begin_cpu(e);
}


void
perfkit_execution_begin_segment(PerfkitExecution *e, int64 now_ns)
{
	perfkit_execution_resume_segment(e, now_ns);
	if (e->level == 0)
		e->serial = perfkit_slot_enter(e);
	else
		perfkit_slot_set_depth(e->level);
}


void
perfkit_execution_end_segment(PerfkitExecution *e, int64 now_ns)
{
	e->active_ns += now_ns - e->segment_ns;
	e->segment_ns = 0;
	e->end_ns = now_ns;
}


void
perfkit_execution_add_usage(PerfkitExecution *e)
{
	if (!e->has_usage)
	{
		memset(&e->buffers, 0, sizeof(e->buffers));
		memset(&e->wal, 0, sizeof(e->wal));
		e->has_usage = true;
	}
	BufferUsageAccumDiff(&e->buffers, &pgBufferUsage, &e->buffers_at);
	WalUsageAccumDiff(&e->wal, &pgWalUsage, &e->wal_at);
	if (unlikely(e->has_cpu))
		add_cpu(e);
}


void
perfkit_execution_stop(PerfkitExecution *e, int64 now_ns)
{
	e->running = false;
	if (e->segment_ns == 0)
		return;
	perfkit_execution_end_segment(e, now_ns);
	perfkit_execution_add_usage(e);
}


static void
add_jit(PerfkitJit *to, const JitInstrumentation *from)
{
	to->functions += from->created_functions;
	to->generation_ms += INSTR_TIME_GET_MILLISEC(from->generation_counter);
	to->inlining_ms += INSTR_TIME_GET_MILLISEC(from->inlining_counter);
	to->optimization_ms += INSTR_TIME_GET_MILLISEC(from->optimization_counter);
	to->emission_ms += INSTR_TIME_GET_MILLISEC(from->emission_counter);
	if (PERFKIT_HAS_JIT_DEFORM)
		to->deform_ms += INSTR_TIME_GET_MILLISEC(PERFKIT_JIT_DEFORM(from));
}


void
perfkit_execution_add_jit(PerfkitExecution *e, const EState *estate)
{
	memset(&e->jit, 0, sizeof(e->jit));
	e->has_jit = true;
	if (estate->es_jit != NULL)
		add_jit(&e->jit, &estate->es_jit->instr);
	if (estate->es_jit_worker_instr != NULL)
		add_jit(&e->jit, estate->es_jit_worker_instr);
}


void
perfkit_execution_close(PerfkitExecution *e)
{
	if (e->serial != 0)
		perfkit_slot_leave(e);
	else if (e->level > 0)
		perfkit_slot_set_depth(e->level - 1);
	e->state = PERFKIT_SLOT_FREE;
	e->query_desc = NULL;
	if (e->content != NULL)
		perfkit_content_free(e);
	if (perfkit_execution_count == 0 || e != &perfkit_execution_slots[perfkit_execution_count - 1])
		return;
	do
		perfkit_execution_count--;
	while (perfkit_execution_count > 0 &&
		   perfkit_execution_slots[perfkit_execution_count - 1].state == PERFKIT_SLOT_FREE);
}


PerfkitExecution *
perfkit_execution_top_running(void)
{
	PerfkitExecution *e = perfkit_running;

	while (e != NULL && e->parent != NULL)
		e = e->parent;
	return e != NULL && e->level == 0 ? e : NULL;
}


PerfkitExecution *
perfkit_execution_whole_open(void)
{
	for (int i = 0; i < perfkit_execution_count; i++)
	{
		if (perfkit_execution_slots[i].state == PERFKIT_SLOT_OPEN &&
			perfkit_execution_slots[i].level == 0 && perfkit_execution_slots[i].whole)
			return &perfkit_execution_slots[i];
	}
	return NULL;
}


void
perfkit_execution_sweep(void)
{
	perfkit_running = NULL;
	for (int i = perfkit_execution_count - 1; i >= 0; i--)
	{
		if (perfkit_execution_slots[i].state == PERFKIT_SLOT_OPEN &&
			(perfkit_execution_slots[i].whole || perfkit_execution_slots[i].running))
			perfkit_execution_close(&perfkit_execution_slots[i]);
	}
}


int64
perfkit_execution_id(PerfkitExecution *e)
{
	uint64 number = 0;

	if (e->id != 0)
		return e->id;
	if (e->serial != 0)
		number = perfkit_slot_number(e->serial);
	if (number == 0)
		number = pg_atomic_add_fetch_u64(&perfkit_shared->sequence, 1);

	/* Beginning at the clock makes ids unique across restarts without storing anything. */
	e->id = perfkit_shared->boot + (int64) number;
	return e->id;
}
