/*-------------------------------------------------------------------------
 * refresh.h
 *	  One run: a background worker of its own that is the view's owner, refreshes
 *	  the view of its seat (seat.h) and ends.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_REFRESH_H
#define PERFKIT_REFRESH_H

#include "compat.h"
#include "postmaster/bgworker.h"
#include "seat.h"

/* The worker's application_name, and its backend_type in pg_stat_activity. */
#define PERFKIT_REFRESH_NAME "perfkit refresh"

/*
 * Asks the postmaster for the worker; NULL when no background worker is free.  The handle is
 * allocated in the current memory context.
 */
extern BackgroundWorkerHandle *perfkit_refresh_start(PerfkitSeat *seat);

/* Entry point; the argument is the seat's number. */
PERFKIT_NORETURN extern PGDLLEXPORT void perfkit_refresh_main(Datum number);

#endif /* PERFKIT_REFRESH_H */
