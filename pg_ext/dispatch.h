/*-------------------------------------------------------------------------
 * dispatch.h
 *	  Which of the schedules that are due run now: the part of the database's
 *	  worker that starts refreshes and takes their results.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_DISPATCH_H
#define PERFKIT_DISPATCH_H

#include "postgres.h"

#include "shmem.h"

/*
 * Everything there is to do now: changed schedules are loaded, ended runs settled, due ones
 * started.  Errors are raised; the next call goes on where this one has stopped, after a pause.
 */
extern void perfkit_dispatch(PerfkitDatabase *db);

/* Milliseconds until there will be something to do that sets no latch; at least 0. */
extern long perfkit_dispatch_nap_ms(void);

#endif /* PERFKIT_DISPATCH_H */
