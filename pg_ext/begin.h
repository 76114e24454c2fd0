/*-------------------------------------------------------------------------
 * begin.h
 *	  A run begins: a seat, a row that says 'running', a process.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_BEGIN_H
#define PERFKIT_BEGIN_H

#include "postgres.h"

#include "schedule.h"
#include "shmem.h"

typedef enum PerfkitBegin
{
	PERFKIT_BEGIN_DONE,
	PERFKIT_BEGIN_NO_VIEW, /* there is none of that OID or name */
	PERFKIT_BEGIN_NO_SEAT, /* the worker's latch is set when one is free */
	PERFKIT_BEGIN_NO_PROCESS
} PerfkitBegin;

/* Begins the run that the schedule wants.  When it raises, nothing has begun. */
extern PerfkitBegin perfkit_begin(PerfkitDatabase *db, PerfkitSchedule *s, TimestampTz now);

/* False while it is known that there is no free process. */
extern bool perfkit_begin_possible(TimestampTz now);

/* When to ask for one again, after PERFKIT_BEGIN_NO_PROCESS. */
extern TimestampTz perfkit_begin_again_at(void);

/* The clock was set back. */
extern void perfkit_begin_set_back(void);

#endif /* PERFKIT_BEGIN_H */
