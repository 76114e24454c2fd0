/*-------------------------------------------------------------------------
 * shmem.h
 *	  What perfkit keeps in shared memory, and the only way to it.
 *
 * One PerfkitShared; behind it one PerfkitDatabase for each database that has
 * the extension; behind those `perfkit.max_databases` rings.  A database has an
 * entry from CREATE to DROP EXTENSION, across restarts too (state.h).
 *
 * Counters and the fields marked "plain" are read and written without a lock.
 * Everything else is changed under perfkit_shared->lock only.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SHMEM_H
#define PERFKIT_SHMEM_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "ring.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "totals.h"

/*
 * The counters of one database, in the order of view status.  At rest
 * captured = stored + pending + every dropped_*; each is counted where it
 * happens, none is computed from the others.
 */
#define PERFKIT_COUNTERS(X)                                                                        \
	X(CAPTURED, "captured", "statements found worth a row")                                        \
	X(STORED, "stored", "rows committed to slow_query_log")                                        \
	X(DROPPED_RING_FULL, "dropped_ring_full", "the ring had no room: see perfkit.ring_size")       \
	X(DROPPED_TOO_LARGE, "dropped_too_large", "larger than the whole ring")                        \
	X(DROPPED_NO_RING, "dropped_no_ring", "the database has no ring: see perfkit.max_databases")   \
	X(DROPPED_OVERWRITTEN, "dropped_overwritten", "oldest rows given up on a standby")             \
	X(DROPPED_RATE, "dropped_rate", "over perfkit.record_rate")                                    \
	X(DROPPED_ERRORS_RATE, "dropped_errors_rate",                                                  \
	  "failed statements over perfkit.log_errors_rate")                                            \
	X(DROPPED_MAX_SIZE, "dropped_max_size", "rows over perfkit.slow_query_max_size")               \
	X(DROPPED_INVALID, "dropped_invalid", "rows the table refused")                                \
	X(DROPPED_NO_MEMORY, "dropped_no_memory", "no memory for the record in the backend")           \
	X(FLUSH_ERRORS, "flush_errors", "failed attempts to write rows or to look after partitions")   \
	X(TRUNCATED_QUERY, "truncated_query", "query texts cut to perfkit.max_query_size")             \
	X(TRUNCATED_TAGS, "truncated_tags", "statements with more or longer tags than are kept")       \
	X(TRUNCATED_PARAMETERS, "truncated_parameters",                                                \
	  "statements with bind values that were cut or could not be told")                            \
	X(TRUNCATED_PLAN, "truncated_plan",                                                            \
	  "plans left out: larger than perfkit.max_plan_size, or than the ring")                       \
	X(EXPLAIN_FAILED, "explain_failed", "plans that could not be taken")                           \
	X(LIVE_PLANS_REFUSED, "live_plans_refused",                                                    \
	  "plans of running statements there was no room to show: see perfkit.live_plan_memory")       \
	X(UNTRACKED_DEPTH, "untracked_depth", "executions nested too deep to be followed")             \
	X(RETENTION_BLOCKED, "retention_blocked",                                                      \
	  "times an old day was in use and could not be dropped")                                      \
	X(RETENTION_BY_SIZE, "retention_by_size",                                                      \
	  "days dropped early: see perfkit.slow_query_max_size")                                       \
	X(RUNNING_ROWS, "running_rows", "rows written for statements that were still running")         \
	X(CRASHED_ROWS, "crashed_rows", "of them, those whose end was never seen")                     \
	X(REFRESH_NO_WORKER, "refresh_no_worker",                                                      \
	  "times a refresh had to wait for a free background worker: see max_worker_processes")        \
	X(METRICS_STORED, "metrics_stored", "measurements of log_metric(async => true) written")       \
	X(METRICS_LOST, "metrics_lost",                                                                \
	  "of them, those there was no room for: see perfkit.metric_ring_size")                        \
	X(SERIES_REFUSED, "series_refused",                                                            \
	  "measurements by log_metric() of series over perfkit.max_series")

typedef enum PerfkitCounter
{
#define PERFKIT_COUNTER_ENUM(symbol, name, what) PERFKIT_##symbol,
	PERFKIT_COUNTERS(PERFKIT_COUNTER_ENUM)
#undef PERFKIT_COUNTER_ENUM
	PERFKIT_N_COUNTERS
} PerfkitCounter;

/* What the worker of a database is doing, for view status.  Plain. */
typedef enum PerfkitWorkerState
{
	PERFKIT_WORKER_NONE,    /* not there, the launcher will start one */
	PERFKIT_WORKER_NO_SLOT, /* max_worker_processes is used up */
	PERFKIT_WORKER_RUNNING,
	PERFKIT_WORKER_BACKING_OFF, /* after an error */
	PERFKIT_WORKER_STANDBY      /* in recovery: nothing is stored */
} PerfkitWorkerState;

typedef struct PerfkitDatabase
{
	pg_atomic_uint32 database; /* OID; InvalidOid: entry is free.  Plain */
	int ring;                  /* index of its ring, or -1.  Plain */
	bool dropped;              /* DROP EXTENSION committed.  Plain */
	int worker_pid;            /* 0: none */
	bool worker_failed;        /* the last one did not leave of its own will */
	Latch *worker_latch;       /* valid for ever, owned by worker_pid.  Plain */
	pg_atomic_uint32 worker_state;
	pg_atomic_uint64 last_flush; /* TimestampTz of the last look at the ring by the worker */
	pg_atomic_uint32 schedules;  /* bumped when refresh schedules or requests change */
	uint64 seat_turn;            /* its place among those who wait for a seat (seat.h); 0: none */
	pg_atomic_uint64 record_window; /* see perfkit_shmem_within_rate() */
	pg_atomic_uint64 error_window;
	pg_atomic_uint64 counters[PERFKIT_N_COUNTERS];
	PerfkitTotals totals; /* under the lock of the statements' table */
} PerfkitDatabase;

/* A database nobody of ours may be connected to for now (handsoff.h). */
typedef struct PerfkitHandsOff
{
	Oid database; /* InvalidOid: unused */
	int pid;      /* who asked for it */
} PerfkitHandsOff;

#define PERFKIT_MAX_HANDS_OFF 16

typedef struct PerfkitShared
{
	pg_atomic_uint32 generation; /* bumped when an entry comes, goes or gets a ring */
	LWLock *lock;
	int64 boot;                /* microseconds: names this life of shared memory */
	pg_atomic_uint64 sequence; /* last number given to a row in this life */
	uint64 unclean_starts;     /* starts that found no clean stop before them */
	int n_databases;           /* entries */
	int n_rings;
	Size ring_memory;
	Latch *launcher_latch;   /* plain; NULL before the launcher has started */
	pg_atomic_uint32 rescan; /* asks the launcher to look at pg_database now */
	Oid probed_absent;       /* last database found to have no extension */
	Oid sampler;             /* the database whose worker measures the server */
	PerfkitHandsOff hands_off[PERFKIT_MAX_HANDS_OFF];
	PerfkitDatabase databases[FLEXIBLE_ARRAY_MEMBER];
} PerfkitShared;

/* Read by every statement: hidden, so that the compiler knows where they are. */
#pragma GCC visibility push(hidden)

/* NULL unless the library came by shared_preload_libraries. */
extern PerfkitShared *perfkit_shared;

/* An error that says what is missing from postgresql.conf, unless the library was preloaded. */
extern void perfkit_shmem_require(void);

/* In a process of perfkit itself: its own statements are not captured. */
extern bool perfkit_exempt;

/* Private to perfkit_shmem_mine(). */
extern uint32 perfkit_seen_generation;
extern PerfkitDatabase *perfkit_my_database;

/*
 * Start of the last message a statement of which was let pass for want of an
 * entry, so that what runs inside of it is never taken for the client's own.
 */
extern TimestampTz perfkit_passed_message;

#pragma GCC visibility pop
extern PerfkitDatabase *perfkit_shmem_find_mine(void);

/* Installs the request and startup hooks; only while preloading. */
extern void perfkit_shmem_init(void);

/* The entry of this backend's database if its statements are to be captured, else NULL. */
static inline PerfkitDatabase *
perfkit_shmem_mine(void)
{
	if (likely(pg_atomic_read_u32(&perfkit_shared->generation) == perfkit_seen_generation))
		return perfkit_my_database;
	return perfkit_shmem_find_mine();
}

/* The entry of a database, or NULL.  Takes no lock. */
extern PerfkitDatabase *perfkit_shmem_find(Oid database);

/* Gives a database its entry, and a ring if one is free.  NULL: no entry free. */
extern PerfkitDatabase *perfkit_shmem_attach(Oid database);

/* Whether a worker is there.  One that a crashed launcher has left counts too. */
extern bool perfkit_shmem_has_worker(PerfkitDatabase *db);

/* Makes this process the worker of the entry; false when there is one already. */
extern bool perfkit_shmem_be_worker(PerfkitDatabase *db);

/*
 * Whether this worker is to measure what is the server's, once for all databases: the first that
 * asks is, until its database has no worker.
 */
extern bool perfkit_shmem_lease(PerfkitDatabase *db);

/* Gives free rings to entries without one. */
extern void perfkit_shmem_give_rings(void);

/* True when `database` would get a ring if it were attached now. */
extern bool perfkit_shmem_ring_free(Oid database);

/* Marks an entry whose extension is gone and wakes those who must know. */
extern void perfkit_shmem_drop(Oid database);

/*
 * The same for who has looked for the extension in vain, `generation` read before that.
 * False, and nothing done, when entries have changed since: look again.
 */
extern bool perfkit_shmem_drop_unless_changed(Oid database, uint32 generation);

/* Frees an entry and what is in its ring; false while a record is being written there. */
extern bool perfkit_shmem_release(PerfkitDatabase *db);

extern PerfkitRing *perfkit_shmem_ring(const PerfkitDatabase *db);
extern void perfkit_shmem_wake_launcher(void);

static inline void
perfkit_count(PerfkitDatabase *db, PerfkitCounter counter, int64 by)
{
	pg_atomic_fetch_add_u64(&db->counters[counter], by);
}

/*
 * Takes one of `rate` permits of this second from a window; 0 is no limit.
 * `second` comes from any clock that all backends share.
 */
extern bool perfkit_shmem_within_rate(pg_atomic_uint64 *window, int64 second, int rate);

#endif /* PERFKIT_SHMEM_H */
