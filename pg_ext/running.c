/*-------------------------------------------------------------------------
 * running.c
 *	  Statements past the threshold, looked at every wait_sample_interval.
 *
 *	  slot -> past its threshold? -> its wait into the slot, as time since the last look
 *	                              -> a lock, for deadlock_timeout: who holds it?
 *	       -> past persist_running_after? -> a row, again whenever its time has doubled
 *
 * The text of a running statement is what pg_stat_activity has of it; the
 * record of its end brings the whole.
 *-------------------------------------------------------------------------
 */
#include "running.h"

#include "address.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "execution.h"
#include "guc.h"
#include "miscadmin.h"
#include "planshare.h"
#include "record.h"
#include "source.h"
#include "storage/proc.h"
#include "tcop/cmdtag.h"
#include "unfinished.h"
#include "utils/array.h"
#include "utils/backend_status.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "waits.h"
#include "writer.h"

#define NS_PER_MS INT64CONST(1000000)

/* What the worker remembers of a slot from look to look. */
typedef struct Watch
{
	uint32 serial; /* all else is about that statement */
	bool asked;    /* who holds the lock it waits for */
	int64 counted_ns;
	int64 lock_since_ns; /* 0: it was not waiting for a lock */
	double persist_at_ms;
} Watch;

static Watch *watches = NULL;


TimestampTz
perfkit_running_started_at(const PerfkitSlotView *v, TimestampTz now, int64 now_ns)
{
	TimestampTz began = now - (now_ns - v->statement.begin_ns) / 1000;

	return v->statement.first ? Min(v->statement.message, began) : began;
}


const char *
perfkit_running_text(const PerfkitSlotView *v, const char *activity, int *length, bool *cut)
{
	int whole = strlen(activity);
	int location = v->statement.in_message ? v->statement.location : -1;
	int own = v->statement.length;

	*cut = whole >= pgstat_track_activity_query_size - MAX_MULTIBYTE_CHAR_LEN;
	if (location > whole)
		location = -1;
	if (location >= 0 && own > whole - location)
		own = 0;
	return perfkit_source_statement(activity, location, own, length);
}


/* Waits and blocking pid of the slot are those of this statement from now on. */
static void
own_waits(PerfkitSlot *slot, uint32 serial)
{
	if (slot->waits_serial == serial)
		return;
	slot->waits_serial = 0;
	pg_write_barrier();
	slot->blocking_pid = 0;
	memset(slot->waits, 0, sizeof(slot->waits));
	pg_write_barrier();
	slot->waits_serial = serial;
}


/* The first of those who block this backend; 0 if that is nobody, or a prepared transaction. */
static int
blocking_pid(int pid)
{
	ArrayType *array =
		DatumGetArrayTypeP(DirectFunctionCall1(pg_blocking_pids, Int32GetDatum(pid)));
	Datum *pids;
	int n;
	int result;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &pids, NULL, &n);
	result = n > 0 ? DatumGetInt32(pids[0]) : 0;
	pfree(pids);
	pfree(array);
	return result;
}


/* Is it waiting for a lock, and since when? */
static void
look_at_lock(PerfkitSlot *slot, Watch *watch, int pid, uint32 event, int64 now_ns)
{
	if ((event & 0xff000000) != PG_WAIT_LOCK)
	{
		watch->lock_since_ns = 0;
		watch->asked = false;
		return;
	}
	if (watch->lock_since_ns == 0)
		watch->lock_since_ns = now_ns;
	if (watch->asked || now_ns - watch->lock_since_ns < DeadlockTimeout * NS_PER_MS)
		return;
	watch->asked = true;
	slot->blocking_pid = blocking_pid(pid);
}


static void
sample(PerfkitSlot *slot, Watch *watch, int index, const PerfkitSlotView *v, int64 now_ns)
{
	uint32 event = *(volatile uint32 *) &GetPGProcByNumber(index)->wait_event_info;
	int64 ms = (now_ns - watch->counted_ns) / NS_PER_MS;

	own_waits(slot, watch->serial);
	if (ms > 0)
		perfkit_wait_add(slot->waits, event, (uint32) Min(ms, INT_MAX));
	watch->counted_ns += ms * NS_PER_MS;
	look_at_lock(slot, watch, v->session.pid, event, now_ns);
}


/* What the server knows of a backend that runs something; NULL if it does not. */
static const PgBackendStatus *
backend_status(int pid)
{
	int n;

	pgstat_clear_backend_activity_snapshot();
	n = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= n; i++)
	{
		LocalPgBackendStatus *local = PERFKIT_BACKEND_STATUS(i);

		if (local != NULL && local->backendStatus.st_procpid == pid)
			return local->backendStatus.st_state == STATE_RUNNING ||
						   local->backendStatus.st_state == STATE_FASTPATH
					   ? &local->backendStatus
					   : NULL;
	}
	return NULL;
}


static void
add_texts(PerfkitRecord *record, const PerfkitSlotView *v, const PgBackendStatus *status)
{
	char host[NI_MAXHOST];
	char *activity = pgstat_clip_activity(status->st_activity_raw);
	const char *tag = v->statement.tag != CMDTAG_UNKNOWN ? GetCommandTagName(v->statement.tag) : "";
	int length;
	bool cut;
	const char *text = perfkit_running_text(v, activity, &length, &cut);

	record->client_port = perfkit_address_text(&status->st_clientaddr, host, sizeof(host));
	perfkit_record_add(record, PERFKIT_TEXT_CLIENT_ADDR, host, strlen(host));
	perfkit_record_add(record, PERFKIT_TEXT_APPLICATION, status->st_appname,
					   strlen(status->st_appname));
	perfkit_record_add(record, PERFKIT_TEXT_COMMAND_TAG, tag, strlen(tag));
	if (perfkit_record_add_query(record, text, length, false) || cut)
		record->truncated |= PERFKIT_CUT_QUERY;
	(void) perfkit_record_add_tags(record, text, length);
	pfree(activity);
}


/* What it has found out of its plan so far; a larger one than our own settings allow is left out.
 */
static void
add_plan(PerfkitRecord *record, int index, uint32 serial)
{
	PerfkitPlanShown plan;

	if (!perfkit_planshare_read(index, serial, &plan))
		return;
	record->plan_id = plan.plan_id;
	if (plan.length <= (uint32) perfkit_max_plan_size)
	{
		record->plan_kind = plan.kind;
		perfkit_record_add(record, PERFKIT_TEXT_PLAN, plan.text, plan.length);
	}
	else
		record->truncated |= PERFKIT_CUT_PLAN;
	pfree(plan.text);
}


static void
fill(PerfkitRecord *record, const PerfkitSlot *slot, const PerfkitSlotView *v, int64 now_ns)
{
	TimestampTz now = GetCurrentTimestamp();

	record->database = MyDatabaseId;
	record->userid = v->statement.userid;
	record->pid = v->session.pid;
	record->boot = perfkit_shared->boot;
	record->started_at = perfkit_running_started_at(v, now, now_ns);
	record->duration_ms = (now - record->started_at) / 1000.0;
	record->planning_ms = -1;
	record->execution_ms = -1;
	record->commit_ms = -1;
	record->sample_weight = 1;
	record->cpu_user_ms = -1;
	record->cpu_sys_ms = -1;
	record->queryid = v->statement.queryid;
	record->rows = -1;
	record->workers_planned = -1;
	record->workers_launched = -1;
	record->outcome = PERFKIT_RUNNING;
	record->reason = PERFKIT_REASON_LONG_RUNNING;
	record->replaces = true;
	record->blocking_pid = slot->blocking_pid;
	memcpy(record->waits, slot->waits, sizeof(record->waits));
}


/* Writes its row; nothing happens when it has ended in between. */
static void
persist(PerfkitDatabase *db, int index, const PerfkitSlotView *v, int64 now_ns)
{
	PerfkitSlot *slot = perfkit_slot_at(index);
	const PgBackendStatus *status = backend_status(v->session.pid);
	PerfkitRecord *record = perfkit_record_begin();
	uint64 sequence;

	/* The same serial afterwards: so the status is of this statement. */
	if (status == NULL || record == NULL || !perfkit_slot_same(slot, v))
		return;
	fill(record, slot, v, now_ns);
	if (slot->waits_serial != v->serial)
	{
		record->blocking_pid = 0;
		record->waits[0].ms = 0;
	}
	add_texts(record, v, status);
	add_plan(record, index, v->serial);
	sequence = perfkit_slot_persist(slot, v->serial);
	if (sequence == 0)
		return;
	record->sequence = (int64) sequence;
	record->id = perfkit_shared->boot + record->sequence;
	perfkit_writer_store_running(db, record);
	perfkit_unfinished_add(sequence, v->session.pid);
}


/* What it waits for now stands for the time since the last look, or since it began. */
static void
count_wait(int index, const PerfkitSlotView *v, int64 last_look_ns, int64 now_ns)
{
	uint32 event = *(volatile uint32 *) &GetPGProcByNumber(index)->wait_event_info;
	int64 ns = now_ns - Max(last_look_ns, v->statement.begin_ns);

	if (last_look_ns != 0 && ns > 0)
		perfkit_waits_add(event, ns);
}


static void
look_at(PerfkitDatabase *db, int index, const PerfkitSlotView *v, bool may_store, int64 now_ns)
{
	PerfkitSlot *slot = perfkit_slot_at(index);
	Watch *watch = &watches[index];
	double elapsed_ms = perfkit_running_elapsed_ms(v, now_ns);

	if (!perfkit_running_slow(v, now_ns))
		return;
	if (v->session.track_waits)
		sample(slot, watch, index, v, now_ns);
	if (!may_store || perfkit_persist_running_after < 0 ||
		elapsed_ms < Max(perfkit_persist_running_after, watch->persist_at_ms))
		return;

	/* Not at once again, should this fail. */
	watch->persist_at_ms = 2 * elapsed_ms;
	persist(db, index, v, now_ns);
}


bool
perfkit_running_look(PerfkitDatabase *db, bool may_store)
{
	static int64 last_look_ns = 0;
	int64 look_ns = perfkit_clock_ns();
	bool active = false;

	if (watches == NULL)
		watches = MemoryContextAllocZero(TopMemoryContext, perfkit_slot_count() * sizeof(Watch));
	for (int i = 0; i < perfkit_slot_count(); i++)
	{
		PerfkitSlotView v;

		if (!perfkit_slot_read(perfkit_slot_at(i), &v) || v.session.database != MyDatabaseId)
			continue;
		active = true;
		count_wait(i, &v, last_look_ns, look_ns);
		if (watches[i].serial != v.serial)
		{
			watches[i] = (Watch){.serial = v.serial};
			watches[i].counted_ns = v.statement.begin_ns + v.session.threshold_ms * NS_PER_MS;
		}
		look_at(db, i, &v, may_store, perfkit_clock_ns());
	}
	last_look_ns = look_ns;
	return active;
}
