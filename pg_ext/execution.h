/*-------------------------------------------------------------------------
 * execution.h
 *	  The executions this backend is in the middle of: a static array, used
 *	  as a stack, that hooks open, mark and close.
 *
 *	  open --> begin_segment/end_segment ... --> close --> (publish.h, commit.h)
 *
 * An execution is one optimizable statement from ExecutorStart to ExecutorEnd,
 * or one utility statement.  They nest, and portals that clients and PL/pgSQL
 * fetch from in pieces stay open beside each other, so a slot is found by its
 * QueryDesc.  Only statements that could give a row get a slot.
 *
 * Nothing here allocates or raises.  Times are monotonic nanoseconds.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_EXECUTION_H
#define PERFKIT_EXECUTION_H

#include "compat.h"

#include <time.h>

#include "access/xact.h"
#include "executor/execdesc.h"
#include "guc.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "record.h"
#include "shmem.h"
#include "slot.h"
#include "tcop/cmdtag.h"

typedef struct PerfkitContent PerfkitContent;

typedef enum PerfkitExecutionState
{
	PERFKIT_SLOT_FREE,
	PERFKIT_SLOT_OPEN,
	PERFKIT_SLOT_PARKED /* done, waits for its commit (commit.h) */
} PerfkitExecutionState;

/*
 * What a new one begins with stands together, zeroes beside zeroes, so that few
 * stores make it; behind that is what only some ever need.
 */
struct PerfkitExecution
{
	QueryDesc *query_desc; /* the key; NULL: a utility statement, or between two (ruled.h) */
	struct PerfkitExecution *parent; /* the one it runs inside of, if that has a slot */
	const char *source;              /* the whole string it came in; not ours */
	union
	{
		PerfkitSlotStatement told; /* what is told to others while it runs */
		struct
		{
			PERFKIT_SLOT_FIELDS
		};
	};
	PerfkitExecutionState state;
	int level; /* 0: sent by the client */

	/* zeroes */
	bool simple;    /* came in a simple Query message */
	bool whole;     /* nothing else happens between its first and last hook: one segment */
	bool utility;   /* not an executor's */
	bool ruled;     /* rules have had a hand in it (ruled.h) */
	bool running;   /* inside one of our hooks right now */
	bool live;      /* its plan is looked at while it runs: plan_desc is set (planlive.h) */
	uint8 news;     /* PERFKIT_REASON_FIRST_SEEN or _PLAN_CHANGED: a row though fast; 0: none */
	bool persisted; /* a row was written while it ran */
	bool sampled;   /* drawn, though it is fast */
	bool metered;   /* buffers_at and wal_at are set */
	bool has_usage; /* buffers and wal are set */
	bool has_cpu;   /* cpu_ms is set */
	bool has_jit;   /* jit is set */
	bool has_waits; /* waits is set */
	bool has_application;    /* application is set */
	int blocking_pid;        /* 0: none was seen */
	int64 id;                /* of its row; 0 until somebody needs it */
	ParamListInfo params;    /* not ours; NULL once they may be gone */
	PerfkitContent *content; /* taken so far, NULL: nothing (content.h) */
	int64 rows;              /* -1: the command has none */
	int64 active_ns;         /* sum of the closed segments */
	int64 segment_ns;        /* start of the open segment */
	uint32 serial;           /* under which it runs in the slot (slot.h); 0: it does not */

	/* -1 */
	int workers_planned;
	int workers_launched;
	int64 commit_ns;   /* -1: no commit belongs to it */
	int64 planning_ns; /* -1: not planned in this execution */

	BufferUsage buffers_at; /* at the start of the open segment */
	WalUsage wal_at;

	int64 end_ns;               /* end of the last segment */
	QueryDesc *plan_desc;       /* if live, and at its end: whose plan; NULL: none */
	bool plan_instrumented;     /* if live: its nodes count for us alone */
	MemoryContextCallback gone; /* the portal went away without ExecutorEnd */
	BufferUsage buffers;        /* sum of the closed segments */
	WalUsage wal;
	PerfkitJit jit;
	struct timeval cpu_at[2];             /* user, system, at the start of the open segment */
	double cpu_ms[2];                     /* sum of the closed segments */
	char application[NAMEDATALEN];        /* as of the start, of a statement that changes it */
	PerfkitWait waits[PERFKIT_MAX_WAITS]; /* up to the first of 0 ms */
};

/* Read by every statement: hidden, so that the compiler knows where they are. */
#pragma GCC visibility push(hidden)

/* How deep hooks are nested in each other; 0 between a client's statements. */
extern int perfkit_nesting;

/* The innermost execution whose hook is running, or NULL. */
extern PerfkitExecution *perfkit_running;

/* More than anybody nests on purpose; what is deeper is counted, not followed. */
#define PERFKIT_MAX_EXECUTIONS 64

/* The slots are those from [1] on; [0] is nobody's, always free. */
extern PerfkitExecution perfkit_execution_slots[1 + PERFKIT_MAX_EXECUTIONS];

/* The last slot in use, or [0]. */
extern PerfkitExecution *perfkit_execution_last;

#pragma GCC visibility pop

static inline int64
perfkit_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * INT64CONST(1000000000) + now.tv_nsec;
}

/* Private to perfkit_execution_open(): a free slot among those in use. */
extern PerfkitExecution *perfkit_execution_gap(PerfkitDatabase *db);

/* A free slot, opened for a statement that begins now; NULL (and counted) when all are taken. */
static inline PerfkitExecution *
perfkit_execution_open(PerfkitDatabase *db, QueryDesc *query_desc, int level)
{
	PerfkitExecution *e = perfkit_execution_last + 1;

	if (likely(e <= &perfkit_execution_slots[PERFKIT_MAX_EXECUTIONS]))
		perfkit_execution_last = e;
	else if ((e = perfkit_execution_gap(db)) == NULL)
		return NULL;
	e->query_desc = query_desc;
	e->parent = perfkit_running;
	e->userid = GetUserId();
	e->message = GetCurrentStatementStartTimestamp();
	e->state = PERFKIT_SLOT_OPEN;
	e->level = level;
	e->simple = false;
	e->whole = false;
	e->utility = query_desc == NULL;
	e->ruled = false;
	e->running = false;
	e->live = false;
	e->news = 0;
	e->persisted = false;
	e->sampled = false;
	e->metered = false;
	e->has_usage = false;
	e->has_cpu = false;
	e->has_jit = false;
	e->has_waits = false;
	e->has_application = false;
	e->blocking_pid = 0;
	e->id = 0;
	e->params = NULL;
	e->content = NULL;
	e->rows = 0;
	e->active_ns = 0;
	e->segment_ns = 0;
	e->serial = 0;
	e->workers_planned = -1;
	e->workers_launched = -1;
	e->commit_ns = -1;
	e->planning_ns = -1;
	return e;
}

/* Has the executor's memory context tell when it goes (E1); its EState must exist. */
extern void perfkit_execution_watch(PerfkitExecution *e);

extern PerfkitExecution *perfkit_execution_find(const QueryDesc *query_desc);

/* The open slot of an executor's statement, or NULL.  Mostly it is the last. */
static inline PerfkitExecution *
perfkit_execution_of(const QueryDesc *query_desc)
{
	if (likely(perfkit_execution_last->query_desc == query_desc))
		return perfkit_execution_last;
	if (perfkit_execution_last == perfkit_execution_slots)
		return NULL;
	return perfkit_execution_find(query_desc);
}

/* Private to perfkit_execution_begin_clocks(). */
extern void perfkit_execution_begin_cpu(PerfkitExecution *e);

/* Blocks and WAL count from here on only, in the open segment. */
static inline void
perfkit_execution_meter(PerfkitExecution *e)
{
	e->metered = true;
	e->buffers_at = pgBufferUsage;
	e->wal_at = pgWalUsage;
}

static inline void
perfkit_execution_begin_clocks(PerfkitExecution *e, int64 now_ns)
{
	e->segment_ns = now_ns;
	if (unlikely(perfkit_track_cpu))
		perfkit_execution_begin_cpu(e);
}

static inline void
perfkit_execution_tell(PerfkitExecution *e)
{
	if (e->level == 0)
		e->serial = perfkit_slot_enter(e);
	else
		perfkit_slot_set_depth(e->level);
}

/* The next segment of what has not left its slot (slot.h): its row and waits stay its own. */
static inline void
perfkit_execution_resume_segment(PerfkitExecution *e, int64 now_ns)
{
	perfkit_execution_begin_clocks(e, now_ns);
	perfkit_execution_meter(e);
}

static inline void
perfkit_execution_begin_segment(PerfkitExecution *e, int64 now_ns)
{
	perfkit_execution_resume_segment(e, now_ns);
	perfkit_execution_tell(e);
}

/* The first segment of what says itself, by perfkit_execution_meter(), from where it counts. */
static inline void
perfkit_execution_begin_unmetered(PerfkitExecution *e, int64 now_ns)
{
	perfkit_execution_begin_clocks(e, now_ns);
	perfkit_execution_tell(e);
}

static inline void
perfkit_execution_end_segment(PerfkitExecution *e, int64 now_ns)
{
	e->active_ns += now_ns - e->segment_ns;
	e->segment_ns = 0;
	e->end_ns = now_ns;
}

/* Adds the blocks and WAL used since it was metered; none if it was not. */
extern void perfkit_execution_add_usage(PerfkitExecution *e);

/* Ends a segment that an error left open, usage included; harmless when none is. */
extern void perfkit_execution_stop(PerfkitExecution *e, int64 now_ns);

/* Takes over what JIT has cost, leader and workers together. */
extern void perfkit_execution_add_jit(PerfkitExecution *e, const EState *estate);

/* Takes over what only the executor's state knows, before it goes. */
static inline void
perfkit_execution_collect(PerfkitExecution *e, const EState *estate)
{
	e->workers_planned = PERFKIT_WORKERS_PLANNED(estate);
	e->workers_launched = PERFKIT_WORKERS_LAUNCHED(estate);
	if (estate->es_jit != NULL || estate->es_jit_worker_instr != NULL)
		perfkit_execution_add_jit(e, estate);
}

/* Gives the slot back. */
extern void perfkit_execution_close(PerfkitExecution *e);

/* The slot of the client's statement whose hook is running, or NULL: not of one in its commit. */
extern PerfkitExecution *perfkit_execution_top_running(void);

/* The open whole execution of the client's statement, between two hooks or in one, or NULL. */
extern PerfkitExecution *perfkit_execution_whole_open(void);

/* Closes whatever an error left behind; when a new statement of the client begins. */
extern void perfkit_execution_sweep(void);

/* The id of its row, made at the first call. */
extern int64 perfkit_execution_id(PerfkitExecution *e);

#endif /* PERFKIT_EXECUTION_H */
