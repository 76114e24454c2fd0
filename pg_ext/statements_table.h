/*-------------------------------------------------------------------------
 * statements_table.h
 *	  The statements of all databases, with what was counted of them: a table of
 *	  perfkit.max_statements entries in shared memory, under one lock.
 *
 * Nobody takes the lock to count an execution; who does is told in statements.h.
 * It is taken exclusively but for reading.  While it is held nothing allocates,
 * raises, or takes another lock.
 *
 * When the table is full an entry that was little used of late makes room (a
 * clock: each merge winds an entry up by the magnitude of what it brings, the
 * hand winds down what it passes and takes what has run down).  That is counted.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_STATEMENTS_TABLE_H
#define PERFKIT_STATEMENTS_TABLE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "histogram.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "tally.h"

#define PERFKIT_STATEMENTS_TRANCHE "perfkit_statements"

typedef struct PerfkitStatementKey
{
	int64 queryid; /* not 0 */
	Oid database;
	Oid userid;
	bool toplevel;
} PerfkitStatementKey;

typedef struct PerfkitStatement
{
	PerfkitStatementKey key; /* queryid 0: the entry is free */
	int32 next;              /* in its chain, or of the free ones; -1: the last */
	uint8 usage;             /* how far it is wound up */
	bool text_cut;
	bool text_refused;  /* there was no room for it */
	int32 text;         /* chunks.h */
	uint32 text_length; /* bytes */
	TimestampTz since;  /* when the entry was made */
	PerfkitTally tally;
	uint64 counts[PERFKIT_HISTOGRAM_BUCKETS]; /* of the successes */
} PerfkitStatement;

/* Which statements; what is 0 stands for all. */
typedef struct PerfkitStatementFilter
{
	Oid database;
	Oid userid;
	int64 queryid;
} PerfkitStatementFilter;

/* For view status; since the start of shared memory. */
typedef struct PerfkitStatementNumbers
{
	pg_atomic_uint64 evicted;
	pg_atomic_uint64 merges;         /* of a backend's sheets into the table */
	pg_atomic_uint64 merges_by_need; /* among them: because the backend had no room */
	pg_atomic_uint64 lock_waits;     /* times a backend found the lock taken and waited */
	pg_atomic_uint64 texts_refused;
	pg_atomic_uint64 lost; /* executions counted nowhere */
} PerfkitStatementNumbers;

extern LWLock *perfkit_statements_lock;
extern PerfkitStatementNumbers *perfkit_statement_numbers;

/* For shmem.c.  The tranche must have been requested. */
extern Size perfkit_statements_table_memory(void);
extern void perfkit_statements_table_init(void *memory, bool fresh);

static inline bool
perfkit_statement_matches(const PerfkitStatementFilter *f, const PerfkitStatementKey *key)
{
	return (f->database == InvalidOid || f->database == key->database) &&
		   (f->userid == InvalidOid || f->userid == key->userid) &&
		   (f->queryid == 0 || f->queryid == key->queryid);
}

/*
 * Whether there is no need to bring the statement's text.  Takes no lock: who
 * changes the table meanwhile may make the answer wrong, and the next one right.
 */
extern bool perfkit_statements_table_has_text(const PerfkitStatementKey *key);

/* From here on with the lock held, exclusively but where it says so. */

/* The entry of a statement, made if it has none; NULL only if there are no entries at all. */
extern PerfkitStatement *perfkit_statements_table_find(const PerfkitStatementKey *key,
													   TimestampTz now);

/* Adds what a backend has counted. */
extern void perfkit_statements_table_merge(PerfkitStatement *s, const PerfkitTally *tally,
										   const uint16 *counts);

/* Gives the entry its text, unless it has one or there is no room (counted). */
extern void perfkit_statements_table_set_text(PerfkitStatement *s, const char *text, Size length,
											  bool cut);

extern void perfkit_statements_table_remove(const PerfkitStatementFilter *filter);

/* Shared suffices for these. */
extern int perfkit_statements_table_size(void);       /* entries, free ones included */
extern int perfkit_statements_table_used(void);       /* entries in use */
extern Size perfkit_statements_table_text_used(void); /* bytes */
extern PerfkitStatement *perfkit_statements_table_at(int index);
extern void perfkit_statements_table_text(const PerfkitStatement *s, char *out);

#endif /* PERFKIT_STATEMENTS_TABLE_H */
