/*-------------------------------------------------------------------------
 * series_sql.c
 *	  perfkit._series(): what was sampled last, for metrics() and health(), on a standby
 *	  too; and perfkit._durations(): how long statements have taken since the start.
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "fmgr.h"
#include "histogramsql.h"
#include "metric.h"
#include "miscadmin.h"
#include "series.h"
#include "sheets.h"
#include "shmem.h"
#include "totals.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(perfkit_series);
PG_FUNCTION_INFO_V1(perfkit_durations);


static void
put_row(ReturnSetInfo *result, const PerfkitSeries *s)
{
	const PerfkitMetric *metric = &perfkit_metrics[s->metric];
	Datum values[9];
	bool nulls[9] = {0};

	values[0] = CStringGetTextDatum(OidIsValid(s->database) ? "database" : "server");
	values[1] = CStringGetTextDatum(metric->name);
	values[2] = CStringGetTextDatum(metric->kind == PERFKIT_GAUGE ? "gauge" : "counter");
	values[3] = CStringGetTextDatum(metric->help);
	values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(s->labels));
	values[5] = Float8GetDatum(s->value);
	values[6] = Float8GetDatum(metric->kind == PERFKIT_GAUGE ? s->value : s->total);
	values[7] = TimestampTzGetDatum(s->at);
	values[8] = CStringGetTextDatum(perfkit_metric_logged_name(metric));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}


/* Those of a database, or of the server, that are not too old. */
static void
put_rows(ReturnSetInfo *result, Oid database, PerfkitSeries *series)
{
	TimestampTz at = GetCurrentTimestamp();
	int n = perfkit_series_read(database, 0, series);

	for (int i = 0; i < n; i++)
	{
		if (series[i].good_until >= at)
			put_row(result, &series[i]);
	}
}


/* perfkit._series(): source, metric, kind, help, labels, value, total, at, logged_as. */
Datum
perfkit_series(PG_FUNCTION_ARGS)
{
	PerfkitSeries *series;

	perfkit_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	series = palloc(perfkit_series_room() * sizeof(PerfkitSeries));
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, InvalidOid, series);
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, MyDatabaseId, series);
	pfree(series);
	return (Datum) 0;
}


/* perfkit._durations(): a histogram of all successes of clients, and their time in seconds. */
Datum
perfkit_durations(PG_FUNCTION_ARGS)
{
	Datum values[2];
	bool nulls[2] = {0};
	PerfkitTotals totals;
	TupleDesc desc;

	perfkit_shmem_require();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "perfkit: _durations() is not called for a row");
	perfkit_sheets_merge(MyDatabaseId, true);
	perfkit_totals_read(&totals);
	values[0] = perfkit_histogram_datum(totals.counts);
	values[1] = Float8GetDatum((double) totals.exec_ns / 1e9);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
