/*-------------------------------------------------------------------------
 * row.h
 *	  A record as parameters of the INSERT into slow_query_log.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_ROW_H
#define PERFKIT_ROW_H

#include "compat.h"

#include "record.h"

#define PERFKIT_ROW_COLUMNS 66

typedef struct PerfkitRowColumn
{
	const char *name;
	Oid type;         /* of the parameter */
	const char *cast; /* appended to it */
} PerfkitRowColumn;

/* The columns that are filled, in the order of the parameters. */
extern const PerfkitRowColumn perfkit_row_columns[];

typedef struct PerfkitRow
{
	size_t n;
	Datum values[PERFKIT_ROW_COLUMNS];
	char nulls[PERFKIT_ROW_COLUMNS]; /* as SPI wants them */
} PerfkitRow;

/* Fills the row; its values are palloc'd.  Reads the catalog for names of roles. */
extern void perfkit_row_fill(PerfkitRow *row, const PerfkitRecord *record, const char *database);

/* Waits as a jsonb of event and milliseconds, palloc'd; 0 when there are none. */
extern Datum perfkit_row_waits(const PerfkitWait waits[PERFKIT_MAX_WAITS]);

/* A plan (plan.h) as a jsonb, palloc'd. */
extern Datum perfkit_row_plan(const char *json, uint32 size);

#endif /* PERFKIT_ROW_H */
