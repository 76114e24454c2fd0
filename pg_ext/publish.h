/*-------------------------------------------------------------------------
 * publish.h
 *	  From an execution that is over to a record in the ring, if it is worth one.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PUBLISH_H
#define PERFKIT_PUBLISH_H

#include "execution.h"

/* How a statement failed.  Texts belong to the caller. */
typedef struct PerfkitFailure
{
	PerfkitOutcome outcome;
	int sqlstate;        /* encoded */
	const char *message; /* primary message, may be NULL */
	bool unparsed;       /* no parser has understood the statement */
} PerfkitFailure;

/* Time the server spent on it so far: parse excluded, commit included. */
extern int64 perfkit_publish_spent_ns(const PerfkitExecution *e);

/* Whether a successful statement of this duration is slow. */
extern bool perfkit_publish_slow(int64 spent_ns);

/*
 * Writes the record of an execution whose segments are ended; failure NULL
 * means success.  Decides by threshold, log_errors and the rates; counts what
 * it drops.  The slot stays as it is.  Never raises, never allocates but once.
 */
extern void perfkit_publish(PerfkitDatabase *db, PerfkitExecution *e,
							const PerfkitFailure *failure);

#endif /* PERFKIT_PUBLISH_H */
