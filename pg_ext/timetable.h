/*-------------------------------------------------------------------------
 * timetable.h
 *	  cron.h for the server: errors are raised, zones are PostgreSQL's.
 *
 * Times here are TimestampTz; runs are at full seconds.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_TIMETABLE_H
#define PERFKIT_TIMETABLE_H

#include "postgres.h"

#include "cron.h"
#include "datatype/timestamp.h"
#include "pgtime.h"

typedef struct PerfkitTimetable
{
	PerfkitCron cron;
	pg_tz *zone;
} PerfkitTimetable;

/* Raises 22023 that says where the text is wrong, and what would be right. */
extern void perfkit_timetable_parse(const char *schedule, PerfkitCron *cron);

/*
 * A zone by its full name.  Abbreviations and the other spellings that look like an offset, whose
 * sign is not what it seems, are refused: NULL, or with `complain` an error.
 */
extern pg_tz *perfkit_timetable_zone(const char *name, bool complain);

/* The first run later than `after`; false when there is none. */
extern bool perfkit_timetable_next(const PerfkitTimetable *timetable, TimestampTz after,
								   TimestampTz *next);

#endif /* PERFKIT_TIMETABLE_H */
