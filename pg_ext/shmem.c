/*-------------------------------------------------------------------------
 * shmem.c
 *	  Request and startup of perfkit's shared memory; entries and rings.
 *
 * A backend finds its database's entry by scanning the array, once; afterwards
 * one compare of the generation tells that nothing has changed.  Who changes
 * an entry writes the OID last (and clears it first), then bumps the
 * generation, all under the lock.
 *
 * S1  A ring is given away only when it is empty, reserved space included, and
 *     its positions are never reset: a backend that still holds the old entry
 *     can at worst put one record of its own database there, which the new
 *     reader counts as dropped_no_ring (writer.c).
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "guc.h"
#include "miscadmin.h"
#include "outbox.h"
#include "planseen.h"
#include "planshare.h"
#include "seat.h"
#include "series.h"
#include "sheets.h"
#include "shmem.h"
#include "slot.h"
#include "state.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

/* Entries beyond the rings, so that databases without a ring can count what they lose. */
#define ENTRIES_WITHOUT_RING 64

#define TRANCHE "perfkit"

PerfkitShared *perfkit_shared = NULL;
bool perfkit_exempt = false;
TimestampTz perfkit_passed_message = 0;
uint32 perfkit_seen_generation = 0;
PerfkitDatabase *perfkit_my_database = NULL;

static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;


static Size
header_memory(void)
{
	Size entries = perfkit_max_databases + ENTRIES_WITHOUT_RING;

	return CACHELINEALIGN(
		add_size(offsetof(PerfkitShared, databases), mul_size(entries, sizeof(PerfkitDatabase))));
}


static Size
ring_memory(void)
{
	return CACHELINEALIGN(perfkit_ring_memory((Size) perfkit_ring_size * 1024));
}


/* From the aligned start of everything. */
static Size
rings_end(void)
{
	return add_size(header_memory(), mul_size(perfkit_max_databases, ring_memory()));
}


/* From there too; where backends count statements, and behind it the table of those. */
static Size
statements_at(void)
{
	return CACHELINEALIGN(add_size(add_size(rings_end(), perfkit_slot_memory()),
								   add_size(perfkit_planseen_memory(), perfkit_seat_memory())));
}


/* Behind that the series. */
static Size
series_at(void)
{
	return CACHELINEALIGN(add_size(add_size(statements_at(), perfkit_sheets_memory()),
								   perfkit_statements_table_memory()));
}


/* Behind them what waits to be logged, and then the plans that others may see. */
static Size
plans_at(void)
{
	return CACHELINEALIGN(
		add_size(series_at(), add_size(perfkit_series_memory(), perfkit_outbox_memory())));
}


static Size
total_memory(void)
{
	/* A cache line more: ShmemInitStruct aligns less than the rings want. */
	return add_size(plans_at(), add_size(perfkit_planshare_memory(), PG_CACHE_LINE_SIZE));
}


static PerfkitRing *
ring_at(int index)
{
	char *base = (char *) CACHELINEALIGN((char *) perfkit_shared + header_memory());

	return (PerfkitRing *) (base + index * perfkit_shared->ring_memory);
}


static void
request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(total_memory());
	RequestNamedLWLockTranche(TRANCHE, 1);
	RequestNamedLWLockTranche(PERFKIT_STATEMENTS_TRANCHE, 1);
	RequestNamedLWLockTranche(PERFKIT_SERIES_TRANCHE, 1);
}


static void
init_entry(PerfkitDatabase *db)
{
	pg_atomic_init_u32(&db->database, InvalidOid);
	db->ring = -1;
	pg_atomic_init_u32(&db->worker_state, PERFKIT_WORKER_NONE);
	pg_atomic_init_u64(&db->last_flush, 0);
	pg_atomic_init_u32(&db->schedules, 0);
	db->seat_turn = 0;
	pg_atomic_init_u64(&db->record_window, 0);
	pg_atomic_init_u64(&db->error_window, 0);
	for (int i = 0; i < PERFKIT_N_COUNTERS; i++)
		pg_atomic_init_u64(&db->counters[i], 0);
	memset(&db->totals, 0, sizeof(db->totals));
}


static void
init_shared(void)
{
	pg_atomic_init_u32(&perfkit_shared->generation, 1);
	pg_atomic_init_u32(&perfkit_shared->rescan, 0);
	pg_atomic_init_u64(&perfkit_shared->sequence, 0);
	perfkit_shared->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	perfkit_shared->boot = GetCurrentTimestamp();
	perfkit_shared->n_rings = perfkit_max_databases;
	perfkit_shared->n_databases = perfkit_max_databases + ENTRIES_WITHOUT_RING;
	perfkit_shared->ring_memory = ring_memory();
	for (int i = 0; i < perfkit_shared->n_databases; i++)
		init_entry(&perfkit_shared->databases[i]);
	for (int i = 0; i < perfkit_shared->n_rings; i++)
		perfkit_ring_init(ring_at(i), (Size) perfkit_ring_size * 1024);
}


static void
startup(void)
{
	bool found;
	Size size = total_memory();
	char *start;
	char *slots;

	if (next_startup_hook)
		next_startup_hook();
	perfkit_shared = ShmemInitStruct("perfkit", size, &found);
	if (!found)
		memset(perfkit_shared, 0, size);
	start = (char *) CACHELINEALIGN(perfkit_shared);
	slots = start + rings_end();
	perfkit_slot_init(slots, !found);
	perfkit_sheets_init(start + statements_at());
	perfkit_statements_table_init(start + statements_at() + perfkit_sheets_memory(), !found);
	perfkit_series_init(start + series_at(), !found);
	perfkit_outbox_init(start + series_at() + perfkit_series_memory(), !found);
	perfkit_planshare_init(start + plans_at(), !found);
	if (found)
		return;
	init_shared();
	perfkit_planseen_init(slots + perfkit_slot_memory());
	perfkit_seat_init(slots + perfkit_slot_memory() + perfkit_planseen_memory());

	/* Postmaster, or the only process of single-user mode. */
	if (!IsUnderPostmaster)
		perfkit_state_start();
}


void
perfkit_shmem_init(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
}


void
perfkit_shmem_require(void)
{
	if (perfkit_shared != NULL)
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("perfkit must be loaded when the server starts"),
					errhint("Put this line into postgresql.conf and restart the server: "
							"shared_preload_libraries = 'perfkit'")));
}


PerfkitRing *
perfkit_shmem_ring(const PerfkitDatabase *db)
{
	int index = db->ring;

	return index >= 0 ? ring_at(index) : NULL;
}


PerfkitDatabase *
perfkit_shmem_find(Oid database)
{
	for (int i = 0; i < perfkit_shared->n_databases; i++)
	{
		PerfkitDatabase *db = &perfkit_shared->databases[i];

		if (pg_atomic_read_u32(&db->database) == database)
		{
			pg_read_barrier();
			return db;
		}
	}
	return NULL;
}


/* Are statements of this process of interest at all? */
static bool
captured_process(void)
{
	if (perfkit_exempt || !OidIsValid(MyDatabaseId) || IsParallelWorker())
		return false;
	return MyBackendType == B_BACKEND || MyBackendType == B_BG_WORKER || !IsUnderPostmaster;
}


PerfkitDatabase *
perfkit_shmem_find_mine(void)
{
	uint32 generation = pg_atomic_read_u32(&perfkit_shared->generation);
	PerfkitDatabase *db = NULL;

	/* Capture begins with a message of the client, not in the middle of one. */
	if (perfkit_my_database == NULL && MyBackendType == B_BACKEND &&
		perfkit_passed_message == GetCurrentStatementStartTimestamp())
		return NULL;
	pg_read_barrier();
	if (captured_process())
		db = perfkit_shmem_find(MyDatabaseId);
	if (db && db->dropped)
		db = NULL;
	perfkit_my_database = db;

	/* Before the database is known the answer holds only for now. */
	if (OidIsValid(MyDatabaseId))
		perfkit_seen_generation = generation;
	return db;
}


static void
changed(void)
{
	pg_write_barrier();
	pg_atomic_fetch_add_u32(&perfkit_shared->generation, 1);
}


/* A ring that belongs to nobody and is empty (S1), or -1.  Lock held. */
static int
free_ring(void)
{
	for (int i = 0; i < perfkit_shared->n_rings; i++)
	{
		bool taken = perfkit_ring_used(ring_at(i)) > 0;

		for (int j = 0; j < perfkit_shared->n_databases && !taken; j++)
			taken = perfkit_shared->databases[j].ring == i;
		if (!taken)
			return i;
	}
	return -1;
}


PerfkitDatabase *
perfkit_shmem_attach(Oid database)
{
	PerfkitStatementFilter filter = {.database = database};
	PerfkitDatabase *db;
	bool revived = false;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	db = perfkit_shmem_find(database);
	if (db == NULL)
	{
		db = perfkit_shmem_find(InvalidOid);
		if (db != NULL)
		{
			init_entry(db);
			db->ring = free_ring();
			db->dropped = false;
			pg_write_barrier();
			pg_atomic_write_u32(&db->database, database);
		}
	}
	else
	{
		revived = db->dropped;
		db->dropped = false;
	}
	changed();
	LWLockRelease(perfkit_shared->lock);
	if (revived)
	{
		/* What was counted is of the extension that was dropped. */
		perfkit_sheets_reset(&filter);
		perfkit_series_forget(database);
	}
	return db;
}


bool
perfkit_shmem_has_worker(PerfkitDatabase *db)
{
	int pid = db->worker_pid;

	return pid != 0 && BackendPidGetProc(pid) != NULL;
}


bool
perfkit_shmem_be_worker(PerfkitDatabase *db)
{
	bool alone;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	alone = !perfkit_shmem_has_worker(db);
	if (alone)
	{
		db->worker_pid = MyProcPid;
		db->worker_latch = MyLatch;
	}
	LWLockRelease(perfkit_shared->lock);
	return alone;
}


bool
perfkit_shmem_lease(PerfkitDatabase *db)
{
	PerfkitDatabase *holder;
	bool mine;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	holder =
		OidIsValid(perfkit_shared->sampler) ? perfkit_shmem_find(perfkit_shared->sampler) : NULL;
	if (holder == NULL || holder->dropped || !perfkit_shmem_has_worker(holder))
	{
		holder = db;
		perfkit_shared->sampler = pg_atomic_read_u32(&db->database);
	}
	mine = holder == db;
	LWLockRelease(perfkit_shared->lock);
	return mine;
}


bool
perfkit_shmem_ring_free(Oid database)
{
	PerfkitDatabase *db;
	bool free;

	LWLockAcquire(perfkit_shared->lock, LW_SHARED);
	db = perfkit_shmem_find(database);
	free = db != NULL ? db->ring >= 0 : free_ring() >= 0;
	LWLockRelease(perfkit_shared->lock);
	return free;
}


void
perfkit_shmem_give_rings(void)
{
	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < perfkit_shared->n_databases; i++)
	{
		PerfkitDatabase *db = &perfkit_shared->databases[i];
		int ring;

		if (!OidIsValid(pg_atomic_read_u32(&db->database)) || db->dropped || db->ring >= 0)
			continue;
		ring = free_ring();
		if (ring < 0)
			break;
		db->ring = ring;
		changed();
	}
	LWLockRelease(perfkit_shared->lock);
}


/* Lock held. */
static void
mark_dropped(Oid database)
{
	PerfkitDatabase *db = perfkit_shmem_find(database);

	if (db == NULL)
		return;
	db->dropped = true;
	changed();
	if (db->worker_latch)
		SetLatch(db->worker_latch);
}


void
perfkit_shmem_drop(Oid database)
{
	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	mark_dropped(database);
	LWLockRelease(perfkit_shared->lock);
	perfkit_shmem_wake_launcher();
}


bool
perfkit_shmem_drop_unless_changed(Oid database, uint32 generation)
{
	bool unchanged;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	unchanged = pg_atomic_read_u32(&perfkit_shared->generation) == generation;
	if (unchanged)
		mark_dropped(database);
	LWLockRelease(perfkit_shared->lock);
	if (unchanged)
		perfkit_shmem_wake_launcher();
	return unchanged;
}


bool
perfkit_shmem_release(PerfkitDatabase *db)
{
	PerfkitStatementFilter filter = {.database = pg_atomic_read_u32(&db->database)};
	bool done = false;

	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	/* The extension may have been created again since the caller looked. */
	if (db->dropped && db->worker_pid == 0)
	{
		PerfkitRing *ring = perfkit_shmem_ring(db);

		if (ring != NULL)
		{
			PerfkitRingCursor cursor;

			perfkit_ring_start(ring, &cursor);
			while (perfkit_ring_peek(ring, &cursor) > 0)
				perfkit_ring_skip(ring, &cursor);
			perfkit_ring_consume(ring, &cursor);
		}
		done = ring == NULL || perfkit_ring_used(ring) == 0;
		if (done)
		{
			pg_atomic_write_u32(&db->database, InvalidOid);
			db->ring = -1;
		}
		changed();
	}
	LWLockRelease(perfkit_shared->lock);
	if (done)
	{
		perfkit_sheets_reset(&filter);
		perfkit_series_forget(filter.database);
	}
	return done;
}


void
perfkit_shmem_wake_launcher(void)
{
	Latch *latch = perfkit_shared->launcher_latch;

	if (latch != NULL)
		SetLatch(latch);
}


bool
perfkit_shmem_within_rate(pg_atomic_uint64 *window, int64 second, int rate)
{
	uint64 now = ((uint64) second & 0xffffffff) << 32;
	uint64 seen;
	uint64 next;

	if (rate <= 0)
		return true;
	seen = pg_atomic_read_u64(window);
	do
	{
		if ((seen & ~UINT64CONST(0xffffffff)) != now)
			next = now | 1;
		else if ((uint32) seen >= (uint32) rate)
			return false;
		else
			next = seen + 1;
	} while (!pg_atomic_compare_exchange_u64(window, &seen, next));
	return true;
}
