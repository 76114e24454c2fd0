/*-------------------------------------------------------------------------
 * cronday.h
 *	  The calendar below cron.h: local times that a schedule's fields match.
 *	  Pure; knows nothing of zones.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_CRONDAY_H
#define PERFKIT_CRONDAY_H

#include "cron.h"

/* Whether any day of the calendar matches. */
extern bool perfkit_cronday_possible(const PerfkitCron *cron);

/*
 * The first matching minute from `from` on and before `limit`, in local seconds; false if
 * there is none.  Looks at days, not at minutes.
 */
extern bool perfkit_cronday_first(const PerfkitCron *cron, int64_t from, int64_t limit,
								  int64_t *found);

#endif /* PERFKIT_CRONDAY_H */
