/*-------------------------------------------------------------------------
 * nested.h
 *	  Statements inside functions that fail before they execute: those that do
 *	  not parse, cannot be analyzed, or fail in planning.  With track = all they
 *	  have a row, whether a block catches their error or not.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_NESTED_H
#define PERFKIT_NESTED_H

#include "capture.h"

/* In the frame of a hook under which functions run. */
typedef struct PerfkitNested
{
	ErrorContextCallback callback;
	int nesting; /* inside of that hook */
	bool watching;
} PerfkitNested;

/* Private to perfkit_nested_watch(). */
extern void perfkit_nested_push(PerfkitNested *n);

/* From here on errors pass by, if statements inside functions are looked at; inside PG_TRY. */
static inline void
perfkit_nested_watch(PerfkitNested *n)
{
	n->watching = false;
	if (unlikely(perfkit_track == PERFKIT_TRACK_ALL))
		perfkit_nested_push(n);
}

/* No error came; PG_TRY has done the same when one did. */
static inline void
perfkit_nested_leave(const PerfkitNested *n)
{
	if (unlikely(n->watching))
		error_context_stack = n->callback.previous;
}

/*
 * In the PG_CATCH of the planner's hook, nesting put back: writes the row of the
 * statement, if it is one inside a function.
 */
extern void perfkit_nested_planning_failed(const Query *query, const char *source, int64 begin_ns);

#endif /* PERFKIT_NESTED_H */
