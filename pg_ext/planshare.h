/*-------------------------------------------------------------------------
 * planshare.h
 *	  The plans of expensive statements that run now, where others can read
 *	  them: for active_queries, and for the rows of statements that run long.
 *
 *	  backend: put -> (put again, with what is known at the threshold) -> forget
 *	  others:                    read
 *
 * A backend shows one plan at a time, that of its client's statement.  The texts
 * share perfkit.live_plan_memory; where there is no room a plan is not shown,
 * which is counted (live_plans_refused).  Nobody waits for anybody.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PLANSHARE_H
#define PERFKIT_PLANSHARE_H

#include "content.h"
#include "shmem.h"

/* A plan as a reader found it. */
typedef struct PerfkitPlanShown
{
	int64 plan_id;
	PerfkitPlanKind kind;
	uint32 length;
	char *text; /* as in plan.h, terminated; palloc'ed */
} PerfkitPlanShown;

/* Bytes of shared memory, and their start; for shmem.c. */
extern Size perfkit_planshare_memory(void);
extern void perfkit_planshare_init(void *memory, bool fresh);

/* Shows the plan in `content` as that of the statement that runs under `serial` (slot.h). */
extern void perfkit_planshare_put(PerfkitDatabase *db, uint32 serial,
								  const PerfkitContent *content);

/* Whose plan this backend shows, or NULL; to be compared only. */
extern const PerfkitContent *perfkit_planshare_content;

/* Takes the plan away. */
extern void perfkit_planshare_clear(void);

/* The content is about to go. */
static inline void
perfkit_planshare_forget(const PerfkitContent *content)
{
	if (perfkit_planshare_content == content)
		perfkit_planshare_clear();
}

/*
 * The plan of what runs under `serial` in the slot of this index; false when
 * none is shown, or it changes all the time.
 */
extern bool perfkit_planshare_read(int index, uint32 serial, PerfkitPlanShown *out);

#endif /* PERFKIT_PLANSHARE_H */
