/*-------------------------------------------------------------------------
 * totals.h
 *	  What was counted of all statements of a database's clients together, since the
 *	  start of shared memory.  Unlike the entries of statements_table.h these never
 *	  shrink: what has happened between two looks is their difference.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_TOTALS_H
#define PERFKIT_TOTALS_H

#include "postgres.h"

#include "histogram.h"
#include "tally.h"

typedef struct PerfkitTotals
{
	int64 calls; /* successes; nested statements are part of those of clients */
	int64 errors;
	int64 exec_ns; /* of the successes */
	uint64 counts[PERFKIT_HISTOGRAM_BUCKETS];
} PerfkitTotals;

/* Adds what a backend has counted of one statement; the lock of the statements' table is held. */
extern void perfkit_totals_add(Oid database, const PerfkitTally *tally, const uint16 *counts);

/* Copies those of this database; all zeroes if it has no entry. */
extern void perfkit_totals_read(PerfkitTotals *out);

#endif /* PERFKIT_TOTALS_H */
