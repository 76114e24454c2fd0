/*-------------------------------------------------------------------------
 * partition.h
 *	  The daily partitions (UTC) of slow_query_log and performance_log.
 *
 * Nothing here ever waits behind a reader: a partition is created beside its
 * parent and attached, and an old one is dropped only if both locks are free.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PARTITION_H
#define PERFKIT_PARTITION_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "shmem.h"

/* Makes today's and tomorrow's partitions, drops what retention allows.  Own transactions. */
extern void perfkit_partition_upkeep(PerfkitDatabase *db, TimestampTz now);

/* Makes the partition of slow_query_log for a row.  Inside a transaction, SPI connected. */
extern void perfkit_partition_for_row(TimestampTz started_at);

#endif /* PERFKIT_PARTITION_H */
