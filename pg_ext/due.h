/*-------------------------------------------------------------------------
 * due.h
 *	  When a schedule runs next: its slot, and when that is due.
 *
 * Times are those of perfkit_schedule_clock(), given by the caller.  The place in
 * the heap (schedule.h) follows.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_DUE_H
#define PERFKIT_DUE_H

#include "postgres.h"

#include "schedule.h"

/* The slot after a moment. */
extern void perfkit_due_plan_after(PerfkitSchedule *s, TimestampTz after);

/*
 * The first planning.  A slot since the last run, or since it was scheduled, is made up for now;
 * where `many` may have missed theirs together (the server was down, a dump is restored), as they
 * want it and spread over their start windows.
 */
extern void perfkit_due_plan_first(PerfkitSchedule *s, TimestampTz now, bool many);

/* The clock was set back to `now`: what was planned by the old one would wait for it. */
extern void perfkit_due_set_back(PerfkitSchedule *s, TimestampTz now, int64 by_us);

#endif /* PERFKIT_DUE_H */
