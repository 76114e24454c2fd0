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

/* Private to perfkit_failure_next_statement(): hidden, so that the compiler knows where it is. */
#pragma GCC visibility push(hidden)

typedef struct PerfkitFailureState
{
	bool reported; /* F1 */
	bool ready;    /* memory is reserved */
} PerfkitFailureState;

extern PerfkitFailureState perfkit_failure_state;
extern void perfkit_failure_reserve(void);

#pragma GCC visibility pop

/* Forgets the last error, and gets ready for the next one. */
static inline void
perfkit_failure_next_statement(void)
{
	perfkit_failure_state.reported = false;
	if (unlikely(!perfkit_failure_state.ready))
		perfkit_failure_reserve();
}

/*
 * In PG_CATCH of a hook, `e` the slot of its statement or NULL: writes the
 * failed statement's row and closes the slot.  The caller throws on.
 */
extern void perfkit_failure_caught(PerfkitExecution *e);

/*
 * In PG_CATCH, or in an error context: the row of a statement inside another that
 * has failed before it was executed.  What is known of it is in `ghost`, which is no
 * slot; without a source the text is what the error says it is about.
 */
extern void perfkit_failure_unstarted(PerfkitExecution *ghost);

#endif /* PERFKIT_FAILURE_H */
