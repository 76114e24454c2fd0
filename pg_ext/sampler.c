/*-------------------------------------------------------------------------
 * sampler.c
 *	  One sample.
 *
 *	  probes (probe.h), statements (totals.h), waits (waits.h)
 *	      -> series.h: latest values, rates -> shares of two rates
 *	      -> rows, one INSERT
 *
 * The server's own metrics are measured by the worker that holds the lease on them
 * (shmem.h); the others find them in series.h and store them for their readers.
 *
 * Intervals are those of the monotonic clock: a clock that is set makes no rate wrong.
 *-------------------------------------------------------------------------
 */
#include "sampler.h"

#include <math.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "execution.h"
#include "executor/spi.h"
#include "guc.h"
#include "lib/stringinfo.h"
#include "metric.h"
#include "miscadmin.h"
#include "partition.h"
#include "probe.h"
#include "query.h"
#include "series.h"
#include "sheets.h"
#include "totals.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "waits.h"

#define NS_PER_MS INT64CONST(1000000)
#define NS_PER_S INT64CONST(1000000000)
#define LONG_NAP_MS (60 * 60 * 1000L)

/* A value is shown until two of its successors are missing. */
#define GOOD_FOR 3

/* One row of performance_log. */
typedef struct Row
{
	bool server;
	int metric;
	const char *labels;
	double value;
	TimestampTz at;
	const char *histogram; /* as an array prints; NULL: none */
} Row;

static MemoryContext memory = NULL; /* of one sample */
static List *rows = NIL;
static TimestampTz sampled_at = 0;
static int64 sampled_ns = 0;
static TimestampTz last_at = 0;
static int64 last_ns = 0; /* 0: this is the first sample of this worker */
static bool of_server = false;
static int64 server_seen_ns = 0; /* newest of the server's series stored here */
static int64 *probed_ns = NULL;  /* when each probe was run */
static PerfkitTotals totals;     /* at the last sample */


static void
add_row(bool server, int metric, const char *labels, double value, TimestampTz at,
		const char *histogram)
{
	MemoryContext old = MemoryContextSwitchTo(memory);
	Row *row = palloc(sizeof(Row));

	*row = (Row){server, metric, pstrdup(labels), value, at, histogram};
	rows = lappend(rows, row);
	MemoryContextSwitchTo(old);
}


/* Notes a number, and makes it a row if that gives a value. */
static void
measure(bool server, int period_s, int metric, const char *labels, double value,
		const char *histogram)
{
	int good_s = GOOD_FOR * Max(period_s, perfkit_sample_interval);
	PerfkitMeasurement m = {
		.database = server ? InvalidOid : MyDatabaseId,
		.metric = metric,
		.labels = labels,
		.value = value,
		.at = sampled_at,
		.good_until = sampled_at + good_s * USECS_PER_SEC,
		.now_ns = sampled_ns,
		.last_ns = last_ns,
	};

	if (perfkit_series_note(&m, &value))
		add_row(server, metric, labels, value, sampled_at, histogram);
}


static void
measure_by_name(const char *name, const char *labels, double value)
{
	measure(false, 0, perfkit_metric_find(name), labels, value, NULL);
}


/* ---------------------------------------------------------------- probes */

static void
sink(const PerfkitProbe *probe, int metric, const char *labels, double value)
{
	measure(probe->server, probe->period_s, metric, labels, value, NULL);
}


static void
run_probes(void)
{
	perfkit_query_begin("perfkit: sampling");
	if (probed_ns == NULL)
		probed_ns = MemoryContextAllocZero(TopMemoryContext, perfkit_n_probes * sizeof(int64));
	for (int i = 0; i < perfkit_n_probes; i++)
	{
		const PerfkitProbe *probe = &perfkit_probes[i];

		if ((probe->server && !of_server) || (RecoveryInProgress() && !probe->on_standby))
			continue;
		if (probed_ns[i] != 0 && sampled_ns - probed_ns[i] < probe->period_s * NS_PER_S)
			continue;
		probed_ns[i] = sampled_ns;
		(void) perfkit_probe_run(i, last_at, sampled_at, sink);
	}
	perfkit_query_end();
}


/* ---------------------------------------------------------------- statements and waits */

/* {bucket, count, ...} without empty ones. */
static char *
histogram_text(const uint64 *counts)
{
	StringInfoData out;
	char separator = '{';

	initStringInfo(&out);
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
	{
		if (counts[i] == 0)
			continue;
		appendStringInfo(&out, "%c%d," UINT64_FORMAT, separator, i, counts[i]);
		separator = ',';
	}
	appendStringInfoChar(&out, '}');
	return out.data;
}


/* How long statements took between two looks; absent if there were none. */
static void
measure_durations(const PerfkitTotals *from, const PerfkitTotals *to)
{
	static const struct
	{
		const char *metric;
		double share;
	} quantiles[] = {
		{"statement_p50_seconds", 0.5},
		{"statement_p95_seconds", 0.95},
		{"statement_p99_seconds", 0.99},
	};
	uint64 counts[PERFKIT_HISTOGRAM_BUCKETS];
	double calls = (double) (to->calls - from->calls);

	if (calls <= 0)
		return;
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
		counts[i] = to->counts[i] - from->counts[i];
	measure(false, 0, perfkit_metric_find("statement_seconds"), "{}",
			(double) (to->exec_ns - from->exec_ns) / calls / 1e9, histogram_text(counts));
	for (size_t i = 0; i < lengthof(quantiles); i++)
		measure_by_name(quantiles[i].metric, "{}",
						perfkit_histogram_quantile(counts, quantiles[i].share) / 1e9);
}


static void
measure_statements(PerfkitDatabase *db)
{
	PerfkitTotals current;

	perfkit_sheets_merge(MyDatabaseId, true);
	perfkit_totals_read(&current);
	measure_by_name("statements", "{}", (double) current.calls);
	measure_by_name("statement_errors", "{}", (double) current.errors);
	measure_by_name("logged_statements", "{}",
					(double) pg_atomic_read_u64(&db->counters[PERFKIT_CAPTURED]));

	/* The entry is another after DROP and CREATE EXTENSION: its counts begin anew. */
	if (last_ns != 0 && current.calls >= totals.calls)
		measure_durations(&totals, &current);
	totals = current;
}


static void
measure_waits(void)
{
	const char *type;
	const char *event;
	double seconds;

	for (int i = 0; perfkit_waits_get(i, &type, &event, &seconds); i++)
		measure_by_name(
			"wait_seconds",
			psprintf("{\"wait_event\": \"%s\", \"wait_event_type\": \"%s\"}", event, type),
			seconds);
	perfkit_waits_clear();
}


/* How long the sample had to wait for what the worker did first: a gap in the series. */
static void
measure_delay(void)
{
	int64 due_ns = last_ns + perfkit_sample_interval * NS_PER_S;

	if (last_ns != 0)
		measure_by_name("sample_delay_seconds", "{}", (double) (sampled_ns - due_ns) / 1e9);
}


/* ---------------------------------------------------------------- shares */

/* A value of this sample without labels; false if it is absent. */
static bool
value_of(const char *name, double *value, bool *server)
{
	int metric = perfkit_metric_find(name);
	ListCell *lc;

	foreach (lc, rows)
	{
		Row *row = lfirst(lc);

		if (row->metric != metric || strcmp(row->labels, "{}") != 0)
			continue;
		*value = row->value;
		*server = row->server;
		return true;
	}
	return false;
}


static void
measure_shares(void)
{
	for (int i = 0; i < perfkit_n_shares; i++)
	{
		const PerfkitShare *share = &perfkit_shares[i];
		double part;
		double rest;
		bool server;

		if (value_of(share->part, &part, &server) && value_of(share->rest, &rest, &server) &&
			part + rest > 0)
			measure(server, 0, perfkit_metric_find(share->name), "{}", part / (part + rest), NULL);
	}
}


/* What the holder of the lease has measured since we looked last. */
static void
copy_server(void)
{
	PerfkitSeries *series = palloc(perfkit_series_room() * sizeof(PerfkitSeries));
	int n = perfkit_series_read(InvalidOid, server_seen_ns, series);

	for (int i = 0; i < n; i++)
	{
		if (last_ns != 0)
			add_row(true, series[i].metric, series[i].labels, series[i].value, series[i].at, NULL);
		server_seen_ns = Max(server_seen_ns, series[i].seen_ns);
	}
	pfree(series);
}


/* ---------------------------------------------------------------- rows */

/* The rows' cells, column by column. */
typedef struct Columns
{
	int n;
	Datum *cells;
	bool *nulls;
} Columns;

static void
put(Columns *columns, int column, int row, Datum value, bool null)
{
	columns->cells[column * columns->n + row] = value;
	columns->nulls[column * columns->n + row] = null;
}


/* A column as an array, the next parameter of the query. */
static void
add_array(PerfkitQuery *q, const Columns *columns, Oid type, Oid array_type)
{
	int16 length = type == TEXTOID ? -1 : 8;
	int first = q->n * columns->n;
	int dimension = columns->n;
	int from = 1;
	ArrayType *array = construct_md_array(
		columns->cells + first, columns->nulls + first, 1, &dimension, &from, type, length,
		length == 8 && FLOAT8PASSBYVAL, length == 8 ? TYPALIGN_DOUBLE : TYPALIGN_INT);

	perfkit_query_add(q, array_type, PointerGetDatum(array), false);
}


static void
insert(void)
{
	Columns columns = {.n = list_length(rows)};
	PerfkitQuery q = {0};
	int i = 0;
	ListCell *lc;

	columns.cells = palloc(6 * columns.n * sizeof(Datum));
	columns.nulls = palloc(6 * columns.n * sizeof(bool));
	foreach (lc, rows)
	{
		const Row *row = lfirst(lc);
		const PerfkitMetric *metric = &perfkit_metrics[row->metric];

		put(&columns, 0, i, TimestampTzGetDatum(row->at), false);
		put(&columns, 1, i, CStringGetTextDatum(row->server ? "server" : "database"), false);
		put(&columns, 2, i, CStringGetTextDatum(perfkit_metric_logged_name(metric)), false);
		put(&columns, 3, i, CStringGetTextDatum(row->labels), false);
		put(&columns, 4, i, Float8GetDatum(row->value), false);
		put(&columns, 5, i, row->histogram ? CStringGetTextDatum(row->histogram) : (Datum) 0,
			row->histogram == NULL);
		i++;
	}
	add_array(&q, &columns, TIMESTAMPTZOID, TIMESTAMPTZARRAYOID);
	add_array(&q, &columns, TEXTOID, TEXTARRAYOID);
	add_array(&q, &columns, TEXTOID, TEXTARRAYOID);
	add_array(&q, &columns, TEXTOID, TEXTARRAYOID);
	add_array(&q, &columns, FLOAT8OID, FLOAT8ARRAYOID);
	add_array(&q, &columns, TEXTOID, TEXTARRAYOID);
	perfkit_query_run(
		"INSERT INTO perfkit.performance_log (logged_at, source, metric, labels, value, histogram)"
		" SELECT r.at, r.source, r.metric, r.labels::jsonb, r.value, r.histogram::bigint[]"
		" FROM unnest($1, $2, $3, $4, $5, $6)"
		"  r (at, source, metric, labels, value, histogram)",
		&q);
}


static void
store(void)
{
	perfkit_query_begin("perfkit: writing performance_log");

	/* The last seconds before a crash are not worth a flush each. */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	perfkit_partition_for_metric(sampled_at);
	insert();
	perfkit_query_end();
}


/* ---------------------------------------------------------------- the sample */

long
perfkit_sampler_nap_ms(void)
{
	int64 due_ns;

	if (perfkit_sample_interval == 0)
		return LONG_NAP_MS;
	if (last_ns == 0)
		return 0;
	due_ns = last_ns + perfkit_sample_interval * NS_PER_S - perfkit_clock_ns();
	return due_ns <= 0 ? 0 : (long) ((due_ns + NS_PER_MS - 1) / NS_PER_MS);
}


bool
perfkit_sampler_of_server(void)
{
	return of_server;
}


bool
perfkit_sampler_run(PerfkitDatabase *db)
{
	MemoryContext old;

	if (perfkit_sample_interval == 0 || perfkit_sampler_nap_ms() > 0)
		return false;
	if (memory == NULL)
		memory = AllocSetContextCreate(TopMemoryContext, "perfkit sample", ALLOCSET_DEFAULT_SIZES);
	rows = NIL;
	MemoryContextReset(memory);
	sampled_at = GetCurrentTimestamp();
	sampled_ns = perfkit_clock_ns();
	if (last_ns == 0)
		last_at = sampled_at;
	of_server = perfkit_shmem_lease(db);
	old = MemoryContextSwitchTo(memory);
	run_probes();
	measure_statements(db);
	measure_waits();
	measure_delay();
	measure_shares();
	if (!of_server)
		copy_server();
	last_at = sampled_at;
	last_ns = sampled_ns;
	if (rows != NIL && !RecoveryInProgress())
		store();
	MemoryContextSwitchTo(old);
	return true;
}
