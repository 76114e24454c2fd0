/*-------------------------------------------------------------------------
 * fingerprint.h
 *	  The state of what a view's content comes from (lineage.h), in 32 bytes: two
 *	  that are equal mean that nothing has been written in between that the
 *	  server's statistics know of.
 *
 * It is made of, for each table with its partitions and children, and each
 * materialized view: OID, file, rows ever inserted, updated and deleted; the
 * definitions of the lineage; expressions of virtual columns; and what those numbers are worth only
 *within: the life of shared memory, the last reset of statistics, view and owner.
 *
 * Why a refresh that is left out is never one that was needed:
 *
 * F1	A fingerprint is read before the refresh takes its snapshot, and is kept only
 *		if that refresh commits.  Statistics are sent after the commit.  So what the
 *		snapshot does not see has not been counted in it, and when it is the next one
 *		differs; what was seen and is counted later makes one refresh too many.
 * F2	They are compared for equality, for numbers may go back.  That they come back
 *		to where they were takes a reset, which has its time in the fingerprint, or a
 *		crash, which gives shared memory another life.
 * F3	TRUNCATE and rewriting give a table another file.  Partitions that come and go
 *		are in the list or not.
 * F4	The lag: statistics of a session that is idle are sent a second after its
 *		last ones, at the latest a minute; in the middle of a command (a procedure that
 *		commits, a pipeline) they are not sent at all.  Until then a change is not
 *		seen; it is never lost.
 * F5	Sessions with track_counts off, which is a superuser's to set, are not seen.
 *
 * All of it must be called in a transaction, with an active snapshot.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_FINGERPRINT_H
#define PERFKIT_FINGERPRINT_H

#include "postgres.h"

#include "lineage.h"

typedef struct PerfkitFingerprint
{
	uint8 digest[32];
} PerfkitFingerprint;

/* The state of a view's own content, which a REFRESH by somebody else changes, too. */
typedef struct PerfkitContent
{
	bool populated;
	Oid tablespace;
	Oid file;
	int64 changes; /* rows ever inserted, updated and deleted */
} PerfkitContent;

/*
 * Now.  *relations becomes the OIDs of all that was looked at, ascending.  False, with the reason
 * as a sentence, when one of them can no longer be watched.
 */
extern bool perfkit_fingerprint_read(const PerfkitLineage *lineage, Oid owner,
									 PerfkitFingerprint *fingerprint, List **relations,
									 char **obstacle);

extern bool perfkit_fingerprint_equal(const PerfkitFingerprint *a, const PerfkitFingerprint *b);

/* Whether a session or a prepared transaction holds a lock to write to one of them. */
extern bool perfkit_fingerprint_being_written(const List *relations);

/* False when there is no such view. */
extern bool perfkit_fingerprint_content(Oid view, PerfkitContent *content);

#endif /* PERFKIT_FINGERPRINT_H */
