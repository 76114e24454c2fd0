/*-------------------------------------------------------------------------
 * judge.h
 *	  After each sample: what performance_log says against the rows of threshold, and
 *	  what comes of it into alert.  Called by the database's worker, not in recovery.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_JUDGE_H
#define PERFKIT_JUDGE_H

#include "postgres.h"

/*
 * Judges, in a transaction of its own; throws what that throws, and then nothing has changed.
 * `of_server`: this worker judges the server's metrics too.
 */
extern void perfkit_judge_run(bool of_server);

#endif /* PERFKIT_JUDGE_H */
