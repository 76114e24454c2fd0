/*-------------------------------------------------------------------------
 * content.h
 *	  What a captured statement was executed with: its bind values and its plan.
 *
 * Taken while the statement's memory is there, which may be long before its row
 * is made (commit.h).  Comes from malloc() and belongs to its execution.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_CONTENT_H
#define PERFKIT_CONTENT_H

#include "execution.h"

struct PerfkitContent
{
	bool has_parameters;
	bool parameters_cut;
	Size parameters_length;
	char *parameters; /* as in parameters.h */

	int64 plan_id; /* 0: none */
	PerfkitPlanKind plan_kind;
	bool plan_cut; /* it was too large, or would have been */
	Size plan_length;
	char *plan; /* as in plan.h, not terminated; NULL: none */
};

/*
 * The statement has succeeded and is slow.  May throw a cancel, nothing else;
 * `snapshot` may be InvalidSnapshot.
 */
extern void perfkit_content_take_parameters(PerfkitExecution *e, Snapshot snapshot);

/*
 * Its plan, of this kind, and the id of it; an estimate at any time, the others as
 * in plan.h.  What fails is counted, and what was taken before stays.  May throw a
 * cancel, nothing else.
 */
extern void perfkit_content_take_plan(PerfkitDatabase *db, PerfkitExecution *e,
									  QueryDesc *query_desc, PerfkitPlanKind kind);

/* Whether one was taken, or found too large. */
extern bool perfkit_content_has_plan(const PerfkitExecution *e);

/* The id alone; never raises. */
extern void perfkit_content_take_plan_id(PerfkitExecution *e, const PlannedStmt *plan);

/* The statement has failed: what can be told without catalogs and allocation. */
extern void perfkit_content_take_failed(PerfkitExecution *e);

/* Gives back what the execution has; harmless when that is nothing. */
extern void perfkit_content_free(PerfkitExecution *e);

#endif /* PERFKIT_CONTENT_H */
