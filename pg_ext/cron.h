/*-------------------------------------------------------------------------
 * cron.h
 *	  When to run: text of a schedule -> struct -> next run after a moment.
 *
 *	  0 3 * * 1-5          cron's five fields: minute hour day month weekday
 *	  0 4 $ * *            $ or L: the last day of the month
 *	  @hourly @daily ...   names for the usual ones
 *	  every 30 seconds     at multiples of it since 1970-01-01 00:00 UTC; every may be left out
 *	  after 5 minutes      counted from the end of the last run
 *	  on change, downstream   no times of their own
 *
 * Days: when neither the day of the month nor the weekday begins with *, either
 * may match (cron(5)); else both must.
 *
 * Clock changes, as cron(8) of Debian has them.  Of less than three hours: a
 * schedule with fixed hours and minutes that falls into the hour left out runs
 * once, at the change; in an hour that comes twice it runs the first time only.
 * One whose minute or hour begins with * follows the clock, so that * * * * *
 * is every minute.  Larger changes are corrections of the calendar: what was
 * left out is left out.
 *
 * Pure: no allocation, no clock, no zone of its own.  Times are seconds since
 * 1970-01-01 00:00 UTC; local times are the same number for the local clock.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_CRON_H
#define PERFKIT_CRON_H

#include <stdbool.h>
#include <stdint.h>

#define PERFKIT_CRON_NEVER INT64_MAX

typedef enum PerfkitCronKind
{
	PERFKIT_CRON_FIELDS,
	PERFKIT_CRON_EVERY,
	PERFKIT_CRON_AFTER,
	PERFKIT_CRON_ON_CHANGE,
	PERFKIT_CRON_DOWNSTREAM
} PerfkitCronKind;

typedef struct PerfkitCron
{
	PerfkitCronKind kind;
	int64_t period; /* of EVERY and AFTER, seconds */

	/* of FIELDS: a bit for each value that matches */
	uint64_t minutes;
	uint32_t hours;
	uint32_t days; /* bits 1 to 31 */
	uint32_t months;
	uint32_t weekdays; /* Sunday is bit 0 */
	bool last_day;     /* and the last day of each month */
	bool either_day;   /* day or weekday suffices */
	bool fixed;        /* neither minute nor hour begins with * */
} PerfkitCron;

typedef struct PerfkitCronError
{
	int position;      /* byte in the text, from 0 */
	char message[128]; /* without the text itself */
	const char *hint;  /* may be NULL */
} PerfkitCronError;

/* The offset from UTC in force at a moment, and until when it is (PERFKIT_CRON_NEVER: for ever). */
typedef struct PerfkitCronZone
{
	int32_t (*offset)(const void *zone, int64_t at, int64_t *until);
	const void *zone;
} PerfkitCronZone;

/* False, and *error filled, for a text that is none of the above or can never match. */
extern bool perfkit_cron_parse(const char *text, PerfkitCron *cron, PerfkitCronError *error);

/*
 * The first run later than `after`; for AFTER the last run's end is given.
 * False for kinds without times of their own, and past the end of the calendar.
 */
extern bool perfkit_cron_next(const PerfkitCron *cron, int64_t after, const PerfkitCronZone *zone,
							  int64_t *next);

/*
 * A delay from 0 to window - 1 that is always the same for this schedule and slot and spreads
 * different ones evenly.  `window` has the unit of the result; 0 gives 0.
 */
extern int64_t perfkit_cron_spread(int64_t schedule, int64_t slot, int64_t window);

#endif /* PERFKIT_CRON_H */
