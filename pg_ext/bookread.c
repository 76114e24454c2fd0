/*-------------------------------------------------------------------------
 * bookread.c
 *	  What the tables of scheduling hold, as structs (book.h).
 *-------------------------------------------------------------------------
 */
#include "book.h"

#include "access/xact.h"
#include "compat.h"
#include "executor/spi.h"
#include "follow.h"
#include "query.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"


/* A row being read, column after column. */
typedef struct Reader
{
	HeapTuple tuple;
	TupleDesc desc;
	int column;
} Reader;

static Datum
next_datum(Reader *r, bool *null)
{
	return SPI_getbinval(r->tuple, r->desc, ++r->column, null);
}


static int64
next_int8(Reader *r, int64 when_null)
{
	bool null;
	Datum value = next_datum(r, &null);

	return null ? when_null : DatumGetInt64(value);
}


static int
next_int4(Reader *r)
{
	bool null;
	Datum value = next_datum(r, &null);

	return null ? 0 : DatumGetInt32(value);
}


static bool
next_bool(Reader *r)
{
	bool null;
	Datum value = next_datum(r, &null);

	return !null && DatumGetBool(value);
}


static Oid
next_oid(Reader *r)
{
	bool null;
	Datum value = next_datum(r, &null);

	return null ? InvalidOid : DatumGetObjectId(value);
}


static TimestampTz
next_time(Reader *r)
{
	return (TimestampTz) next_int8(r, 0);
}


static void
next_name(Reader *r, NameData *name)
{
	bool null;
	Datum value = next_datum(r, &null);

	memset(name, 0, sizeof(*name));
	if (!null)
		namestrcpy(name, NameStr(*DatumGetName(value)));
}


/* The place of a word in a list that ends with NULL; 0 for one that is not there. */
static int
next_choice(Reader *r, const char *const *words)
{
	char *word = SPI_getvalue(r->tuple, r->desc, ++r->column);

	for (int i = 0; word != NULL && words[i] != NULL; i++)
	{
		if (strcmp(word, words[i]) == 0)
			return i;
	}
	return 0;
}


/* Milliseconds of a timeout. */
static int
next_ms(Reader *r)
{
	int64 ms = next_int8(r, 0) / 1000;

	return (int) Min(ms, INT_MAX);
}


/* False for what makes no sense here (another server's zone); no schedule is a target_lag. */
static bool
next_timetable(Reader *r, PerfkitTimetable *timetable)
{
	char *schedule = SPI_getvalue(r->tuple, r->desc, ++r->column);
	char *zone = SPI_getvalue(r->tuple, r->desc, ++r->column);
	PerfkitCronError error;

	timetable->zone = zone != NULL ? perfkit_timetable_zone(zone, false) : NULL;
	if (schedule != NULL && timetable->zone != NULL &&
		perfkit_cron_parse(schedule, &timetable->cron, &error))
		return true;
	memset(&timetable->cron, 0, sizeof(timetable->cron));
	timetable->cron.kind = PERFKIT_CRON_DOWNSTREAM;
	return schedule == NULL;
}


/* In the order of the columns of load_schedules. */
static PerfkitBookRow *
read_row(Reader *r)
{
	static const char *const methods[] = {"auto", "concurrently", "plain", NULL};
	static const char *const fallbacks[] = {"never", "unpopulated", "always", NULL};
	static const char *const actions[] = {"none", "analyze", "vacuum", NULL};
	PerfkitBookRow *row = palloc0(sizeof(*row));
	PerfkitPlan *p = &row->plan;
	bool null;
	Datum duration;

	p->id = next_int8(r, 0);
	p->view = next_oid(r);
	p->owner = next_oid(r);
	next_name(r, &p->schema);
	next_name(r, &p->name);
	p->unreadable = !next_timetable(r, &p->timetable);
	p->lag_us = next_int8(r, 0);
	p->method = (PerfkitRefreshMethod) next_choice(r, methods);
	p->fallback = (PerfkitRefreshFallback) next_choice(r, fallbacks);
	p->after_action = (PerfkitAfterAction) next_choice(r, actions);
	p->lock_timeout_ms = next_ms(r);
	p->statement_timeout_ms = next_ms(r);
	p->max_retries = next_int4(r);
	p->retry_delay_us = next_int8(r, 0);
	p->suspend_after = next_int4(r);
	p->skip_unchanged = next_bool(r);
	p->max_staleness_us = next_int8(r, 0);
	p->min_interval_us = next_int8(r, 0);
	p->queue = next_bool(r);
	p->catch_up = next_bool(r);
	p->run_after_failed_upstream = next_bool(r);
	p->jitter_us = next_int8(r, 0);
	p->max_runtime_us = next_int8(r, 0);
	p->start_window_us = next_int8(r, 0);
	p->priority = next_int4(r);
	p->enabled = next_bool(r);
	p->changed_at = next_time(r);
	row->past.planned = next_time(r);
	row->past.started = next_time(r);
	row->past.finished = next_time(r);
	duration = next_datum(r, &null);
	row->past.duration_ms = null ? -1 : DatumGetFloat8(duration);
	row->past.failed = next_bool(r);
	row->past.failures = next_int4(r);
	row->past.suspended_at = next_time(r);
	return row;
}


/* Microseconds of an interval, and those since 2000 of a time: what the program computes with. */
#define US(interval) "(extract(epoch FROM " interval ") * 1000000)::bigint"
#define AT(time) "(extract(epoch FROM " time " - '2000-01-01 00:00+00') * 1000000)::bigint"

/* clang-format off */
static const char *const load_schedules =
	"SELECT s.schedule_id, c.oid, c.relowner, s.view_schema, s.view_name, s.schedule, s.timezone, "
	US("s.target_lag") ", s.method, s.fallback, s.after_action, "
	US("s.lock_timeout") ", " US("s.statement_timeout") ", s.max_retries, "
	US("s.retry_delay") ", s.suspend_after, s.skip_unchanged, "
	US("s.max_staleness") ", " US("s.min_interval") ", s.overlap = 'queue', s.catch_up = 'once',"
	" s.on_upstream_failure = 'run', "
	US("s.jitter") ", " US("s.max_runtime") ", " US("s.start_window") ", s.priority, s.enabled, "
	AT("s.changed_at") ", " AT("st.last_planned") ", " AT("st.last_started") ", "
	AT("st.last_finished") ", st.last_duration_ms,"
	" st.last_status NOT IN ('success', 'running', 'skipped_overlap', 'skipped_unchanged')"
	"  AND st.last_started > s.changed_at,"
	" CASE WHEN st.last_started > s.changed_at THEN st.failures ELSE 0 END,"
	" CASE WHEN st.suspended_at > s.changed_at THEN " AT("st.suspended_at") " END"
	" FROM perfkit.refresh_schedule s"
	" LEFT JOIN perfkit.refresh_state st ON st.schedule_id = s.schedule_id"
	" LEFT JOIN pg_catalog.pg_class c ON c.oid = st.view_oid AND c.relkind = 'm'";
/* clang-format on */


static PerfkitRequest *
read_request(Reader *r)
{
	PerfkitRequest *request = palloc0(sizeof(*request));

	request->run_id = next_int8(r, 0);
	request->batch = next_int8(r, 0);
	request->view = next_oid(r);
	return request;
}


static PerfkitBookEdge *
read_edge(Reader *r)
{
	PerfkitBookEdge *edge = palloc0(sizeof(*edge));

	edge->view = next_oid(r);
	edge->upstream = next_oid(r);
	return edge;
}


/* Triggers are compared and printed, never freed. */
static const char *
lasting_trigger(const char *trigger)
{
	static const char *const triggers[] = {"schedule",   "catch_up",   "retry",  "queued",
										   "target_lag", "downstream", "change", "manual"};

	for (size_t i = 0; i < lengthof(triggers); i++)
	{
		if (trigger != NULL && strcmp(trigger, triggers[i]) == 0)
			return triggers[i];
	}
	return triggers[0];
}


static PerfkitBookRunning *
read_running(Reader *r)
{
	PerfkitBookRunning *running = palloc0(sizeof(*running));

	running->run_id = running->run.run_id = next_int8(r, 0);
	running->view = next_oid(r);
	running->run.trigger = lasting_trigger(SPI_getvalue(r->tuple, r->desc, ++r->column));
	running->run.planned = next_time(r);
	running->run.attempt = next_int4(r);
	return running;
}


/* All rows of a query, read by `read` into the caller's memory. */
static List *
read_all(MemoryContext memory, const char *sql, void *(*read)(Reader *r))
{
	List *all = NIL;
	MemoryContext spi;

	perfkit_query_run(sql, NULL);
	spi = MemoryContextSwitchTo(memory);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Reader r = {.tuple = SPI_tuptable->vals[i], .desc = SPI_tuptable->tupdesc};

		all = lappend(all, read(&r));
	}
	MemoryContextSwitchTo(spi);
	SPI_freetuptable(SPI_tuptable);
	return all;
}


#define READER(name, function)                                                                     \
	static void *name(Reader *r)                                                                   \
	{                                                                                              \
		return function(r);                                                                        \
	}

READER(any_row, read_row)
READER(any_edge, read_edge)
READER(any_request, read_request)
READER(any_running, read_running)


void
perfkit_book_load(PerfkitBookContent *content)
{
	MemoryContext memory = CurrentMemoryContext;

	perfkit_query_begin("perfkit: schedules");
	perfkit_follow();
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	content->rows = read_all(memory, load_schedules, any_row);
	content->edges = NIL;
	content->requests = read_all(
		memory, "SELECT run_id, batch, view_oid FROM perfkit.refresh_request ORDER BY run_id",
		any_request);
	content->running =
		read_all(memory,
				 "SELECT run_id, view_oid, trigger, " AT(
					 "planned_at") ", attempt"
								   " FROM perfkit.refresh_log WHERE status = 'running'",
				 any_running);
	if (content->rows != NIL || content->requests != NIL)
		content->edges = read_all(
			memory, "SELECT view_oid, upstream_oid FROM perfkit.matview_dependencies", any_edge);
	perfkit_query_end();
}
