/*-------------------------------------------------------------------------
 * worker.h
 *	  The database worker: connects to one database, and, if the extension is
 *	  there, writes what its backends capture.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_WORKER_H
#define PERFKIT_WORKER_H

#include "postgres.h"

/* Entry point; the argument is the database's OID. */
extern PGDLLEXPORT void perfkit_worker_main(Datum database) pg_attribute_noreturn();

#endif /* PERFKIT_WORKER_H */
