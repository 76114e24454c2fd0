/*-------------------------------------------------------------------------
 * executor.h
 *	  The executor's hooks: optimizable statements as executions.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_EXECUTOR_H
#define PERFKIT_EXECUTOR_H

/* Installs the hooks; while preloading. */
extern void perfkit_executor_init(void);

#endif /* PERFKIT_EXECUTOR_H */
