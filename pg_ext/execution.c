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
#include "statements.h"
#include "utils/memutils.h"

int perfkit_nesting = 0;
PerfkitExecution *perfkit_running = NULL;

PerfkitExecution perfkit_execution_slots[1 + PERFKIT_MAX_EXECUTIONS];
PerfkitExecution *perfkit_execution_last = perfkit_execution_slots;


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
		perfkit_statements_success(e);
		perfkit_publish(db, e, NULL);
	}
	perfkit_execution_close(e);
}


PerfkitExecution *
perfkit_execution_gap(PerfkitDatabase *db)
{
	for (int i = 1; i <= PERFKIT_MAX_EXECUTIONS; i++)
	{
		if (perfkit_execution_slots[i].state == PERFKIT_SLOT_FREE)
			return &perfkit_execution_slots[i];
	}
	perfkit_count(db, PERFKIT_UNTRACKED_DEPTH, 1);
	return NULL;
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
	for (PerfkitExecution *e = perfkit_execution_last; e > perfkit_execution_slots; e--)
	{
		if (e->query_desc == query_desc && e->state == PERFKIT_SLOT_OPEN)
			return e;
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


void
perfkit_execution_begin_cpu(PerfkitExecution *e)
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
perfkit_execution_add_usage(PerfkitExecution *e)
{
	if (!e->has_usage)
	{
		memset(&e->buffers, 0, sizeof(e->buffers));
		memset(&e->wal, 0, sizeof(e->wal));
		e->has_usage = true;
	}
	if (likely(e->metered))
	{
		BufferUsageAccumDiff(&e->buffers, &pgBufferUsage, &e->buffers_at);
		WalUsageAccumDiff(&e->wal, &pgWalUsage, &e->wal_at);
	}
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
	if (likely(e->serial != 0))
		perfkit_slot_leave(e);
	else if (e->level > 0)
		perfkit_slot_set_depth(e->level - 1);
	e->state = PERFKIT_SLOT_FREE;
	e->query_desc = NULL;
	if (unlikely(e->content != NULL))
		perfkit_content_free(e);
	if (e != perfkit_execution_last)
		return;
	do
		perfkit_execution_last--;
	while (perfkit_execution_last > perfkit_execution_slots &&
		   perfkit_execution_last->state == PERFKIT_SLOT_FREE);
}


PerfkitExecution *
perfkit_execution_top_running(void)
{
	PerfkitExecution *e = perfkit_running;

	while (e != NULL && e->parent != NULL)
		e = e->parent;
	return e != NULL && e->level == 0 && e->state == PERFKIT_SLOT_OPEN ? e : NULL;
}


PerfkitExecution *
perfkit_execution_whole_open(void)
{
	for (PerfkitExecution *e = &perfkit_execution_slots[1]; e <= perfkit_execution_last; e++)
	{
		if (e->state == PERFKIT_SLOT_OPEN && e->level == 0 && e->whole)
			return e;
	}
	return NULL;
}


void
perfkit_execution_sweep(void)
{
	perfkit_running = NULL;
	for (PerfkitExecution *e = perfkit_execution_last; e > perfkit_execution_slots; e--)
	{
		if (e->state == PERFKIT_SLOT_OPEN && (e->whole || e->running))
			perfkit_execution_close(e);
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
