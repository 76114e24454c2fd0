/*-------------------------------------------------------------------------
 * worker.c
 *	  The database worker's latch loop.
 *
 *	  connect -> extension there? -> every flush_interval, or when woken:
 *	      look after partitions (each minute) -> write batches until the ring is empty
 *	  and every wait_sample_interval, while statements run: look at them (running.h)
 *	  and at each end of an interval: the history of statements (history.h)
 *	  and whenever a materialized view is due: start its refresh (dispatch.h)
 *	  and every sample_interval: measure (sampler.h)
 *
 * An error aborts the step, is logged and counted as flush_errors, and makes
 * the worker pause, longer each time; records wait in the ring meanwhile.  The
 * worker leaves when the extension is dropped, on SIGTERM, and with the
 * postmaster.  What it leaves behind in the ring is the next worker's, or the
 * state file's (state.h).
 *
 * On a standby nothing can be written: the records stay in the ring (standby.h),
 * and are stored after promotion.
 *-------------------------------------------------------------------------
 */
#include "worker.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_extension.h"
#include "compat.h"
#include "dispatch.h"
#include "guc.h"
#include "handsoff.h"
#include "history.h"
#include "judge.h"
#include "miscadmin.h"
#include "outbox.h"
#include "partition.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "rollup.h"
#include "running.h"
#include "sampler.h"
#include "sheets.h"
#include "shmem.h"
#include "standby.h"
#include "storage/ipc.h"
#include "unfinished.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "writer.h"

#define UPKEEP_MS (60 * 1000)
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS (60 * 1000)

static PerfkitDatabase *db = NULL;
static volatile sig_atomic_t working = false; /* in a transaction: SIGTERM interrupts it */
static TimestampTz next_upkeep = 0;
static int back_off_ms = 0;  /* 0: the last step went well */
static bool started = false; /* rows of an earlier life are settled */
static bool active = false;  /* a statement ran at the last look */


/* SIGTERM: a quiet end between transactions, an interrupt within one. */
static void
on_sigterm(SIGNAL_ARGS)
{
	int saved_errno = errno;

	ShutdownRequestPending = true;
	if (working)
	{
		InterruptPending = true;
		ProcDiePending = true;
	}
	SetLatch(MyLatch);
	errno = saved_errno;
}


static void
leave(int code, Datum database)
{
	PerfkitDatabase *entry;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	entry = perfkit_shmem_find(DatumGetObjectId(database));
	if (entry != NULL && (entry->worker_pid == MyProcPid || entry->worker_pid == 0))
	{
		/* One that was sent away has not failed, whatever it was doing. */
		entry->worker_failed = code != 0 && !ShutdownRequestPending;
		entry->worker_pid = 0;
		pg_atomic_write_u32(&entry->worker_state, PERFKIT_WORKER_NONE);
	}
	LWLockRelease(perfkit_shared->lock);
	perfkit_shmem_wake_launcher();
}


/*
 * The catalog itself is asked, not a cache: who drops the extension tells us
 * before the caches hear of it.
 */
static bool
in_catalog(void)
{
	Relation catalog = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool there;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("perfkit"));
	scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
	there = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return there;
}


/*
 * Is the extension there?  If not, the database's entry is given up; but one that
 * CREATE EXTENSION has made since we looked must stay, so then we look again.
 */
static bool
extension_there(void)
{
	uint32 generation;
	bool there;

	do
	{
		generation = pg_atomic_read_u32(&perfkit_shared->generation);
		pg_read_barrier();
		StartTransactionCommand();
		there = in_catalog();
		CommitTransactionCommand();
	} while (!there && !perfkit_shmem_drop_unless_changed(MyDatabaseId, generation));
	return there;
}


/* Takes the database's entry; exits if there is nothing to do here. */
static void
settle_in(void)
{
	Oid database = MyDatabaseId;

	if (perfkit_handsoff_stands(database))
		proc_exit(0);
	if (!extension_there())
	{
		perfkit_shared->probed_absent = database;
		proc_exit(0);
	}
	db = perfkit_shmem_attach(database);
	if (db == NULL)
		ereport(FATAL, (errmsg("perfkit: too many databases have the extension"),
						errhint("Raise perfkit.max_databases (now %d) and restart.",
								perfkit_max_databases)));

	/* A launcher that was killed may have started one that its successor does not know. */
	if (!perfkit_shmem_be_worker(db))
		proc_exit(0);

	/* Who set a mark since we looked may not have seen us, and could not send us away. */
	if (perfkit_handsoff_stands(database))
		proc_exit(0);
	perfkit_shmem_give_rings();
}


/* Runs one step, whatever it throws; false after an error, which is logged as `trouble`. */
static bool
guarded(bool (*step)(void), bool *result, const char *trouble)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	working = true;
	PG_TRY();
	{
		*result = step();
	}
	PG_CATCH();
	{
		ErrorData *error;

		ok = false;
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);

		/*
		 * The detail would be the row, with somebody's query in it.  And that the
		 * table is gone after DROP EXTENSION is no news.
		 */
		if (!db->dropped)
			ereport(WARNING, (errcode(error->sqlerrcode),
							  errmsg("perfkit: %s: %s", trouble, error->message)));
		perfkit_count(db, PERFKIT_FLUSH_ERRORS, 1);
		FreeErrorData(error);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	working = false;
	MemoryContextSwitchTo(context);
	return ok;
}


static bool
make_step(void)
{
	perfkit_partition_make(GetCurrentTimestamp());
	return true;
}


static bool
retire_step(void)
{
	perfkit_partition_retire(db, GetCurrentTimestamp());
	return true;
}


static bool
flush_step(void)
{
	return perfkit_writer_flush(db);
}


static bool
start_step(void)
{
	perfkit_unfinished_start(db);
	return true;
}


static bool
close_step(void)
{
	perfkit_unfinished_close(db);
	return true;
}


static bool
look_step(void)
{
	perfkit_unfinished_look(db);
	return perfkit_running_look(db, !RecoveryInProgress() && back_off_ms == 0);
}


static bool
dispatch_step(void)
{
	perfkit_dispatch(db);
	return true;
}


static bool
history_step(void)
{
	perfkit_history_take();
	return true;
}


static bool
sample_step(void)
{
	return perfkit_sampler_run(db);
}


static bool
judge_step(void)
{
	perfkit_judge_run(perfkit_sampler_of_server());
	return true;
}


static bool
outbox_step(void)
{
	return perfkit_outbox_flush(db);
}


static bool
roll_up_step(void)
{
	perfkit_rollup_run();
	return true;
}


static void
pause_after_error(void)
{
	back_off_ms = back_off_ms == 0 ? BACK_OFF_MIN_MS : Min(back_off_ms * 2, BACK_OFF_MAX_MS);
	pg_atomic_write_u32(&db->worker_state, PERFKIT_WORKER_BACKING_OFF);
}


/* Is it time for what is done every so often?  Also if that is further off: the clock was set back.
 */
static bool
is_time(TimestampTz next, int every_ms)
{
	TimestampTz now = GetCurrentTimestamp();

	return now >= next || next > TimestampTzPlusMilliseconds(now, every_ms);
}


/*
 * Partitions each minute, and sooner in a storm of rows.  An old day that cannot
 * be dropped must not keep new rows out: the next try is in a minute.  What a day
 * that is dropped still has to say is in the roll-ups, even if the server was down
 * for longer than it is kept.
 */
static void
upkeep(void)
{
	bool done;

	if (!is_time(next_upkeep, UPKEEP_MS) && !perfkit_writer_stormy())
		return;
	perfkit_writer_size_known();
	next_upkeep = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), UPKEEP_MS);
	(void) guarded(make_step, &done, "partitions could not be made");
	(void) guarded(roll_up_step, &done, "measurements wait for their roll-up");
	(void) guarded(retire_step, &done, "partitions could not be dropped");
}


/* Materialized views; after errors they have a pause of their own. */
static void
refresh(void)
{
	bool done;

	if (!RecoveryInProgress() && !db->dropped)
		(void) guarded(dispatch_step, &done, "materialized views wait for their refresh");
}


/* Batch after batch until the ring is empty; a storm of rows does not keep due views waiting. */
static void
work(void)
{
	bool more = true;
	bool closed;

	if (!started)
		started = guarded(start_step, &closed, "rows of unfinished statements stay as they are");
	while (more && !ShutdownRequestPending)
	{
		upkeep();
		if (!guarded(flush_step, &more, "captured statements wait unstored"))
		{
			if (perfkit_writer_learned())
			{
				more = true;
				continue;
			}
			pause_after_error();
			return;
		}
		if (more)
			refresh();
	}
	more = true;
	while (more && !ShutdownRequestPending)
	{
		if (!guarded(outbox_step, &more, "measurements of applications wait unstored"))
			more = false;
	}
	back_off_ms = 0;
	(void) guarded(roll_up_step, &closed, "measurements wait for their roll-up");
	(void) guarded(close_step, &closed, "rows of unfinished statements stay as they are");
	pg_atomic_write_u32(&db->worker_state, PERFKIT_WORKER_RUNNING);
	pg_atomic_write_u64(&db->last_flush, (uint64) GetCurrentTimestamp());
}


/*
 * Once, before the first batch.  After promotion the launcher looks again at
 * databases without the extension: it may have come by replication.
 */
static void
begin_to_store(bool promoted)
{
	perfkit_standby_leave();
	if (!promoted)
		return;
	pg_atomic_write_u32(&perfkit_shared->rescan, 1);
	perfkit_shmem_wake_launcher();
}


static bool
extension_step(void)
{
	return extension_there();
}


/* Somebody dropped the extension, or an error made us doubt it is still there. */
static void
check_extension(void)
{
	bool there = true;

	if (!db->dropped && back_off_ms == 0)
		return;
	if (!guarded(extension_step, &there, "cannot look for the extension") || there)
	{
		if (db->dropped && there)
			(void) perfkit_shmem_attach(MyDatabaseId);
		return;
	}
	proc_exit(0);
}


static void
reload(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	next_upkeep = 0; /* the retention may be another */
}


/* What is due each flush_interval, and whenever a backend asks for it. */
static void
flush(void)
{
	static bool standby = false;
	static bool storing = false;

	check_extension();
	perfkit_sheets_merge(MyDatabaseId, false);
	if (RecoveryInProgress())
	{
		standby = true;
		next_upkeep = 0;
		pg_atomic_write_u32(&db->worker_state, PERFKIT_WORKER_STANDBY);
		return;
	}
	if (!storing)
		begin_to_store(standby);
	storing = true;
	work();
}


/* The history of statements; what could not be written is in the next interval's. */
static void
history(void)
{
	bool done;

	if (!RecoveryInProgress() && !db->dropped && perfkit_history_due(GetCurrentTimestamp()))
		(void) guarded(history_step, &done, "the history of statements waits");
}


/* Measurements; on a standby too, where nothing is stored. */
static void
sample(void)
{
	bool due = false;
	bool done;

	if (db->dropped)
		return;
	if (!guarded(sample_step, &due, "measurements are lost") || !due || RecoveryInProgress())
		return;
	(void) guarded(judge_step, &done, "thresholds are not looked at");
}


/*
 * Until when to sleep.  Statements that run are looked at more often; while there
 * were none, once a flush_interval is enough to see the next.
 */
static long
nap_ms(TimestampTz next_flush)
{
	long ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next_flush);
	long next_sample = perfkit_sampler_nap_ms();

	ms = Min(ms, next_sample);
	if (!RecoveryInProgress())
	{
		long next_refresh = perfkit_dispatch_nap_ms();
		long next_history = perfkit_history_nap_ms(GetCurrentTimestamp());

		ms = Min(ms, next_refresh);
		ms = Min(ms, next_history);
	}
	return active ? Min(ms, perfkit_wait_sample_interval) : ms;
}


static void
loop(uint32 wait_event)
{
	TimestampTz next_flush = 0;
	int events = 0;

	while (!ShutdownRequestPending)
	{
		if (ConfigReloadPending)
			reload();
		if ((events & WL_LATCH_SET) ||
			is_time(next_flush, Max(perfkit_flush_interval, back_off_ms)))
		{
			flush();
			next_flush = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													 Max(perfkit_flush_interval, back_off_ms));
		}
		if (!guarded(look_step, &active, "running statements could not be looked at"))
			active = false;
		refresh();
		history();
		sample();
		pgstat_report_activity(STATE_IDLE, NULL);
		if (ShutdownRequestPending)
			break;
		events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						   nap_ms(next_flush), wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}


void
perfkit_worker_main(Datum database)
{
	perfkit_exempt = true;
	pqsignal(SIGTERM, on_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	before_shmem_exit(leave, database);
	BackgroundWorkerUnblockSignals();
	working = true;
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);

	/* A lock that a DBA holds must not hold us for ever, nor a role's settings mislead us. */
	SetConfigOption("lock_timeout", "5s", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("idle_in_transaction_session_timeout", "0", PGC_USERSET, PGC_S_OVERRIDE);
	PERFKIT_NO_TRANSACTION_TIMEOUT(PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("client_min_messages", "warning", PGC_USERSET, PGC_S_OVERRIDE);
	settle_in();
	working = false;
	perfkit_writer_init();
	loop(PERFKIT_WAIT_EVENT("PerfkitWorker"));
	proc_exit(0);
}
