/*-------------------------------------------------------------------------
 * outbox.h
 *	  Applications' measurements that do not wait for their transaction
 *	  (log_metric(async => true)): a ring in shared memory for each database, emptied by its
 *	  worker.  And which series applications may have: no more than perfkit.max_series a day.
 *
 * What is in it when the server stops or crashes is lost: less than a flush_interval.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_OUTBOX_H
#define PERFKIT_OUTBOX_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "shmem.h"
#include "utils/jsonb.h"

/* Bytes of the labels of a measurement, as a jsonb. */
#define PERFKIT_MAX_LABELS_SIZE 1500

/* For shmem.c: memory for perfkit.max_databases of them. */
extern Size perfkit_outbox_memory(void);
extern void perfkit_outbox_init(void *memory, bool fresh);

/* Whether a measurement of this series may be stored; if not that is counted. */
extern bool perfkit_outbox_admits(PerfkitDatabase *db, const char *metric, const Jsonb *labels);

/* Puts one in, or counts that there was no room. */
extern void perfkit_outbox_put(PerfkitDatabase *db, TimestampTz at, const char *metric,
							   const Jsonb *labels, double value);

/*
 * For the worker: writes what is in it, in a transaction of its own, and throws what that throws.
 * True if there may be more.
 */
extern bool perfkit_outbox_flush(PerfkitDatabase *db);

#endif /* PERFKIT_OUTBOX_H */
