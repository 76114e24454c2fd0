/*-------------------------------------------------------------------------
 * query.h
 *	  SQL of the database's worker: a transaction, and a statement with parameters.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_QUERY_H
#define PERFKIT_QUERY_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define PERFKIT_MAX_PARAMETERS 24

/* Parameters of a statement, in the order of their numbers. */
typedef struct PerfkitQuery
{
	int n;
	Oid types[PERFKIT_MAX_PARAMETERS];
	Datum values[PERFKIT_MAX_PARAMETERS];
	char nulls[PERFKIT_MAX_PARAMETERS + 1];
} PerfkitQuery;

/*
 * To be taken first in a transaction that reads or writes what belongs to the extension: DROP
 * EXTENSION takes its own lock on the extension before it locks anything that is in it, so that one
 * of the two waits for the other and neither holds what the other wants.
 */
extern void perfkit_query_hold_extension(void);

/*
 * A transaction with SPI and a snapshot, whose commit waits for no standby; `what` is shown in
 * pg_stat_activity.  The end is back in the memory context of the beginning.
 */
extern void perfkit_query_begin(const char *what);
extern void perfkit_query_end(void);

extern void perfkit_query_add(PerfkitQuery *q, Oid type, Datum value, bool null);
extern void perfkit_query_add_int8(PerfkitQuery *q, int64 value);
extern void perfkit_query_add_count(PerfkitQuery *q, int64 value);      /* negative: null */
extern void perfkit_query_add_text(PerfkitQuery *q, const char *value); /* NULL and "": null */
extern void perfkit_query_add_time(PerfkitQuery *q, TimestampTz value); /* 0, the largest: null */
extern void perfkit_query_add_oid(PerfkitQuery *q, Oid value);          /* InvalidOid: null */

/* Runs it; NULL is no parameters.  Raises whatever goes wrong. */
extern void perfkit_query_run(const char *sql, PerfkitQuery *q);

#endif /* PERFKIT_QUERY_H */
