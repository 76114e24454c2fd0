/*-------------------------------------------------------------------------
 * rollup.h
 *	  Once a minute: new rows of performance_log into performance_rollup.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_ROLLUP_H
#define PERFKIT_ROLLUP_H

#include "postgres.h"

/*
 * Rolls up, if it is time, in a transaction of its own; what that throws is thrown, and the next
 * try is in a minute.  Not in recovery.
 */
extern void perfkit_rollup_run(void);

#endif /* PERFKIT_ROLLUP_H */
