/*-------------------------------------------------------------------------
 * sqlfuncs.c
 *	  The functions that SQL calls: argument checks and answers, nothing else.
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "outbox.h"
#include "partition.h"
#include "planseen.h"
#include "planshare.h"
#include "seat.h"
#include "series.h"
#include "sheets.h"
#include "shmem.h"
#include "slot.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define MAX_METRIC_NAME 128
#define MAX_LABELS 32

PG_FUNCTION_INFO_V1(perfkit_status);
PG_FUNCTION_INFO_V1(perfkit_log_metric);
PG_FUNCTION_INFO_V1(perfkit_room_for_metrics);


/* One row of the status view. */
static void
row(ReturnSetInfo *result, const char *name, int64 value, const char *detail)
{
	Datum values[3] = {0};
	bool nulls[3] = {0};

	values[0] = CStringGetTextDatum(name);
	values[1] = Int64GetDatum(value);
	if (detail != NULL)
		values[2] = CStringGetTextDatum(detail);
	nulls[2] = detail == NULL;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}


static void
counter_rows(ReturnSetInfo *result, PerfkitDatabase *db)
{
	static const struct
	{
		const char *name;
		const char *what;
	} counters[] = {
#define PERFKIT_COUNTER_ROW(symbol, name, what) {name, what},
		PERFKIT_COUNTERS(PERFKIT_COUNTER_ROW)
#undef PERFKIT_COUNTER_ROW
	};

	for (int i = 0; i < PERFKIT_N_COUNTERS; i++)
	{
		PerfkitRing *ring = db != NULL ? perfkit_shmem_ring(db) : NULL;

		row(result, counters[i].name, db != NULL ? pg_atomic_read_u64(&db->counters[i]) : 0,
			counters[i].what);
		if (i == PERFKIT_STORED)
			row(result, "pending", ring != NULL ? perfkit_ring_records(ring) : 0,
				"records in the ring, not yet stored");
	}
}


static void
worker_rows(ReturnSetInfo *result, PerfkitDatabase *db)
{
	static const char *const states[] = {
		[PERFKIT_WORKER_NONE] = "none yet",
		[PERFKIT_WORKER_NO_SLOT] = "waiting for a free slot: raise max_worker_processes",
		[PERFKIT_WORKER_RUNNING] = "running",
		[PERFKIT_WORKER_BACKING_OFF] = "pausing after an error: see the server log",
		[PERFKIT_WORKER_STANDBY] = "in recovery: nothing is stored",
	};
	uint32 state =
		db != NULL ? pg_atomic_read_u32(&db->worker_state) : (uint32) PERFKIT_WORKER_NONE;
	TimestampTz last = db != NULL ? (TimestampTz) pg_atomic_read_u64(&db->last_flush) : 0;
	int64 lag_ms = last != 0 ? TimestampDifferenceMilliseconds(last, GetCurrentTimestamp()) : 0;

	row(result, "worker_pid", db != NULL ? db->worker_pid : 0, states[state]);
	row(result, "waiting_for_worker", state == PERFKIT_WORKER_NO_SLOT ? 1 : 0,
		"1: no background worker slot was free");
	row(result, "flush_lag_ms", lag_ms, "since the worker last emptied the ring");
	row(result, "unclean_starts", (int64) perfkit_shared->unclean_starts,
		"starts after a crash: what was pending then is lost");
}


static void
memory_rows(ReturnSetInfo *result, PerfkitDatabase *db)
{
	PerfkitRing *ring = db != NULL ? perfkit_shmem_ring(db) : NULL;

	row(result, "ring_size_bytes", ring != NULL ? (int64) ring->size : 0,
		db == NULL     ? "this database has no entry: is the worker running?"
		: ring == NULL ? "no ring: see perfkit.max_databases"
					   : "perfkit.ring_size");
	row(result, "ring_used_bytes", ring != NULL ? (int64) perfkit_ring_used(ring) : 0, NULL);
	row(result, "plan_statements", (int64) perfkit_planseen_statements(),
		"statements of all databases whose plans are remembered: see perfkit.max_plans");
	row(result, "sampled_series", perfkit_series_used(),
		"series of all databases whose latest values are known");
	row(result, "sampled_series_refused", (int64) perfkit_series_refused(),
		"measurements for which there was no room among them");
	row(result, "plan_evictions", (int64) perfkit_planseen_evicted(),
		"statements forgotten to remember others");
	row(result, "shared_memory_bytes",
		(int64) (perfkit_shared->n_rings * perfkit_shared->ring_memory +
				 perfkit_shared->n_databases * sizeof(PerfkitDatabase) + perfkit_slot_memory() +
				 perfkit_planseen_memory() + perfkit_seat_memory() + perfkit_sheets_memory() +
				 perfkit_statements_table_memory() + perfkit_series_memory() +
				 perfkit_outbox_memory() + perfkit_planshare_memory()),
		"rings, counters, plans and statements of all databases, and what each backend has");
}


static int64
number(pg_atomic_uint64 *counter)
{
	return (int64) pg_atomic_read_u64(counter);
}


/* The table of statement statistics, which all databases share. */
static void
statement_rows(ReturnSetInfo *result)
{
	PerfkitStatementNumbers *n = perfkit_statement_numbers;

	row(result, "statements", perfkit_statements_table_used(),
		"statements of all databases in the table: see perfkit.max_statements");
	row(result, "statements_evicted", number(&n->evicted), "statements that had to make room");
	row(result, "statements_lost", number(&n->lost), "executions counted nowhere");
	row(result, "statement_text_bytes", (int64) perfkit_statements_table_text_used(),
		"their texts: see perfkit.statement_text_size");
	row(result, "statement_texts_refused", number(&n->texts_refused),
		"texts there was no room for");
	row(result, "statement_merges", number(&n->merges),
		"times what a backend had counted was added to the table");
	row(result, "statement_merges_by_need", number(&n->merges_by_need),
		"times a backend had to do so itself in the middle of its work");
	row(result, "statement_lock_waits", number(&n->lock_waits),
		"times a backend found the table locked and waited");
}


/* Settings that make the log tell less than one would think. */
static void
warning_row(ReturnSetInfo *result)
{
	const char *log_level = GetConfigOption("log_min_messages", false, false);
	const char *queryid = GetConfigOption("compute_query_id", false, false);
	StringInfoData text;
	int n = 0;

	initStringInfo(&text);
	if (strstr(log_level, "fatal") || strstr(log_level, "panic") || strstr(log_level, "log"))
	{
		appendStringInfoString(&text, "log_min_messages hides errors that come before execution; ");
		n++;
	}
	if (strcmp(queryid, "off") == 0)
	{
		appendStringInfoString(
			&text, "compute_query_id is off: queryid stays empty, statements are not counted; ");
		n++;
	}
	row(result, "configuration_warnings", n, n > 0 ? text.data : NULL);
}


/* perfkit._status(): the rows of view status that live in shared memory. */
Datum
perfkit_status(PG_FUNCTION_ARGS)
{
	PerfkitDatabase *db;

	perfkit_shmem_require();
	db = perfkit_shmem_find(MyDatabaseId);
	InitMaterializedSRF(fcinfo, 0);
	counter_rows((ReturnSetInfo *) fcinfo->resultinfo, db);
	worker_rows((ReturnSetInfo *) fcinfo->resultinfo, db);
	memory_rows((ReturnSetInfo *) fcinfo->resultinfo, db);
	statement_rows((ReturnSetInfo *) fcinfo->resultinfo);
	warning_row((ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}


/* Metric and label names: lower-case letters, digits, underscores. */
static void
check_name(const char *what, const char *name)
{
	bool ok = name[0] >= 'a' && name[0] <= 'z' && strlen(name) <= MAX_METRIC_NAME;

	for (const char *p = name; *p != '\0' && ok; p++)
		ok = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_';
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s name \"%s\"", what, name),
				 errhint("A %s name begins with a-z, goes on with a-z, 0-9 and _, and has at most "
						 "%d characters, as in order_latency_seconds.",
						 what, MAX_METRIC_NAME)));
}


static void
bad_labels(const char *detail)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid labels: %s", detail),
					errhint("Labels are a flat JSON object of at most %d strings, numbers or "
							"booleans, as in {\"region\": \"eu\"}.",
							MAX_LABELS)));
}


static void
check_labels(Jsonb *labels)
{
	bool too_large = VARSIZE(labels) > PERFKIT_MAX_LABELS_SIZE;

	JsonbIterator *it = JsonbIteratorInit(&labels->root);
	JsonbIteratorToken token;
	JsonbValue value;
	int n = 0;

	if (!JB_ROOT_IS_OBJECT(labels))
		bad_labels("not a JSON object");
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			check_name("label", pnstrdup(value.val.string.val, value.val.string.len));
			if (++n > MAX_LABELS)
				bad_labels("too many");
		}
		else if (token == WJB_VALUE && (value.type == jbvBinary || value.type == jbvNull))
			bad_labels("a value is null, an array or an object");
	}
	if (too_large)
		bad_labels("too large");
}


static void
insert_metric(TimestampTz now, Datum metric, Datum value, Datum labels)
{
	Oid types[] = {TEXTOID, FLOAT8OID, JSONBOID, TIMESTAMPTZOID};
	Datum values[] = {metric, value, labels, TimestampTzGetDatum(now)};

	SPI_connect();
	perfkit_partition_for_metric(now);
	if (SPI_execute_with_args(
			"INSERT INTO perfkit.performance_log (logged_at, source, metric, labels, value)"
			" VALUES ($4, 'application', $1, $3, $2)",
			lengthof(types), types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "perfkit: INSERT into performance_log failed");
	SPI_finish();
}


/* perfkit.log_metric(metric, value, labels, async): one row of performance_log. */
Datum
perfkit_log_metric(PG_FUNCTION_ARGS)
{
	PerfkitDatabase *db;
	TimestampTz now = GetCurrentTimestamp();
	char *metric;
	Jsonb *labels;
	double value;

	perfkit_shmem_require();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("metric, value, labels and async must not be null"),
						errhint("Leave a measurement out when there is none.")));
	value = PG_GETARG_FLOAT8(1);
	metric = text_to_cstring(PG_GETARG_TEXT_PP(0));
	labels = PG_GETARG_JSONB_P(2);
	check_name("metric", metric);
	if (isnan(value) || isinf(value))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("value of a metric must be a finite number"),
						errhint("Leave a measurement out when there is none.")));
	check_labels(labels);
	db = perfkit_shmem_find(MyDatabaseId);
	if (!perfkit_outbox_admits(db, metric, labels))
		PG_RETURN_VOID();
	if (PG_GETARG_BOOL(3))
		perfkit_outbox_put(db, now, metric, labels, value);
	else
		insert_metric(now, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2));
	PG_RETURN_VOID();
}


/* perfkit._room_for_metrics(logged_at): for log_pooler(), whose rows may have waited for days. */
Datum
perfkit_room_for_metrics(PG_FUNCTION_ARGS)
{
	TimestampTz logged_at = PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz oldest = GetCurrentTimestamp() - perfkit_performance_retention * USECS_PER_MINUTE;

	perfkit_shmem_require();
	if (perfkit_performance_retention > 0 && logged_at < oldest)
		PG_RETURN_BOOL(false);
	SPI_connect();
	perfkit_partition_for_metric(logged_at);
	SPI_finish();
	PG_RETURN_BOOL(true);
}
