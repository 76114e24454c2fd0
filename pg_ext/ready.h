/*-------------------------------------------------------------------------
 * ready.h
 *	  Schedules whose run is wanted now: which of them may begin, and how it begins.
 *
 *	  due --> ready --+-- upstream ready or running: waits for it
 *	                  +-- upstream failed: skipped_upstream
 *	                  +-- nothing has changed: skipped_unchanged
 *	                  +-- no seat, no free process: waits
 *	                  +-- row 'running' committed --> worker started
 *
 * A view is ready or running once; what comes due meanwhile is skipped, or one
 * of it queued.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_READY_H
#define PERFKIT_READY_H

#include "postgres.h"

#include "schedule.h"
#include "shmem.h"

/* The time of a schedule taken from the heap has come. */
extern void perfkit_ready_fire(PerfkitSchedule *s, TimestampTz now);

/* A run is wanted: ready now, or an overlap. */
extern void perfkit_ready_want(PerfkitSchedule *s, const PerfkitRun *run);

/* The oldest refresh_now() of the view, unless one is ready or it is running. */
extern void perfkit_ready_want_request(PerfkitSchedule *s);

/*
 * Starts what can be started, for as long as a turn may take (Y2).  Each that is gets its seat, and
 * is given to `begun`.
 */
extern void perfkit_ready_start(PerfkitDatabase *db, TimestampTz now,
								void (*begun)(PerfkitSchedule *s));

/* After entries have come and gone: nobody is ready, then each who still is again. */
extern void perfkit_ready_forget(void);
extern void perfkit_ready_list(PerfkitSchedule *s);

/* When there is more to start that sets no latch: at once, after a pause, or PERFKIT_NEVER. */
extern TimestampTz perfkit_ready_again_at(TimestampTz now);

#endif /* PERFKIT_READY_H */
