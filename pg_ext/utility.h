/*-------------------------------------------------------------------------
 * utility.h
 *	  The ProcessUtility hook: utility statements as executions, and the few
 *	  of them that perfkit itself must know of.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_UTILITY_H
#define PERFKIT_UTILITY_H

#include "postgres.h"

/* Installs the hooks; while preloading. */
extern void perfkit_utility_init(void);

/* Something waits for the end of the transaction. */
extern bool perfkit_utility_pending;

/*
 * The transaction has ended: what was put off to here is done (an entry for a
 * new extension, a dropped one, a new database, the end of hands-off).
 */
extern void perfkit_utility_transaction_end(bool committed);

#endif /* PERFKIT_UTILITY_H */
