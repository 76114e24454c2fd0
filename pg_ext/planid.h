/*-------------------------------------------------------------------------
 * planid.h
 *	  A number for the shape of a plan.
 *
 * Two plans have the same shape when they have the same nodes in the same
 * places, on the same relations and indexes, joined and aggregated in the same
 * way.  Costs, row counts, constants, parameters and the number of parallel
 * workers do not count, so the custom and the generic plan of a prepared
 * statement may well be one.  Nor does it count which partitions are left:
 * they stand for the table they belong to.
 *
 * The same in all backends and over restarts, until a relation or index is
 * made anew, and within one major version of PostgreSQL.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PLANID_H
#define PERFKIT_PLANID_H

#include "postgres.h"

#include "nodes/plannodes.h"

typedef struct PerfkitPlanId
{
	int64 id;  /* 0: there is no plan */
	int nodes; /* of the whole tree */
} PerfkitPlanId;

/* Reads the plan only: no catalog, no allocation, no error. */
extern PerfkitPlanId perfkit_planid(const PlannedStmt *statement);

#endif /* PERFKIT_PLANID_H */
