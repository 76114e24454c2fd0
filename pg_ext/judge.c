/*-------------------------------------------------------------------------
 * judge.c
 *	  From values to alerts.
 *
 *	  latest values of the metrics in threshold -> alarm.h
 *	      -> a level has changed: row of alert, NOTIFY -> COMMIT -> line in the server log
 *
 * J1  The states in memory change after the commit only: a transaction that fails is done
 *     again with the next sample.  They are built from alert when the worker starts.
 * J2  A clock that is set tells nothing of any series: the times in the states go along
 *     with it, and rows of the time that comes again are not looked at again.
 *-------------------------------------------------------------------------
 */
#include "judge.h"

#include <math.h>

#include "access/transam.h"
#include "alarm.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "execution.h"
#include "executor/spi.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "query.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

/* How far back the latest value is looked for, at least. */
#define WINDOW_US (INT64CONST(60) * USECS_PER_SEC)

/* The two clocks differ by more only when one was set, or the host was asleep. */
#define CLOCK_SET_US USECS_PER_SEC

/* A series that is well and silent for so long is forgotten. */
#define FORGET_US (INT64CONST(3600) * USECS_PER_SEC)

/* What tells alarms apart. */
typedef struct Series
{
	const char *metric;
	const char *source;
	const char *labels; /* as jsonb prints them */
	const char *direction;
} Series;

typedef struct Entry
{
	uint64 hash; /* of the series; the key */
	Series series;
	PerfkitAlarmRule rule; /* as of the last value */
	PerfkitAlarm alarm;
	int64 judged; /* number of the run that gave it a new value */
} Entry;

/* A level that has changed, to be applied after the commit (J1). */
typedef struct Change
{
	Entry *entry;
	PerfkitAlarm next;
	int64 alert_id; /* 0: there is no row to tell of */
} Change;

static HTAB *entries = NULL;
static MemoryContext texts = NULL; /* of the entries */
static List *changes = NIL;
static int64 run_number = 0;
static TimestampTz now_us = 0;
static int64 now_ns = 0; /* the same, by perfkit_clock_ns(); 0: nothing was judged yet */
static FullTransactionId next_xid = {0};  /* when the last run began */
static FullTransactionId first_xid = {0}; /* older rows are of before the clock was set back */


/* ---------------------------------------------------------------- what is known */

static uint64
hash_of(const Series *s)
{
	const char *parts[] = {s->metric, s->source, s->labels, s->direction};
	uint64 hash = 0;

	for (size_t i = 0; i < lengthof(parts); i++)
		hash = hash_combine64(
			hash, hash_bytes_extended((const unsigned char *) parts[i], (int) strlen(parts[i]), 0));
	return hash;
}


static Entry *
entry_of(const Series *s)
{
	uint64 hash = hash_of(s);
	bool found;
	Entry *entry = hash_search(entries, &hash, HASH_ENTER, &found);

	if (found)
		return entry;
	memset((char *) entry + sizeof(hash), 0, sizeof(*entry) - sizeof(hash));
	entry->series.metric = MemoryContextStrdup(texts, s->metric);
	entry->series.source = MemoryContextStrdup(texts, s->source);
	entry->series.labels = MemoryContextStrdup(texts, s->labels);
	entry->series.direction = MemoryContextStrdup(texts, s->direction);
	return entry;
}


static void
forget(Entry *entry)
{
	pfree((char *) entry->series.metric);
	pfree((char *) entry->series.source);
	pfree((char *) entry->series.labels);
	pfree((char *) entry->series.direction);
	(void) hash_search(entries, &entry->hash, HASH_REMOVE, NULL);
}


/* ---------------------------------------------------------------- rows */

static char *
text_at(uint64 row, int column)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value != NULL ? value : "";
}


/* NULL is `none`. */
static double
number_at(uint64 row, int column, double none)
{
	bool null;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &null);

	return null ? none : DatumGetFloat8(value);
}


/* NULL is 0. */
static int64
integer_at(uint64 row, int column)
{
	bool null;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &null);

	return null ? 0 : DatumGetInt64(value);
}


static Series
series_at(uint64 row)
{
	return (Series){text_at(row, 1), text_at(row, 2), text_at(row, 3), text_at(row, 4)};
}


/* What the alerts say that others have left behind. */
static void
load(void)
{
	HASHCTL how = {.keysize = sizeof(uint64), .entrysize = sizeof(Entry), .hcxt = TopMemoryContext};

	if (texts == NULL)
		texts = AllocSetContextCreate(TopMemoryContext, "perfkit alarms", ALLOCSET_DEFAULT_SIZES);
	perfkit_query_run("SELECT DISTINCT ON (metric, source, labels, direction)"
					  " metric, source, labels::text, direction,"
					  " CASE WHEN resolved_at IS NULL THEN level ELSE 'ok' END,"
					  " value, updated_at, resolved_at FROM perfkit.alert"
					  " WHERE resolved_at IS NULL OR resolved_at > now() - interval '1 day'"
					  " ORDER BY metric, source, labels, direction, alert_id DESC",
					  NULL);
	entries = hash_create("perfkit alarms", 256, &how, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Series series = series_at(i);
		PerfkitAlarm *alarm = &entry_of(&series)->alarm;

		alarm->level = perfkit_alarm_level_by_name(text_at(i, 5));
		alarm->value = number_at(i, 6, 0);
		alarm->last_us = integer_at(i, 7);
		alarm->resolved_us = integer_at(i, 8);
	}
}


/* ---------------------------------------------------------------- changes */

/* The level that the value has crossed, for the reader. */
static double
level_crossed(const PerfkitAlarmRule *rule, PerfkitAlarmLevel level)
{
	return level == PERFKIT_ALARM_CRITICAL ? rule->critical : rule->warning;
}


/* Writes the row of a change and tells who listens; both happen with the commit. */
static int64
write_change(const Entry *entry, const PerfkitAlarm *next)
{
	bool over = next->level == PERFKIT_ALARM_OK;
	double crossed = level_crossed(&entry->rule, over ? entry->alarm.level : next->level);
	PerfkitQuery q = {0};

	perfkit_query_add_text(&q, entry->series.metric);
	perfkit_query_add_text(&q, entry->series.source);
	perfkit_query_add_text(&q, entry->series.labels);
	perfkit_query_add_text(&q, entry->series.direction);
	perfkit_query_add_text(&q, perfkit_alarm_level_name(next->level));
	perfkit_query_add_text(&q, perfkit_alarm_level_name(entry->alarm.level));
	perfkit_query_add(&q, FLOAT8OID, Float8GetDatum(next->value), false);
	perfkit_query_add(&q, FLOAT8OID, Float8GetDatum(crossed), isnan(crossed));
	perfkit_query_add_time(&q, now_us);
	perfkit_query_run("SELECT perfkit._alert_changed($1, $2, $3::jsonb, $4, $5, $6, $7, $8, $9)",
					  &q);
	return SPI_processed == 1 ? integer_at(0, 1) : 0;
}


/* The alarm's next state; if its level is another, that is written. */
static void
change(Entry *entry, const PerfkitAlarm *next)
{
	MemoryContext old = MemoryContextSwitchTo(texts);
	Change *c = palloc(sizeof(Change));

	*c = (Change){.entry = entry, .next = *next};
	changes = lappend(changes, c);
	MemoryContextSwitchTo(old);
	if (next->level != entry->alarm.level)
		c->alert_id = write_change(entry, next);
}


static const char *
what_happened(PerfkitAlarmLevel before, PerfkitAlarmLevel after)
{
	if (before == PERFKIT_ALARM_OK)
		return "opened";
	if (after == PERFKIT_ALARM_OK)
		return "resolved";
	return after > before ? "escalated" : "eased";
}


/* Committed: J1. */
static void
apply(void)
{
	ListCell *lc;

	foreach (lc, changes)
	{
		Change *c = lfirst(lc);
		const Series *s = &c->entry->series;

		if (c->alert_id != 0)
			ereport(LOG, (errmsg("perfkit: alert " INT64_FORMAT " %s: %s %s %s is %s at %g",
								 c->alert_id, what_happened(c->entry->alarm.level, c->next.level),
								 s->source, s->metric, s->labels,
								 perfkit_alarm_level_name(c->next.level), c->next.value),
						  errhidestmt(true), errhidecontext(true)));
		c->entry->alarm = c->next;
	}
	list_free_deep(changes);
	changes = NIL;
}


/* ---------------------------------------------------------------- judging */

/* Columns of the query below, behind those of a series. */
enum
{
	COLUMN_VALUE = 5,
	COLUMN_AT,
	COLUMN_WARNING,
	COLUMN_CRITICAL,
	COLUMN_CLEAR_WARNING,
	COLUMN_CLEAR_CRITICAL,
	COLUMN_FOR,
	COLUMN_COOLDOWN,
	COLUMN_NO_DATA,
	COLUMN_MIN_SAMPLES
};

static PerfkitAlarmRule
rule_at(uint64 row)
{
	return (PerfkitAlarmRule){
		.below = strcmp(text_at(row, 4), "below") == 0,
		.warning = number_at(row, COLUMN_WARNING, NAN),
		.critical = number_at(row, COLUMN_CRITICAL, NAN),
		.clear_warning = number_at(row, COLUMN_CLEAR_WARNING, NAN),
		.clear_critical = number_at(row, COLUMN_CLEAR_CRITICAL, NAN),
		.for_us = integer_at(row, COLUMN_FOR),
		.cooldown_us = integer_at(row, COLUMN_COOLDOWN),
		.no_data_us = integer_at(row, COLUMN_NO_DATA),
		.min_samples = (int) integer_at(row, COLUMN_MIN_SAMPLES),
	};
}


/* Reads the clocks; J2. */
static void
heed_clock(void)
{
	TimestampTz last_us = now_us;
	int64 last_ns = now_ns;
	HASH_SEQ_STATUS scan;
	Entry *entry;
	int64 jump_us;

	now_us = GetCurrentTimestamp();
	now_ns = perfkit_clock_ns();
	jump_us = (now_us - last_us) - (now_ns - last_ns) / 1000;
	if (last_ns == 0 || entries == NULL || (jump_us < CLOCK_SET_US && jump_us > -CLOCK_SET_US))
		return;
	if (jump_us < 0)
		first_xid = next_xid;
	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		perfkit_alarm_shift(&entry->alarm, jump_us);
}


/* A value is old when there was one as new; one from the future means that the clock was set back.
 */
static bool
is_news(const PerfkitAlarm *alarm, int64 at_us)
{
	return at_us > alarm->last_us || alarm->last_us > now_us;
}


static void
judge_values(bool of_server)
{
	PerfkitQuery q = {0};
	SPITupleTable *table;
	uint64 n;

	perfkit_query_add_time(&q,
						   now_us - Max(WINDOW_US, 3 * perfkit_sample_interval * USECS_PER_SEC));
	perfkit_query_add_time(&q, now_us);
	perfkit_query_add(&q, XID8OID, FullTransactionIdGetDatum(first_xid), false);
	perfkit_query_add(&q, BOOLOID, BoolGetDatum(of_server), false);
	perfkit_query_run("SELECT * FROM perfkit._watched($1, $2, $3, $4)", &q);
	table = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		PerfkitAlarm next;
		Series series;
		Entry *entry;

		SPI_tuptable = table;
		series = series_at(i);
		entry = entry_of(&series);
		entry->rule = rule_at(i);
		next = entry->alarm;
		if (!is_news(&next, integer_at(i, COLUMN_AT)))
			continue;
		entry->judged = run_number;
		(void) perfkit_alarm_value(&next, &entry->rule, integer_at(i, COLUMN_AT),
								   number_at(i, COLUMN_VALUE, NAN));
		change(entry, &next);
	}
}


/* Is there still a threshold for it? */
static bool
is_watched(const Series *s)
{
	PerfkitQuery q = {0};

	perfkit_query_add_text(&q, s->metric);
	perfkit_query_add_text(&q, s->labels);
	perfkit_query_add_text(&q, s->direction);
	perfkit_query_run("SELECT FROM perfkit.threshold WHERE enabled AND metric = $1"
					  " AND $2::jsonb @> labels AND direction = $3",
					  &q);
	return SPI_processed > 0;
}


/* One that has got no value this time. */
static void
judge_silence(Entry *entry, bool of_server)
{
	PerfkitAlarm next = entry->alarm;
	bool foreign = !of_server && strcmp(entry->series.source, "server") == 0;

	if (next.level == PERFKIT_ALARM_OK && (entry->rule.no_data_us == 0 || foreign))
	{
		/* resolved_us counts for the cooldown of a series that may come back. */
		if (now_us - Max(next.last_us, next.resolved_us) > FORGET_US)
			forget(entry);
		return;
	}
	if (foreign || !is_watched(&entry->series))
	{
		if (perfkit_alarm_end(&next, now_us))
			change(entry, &next);
		else
			forget(entry);
	}
	else if (perfkit_alarm_silence(&next, &entry->rule, now_us))
		change(entry, &next);
}


static void
judge_silent(bool of_server)
{
	HASH_SEQ_STATUS scan;
	Entry *entry;

	hash_seq_init(&scan, entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->judged != run_number)
			judge_silence(entry, of_server);
	}
}


void
perfkit_judge_run(bool of_server)
{
	FullTransactionId upcoming;

	heed_clock();
	run_number++;
	list_free_deep(changes);
	changes = NIL;
	perfkit_query_begin("perfkit: judging");
	upcoming = ReadNextFullTransactionId(); /* what comes later is not seen in this run */
	if (entries == NULL)
		load();
	judge_values(of_server);
	judge_silent(of_server);
	perfkit_query_end();
	next_xid = upcoming;
	apply();
}
