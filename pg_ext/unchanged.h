/*-------------------------------------------------------------------------
 * unchanged.h
 *	  Whether a view can be left as it is: what its last refresh has seen, and
 *	  what there is to see now (fingerprint.h).
 *
 *	  look --> before --> the refresh runs --> kept, if it has committed
 *	    |                                        |
 *	    +--------- compares with what was kept <-+
 *
 * What is kept lives in the memory of the database's worker: another worker, or
 * one that takes over a run, knows nothing, and refreshes once too often.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_UNCHANGED_H
#define PERFKIT_UNCHANGED_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "fingerprint.h"

/* All zeros is a valid start. */
typedef struct PerfkitSeen
{
	PerfkitLineage *lineage; /* NULL: not read yet, or there is none */

	/* of the last refresh */
	bool known;
	PerfkitFingerprint fingerprint; /* of before its snapshot */
	PerfkitContent content;         /* as it has left it */
	TimestampTz since;              /* when it began */

	/* for the next */
	bool armed;
	PerfkitFingerprint before;
	PerfkitContent content_before;

	TimestampTz
		skip_told; /* when refresh_log was told that it is skipped; 0: not since it changed */
	bool obstacle_told;
} PerfkitSeen;

struct PerfkitSchedule;

/* Whether it is looked at before its runs at all. */
extern bool perfkit_unchanged_asked(const struct PerfkitSchedule *s);

/*
 * A transaction of its own, right before a run: true when that can be left out.  In any case what
 * it has read is what the run is to be remembered by.  An error counts as a change.
 */
extern bool perfkit_unchanged_look(struct PerfkitSchedule *s, TimestampTz now);

/* The run that the last look was for has committed: by its result in the seat. */
extern void perfkit_unchanged_keep(struct PerfkitSchedule *s);

/* It has not. */
extern void perfkit_unchanged_drop(struct PerfkitSchedule *s);

/* The view is another, or the entry goes. */
extern void perfkit_unchanged_forget(struct PerfkitSchedule *s);

#endif /* PERFKIT_UNCHANGED_H */
