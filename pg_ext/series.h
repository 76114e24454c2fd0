/*-------------------------------------------------------------------------
 * series.h
 *	  The latest value of each series that perfkit samples: a table in shared
 *	  memory, filled by the databases' workers, read by metrics() and health().
 *
 * It is also where a worker finds what a counter showed at the last look, so a new
 * worker, or a new holder of the lease on the server's own metrics, goes on where
 * the old one ended.
 *
 * Every function takes the table's lock for a moment; none raises or allocates.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SERIES_H
#define PERFKIT_SERIES_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define PERFKIT_LABELS_SIZE 200
#define PERFKIT_SERIES_TRANCHE "perfkit_series"

typedef struct PerfkitSeries
{
	Oid database;                     /* InvalidOid: of the server */
	int metric;                       /* in perfkit_metrics; -1: the entry is free */
	char labels[PERFKIT_LABELS_SIZE]; /* as jsonb prints them */
	bool has_value;
	double value;           /* of a gauge; the rate of a counter or of events */
	double total;           /* what a counter showed; the sum of events */
	int64 seen_ns;          /* of total, by perfkit_clock_ns() */
	TimestampTz at;         /* of value */
	TimestampTz good_until; /* then it is too old to be shown */
} PerfkitSeries;

/* What is measured now; value is read by its metric's kind. */
typedef struct PerfkitMeasurement
{
	Oid database;
	int metric;
	const char *labels; /* shorter than PERFKIT_LABELS_SIZE */
	double value;
	TimestampTz at;
	TimestampTz good_until;
	int64 now_ns;  /* by perfkit_clock_ns() */
	int64 last_ns; /* of the last look, for events; 0: there was none */
} PerfkitMeasurement;

/* For shmem.c; the tranche must have been requested. */
extern Size perfkit_series_memory(void);
extern void perfkit_series_init(void *memory, bool fresh);

/*
 * Notes a measurement.  True when there is a value of it now, which is then in *value: a counter
 * has none the first time, nor have events without a last look.  A counter that shows less than
 * before was reset: what it shows has happened since.  False, and counted, when the table is full.
 */
extern bool perfkit_series_note(const PerfkitMeasurement *m, double *value);

/*
 * Copies the series of a database (InvalidOid: of the server) that have a value measured after
 * `after_ns`, by perfkit_clock_ns(); `out` has room for perfkit_series_room() of them.  Returns how
 * many.
 */
extern int perfkit_series_read(Oid database, int64 after_ns, PerfkitSeries *out);
extern int perfkit_series_room(void);

/* Forgets a database's. */
extern void perfkit_series_forget(Oid database);

/* For view status. */
extern int perfkit_series_used(void);
extern uint64 perfkit_series_refused(void);

#endif /* PERFKIT_SERIES_H */
