/*-------------------------------------------------------------------------
 * failure.h
 *	  Statements that never reach ExecutorEnd: error, cancel, timeout,
 *	  termination, the client's disappearance.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_FAILURE_H
#define PERFKIT_FAILURE_H

#include "execution.h"

/* Installs emit_log_hook; while preloading. */
extern void perfkit_failure_init(void);

/* Forgets the last error, and gets ready for the next one. */
extern void perfkit_failure_next_statement(void);

/*
 * In PG_CATCH of a hook, `e` the slot of its statement or NULL: writes the
 * failed statement's row and closes the slot.  The caller throws on.
 */
extern void perfkit_failure_caught(PerfkitExecution *e);

#endif /* PERFKIT_FAILURE_H */
