/*-------------------------------------------------------------------------
 * writer.h
 *	  From records in the ring to rows of slow_query_log.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_WRITER_H
#define PERFKIT_WRITER_H

#include "postgres.h"

#include "record.h"
#include "shmem.h"

/* Once per worker, connected to its database. */
extern void perfkit_writer_init(void);

/*
 * Writes one batch in a transaction of its own and consumes it; true when
 * there may be more.  Throws what the transaction throws; then nothing is
 * consumed, and the next call is more careful: rows that the table refuses by
 * themselves are found one by one and dropped (dropped_invalid).
 */
extern bool perfkit_writer_flush(PerfkitDatabase *db);

/* Whether the last failure taught the writer something, so that it may try again at once. */
extern bool perfkit_writer_learned(void);

/*
 * Writes the row of a statement that still runs, in a transaction of its own,
 * in the place of what was written of it before.  Throws like flush.
 */
extern void perfkit_writer_store_running(PerfkitDatabase *db, PerfkitRecord *record);

/* Whether so much was written that the size of the log is to be looked at again. */
extern bool perfkit_writer_stormy(void);

/* It was. */
extern void perfkit_writer_size_known(void);

#endif /* PERFKIT_WRITER_H */
