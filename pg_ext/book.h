/*-------------------------------------------------------------------------
 * book.h
 *	  The tables behind scheduling: refresh_schedule, refresh_state, refresh_request
 *	  and refresh_log, read and written by the database's worker.
 *
 * Each function is a transaction of its own, committed without waiting for
 * standbys; errors are the caller's.  What is returned is allocated in the memory
 * context of the call.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_BOOK_H
#define PERFKIT_BOOK_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "schedule.h"
#include "seat.h"

typedef struct PerfkitBookRow
{
	PerfkitPlan plan;
	PerfkitPast past;
} PerfkitBookRow;

/* A materialized view and one that it reads from. */
typedef struct PerfkitBookEdge
{
	Oid view;
	Oid upstream;
} PerfkitBookEdge;

typedef struct PerfkitBookContent
{
	List *rows;     /* of PerfkitBookRow * */
	List *edges;    /* of PerfkitBookEdge *, of all materialized views */
	List *requests; /* of PerfkitRequest *, oldest first */
	List *running;  /* of PerfkitBookRunning *: runs without an end in the log */
} PerfkitBookContent;

/* A run that an earlier worker has begun. */
typedef struct PerfkitBookRunning
{
	int64 run_id;
	Oid view;
	PerfkitRun run;
} PerfkitBookRunning;

/* Everything; views that were renamed or have come again are followed first. */
extern void perfkit_book_load(PerfkitBookContent *content);

/* A plan with defaults for a view without a schedule; false when there is no such view. */
extern bool perfkit_book_default(Oid view, PerfkitPlan *plan);

/*
 * The row of a run that is about to begin, and its id.  Names, OID and owner of the view are
 * brought up to date before; false, and no row, when there is no such view.
 */
extern bool perfkit_book_begin(PerfkitSchedule *s, PerfkitRun *run);

/* Takes that row back: the run could not begin. */
extern void perfkit_book_undo(int64 run_id);

/* Writes down when each of these (PerfkitSchedule *) is due next. */
extern void perfkit_book_due(List *schedules);

/*
 * How a run has ended; the state of its schedule, if it has one, is written with it.  This and the
 * next keep the view's rows at perfkit.refresh_log_max_runs, or not many more.
 */
extern void perfkit_book_end(PerfkitSchedule *s, const PerfkitRun *run, const char *status, int pid,
							 const PerfkitRefreshResult *result);

/* A run that did not take place, and why. */
extern void perfkit_book_skip(PerfkitSchedule *s, const PerfkitRun *run, const char *status,
							  const char *message);

/* A run whose end nobody has seen. */
extern void perfkit_book_crashed(int64 run_id);

/* Who refreshes: for a run under way. */
extern void perfkit_book_pid(int64 run_id, int pid);

/* Deletes some of the rows that are too old; true when there may be more. */
extern bool perfkit_book_prune_old(void);

/* The schedule will not run by itself any more: a notification for who listens to perfkit_alert. */
extern void perfkit_book_alert(const PerfkitSchedule *s, const char *message);

#endif /* PERFKIT_BOOK_H */
