/*-------------------------------------------------------------------------
 * partition.c
 *	  Partitions made ahead and dropped by age: of a day each, of hours four weeks.
 *
 *	  create: CREATE TABLE day (LIKE parent) -> member of the extension -> ATTACH
 *	  client: log_metric() makes the day itself if the worker has not been there
 *	  drop:   both locks without waiting -> released by the extension -> DROP
 *	          by age, or the oldest while all are larger than the log may be
 *
 * Members of the extension are not dumped and go with DROP EXTENSION; a member
 * cannot be dropped, so it is released first.  ATTACH lets readers and writers
 * of the parent go on, CREATE ... PARTITION OF would not.
 *-------------------------------------------------------------------------
 */
#include "partition.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "pgstat.h"
#include "query.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define SCHEMA "perfkit"

/* One partitioned table: its name and the settings that end its rows' lives. */
typedef struct Log
{
	const char *table;
	int days;               /* of a partition; they are counted from 2000-01-01 */
	const int *retention;   /* minutes; 0: for ever */
	const int *max_size_kb; /* 0: any; NULL: there is no such setting */
} Log;

static const Log logs[] = {
	{"slow_query_log", 1, &perfkit_slow_query_retention, &perfkit_slow_query_max_size},
	{"performance_log", 1, &perfkit_performance_retention, NULL},
	{"performance_rollup_minute", 1, &perfkit_rollup_minute_retention, NULL},
	{"statement_rollup", 1, &perfkit_statement_history_retention, NULL},
	{"performance_rollup_hour", 28, &perfkit_rollup_hour_retention, NULL},
};
static const Log *const slow_query_log = &logs[0];
static const Log *const performance_log = &logs[1];


static bool full = false; /* slow_query_log has no room left, at the last upkeep */

/* Settings of a session that say where its new tables go, and their defaults. */
static const struct
{
	const char *setting;
	const char *value;
} places[] = {
	{"default_tablespace", ""},
	{"default_table_access_method", DEFAULT_TABLE_ACCESS_METHOD},
};


/* Days since 2000-01-01 UTC, rounded down. */
static int
day_of(TimestampTz at)
{
	int64 day = at / USECS_PER_DAY;

	return (int) (at % USECS_PER_DAY < 0 ? day - 1 : day);
}


/* The first day of the partition that a day belongs to. */
static int
first_day(const Log *log, int day)
{
	int beyond = day % log->days;

	return day - (beyond < 0 ? beyond + log->days : beyond);
}


static void
append_date(StringInfo out, int day, const char *separator)
{
	int year;
	int month;
	int mday;

	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	appendStringInfo(out, "%04d%s%02d%s%02d", year, separator, month, separator, mday);
}


static char *
partition_name(const char *table, int day)
{
	StringInfoData name;

	initStringInfo(&name);
	appendStringInfo(&name, "%s_", table);
	append_date(&name, day, "");
	return name.data;
}


/* The day in a partition's name; false when it is no partition of ours. */
static bool
day_in_name(const char *table, const char *name, int *day)
{
	Size prefix = strlen(table);
	int year;
	int month;
	int mday;
	char rest;

	if (strncmp(name, table, prefix) != 0 ||
		sscanf(name + prefix, "_%4d%2d%2d%c", &year, &month, &mday, &rest) != 3)
		return false;
	*day = date2j(year, month, mday) - POSTGRES_EPOCH_JDATE;
	return true;
}


static void
run(const char *command)
{
	int result = SPI_execute(command, false, 0);

	if (result < 0)
		elog(ERROR, "perfkit: SPI failed with %s: %s", SPI_result_code_string(result), command);
}


static bool
exists(const char *table, int day)
{
	Oid schema = get_namespace_oid(SCHEMA, false);

	return OidIsValid(get_relname_relid(partition_name(table, day), schema));
}


/* The partition that begins with this day. */
static void
create(const Log *log, int day)
{
	const char *table = log->table;
	char *name = partition_name(table, day);
	StringInfoData command;

	initStringInfo(&command);
	appendStringInfo(&command, "CREATE TABLE " SCHEMA ".%s (LIKE " SCHEMA ".%s INCLUDING ALL)",
					 name, table);
	run(command.data);
	resetStringInfo(&command);
	appendStringInfo(&command, "ALTER EXTENSION perfkit ADD TABLE " SCHEMA ".%s", name);
	run(command.data);
	resetStringInfo(&command);
	appendStringInfo(&command,
					 "ALTER TABLE " SCHEMA ".%s ATTACH PARTITION " SCHEMA ".%s"
					 " FOR VALUES FROM ('",
					 table, name);
	append_date(&command, day, "-");
	appendStringInfoString(&command, " 00:00:00+00') TO ('");
	append_date(&command, day + log->days, "-");
	appendStringInfoString(&command, " 00:00:00+00')");
	run(command.data);
}


/* The partition that this day belongs to. */
static void
ensure(const Log *log, int day)
{
	day = first_day(log, day);
	if (exists(log->table, day))
		return;

	/* The lock of ATTACH, taken early: one makes it, the others find it made. */
	LockRelationOid(get_relname_relid(log->table, get_namespace_oid(SCHEMA, false)),
					ShareUpdateExclusiveLock);
	if (!exists(log->table, day))
		create(log, day);
}


/* Drops one old partition if nobody uses it or its parent; else counts that: false. */
static bool
retire(PerfkitDatabase *db, Oid parent, Oid partition)
{
	char *name = get_rel_name(partition);

	if (!ConditionalLockRelationOid(parent, AccessExclusiveLock) ||
		!ConditionalLockRelationOid(partition, AccessExclusiveLock))
	{
		perfkit_count(db, PERFKIT_RETENTION_BLOCKED, 1);
		return false;
	}
	run(psprintf("ALTER EXTENSION perfkit DROP TABLE " SCHEMA ".%s", quote_identifier(name)));
	run(psprintf("DROP TABLE " SCHEMA ".%s", quote_identifier(name)));
	return true;
}


/* The oldest partition of days before `before`, or InvalidOid. */
static Oid
oldest_before(const Log *log, Oid parent, int before)
{
	Oid result = InvalidOid;
	ListCell *lc;

	foreach (lc, find_inheritance_children(parent, NoLock))
	{
		char *name = get_rel_name(lfirst_oid(lc));
		int day;

		if (name == NULL || !day_in_name(log->table, name, &day) || day >= before)
			continue;
		before = day;
		result = lfirst_oid(lc);
	}
	return result;
}


/* The oldest partition whose every row is older than the retention, or InvalidOid. */
static Oid
expired(const Log *log, Oid parent, TimestampTz now)
{
	TimestampTz limit = now - *log->retention * USECS_PER_MINUTE;

	if (*log->retention == 0)
		return InvalidOid;
	/* The partition of that day has rows that must stay. */
	return oldest_before(log, parent, first_day(log, day_of(limit)));
}


/* Bytes of all partitions, with indexes; one that somebody has locked counts as empty. */
static int64
size_of(Oid parent)
{
	int64 bytes = 0;
	ListCell *lc;

	foreach (lc, find_inheritance_children(parent, NoLock))
	{
		Oid partition = lfirst_oid(lc);

		if (ConditionalLockRelationOid(partition, AccessShareLock) &&
			get_rel_name(partition) != NULL)
			bytes += DatumGetInt64(
				DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(partition)));
	}
	return bytes;
}


/* Is the log over its size?  Then `partition` is the day to go, InvalidOid if only today is left.
 */
static bool
over_size(const Log *log, Oid parent, TimestampTz now, Oid *partition)
{
	*partition = InvalidOid;
	if (*log->max_size_kb == 0 || size_of(parent) <= *log->max_size_kb * INT64CONST(1024))
		return false;
	*partition = oldest_before(log, parent, day_of(now));
	return true;
}


static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	perfkit_query_hold_extension();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "perfkit: partitions");
}


static void
end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}


/* One old day of one log, in a transaction of its own; true if there may be more. */
static bool
retire_one(PerfkitDatabase *db, const Log *log, TimestampTz now)
{
	Oid parent;
	Oid partition;
	bool dropped = false;

	begin();
	parent = get_relname_relid(log->table, get_namespace_oid(SCHEMA, false));
	partition = OidIsValid(parent) ? expired(log, parent, now) : InvalidOid;
	if (OidIsValid(partition))
		dropped = retire(db, parent, partition);
	end();
	return dropped;
}


/* The same for the day that must go for its size; notes whether that was enough. */
static bool
retire_for_size(PerfkitDatabase *db, const Log *log, TimestampTz now)
{
	Oid parent;
	Oid partition = InvalidOid;
	bool dropped = false;
	bool over;

	if (log->max_size_kb == NULL)
		return false;
	begin();
	parent = get_relname_relid(log->table, get_namespace_oid(SCHEMA, false));
	over = OidIsValid(parent) && over_size(log, parent, now, &partition);
	if (OidIsValid(partition))
		dropped = retire(db, parent, partition);
	end();
	if (dropped)
		perfkit_count(db, PERFKIT_RETENTION_BY_SIZE, 1);
	else if (over && !full)
		ereport(
			WARNING,
			(errmsg("perfkit: %s is as large as perfkit.slow_query_max_size allows", log->table),
			 errdetail("New rows are dropped, and counted as dropped_max_size, until there is "
					   "room."),
			 errhint("Raise the setting, or the threshold; no older day is left to drop, or "
					 "somebody reads it.")));
	full = over;
	return dropped;
}


bool
perfkit_partition_full(void)
{
	return full;
}


void
perfkit_partition_make(TimestampTz now)
{
	int today = day_of(now);

	begin();
	for (size_t i = 0; i < lengthof(logs); i++)
	{
		ensure(&logs[i], today);
		ensure(&logs[i], today + 1);
	}
	end();
}


void
perfkit_partition_retire(PerfkitDatabase *db, TimestampTz now)
{
	for (size_t i = 0; i < lengthof(logs); i++)
	{
		while (retire_one(db, &logs[i], now) || retire_for_size(db, &logs[i], now))
			CHECK_FOR_INTERRUPTS();
	}
}


void
perfkit_partition_for_metric(TimestampTz logged_at)
{
	int day = day_of(logged_at);
	int nest_level;

	/* Where nothing can be written, INSERT has the better words for it. */
	if (XactReadOnly || exists("performance_log", day))
		return;

	/* The table is not the caller's, so neither is the choice of its place. */
	nest_level = NewGUCNestLevel();
	for (size_t i = 0; i < lengthof(places); i++)
		(void) set_config_option(places[i].setting, places[i].value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	ensure(performance_log, day);
	AtEOXact_GUC(true, nest_level);
}


void
perfkit_partition_for_row(TimestampTz started_at)
{
	ensure(slow_query_log, day_of(started_at));
}
