/*-------------------------------------------------------------------------
 * unfinished.h
 *	  Rows of statements that have not finished: written while they run,
 *	  replaced by the row of their end, closed when that does not come.
 *
 *	  running --> the record of the end replaces the row  (writer.c)
 *	          --> no room for that record: the numbers in the slot close it
 *	          --> the backend is gone without a word, or the server was: crashed
 *
 * Everything here runs in the worker and may throw what its transactions throw.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_UNFINISHED_H
#define PERFKIT_UNFINISHED_H

#include "shmem.h"

/* Once, before rows are written: those of an earlier life of the server have crashed. */
extern void perfkit_unfinished_start(PerfkitDatabase *db);

/* A row has been written while its statement, of backend `pid`, runs. */
extern void perfkit_unfinished_add(uint64 sequence, int pid);

/* The row of its end is committed. */
extern void perfkit_unfinished_remove(uint64 sequence);

/* Finds out which have ended.  Their last records, if there are any, are in the ring by then. */
extern void perfkit_unfinished_look(PerfkitDatabase *db);

/* Closes those that had ended at the last look and got no record.  The ring was empty since. */
extern void perfkit_unfinished_close(PerfkitDatabase *db);

#endif /* PERFKIT_UNFINISHED_H */
