/*-------------------------------------------------------------------------
 * ruled.h
 *	  What rules make of a client's statement: another one, or several, in one
 *	  portal.  All of them together are one execution.
 *
 *	  start, run, end of the first --> start, run, end of the next ... --> finish
 *
 * Its rows and plan are those of the one that stands for it: the one that gives the
 * client its tag, or if a rule has put something else in its place, the first; of that
 * there are no rows, for the client is told of none.
 * Time, blocks and errors are those of all; the text is what the client has sent.
 *
 * Only the executor's are followed: NOTIFY beside them takes no time, and its
 * errors find the execution that is open.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_RULED_H
#define PERFKIT_RULED_H

#include "execution.h"
#include "tcop/pquery.h"

/* May a rule have had its hand in what starts now?  Actions of rules have no place in the text. */
static inline bool
perfkit_ruled(const PlannedStmt *statement)
{
	return perfkit_nesting == 0 && ActivePortal != NULL &&
		   (list_length(ActivePortal->stmts) > 1 || statement->stmt_location < 0);
}

/* Does a statement that gives the client no tag stand for one that was sent? */
extern bool perfkit_ruled_stands(const PlannedStmt *statement);

/* Is this a utility statement beside others? */
extern bool perfkit_ruled_utility(const PlannedStmt *statement);

/*
 * Before the start of what perfkit_ruled() is true for.  True if it is part of what has
 * begun; that execution, NULL if it is not looked at, then goes on with it.
 */
extern bool perfkit_ruled_goes_on(QueryDesc *query_desc, PerfkitExecution **e);

/* The same: its execution was opened.  Sets its tag and place. */
extern void perfkit_ruled_begin(PerfkitExecution *e, const QueryDesc *query_desc);

/* Is this one that runs for it, but does not stand for it? */
extern bool perfkit_ruled_aside(const PerfkitExecution *e, const QueryDesc *query_desc);

/*
 * After ExecutorEnd of a part of what has begun so: NULL if others follow, else what has the
 * plan that stands for the whole.  Valid until the end of the hook.
 */
extern QueryDesc *perfkit_ruled_end(PerfkitExecution *e, QueryDesc *query_desc);

/* It fails, in one of its parts or between them: rows and plan of what stands for it remain. */
extern void perfkit_ruled_failed(PerfkitExecution *e);

#endif /* PERFKIT_RULED_H */
