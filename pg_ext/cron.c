/*-------------------------------------------------------------------------
 * cron.c
 *	  The next run of a schedule.
 *
 * A zone is a row of spans with one offset from UTC each.  Within a span local
 * time is UTC plus the offset, and matching is plain calendar arithmetic
 * (cronday.h); what is special about clock changes happens only where one span
 * follows another.  So the work is by days and spans, never by minutes.
 *-------------------------------------------------------------------------
 */
#include "cron.h"

#include "cronday.h"

#define HOUR INT64_C(3600)

/* A change of the clock of this much is a correction, not summer time. */
#define CORRECTION (3 * HOUR)

/* The calendar repeats itself after 400 years: what has not come by then, never does. */
#define HORIZON (INT64_C(146097) * 86400)


static int64_t
next_multiple(int64_t after, int64_t period)
{
	int64_t rest = after % period;

	return after - (rest < 0 ? rest + period : rest) + period;
}


static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}


static bool
next_by_fields(const PerfkitCron *cron, int64_t after, const PerfkitCronZone *zone, int64_t *next)
{
	int64_t horizon = after + HORIZON;
	int64_t at = after - CORRECTION; /* early enough to see a change whose hour is repeated now */
	int64_t served = INT64_MIN;      /* local times before it have had their run in the last span */
	int64_t until;
	int64_t local;
	int32_t offset = zone->offset(zone->zone, at, &until);

	while (at <= horizon)
	{
		int64_t end = until < horizon ? until : horizon + 1;
		int64_t from = larger(at, after + 1) + offset;
		int64_t next_until;
		int32_t next_offset;
		int64_t shift;

		if (perfkit_cronday_first(cron, larger(from, served), end + offset, &local))
		{
			*next = local - offset;
			return true;
		}
		if (until > horizon)
			return false;
		next_offset = zone->offset(zone->zone, until, &next_until);
		shift = (int64_t) next_offset - offset;
		if (cron->fixed && shift > 0 && shift < CORRECTION && until > after &&
			perfkit_cronday_first(cron, until + offset, until + next_offset, &local))
		{
			*next = until;
			return true;
		}
		if (cron->fixed && shift < 0 && shift > -CORRECTION)
			served = until + offset;
		else if (shift != 0)
			served = INT64_MIN;
		at = until;
		until = next_until;
		offset = next_offset;
	}
	return false;
}


bool
perfkit_cron_next(const PerfkitCron *cron, int64_t after, const PerfkitCronZone *zone,
				  int64_t *next)
{
	switch (cron->kind)
	{
		case PERFKIT_CRON_FIELDS:
			return next_by_fields(cron, after, zone, next);
		case PERFKIT_CRON_EVERY:
			*next = next_multiple(after, cron->period);
			return true;
		case PERFKIT_CRON_AFTER:
			*next = after + cron->period;
			return true;
		case PERFKIT_CRON_ON_CHANGE:
		case PERFKIT_CRON_DOWNSTREAM:
			break;
	}
	return false;
}


int64_t
perfkit_cron_spread(int64_t schedule, int64_t slot, int64_t window)
{
	uint64_t x = (uint64_t) schedule * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t) slot;

	/* the finalizer of splitmix64 (Steele, Lea, Flood 2014) */
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return window > 0 ? (int64_t) (x % (uint64_t) window) : 0;
}
