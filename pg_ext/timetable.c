/*-------------------------------------------------------------------------
 * timetable.c
 *	  Schedules with PostgreSQL's zones, and perfkit.next_runs().
 *-------------------------------------------------------------------------
 */
#include "timetable.h"

#include <ctype.h>

#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define EPOCH_SHIFT ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)
#define MAX_NEXT_RUNS 10000

PG_FUNCTION_INFO_V1(perfkit_next_runs);


static int64
to_unix(TimestampTz at)
{
	int64 seconds = at / USECS_PER_SEC;

	if (at % USECS_PER_SEC < 0)
		seconds--;
	return seconds + EPOCH_SHIFT;
}


static TimestampTz
from_unix(int64 seconds)
{
	return (seconds - EPOCH_SHIFT) * USECS_PER_SEC;
}


void
perfkit_timetable_parse(const char *schedule, PerfkitCron *cron)
{
	PerfkitCronError error;

	if (perfkit_cron_parse(schedule, cron, &error))
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid schedule \"%s\": %s, at character %d", schedule, error.message,
						   pg_mbstrlen_with_len(schedule, error.position) + 1),
					error.hint != NULL ? errhint("%s", error.hint) : 0));
}


/* "GMT+2" is two hours west of Greenwich; Etc/GMT+2 too, but that is its name. */
static bool
looks_like_offset(const char *name)
{
	const char *p = name;

	if (pg_strncasecmp(name, "Etc/", 4) == 0)
		return false;
	for (; *p != '\0'; p++)
	{
		if ((*p == '+' || *p == '-') && isdigit((unsigned char) p[1]))
			return true;
	}
	return isdigit((unsigned char) name[0]) || name[0] == '<';
}


pg_tz *
perfkit_timetable_zone(const char *name, bool complain)
{
	pg_tz *zone = looks_like_offset(name) ? NULL : pg_tzset(name);

	if (zone != NULL && !pg_tz_acceptable(zone))
		zone = NULL;
	if (zone == NULL && complain)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" is not the name of a time zone", name),
						errhint("Give a full name, as in Europe/Berlin; pg_timezone_names lists "
								"them.")));
	return zone;
}


/* What PerfkitCronZone wants. */
static int32_t
offset_at(const void *arg, int64_t at, int64_t *until)
{
	const pg_tz *zone = arg;
	pg_time_t moment = at;
	pg_time_t boundary;
	long before;
	long after;
	int before_dst;
	int after_dst;
	int found =
		pg_next_dst_boundary(&moment, &before, &before_dst, &boundary, &after, &after_dst, zone);

	*until = found == 1 ? boundary : PERFKIT_CRON_NEVER;
	return found >= 0 ? (int32_t) before : 0;
}


bool
perfkit_timetable_next(const PerfkitTimetable *timetable, TimestampTz after, TimestampTz *next)
{
	PerfkitCronZone zone = {.offset = offset_at, .zone = timetable->zone};
	int64_t found;

	/* counted from the end of a run, to the microsecond */
	if (timetable->cron.kind == PERFKIT_CRON_AFTER)
	{
		*next = after + timetable->cron.period * USECS_PER_SEC;
		return IS_VALID_TIMESTAMP(*next);
	}
	if (!perfkit_cron_next(&timetable->cron, to_unix(after), &zone, &found) ||
		found - EPOCH_SHIFT >= END_TIMESTAMP / USECS_PER_SEC)
		return false;
	*next = from_unix(found);
	return true;
}


/* perfkit.next_runs(schedule, n, since, timezone): what a schedule means, one row a run. */
Datum
perfkit_next_runs(PG_FUNCTION_ARGS)
{
	PerfkitTimetable timetable = {.zone = session_timezone};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int32 n;
	TimestampTz at;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return (Datum) 0;
	perfkit_timetable_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &timetable.cron);
	n = PG_GETARG_INT32(1);
	at = PG_GETARG_TIMESTAMPTZ(2);
	if (!PG_ARGISNULL(3))
		timetable.zone = perfkit_timetable_zone(text_to_cstring(PG_GETARG_TEXT_PP(3)), true);
	if (n < 0 || n > MAX_NEXT_RUNS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("n must be between 0 and %d", MAX_NEXT_RUNS)));
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("since must be finite")));
	if (timetable.cron.kind == PERFKIT_CRON_ON_CHANGE ||
		timetable.cron.kind == PERFKIT_CRON_DOWNSTREAM)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("this schedule has no times of its own")));
	for (int i = 0; i < n && perfkit_timetable_next(&timetable, at, &at); i++)
	{
		Datum value = TimestampTzGetDatum(at);
		bool null = false;

		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, &value, &null);
	}
	return (Datum) 0;
}
