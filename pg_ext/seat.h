/*-------------------------------------------------------------------------
 * seat.h
 *	  Places for processes that refresh, in shared memory: as many as may run at
 *	  a time, whatever their databases (perfkit.max_refresh_workers).
 *
 *	  FREE --reserve--> RESERVED --take--> TAKEN --leave--> DONE --free--> FREE
 *	        scheduler              worker         worker         scheduler
 *
 * A seat carries the order to the refresh worker and its result back to the
 * scheduler, which is a database's worker (schedule.h).  Should that one be
 * replaced meanwhile, its successor finds seat and result by the run's number.
 *
 * Owner of the content by state: the scheduler, the worker in TAKEN.  The state
 * is changed under perfkit_shared->lock.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SEAT_H
#define PERFKIT_SEAT_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define PERFKIT_RUN_MESSAGE_SIZE 1024
#define PERFKIT_RUN_REASON_SIZE 160

typedef enum PerfkitSeatState
{
	PERFKIT_SEAT_FREE,
	PERFKIT_SEAT_RESERVED,
	PERFKIT_SEAT_TAKEN,
	PERFKIT_SEAT_DONE
} PerfkitSeatState;

typedef enum PerfkitRefreshMethod
{
	PERFKIT_METHOD_AUTO,
	PERFKIT_METHOD_CONCURRENTLY,
	PERFKIT_METHOD_PLAIN
} PerfkitRefreshMethod;

typedef enum PerfkitRefreshFallback
{
	PERFKIT_FALLBACK_NEVER,
	PERFKIT_FALLBACK_UNPOPULATED,
	PERFKIT_FALLBACK_ALWAYS
} PerfkitRefreshFallback;

typedef enum PerfkitAfterAction
{
	PERFKIT_AFTER_NONE,
	PERFKIT_AFTER_ANALYZE,
	PERFKIT_AFTER_VACUUM
} PerfkitAfterAction;

/* What to refresh, and how. */
typedef struct PerfkitRefreshOrder
{
	int64 run_id;
	Oid owner; /* whom the worker is */
	Oid view;
	PerfkitRefreshMethod method;
	PerfkitRefreshFallback fallback;
	PerfkitAfterAction after_action;
	int lock_timeout_ms;      /* 0: none */
	int statement_timeout_ms; /* 0: none */
	double last_run_ms;       /* of the last success; negative: unknown */
} PerfkitRefreshOrder;

typedef enum PerfkitRunStatus
{
	PERFKIT_RUN_SUCCESS,
	PERFKIT_RUN_FAILED,
	PERFKIT_RUN_TIMEOUT,
	PERFKIT_RUN_CANCELLED
} PerfkitRunStatus;

/* How it went. */
typedef struct PerfkitRefreshResult
{
	PerfkitRunStatus status;
	PerfkitRefreshMethod method; /* AUTO: it did not get so far */
	char method_reason[PERFKIT_RUN_REASON_SIZE];
	TimestampTz finished;
	double waited_ms; /* for the lock on the view; negative: it did not get it */
	int64 rows;       /* these are -1 where unknown */
	int64 inserted;
	int64 deleted;
	int64 wal_bytes;
	int64 temp_bytes;
	int64 changes;  /* rows of the view inserted, updated and deleted, however that was done */
	Oid tablespace; /* where its content is now */
	Oid file;
	int sqlstate;                           /* as in elog.h; 0: none */
	char message[PERFKIT_RUN_MESSAGE_SIZE]; /* in the database's encoding; may be empty */
} PerfkitRefreshResult;

typedef struct PerfkitSeat
{
	PerfkitSeatState state;
	Oid database;
	int pid;           /* of the refresh worker; 0 before it is there */
	uint64 token;      /* names this use of the seat */
	TimestampTz since; /* of the state, by perfkit_schedule_clock(); DONE: when it was kept last */
	PerfkitRefreshOrder order;
	PerfkitRefreshResult result;
} PerfkitSeat;

/* Shared memory for all seats, and its first filling; shmem.c calls them. */
extern Size perfkit_seat_memory(void);
extern void perfkit_seat_init(void *memory);

/*
 * For a scheduler: a seat for a run in this database, or NULL when all are in use or others'
 * turns; then the worker's latch is set as soon as one is free.
 */
extern PerfkitSeat *perfkit_seat_reserve(const PerfkitRefreshOrder *order);

/* It was refused one and does not want it any more: the others' turn. */
extern void perfkit_seat_pass(void);

/* The seat of a run of this database that an earlier scheduler has begun, or NULL. */
extern PerfkitSeat *perfkit_seat_find(int64 run_id);

/*
 * For a scheduler that comes back to a seat: whether it is still that use of it.  If so it stays
 * for minutes; a worker that should have taken it long ago counts as one that has ended.
 */
extern bool perfkit_seat_keep(PerfkitSeat *seat, uint64 token);

/* Gives it back; the result is gone then. */
extern void perfkit_seat_free(PerfkitSeat *seat);

/* Its number, by which a refresh worker is told which one is its own. */
extern int perfkit_seat_number(const PerfkitSeat *seat);
extern PerfkitSeat *perfkit_seat_by_number(int number);

/* Sends the worker a signal, if it is there; a seat not taken yet is never taken then: false. */
extern bool perfkit_seat_signal(PerfkitSeat *seat, int signal);

/* The same to all workers of a database; true while there are any. */
extern bool perfkit_seat_signal_all(Oid database, int signal);

/*
 * For a refresh worker: false when the seat is no longer meant for it.  From then on until it
 * ends it is the worker's, which fills in the result and leaves when it ends, however it ends.
 */
extern bool perfkit_seat_take(PerfkitSeat *seat, uint64 token);

#endif /* PERFKIT_SEAT_H */
