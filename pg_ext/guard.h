/*-------------------------------------------------------------------------
 * guard.h
 *	  Runs what may raise an error (EXPLAIN, output functions) for a statement
 *	  that has succeeded, without hurting it: in a subtransaction that is rolled
 *	  back when it fails.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_GUARD_H
#define PERFKIT_GUARD_H

#include "postgres.h"

#include "utils/snapshot.h"

/* Whether a subtransaction can be begun now. */
extern bool perfkit_guard_possible(void);

/*
 * Calls step(arg) in a subtransaction and a memory context of its own, with
 * `snapshot` (may be InvalidSnapshot) active; false when it has failed.  Only
 * a cancel (57014) is thrown on.  The caller has asked perfkit_guard_possible().
 */
extern bool perfkit_guard(void (*step)(void *arg), void *arg, Snapshot snapshot);

#endif /* PERFKIT_GUARD_H */
