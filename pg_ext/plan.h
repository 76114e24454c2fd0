/*-------------------------------------------------------------------------
 * plan.h
 *	  The plan of a statement as JSON.
 *
 * The text is an object {"Plan": ...} as EXPLAIN (FORMAT JSON) prints it,
 * without blanks between its tokens, passwords redacted, palloc'd and terminated.
 * All of these may raise: call them through perfkit_guard().
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PLAN_H
#define PERFKIT_PLAN_H

#include "compat.h"

#include "executor/execdesc.h"

/* As planned.  Of the statement only its plan, snapshot and parameters are used, and not changed.
 */
extern char *perfkit_plan_estimate(const QueryDesc *query_desc);

/*
 * With rows, and blocks and times if they were asked for, of a statement that
 * has run and is not ended.
 */
extern char *perfkit_plan_actual(QueryDesc *query_desc);

/* The same in the middle of its run.  Its instrumentation, without times, is ours alone. */
extern char *perfkit_plan_partial(QueryDesc *query_desc);

/* The fewest bytes a node of a plan can take. */
#define PERFKIT_PLAN_NODE_SIZE 100

#endif /* PERFKIT_PLAN_H */
