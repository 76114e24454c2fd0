/*-------------------------------------------------------------------------
 * partition.h
 *	  The partitions of slow_query_log, performance_log, performance_rollup and
 *	  statement_rollup, cut at midnight UTC.
 *
 * Nothing here ever waits behind a reader or a writer: a partition is created beside its
 * parent and attached, and an old one is dropped only if both locks are free.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PARTITION_H
#define PERFKIT_PARTITION_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "shmem.h"

/* Makes today's and tomorrow's partitions.  Own transaction. */
extern void perfkit_partition_make(TimestampTz now);

/* Drops what retention allows, each in a transaction of its own. */
extern void perfkit_partition_retire(PerfkitDatabase *db, TimestampTz now);

/* Whether slow_query_log was, at the last upkeep, over its size and nothing could be dropped. */
extern bool perfkit_partition_full(void);

/*
 * Makes today's partition of performance_log for a row of a client, should the worker
 * not have done so.  Inside a transaction, SPI connected; as the extension's owner.
 * Waits for another who makes it, and others wait until this transaction has ended.
 */
extern void perfkit_partition_for_metric(TimestampTz logged_at);

/* Makes the partition of slow_query_log for a row.  Inside a transaction, SPI connected. */
extern void perfkit_partition_for_row(TimestampTz started_at);

#endif /* PERFKIT_PARTITION_H */
