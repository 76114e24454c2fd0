/*-------------------------------------------------------------------------
 * histogram_sql.c
 *	  Histograms in tables: {bucket, count, bucket, count, ...} as bigint[], without
 *	  empty buckets, buckets growing.  Adding them, and their quantiles.
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "histogram.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(perfkit_histogram_plus);
PG_FUNCTION_INFO_V1(perfkit_histogram_quantile_seconds);


/* Adds what an array says to counts. */
static void
add_array(uint64_t *counts, ArrayType *array)
{
	Datum *cells;
	int n = 0;

	if (ARR_ELEMTYPE(array) == INT8OID && !ARR_HASNULL(array))
		deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &cells,
						  NULL, &n);
	if (n % 2 != 0 || ARR_HASNULL(array))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a histogram is an array of buckets and their counts")));
	for (int i = 0; i < n; i += 2)
	{
		int64 bucket = DatumGetInt64(cells[i]);
		int64 count = DatumGetInt64(cells[i + 1]);

		if (bucket < 0 || bucket >= PERFKIT_HISTOGRAM_BUCKETS || count < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("a histogram has buckets 0 to %d, and no negative counts",
								   PERFKIT_HISTOGRAM_BUCKETS - 1)));
		counts[bucket] += (uint64_t) count;
	}
}


/* perfkit._histogram_add(a, b): both together. */
Datum
perfkit_histogram_plus(PG_FUNCTION_ARGS)
{
	uint64_t counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};
	Datum cells[2 * PERFKIT_HISTOGRAM_BUCKETS];
	int n = 0;

	add_array(counts, PG_GETARG_ARRAYTYPE_P(0));
	add_array(counts, PG_GETARG_ARRAYTYPE_P(1));
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
	{
		if (counts[i] == 0)
			continue;
		cells[n++] = Int64GetDatum(i);
		cells[n++] = Int64GetDatum((int64) counts[i]);
	}
	PG_RETURN_ARRAYTYPE_P(
		construct_array(cells, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}


/* perfkit._histogram_quantile(histogram, q): in seconds; NULL when it is empty. */
Datum
perfkit_histogram_quantile_seconds(PG_FUNCTION_ARGS)
{
	uint64_t counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};
	double ns;

	add_array(counts, PG_GETARG_ARRAYTYPE_P(0));
	ns = perfkit_histogram_quantile(counts, PG_GETARG_FLOAT8(1));
	if (ns < 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ns / 1e9);
}
