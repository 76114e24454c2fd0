/*-------------------------------------------------------------------------
 * launcher.c
 *	  Finds the databases that have the extension and keeps a worker in each.
 *
 *	  pg_database --(every 60 s, or poked)--> databases of this cluster
 *	  unknown     --> a worker probes it, one at a time --> absent, or it stays
 *	  entry in shared memory (CREATE EXTENSION, state file) --> a worker at once
 *
 * The launcher is connected to no database, so it cannot see pg_extension;
 * only a worker inside can tell.  Failures: a worker that ends is started
 * again after a growing pause; without a free slot of max_worker_processes
 * there is one WARNING, and status shows waiting_for_worker.  Nothing is
 * started in templates, where connections are not allowed, or under a
 * hands-off mark.
 *-------------------------------------------------------------------------
 */
#include "launcher.h"

#include <signal.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "compat.h"
#include "handsoff.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "shmem.h"
#include "state.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define RESCAN_MS (60 * 1000)
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS (60 * 1000)
#define NO_SLOT_RETRY_MS 5000
#define STANDBY_PROBE_MS (5 * 60 * 1000) /* CREATE EXTENSION comes unseen, by replication */
#define LONG_RUN_MS (60 * 1000)          /* a worker that lived this long had no trouble starting */

/* datconnlimit of a database whose DROP was interrupted */
#define CONNLIMIT_INVALID (-2)

typedef struct Database
{
	Oid oid; /* hash key */
	bool seen;
	bool usable; /* a worker may connect */
	bool absent; /* probed: no extension there */
	TimestampTz probed_at;
	BackgroundWorkerHandle *handle;
	TimestampTz started_at;
	TimestampTz retry_at;
	int failures;
} Database;

static HTAB *databases = NULL;
static TimestampTz next_scan = 0;
static bool warned_no_slot = false;
static bool standby = false; /* at the last look */


static void
remember(const FormData_pg_database *form)
{
	bool found;
	Oid oid = form->oid;
	Database *d = hash_search(databases, &oid, HASH_ENTER, &found);

	if (!found)
	{
		memset(d, 0, sizeof(*d));
		d->oid = oid;
	}
	d->seen = true;
	d->usable =
		form->datallowconn && !form->datistemplate && form->datconnlimit != CONNLIMIT_INVALID;
}


static void
read_pg_database(void)
{
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
		remember((Form_pg_database) GETSTRUCT(tuple));
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
}


/* Frees the entry of a database that is gone or has lost the extension. */
static void
forget_entry(Oid oid)
{
	PerfkitDatabase *db = perfkit_shmem_find(oid);

	if (db == NULL)
		return;
	db->dropped = true;
	(void) perfkit_shmem_release(db);
}


/* Databases that vanished from pg_database, as it was read at this generation of the entries. */
static void
forget_unseen(uint32 generation)
{
	HASH_SEQ_STATUS status;
	Database *d;

	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		if (d->seen || d->handle != NULL)
			continue;
		forget_entry(d->oid);
		hash_search(databases, &d->oid, HASH_REMOVE, NULL);
	}

	/* Entries that came from the state file for databases long gone. */
	for (int i = 0; i < perfkit_shared->n_databases; i++)
	{
		PerfkitDatabase *db = &perfkit_shared->databases[i];
		Oid oid = pg_atomic_read_u32(&db->database);

		/* Unless it is newer than what was read. */
		if (OidIsValid(oid) && hash_search(databases, &oid, HASH_FIND, NULL) == NULL &&
			perfkit_shmem_drop_unless_changed(oid, generation))
		{
			(void) perfkit_shmem_release(db);
			generation = pg_atomic_read_u32(&perfkit_shared->generation);
		}
	}
}


static void
scan(TimestampTz now)
{
	uint32 generation = pg_atomic_read_u32(&perfkit_shared->generation);
	HASH_SEQ_STATUS status;
	Database *d;

	if (pg_atomic_exchange_u32(&perfkit_shared->rescan, 0) == 0 && now < next_scan)
		return;
	next_scan = TimestampTzPlusMilliseconds(now, RESCAN_MS);
	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
		d->seen = false;
	read_pg_database();
	forget_unseen(generation);

	/* A worker in what has become a template, or closed, must leave. */
	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		PerfkitDatabase *db = perfkit_shmem_find(d->oid);
		int pid = db == NULL ? 0 : db->worker_pid; /* which may leave at any time */

		if (!d->usable && d->handle != NULL)
			TerminateBackgroundWorker(d->handle);
		else if (!d->usable && pid != 0 && BackendPidGetProc(pid) != NULL)
			kill(pid, SIGTERM);
	}
}


/* A worker has ended: why, and what next? */
static void
ended(Database *d, TimestampTz now)
{
	PerfkitDatabase *db = perfkit_shmem_find(d->oid);

	pfree(d->handle);
	d->handle = NULL;
	if (!d->seen)
	{
		/* Its database is gone, as a scan has found that left it to us. */
		forget_entry(d->oid);
		hash_search(databases, &d->oid, HASH_REMOVE, NULL);
		return;
	}
	if (db == NULL && perfkit_shared->probed_absent == d->oid)
	{
		d->absent = true;
		d->probed_at = now;
		return;
	}
	if (db != NULL && (db->dropped || !db->worker_failed))
		return;
	if (TimestampDifferenceExceeds(d->started_at, now, LONG_RUN_MS))
		d->failures = 0;
	d->retry_at =
		TimestampTzPlusMilliseconds(now, Min(RETRY_MIN_MS << Min(d->failures, 10), RETRY_MAX_MS));
	d->failures++;
}


/* Looks after ended workers; returns how many probes are under way. */
static int
reap(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	Database *d;
	int probes = 0;

	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		pid_t pid;

		if (d->handle == NULL)
			continue;
		if (GetBackgroundWorkerPid(d->handle, &pid) == BGWH_STOPPED)
			ended(d, now);
		else if (perfkit_shmem_find(d->oid) == NULL)
			probes++;
	}
	return probes;
}


static bool
start(Database *d, TimestampTz now)
{
	PerfkitDatabase *db = perfkit_shmem_find(d->oid);
	BackgroundWorker worker = {0};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool ok;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(d->oid);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "perfkit", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "perfkit_worker_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, "perfkit worker", sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "perfkit worker for database %u", d->oid);
	if (db != NULL)
		db->worker_failed = true; /* until it says otherwise */
	ok = RegisterDynamicBackgroundWorker(&worker, &d->handle);
	MemoryContextSwitchTo(old);
	if (ok)
		d->started_at = now;
	else
		d->handle = NULL;
	return ok;
}


/* max_worker_processes is used up: said once, until there was room again. */
static void
no_slot(Database *d, TimestampTz now, int waiting)
{
	PerfkitDatabase *db = perfkit_shmem_find(d->oid);

	if (db != NULL)
		pg_atomic_write_u32(&db->worker_state, PERFKIT_WORKER_NO_SLOT);
	d->retry_at = TimestampTzPlusMilliseconds(now, NO_SLOT_RETRY_MS);
	if (warned_no_slot)
		return;
	warned_no_slot = true;
	ereport(WARNING,
			(errmsg("perfkit: no background worker is free, captured statements wait unstored"),
			 errhint("Set max_worker_processes to at least %d in postgresql.conf and restart.",
					 max_worker_processes + waiting)));
}


/*
 * On a standby, and over its promotion, what a probe has found does not stay true: the
 * extension is created and dropped by replication, which pokes nobody.
 */
static void
doubt_absence(TimestampTz now)
{
	bool promoted = standby && !RecoveryInProgress();
	HASH_SEQ_STATUS status;
	Database *d;

	if (!standby && !RecoveryInProgress())
		return;
	standby = !promoted;
	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		if (promoted || TimestampDifferenceExceeds(d->probed_at, now, STANDBY_PROBE_MS))
			d->absent = false;
	}
}


/* Should a worker be started there now? */
static bool
wanted(Database *d, TimestampTz now, int probes)
{
	PerfkitDatabase *db = perfkit_shmem_find(d->oid);

	if (d->handle != NULL || !d->usable)
		return false;
	if (db != NULL && perfkit_shmem_has_worker(db))
		return false;
	if (db != NULL)
		d->absent = false; /* CREATE EXTENSION has made the entry */
	if (db != NULL && db->dropped)
	{
		/* Another session may have created it again: the next probe tells. */
		(void) perfkit_shmem_release(db);
		return false;
	}
	if (d->absent || (db == NULL && probes > 0))
		return false;
	return now >= d->retry_at && !perfkit_handsoff_stands(d->oid);
}


static void
start_wanted(TimestampTz now, int probes)
{
	HASH_SEQ_STATUS status;
	Database *d;
	int waiting = 0;

	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		bool probe = perfkit_shmem_find(d->oid) == NULL;

		if (!wanted(d, now, probes))
			continue;
		if (!start(d, now))
		{
			no_slot(d, now, ++waiting);
			continue;
		}
		warned_no_slot = false;
		probes += probe ? 1 : 0;
	}
}


/* Milliseconds until there is something to do without being woken. */
static long
until_next(TimestampTz now)
{
	HASH_SEQ_STATUS status;
	Database *d;
	TimestampTz next = next_scan;

	hash_seq_init(&status, databases);
	while ((d = hash_seq_search(&status)) != NULL)
	{
		if (d->handle == NULL && d->usable && !d->absent)
			next = Min(next, Max(d->retry_at, TimestampTzPlusMilliseconds(now, RETRY_MIN_MS)));
	}
	return TimestampDifferenceMilliseconds(now, next) + 1;
}


/* Writes the list of databases down when it has changed. */
static void
note_changes(void)
{
	static uint32 noted = 0;
	uint32 generation = pg_atomic_read_u32(&perfkit_shared->generation);

	if (noted != generation)
		perfkit_state_note_databases();
	noted = generation;
}


static void
gone(int code, Datum arg)
{
	perfkit_shared->launcher_latch = NULL;
}


void
perfkit_launcher_main(Datum arg)
{
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(Database)};
	uint32 wait_event;

	perfkit_exempt = true;
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	wait_event = PERFKIT_WAIT_EVENT("PerfkitLauncher");
	databases = hash_create("perfkit databases", 64, &control, HASH_ELEM | HASH_BLOBS);
	before_shmem_exit(gone, (Datum) 0);
	perfkit_shared->launcher_latch = MyLatch;

	while (!ShutdownRequestPending)
	{
		TimestampTz now = GetCurrentTimestamp();
		int probes;

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		probes = reap(now);
		doubt_absence(now);
		scan(now);
		start_wanted(now, probes);
		perfkit_shmem_give_rings(); /* those that are free now, too */
		note_changes();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, until_next(now),
						 wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}

	/* Only a worker that ends with 1 is started again, after pg_terminate_backend() for one. */
	proc_exit(1);
}


void
perfkit_launcher_init(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "perfkit", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "perfkit_launcher_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "perfkit launcher", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "perfkit launcher", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}
