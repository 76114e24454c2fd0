/*-------------------------------------------------------------------------
 * schedule.h
 *	  The schedules of a database in its worker's memory: what each wants, what it
 *	  has come to, and when it is due next.
 *
 *	  refresh_schedule --load--> table, heap by due time (due.h) --> dispatch.h starts runs
 *
 * Times are those of perfkit_schedule_clock().  A slot is a time that the
 * timetable names; a schedule is due at its slot, later by its jitter, or later
 * still when the slot was missed.  There is at most one slot to come: what was
 * missed is made up for once.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SCHEDULE_H
#define PERFKIT_SCHEDULE_H

#include "postgres.h"

#include "lib/pairingheap.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "seat.h"
#include "timetable.h"
#include "unchanged.h"

#define PERFKIT_NEVER PG_INT64_MAX

/* One row of refresh_schedule, and the view it is of. */
typedef struct PerfkitPlan
{
	int64 id; /* 0: no schedule, only asked for by refresh_now() */
	Oid view; /* InvalidOid: missing */
	Oid owner;
	NameData schema;
	NameData name;
	PerfkitTimetable timetable;
	int64 lag_us; /* of a target_lag; 0: there is a timetable */
	PerfkitRefreshMethod method;
	PerfkitRefreshFallback fallback;
	PerfkitAfterAction after_action;
	int lock_timeout_ms;
	int statement_timeout_ms;
	int max_retries;
	int64 retry_delay_us;
	int suspend_after;
	bool skip_unchanged;
	int64 max_staleness_us; /* 0: none */
	int64 min_interval_us;  /* 0: none given */
	bool queue;
	bool catch_up;
	bool run_after_failed_upstream;
	int64 jitter_us;
	int64 max_runtime_us; /* 0: none */
	int64 start_window_us;
	int priority;
	bool enabled;
	bool unreadable; /* there is no telling when it shall run */
	TimestampTz changed_at;
} PerfkitPlan;

/* One row of refresh_state; times are 0 when there was none. */
typedef struct PerfkitPast
{
	TimestampTz planned; /* slot of the last run */
	TimestampTz started;
	TimestampTz finished;
	double duration_ms; /* of the last success; negative: unknown */
	bool failed;        /* the last run, or it was skipped for a failed upstream */
	int failures;       /* one after the other */
	TimestampTz suspended_at;
} PerfkitPast;

/* A run that is wanted, or under way. */
typedef struct PerfkitRun
{
	const char *trigger; /* as in refresh_log */
	TimestampTz planned;
	int attempt;
	int64 run_id; /* 0: none yet */
	int64 batch;  /* of a refresh_now(), else 0 */
} PerfkitRun;

/* Of a walk from views to those they read from. */
typedef enum PerfkitWalk
{
	PERFKIT_WALK_NEW,
	PERFKIT_WALK_ON_THE_WAY,
	PERFKIT_WALK_DONE
} PerfkitWalk;

typedef struct PerfkitSchedule
{
	int64 key; /* of the table: plan.id, or minus the view's OID */
	PerfkitPlan plan;
	PerfkitPast past;
	TimestampTz since; /* when it began to count: changed_at, unless that is to come */
	List *upstream;    /* of PerfkitSchedule *: views it reads from that have an entry too */
	PerfkitWalk walk;
	bool gone; /* it has no row in refresh_schedule */
	bool unreadable_told;

	/* when it is due; in the heap unless that is never */
	pairingheap_node node;
	bool in_heap;
	TimestampTz due;
	TimestampTz slot;     /* the next one; PERFKIT_NEVER: none */
	TimestampTz slot_due; /* when that is to run */
	bool missed;          /* the slot is one that nobody was there for */
	TimestampTz retry_at; /* PERFKIT_NEVER: no retry */

	/* what dispatch.c does with it */
	bool ready;
	PerfkitRun wanted; /* if ready */
	PerfkitSeat *seat; /* a run is under way */
	uint64 token;      /* of that seat, while it is ours */
	PerfkitRun run;    /* that one */
	BackgroundWorkerHandle *handle;
	TimestampTz deadline; /* PERFKIT_NEVER: none */
	bool overdue;         /* cancelled at the deadline */
	bool settled;         /* its result has been taken into account */
	bool suspending;      /* ... and was one failure too many */
	bool pid_told;
	int end_tries; /* to write its end */
	bool overlap_told;
	bool queued; /* the slot in `queued_slot` waits for its end */
	TimestampTz queued_slot;
	List *requests;   /* of PerfkitRequest *: refresh_now() */
	PerfkitSeen seen; /* what its last refresh has seen */
	int prune_in;     /* rows of its log, until that is pruned */
	bool missing_told;
	TimestampTz due_told; /* as refresh_state has it */
} PerfkitSchedule;

/* A row of refresh_request. */
typedef struct PerfkitRequest
{
	int64 run_id;
	int64 batch;
	Oid view;
} PerfkitRequest;

/* Now, for schedules: see perfkit.refresh_clock_offset. */
extern TimestampTz perfkit_schedule_clock(void);

/*
 * Takes rows (book.h) over into the table: new ones planned, changed ones anew, others left.
 * When `starting` nobody was there before, and what was missed is caught up with.
 */
extern void perfkit_schedule_merge(List *rows, TimestampTz now, bool starting);

/* Who reads from whom, of the entries there are; what would close a circle is left out. */
extern void perfkit_schedule_link(List *edges);

/* The entry of a view, or NULL; and one for a view without a schedule, which is never due. */
extern PerfkitSchedule *perfkit_schedule_of_view(Oid view);
extern PerfkitSchedule *perfkit_schedule_make(const PerfkitPlan *plan);

/* The first that is due, taken out of the heap; NULL if none is. */
extern PerfkitSchedule *perfkit_schedule_pop_due(TimestampTz now);

/* When the first is due; PERFKIT_NEVER if none ever is. */
extern TimestampTz perfkit_schedule_first_due(void);

/* Its place in the heap from slot_due and retry_at. */
extern void perfkit_schedule_place(PerfkitSchedule *s);

/* Whether it is on change; whether its slots are counted from its last run or look. */
extern bool perfkit_schedule_on_change(const PerfkitSchedule *s);
extern bool perfkit_schedule_counted(const PerfkitSchedule *s);

/* Whether its runs begin by themselves. */
extern bool perfkit_schedule_active(const PerfkitSchedule *s);

/* "schema.name", quoted. */
extern char *perfkit_schedule_view_name(const PerfkitSchedule *s);

/* Calls step for each entry. */
extern void perfkit_schedule_each(void (*step)(PerfkitSchedule *s, void *arg), void *arg);

#endif /* PERFKIT_SCHEDULE_H */
