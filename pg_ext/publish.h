/*-------------------------------------------------------------------------
 * publish.h
 *	  From an execution that is over to a record in the ring, if it is worth one.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PUBLISH_H
#define PERFKIT_PUBLISH_H

#include "execution.h"
#include "guc.h"

/*
 * How a statement failed; with outcome PERFKIT_OK it has not, but there is a
 * message.  Texts belong to the caller.
 */
typedef struct PerfkitFailure
{
	PerfkitOutcome outcome;
	int sqlstate;        /* encoded */
	const char *message; /* primary message, may be NULL */
	bool unparsed;       /* no parser has understood the statement */
	bool quotes;         /* the message is a parser's and quotes what was not understood */

	/* the statement inside the failed one that the error is about, or NULL */
	const char *internal;
} PerfkitFailure;

/* Time the server spent on it so far: parse excluded, commit included. */
static inline int64
perfkit_publish_spent_ns(const PerfkitExecution *e)
{
	int64 spent = e->active_ns < 0 ? e->end_ns - e->begin_ns : e->active_ns;

	return spent + Max(e->planning_ns, 0) + Max(e->commit_ns, 0);
}

/* Whether a successful statement of this duration is slow. */
static inline bool
perfkit_publish_slow(int64 spent_ns)
{
	return perfkit_slow_query_threshold >= 0 &&
		   spent_ns >= perfkit_slow_query_threshold * INT64CONST(1000000);
}

/*
 * Writes the record of an execution whose segments are ended; failure NULL
 * means success.  Decides by threshold, log_errors and the rates; counts what
 * it drops.  The slot stays as it is.  Never raises, never allocates but once.
 */
extern void perfkit_publish(PerfkitDatabase *db, PerfkitExecution *e,
							const PerfkitFailure *failure);

#endif /* PERFKIT_PUBLISH_H */
