/*-------------------------------------------------------------------------
 * refreshsql.c
 *	  schedule_refresh() and alter_refresh(): what makes sense, and one row written.
 *
 * Nothing here waits for the worker, and nothing touches a row that the worker
 * writes: a transaction left open holds up nobody.  The worker hears of the
 * change at commit, by a trigger (refreshask.c).
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fingerprint.h"
#include "fmgr.h"
#include "follow.h"
#include "method.h"
#include "miscadmin.h"
#include "shmem.h"
#include "storage/lmgr.h"
#include "target.h"
#include "timetable.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(perfkit_schedule_refresh);
PG_FUNCTION_INFO_V1(perfkit_alter_refresh);

#define MAX_INTERVAL_US (INT64CONST(10) * 365 * USECS_PER_DAY)
#define MAX_COUNT 1000000

/* The arguments behind the view, in their order; each is a column of that name. */
typedef struct Option
{
	const char *column;
	Oid type;
	bool required;
	const char *values; /* the only ones, as the error shows them */
} Option;

enum
{
	SCHEDULE,
	TIMEZONE,
	TARGET_LAG,
	METHOD,
	FALLBACK,
	SKIP_UNCHANGED,
	MAX_STALENESS,
	MIN_INTERVAL = 17,
	N_OPTIONS = 22
};

static const Option options[N_OPTIONS] = {
	{"schedule", TEXTOID, false, NULL},
	{"timezone", TEXTOID, false, NULL},
	{"target_lag", INTERVALOID, false, NULL},
	{"method", TEXTOID, true, "auto, concurrently, plain"},
	{"fallback", TEXTOID, true, "never, unpopulated, always"},
	{"skip_unchanged", BOOLOID, true, NULL},
	{"max_staleness", INTERVALOID, false, NULL},
	{"lock_timeout", INTERVALOID, true, NULL},
	{"statement_timeout", INTERVALOID, false, NULL},
	{"max_retries", INT4OID, true, NULL},
	{"retry_delay", INTERVALOID, true, NULL},
	{"suspend_after", INT4OID, true, NULL},
	{"overlap", TEXTOID, true, "skip, queue"},
	{"catch_up", TEXTOID, true, "once, skip"},
	{"jitter", INTERVALOID, true, NULL},
	{"after_action", TEXTOID, true, "none, analyze, vacuum"},
	{"max_runtime", INTERVALOID, false, NULL},
	{"min_interval", INTERVALOID, false, NULL},
	{"on_upstream_failure", TEXTOID, true, "skip, run"},
	{"start_window", INTERVALOID, true, NULL},
	{"priority", INT4OID, true, NULL},
	{"enabled", BOOLOID, true, NULL},
};

/* The values given; those of an absent option are null. */
typedef struct Given
{
	Datum values[N_OPTIONS];
	bool nulls[N_OPTIONS];
} Given;


/* ---------------------------------------------------------------- checking what is given */

static int64
interval_us(const Interval *interval)
{
	int64 days = (int64) interval->month * DAYS_PER_MONTH + interval->day;

	if (days > MAX_INTERVAL_US / USECS_PER_DAY || days < -(MAX_INTERVAL_US / USECS_PER_DAY))
		return -1;
	return days * USECS_PER_DAY + interval->time;
}


static void
check_value(const Option *option, Datum value)
{
	if (option->type == INTERVALOID)
	{
		int64 us = interval_us(DatumGetIntervalP(value));

		if (us < 0 || us > MAX_INTERVAL_US)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s must be between 0 and ten years", option->column)));
	}
	else if (option->type == INT4OID && strcmp(option->column, "priority") != 0)
	{
		if (DatumGetInt32(value) < 0 || DatumGetInt32(value) > MAX_COUNT)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s must be between 0 and %d", option->column, MAX_COUNT)));
	}
	else if (option->values != NULL)
	{
		char *given = TextDatumGetCString(value);
		List *allowed;
		ListCell *lc;

		(void) SplitIdentifierString(pstrdup(option->values), ',', &allowed);
		foreach (lc, allowed)
		{
			if (strcmp(lfirst(lc), given) == 0)
				return;
		}
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid %s \"%s\"", option->column, given),
						errhint("Values are: %s.", option->values)));
	}
}


static void
at_least_a_second(const Given *given, int option)
{
	if (!given->nulls[option] &&
		interval_us(DatumGetIntervalP(given->values[option])) < USECS_PER_SEC)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be at least a second", options[option].column)));
}


static bool
is_on_change(const Given *given)
{
	PerfkitCron cron;

	if (given->nulls[SCHEDULE])
		return false;
	perfkit_timetable_parse(TextDatumGetCString(given->values[SCHEDULE]), &cron);
	return cron.kind == PERFKIT_CRON_ON_CHANGE;
}


/* What is the same for new schedules and changed ones. */
static void
check_given(const Given *given)
{
	bool on_change = is_on_change(given);

	for (int i = 0; i < N_OPTIONS; i++)
	{
		if (!given->nulls[i])
			check_value(&options[i], given->values[i]);
	}
	if (!given->nulls[TIMEZONE])
		(void) perfkit_timetable_zone(TextDatumGetCString(given->values[TIMEZONE]), true);
	at_least_a_second(given, TARGET_LAG);
	at_least_a_second(given, MIN_INTERVAL);
	if (!given->nulls[MIN_INTERVAL] && !on_change &&
		!(given->nulls[SCHEDULE] && given->nulls[TARGET_LAG]))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("min_interval belongs to the schedule \"on change\"")));
	if (!given->nulls[SCHEDULE] && !given->nulls[TARGET_LAG])
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("give either a schedule or a target_lag, not both")));
}


/* And what a new schedule cannot do without. */
static void
check_complete(Given *given)
{
	for (int i = 0; i < N_OPTIONS; i++)
	{
		if (options[i].required && given->nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not be null", options[i].column)));
	}
	if (given->nulls[SCHEDULE] && given->nulls[TARGET_LAG])
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("when shall it be refreshed? give a schedule or a target_lag"),
						errhint("For example: schedule => 'every 5 minutes'.")));
	if (given->nulls[TIMEZONE])
	{
		const char *name = pg_get_timezone_name(session_timezone);

		if (perfkit_timetable_zone(name, false) == NULL)
			name = "UTC";
		given->values[TIMEZONE] = CStringGetTextDatum(name);
		given->nulls[TIMEZONE] = false;
	}
}


/* Who wants changes to decide must have a view that only changes when its tables do. */
static void
check_watchable(const PerfkitTarget *target, const Given *given)
{
	PerfkitLineage *lineage;
	PerfkitFingerprint fingerprint;
	List *relations;
	char *obstacle;
	bool on_change = is_on_change(given);

	if (!on_change &&
		(given->nulls[SKIP_UNCHANGED] || !DatumGetBool(given->values[SKIP_UNCHANGED])))
		return;
	lineage = perfkit_lineage_read(target->view, CurrentMemoryContext, &obstacle);
	if (lineage != NULL &&
		perfkit_fingerprint_read(lineage, target->owner, &fingerprint, &relations, &obstacle))
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("whether materialized view %s has changed cannot be told",
						   quote_qualified_identifier(target->schema, target->name)),
					errdetail("%s", obstacle),
					on_change ? errhint("Give it a schedule of its own, such as every 5 minutes.")
							  : errhint("Without skip_unchanged it is refreshed whenever it is "
										"due.")));
}


/* Nobody should have to find out from a failed run. */
static void
warn_without_index(const PerfkitTarget *target, const Given *given)
{
	PerfkitMethodFacts facts;
	Relation view;

	if (strcmp(TextDatumGetCString(given->values[METHOD]), "plain") == 0 ||
		strcmp(TextDatumGetCString(given->values[FALLBACK]), "always") == 0)
		return;
	if (!ConditionalLockRelationOid(target->view, AccessShareLock))
		return;
	view = try_relation_open(target->view, NoLock);
	if (view == NULL)
		return;
	perfkit_method_facts(view, &facts);
	relation_close(view, NoLock);
	if (!facts.unique_index)
		ereport(WARNING,
				(errmsg("materialized view %s has no unique index on plain columns",
						quote_qualified_identifier(target->schema, target->name)),
				 errdetail("It cannot be refreshed concurrently, and once it is populated it is "
						   "not refreshed in a way that keeps readers waiting unless that is "
						   "allowed."),
				 errhint("Make one with CREATE UNIQUE INDEX, or give method => 'plain' or "
						 "fallback => 'always'.")));
}


/* ---------------------------------------------------------------- writing the row */

static void
take_given(FunctionCallInfo fcinfo, Given *given)
{
	for (int i = 0; i < N_OPTIONS; i++)
	{
		given->nulls[i] = PG_ARGISNULL(i + 1);
		given->values[i] = given->nulls[i] ? (Datum) 0 : PG_GETARG_DATUM(i + 1);
	}
}


#define N_NAMES 3 /* parameters before the options: schema, name, owner */

/* INSERT of a new row, or UPDATE of the one with the id in the last parameter. */
static char *
statement(int64 id, bool keep)
{
	StringInfoData sql;

	initStringInfo(&sql);
	if (id == 0)
	{
		appendStringInfoString(&sql, "INSERT INTO perfkit.refresh_schedule"
									 " (view_schema, view_name, owner_name");
		for (int i = 0; i < N_OPTIONS; i++)
			appendStringInfo(&sql, ", %s", options[i].column);
		appendStringInfoString(&sql, ") VALUES ($1::name, $2::name, $3::name");
		for (int i = 0; i < N_OPTIONS; i++)
			appendStringInfo(&sql, ", $%d", i + 1 + N_NAMES);
		appendStringInfoString(&sql, ") RETURNING schedule_id");
		return sql.data;
	}
	appendStringInfoString(&sql, "UPDATE perfkit.refresh_schedule"
								 " SET view_schema = $1::name, view_name = $2::name,"
								 " owner_name = $3::name,"
								 " changed_at = pg_catalog.clock_timestamp()");
	for (int i = 0; i < N_OPTIONS; i++)
	{
		int parameter = i + 1 + N_NAMES;

		if (!keep)
			appendStringInfo(&sql, ", %s = $%d", options[i].column, parameter);
		else if (i == SCHEDULE || i == TARGET_LAG) /* the one given takes the other's place */
			appendStringInfo(&sql,
							 ", %s = CASE WHEN $%d IS NULL AND $%d IS NULL THEN %s ELSE $%d END",
							 options[i].column, SCHEDULE + 1 + N_NAMES, TARGET_LAG + 1 + N_NAMES,
							 options[i].column, parameter);
		else
			appendStringInfo(&sql, ", %s = COALESCE($%d, %s)", options[i].column, parameter,
							 options[i].column);
	}
	appendStringInfo(&sql, " WHERE schedule_id = $%d RETURNING schedule_id",
					 N_NAMES + N_OPTIONS + 1);
	return sql.data;
}


/* Writes the row; the id of the schedule, or 0 when there was no row with it. */
static int64
write_row(const PerfkitTarget *target, const Given *given, int64 id, bool keep)
{
	Oid types[N_NAMES + N_OPTIONS + 1] = {TEXTOID, TEXTOID, TEXTOID};
	Datum values[N_NAMES + N_OPTIONS + 1];
	char nulls[N_NAMES + N_OPTIONS + 2];
	int n = N_NAMES + N_OPTIONS;

	memset(nulls, ' ', sizeof(nulls));
	nulls[n + 1] = '\0';
	values[0] = CStringGetTextDatum(target->schema);
	values[1] = CStringGetTextDatum(target->name);
	values[2] = CStringGetTextDatum(GetUserNameFromId(target->owner, false));
	for (int i = 0; i < N_OPTIONS; i++)
	{
		types[N_NAMES + i] = options[i].type;
		values[N_NAMES + i] = given->values[i];
		if (given->nulls[i])
			nulls[N_NAMES + i] = 'n';
	}
	types[n] = INT8OID;
	values[n] = Int64GetDatum(id);
	perfkit_target_run(statement(id, keep), id == 0 ? n : n + 1, types, values, nulls);
	return perfkit_target_answer();
}


static void
bind_new(int64 id, Oid view)
{
	Oid types[] = {INT8OID, OIDOID};
	Datum values[] = {Int64GetDatum(id), ObjectIdGetDatum(view)};

	perfkit_target_run("INSERT INTO perfkit.refresh_state (schedule_id, view_oid) VALUES ($1, $2)",
					   lengthof(types), types, values, NULL);
}


/*
 * What both functions begin with: everything is checked, the caller is the view's owner and the
 * only one who writes its schedule until the transaction ends.  Then with the rights of the
 * extension: the schedule's id, or 0.
 */
static int64
open_call(FunctionCallInfo fcinfo, bool complete, Given *given, PerfkitTarget *target,
		  PerfkitRights *rights)
{
	perfkit_shmem_require();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("view must not be null")));
	take_given(fcinfo, given);
	check_given(given);
	if (complete)
		check_complete(given);
	(void) perfkit_target_find(PG_GETARG_TEXT_PP(0), false, target);
	perfkit_target_check_owner(target->owner);
	check_watchable(target, given);
	if (complete)
		warn_without_index(target, given);
	perfkit_target_lock(target->view);
	perfkit_target_take_rights(rights);
	return perfkit_target_schedule(target);
}


Datum
perfkit_schedule_refresh(PG_FUNCTION_ARGS)
{
	Given given;
	PerfkitTarget target;
	PerfkitRights rights;
	int64 id = open_call(fcinfo, true, &given, &target, &rights);

	if (id == 0)
	{
		perfkit_follow_names();
		id = write_row(&target, &given, 0, false);
		bind_new(id, target.view);
	}
	else
		id = write_row(&target, &given, id, false);
	perfkit_target_drop_rights(&rights);
	PG_RETURN_INT64(id);
}


Datum
perfkit_alter_refresh(PG_FUNCTION_ARGS)
{
	Given given;
	PerfkitTarget target;
	PerfkitRights rights;
	int64 id = open_call(fcinfo, false, &given, &target, &rights);

	if (id != 0)
		id = write_row(&target, &given, id, true);
	perfkit_target_drop_rights(&rights);
	if (id == 0)
		perfkit_target_no_schedule(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_INT64(id);
}
