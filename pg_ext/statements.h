/*-------------------------------------------------------------------------
 * statements.h
 *	  Statement statistics: every execution counted, without a shared lock.
 *
 *	  backend                             shared memory
 *	  execution ends -- count --> [sheet][sheet]  its own, 16 statements each
 *	                                  |  merge: the worker every flush_interval, who
 *	                                  |  reads or resets, the backend itself when both
 *	                                  v  sheets are full and when it exits
 *	                              [ table ]  perfkit.max_statements, one lock
 *	                                  |
 *	                                  v
 *	                              view statements; pg_stat/perfkit.statements at a clean stop
 *
 * A sheet is written by one process at a time, who claims it by an atomic exchange of
 * a word that no other backend touches.  Its owner never waits for it: whoever merges
 * holds the table's lock, so one sheet at most is claimed by others, and the owner
 * takes its other one (sheets.h).  An execution goes to one sheet as a whole.
 *
 * What a backend does below a lock is amortized and counted: once for a statement
 * whose text the table does not have yet, once for 32 different statements between
 * two merges, once at exit.
 *
 * Successes make `calls`, times, rows and blocks; failures only `errors` and the
 * time lost with them.  A statement whose commit fails counts as both, for it was
 * executed.  Executions without a queryid count nowhere.
 *
 * A crash of any backend ends shared memory, and the statistics with it.  Memory:
 * sheets of 32 kB a backend, 2.9 kB a statement, perfkit.statement_text_size.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_STATEMENTS_H
#define PERFKIT_STATEMENTS_H

#include "execution.h"
#include "guc.h"

/* Private to the two below. */
extern void perfkit_statements_count_success(const PerfkitExecution *e);
extern void perfkit_statements_count_failure(const PerfkitExecution *e);

/*
 * An execution is over.  Its segments are ended, and their usage is summed up; but not
 * that of the last one, if it is executed in one piece.  Never raises; allocates (by
 * malloc) only for a text the table does not have.
 */
static inline void
perfkit_statements_success(const PerfkitExecution *e)
{
	if (likely(perfkit_track_statements && e->queryid != 0))
		perfkit_statements_count_success(e);
}

static inline void
perfkit_statements_failure(const PerfkitExecution *e)
{
	if (perfkit_track_statements && e->queryid != 0)
		perfkit_statements_count_failure(e);
}

#endif /* PERFKIT_STATEMENTS_H */
