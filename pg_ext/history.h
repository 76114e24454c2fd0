/*-------------------------------------------------------------------------
 * history.h
 *	  The history of statements: what each was counted in an interval, as rows.
 *
 *	  statements (shared memory) - statement_snapshot (the last time) -> statement_rollup
 *
 * The work is SQL (perfkit.snapshot_statements()); here is when it is due: at the multiples
 * of perfkit.statement_history_interval, and once when a worker begins, in one transaction
 * each.  What a transaction could not store is in the next one's difference.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_HISTORY_H
#define PERFKIT_HISTORY_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* Whether a snapshot is due; a setting that changed is followed. */
extern bool perfkit_history_due(TimestampTz now);

/* Takes it, in a transaction of its own; raises what goes wrong, and is due again in a while. */
extern void perfkit_history_take(void);

/* How long nothing is due; LONG_MAX: never. */
extern long perfkit_history_nap_ms(TimestampTz now);

#endif /* PERFKIT_HISTORY_H */
