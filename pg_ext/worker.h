/*-------------------------------------------------------------------------
 * worker.h
 *	  The database worker: connects to one database, and, if the extension is
 *	  there, writes what its backends capture.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_WORKER_H
#define PERFKIT_WORKER_H

#include "compat.h"

/* Entry point; the argument is the database's OID. */
PERFKIT_NORETURN extern PGDLLEXPORT void perfkit_worker_main(Datum database);

#endif /* PERFKIT_WORKER_H */
