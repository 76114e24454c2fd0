/*-------------------------------------------------------------------------
 * planseen.h
 *	  Which plans each statement has been seen with: a table of fixed size in
 *	  shared memory, for all databases, without a lock.
 *
 * A statement is its database and queryid.  The last PERFKIT_PLANS_OF_ONE plans
 * of each are known; so plans that take turns are told once each, not at every
 * turn.  When perfkit.max_plans statements are known, those not met for long make
 * room, and will be told as new should they come again; status counts them.
 * The table starts empty with the server.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PLANSEEN_H
#define PERFKIT_PLANSEEN_H

#include "postgres.h"

#define PERFKIT_PLANS_OF_ONE 6

typedef enum PerfkitPlanNews
{
	PERFKIT_PLAN_KNOWN,
	PERFKIT_PLAN_OF_NEW_STATEMENT,
	PERFKIT_PLAN_NEW
} PerfkitPlanNews;

/* For shmem.c: bytes for perfkit.max_plans statements; and the table in them. */
extern Size perfkit_planseen_memory(void);
extern void perfkit_planseen_init(void *memory);

/*
 * Notes that the statement has run with this plan, and tells what is new about it.
 * Of several backends that note the same thing at once one is told that it is new.
 * Neither number may be 0.  `second` comes from any clock that all backends share.
 */
extern PerfkitPlanNews perfkit_planseen_note(Oid database, int64 queryid, int64 plan_id,
											 int64 second);

/* Statements known now; statements that had to make room so far. */
extern uint64 perfkit_planseen_statements(void);
extern uint64 perfkit_planseen_evicted(void);

#endif /* PERFKIT_PLANSEEN_H */
