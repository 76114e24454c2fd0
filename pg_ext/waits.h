/*-------------------------------------------------------------------------
 * waits.h
 *	  What the statements of this worker's database were waiting for, summed up over
 *	  its looks at them (running.h).  Memory of the worker.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_WAITS_H
#define PERFKIT_WAITS_H

#include "postgres.h"

/* A wait, by its PostgreSQL number (0: none, it is on the CPU), was seen, and stands for so long.
 */
extern void perfkit_waits_add(uint32 event, int64 ns);

/*
 * The waits ever seen, one after the other from i = 0 on, and the seconds since the last
 * perfkit_waits_clear(), 0 too; false: no more.  Names are those of pg_stat_activity.
 */
extern bool perfkit_waits_get(int i, const char **type, const char **event, double *seconds);
extern void perfkit_waits_clear(void);

#endif /* PERFKIT_WAITS_H */
