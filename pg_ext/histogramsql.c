/*-------------------------------------------------------------------------
 * histogramsql.c
 *	  Histograms from and to SQL, their sum (an aggregate), difference, quantile and
 *	  deviation.
 *
 * What comes from SQL is not trusted: what is no histogram is an error.  A count that
 * would grow beyond COUNT_MAX stays there: no sum of histograms can fail, nor be read as
 * one of less than nothing.
 *-------------------------------------------------------------------------
 */
#include "histogramsql.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* The counts of all buckets together fit into an int64. */
#define COUNT_MAX (PG_INT64_MAX / PERFKIT_HISTOGRAM_BUCKETS)

PG_FUNCTION_INFO_V1(perfkit_histogram_add_sql);
PG_FUNCTION_INFO_V1(perfkit_histogram_sum_sql);
PG_FUNCTION_INFO_V1(perfkit_histogram_minus_sql);
PG_FUNCTION_INFO_V1(perfkit_histogram_plus_sql);
PG_FUNCTION_INFO_V1(perfkit_histogram_quantile_sql);
PG_FUNCTION_INFO_V1(perfkit_histogram_read_sql);
PG_FUNCTION_INFO_V1(perfkit_histogram_stddev_sql);


Datum
perfkit_histogram_datum(const uint64 *counts)
{
	Datum elements[2 * PERFKIT_HISTOGRAM_BUCKETS];
	int n = 0;

	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
	{
		if (counts[i] == 0)
			continue;
		elements[n++] = Int64GetDatum(i);
		elements[n++] = Int64GetDatum((int64) counts[i]);
	}
	return PointerGetDatum(
		construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}


static void
add_count(uint64 *counts, int64 bucket, int64 count)
{
	counts[bucket] = Min((uint64) COUNT_MAX, counts[bucket] + (uint64) count);
}


static void
not_a_histogram(void)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("not a histogram"),
					errdetail("It is {bucket, count, bucket, count, ...}, buckets from 0 to %d.",
							  PERFKIT_HISTOGRAM_BUCKETS - 1)));
}


/* Adds what the array has to the counts. */
static void
add_array(uint64 *counts, ArrayType *array)
{
	Datum *elements;
	bool *nulls;
	int n;
	bool good;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
					  &nulls, &n);
	good = ARR_NDIM(array) <= 1 && n % 2 == 0;
	for (int i = 0; good && i < n; i += 2)
	{
		int64 bucket = DatumGetInt64(elements[i]);
		int64 count = DatumGetInt64(elements[i + 1]);

		good = !nulls[i] && !nulls[i + 1] && bucket >= 0 && bucket < PERFKIT_HISTOGRAM_BUCKETS &&
			   count >= 0;
		if (good)
			add_count(counts, bucket, count);
	}
	pfree(elements);
	pfree(nulls);
	if (!good)
		not_a_histogram();
}


/* Transition of the aggregate _histogram_sum: the state is the counts. */
Datum
perfkit_histogram_add_sql(PG_FUNCTION_ARGS)
{
	MemoryContext aggregate;
	uint64 *counts;

	if (!AggCheckCallContext(fcinfo, &aggregate))
		elog(ERROR, "called outside of an aggregate");
	if (PG_ARGISNULL(0))
		counts = MemoryContextAllocZero(aggregate, sizeof(uint64) * PERFKIT_HISTOGRAM_BUCKETS);
	else
		counts = (uint64 *) PG_GETARG_POINTER(0);
	if (!PG_ARGISNULL(1))
		add_array(counts, PG_GETARG_ARRAYTYPE_P(1));
	PG_RETURN_POINTER(counts);
}


/* Its end; of no rows at all the empty histogram. */
Datum
perfkit_histogram_sum_sql(PG_FUNCTION_ARGS)
{
	uint64 none[PERFKIT_HISTOGRAM_BUCKETS] = {0};

	return perfkit_histogram_datum(PG_ARGISNULL(0) ? none : (uint64 *) PG_GETARG_POINTER(0));
}


/* The first without the second, of which it has grown; what would be less than nothing is none. */
Datum
perfkit_histogram_minus_sql(PG_FUNCTION_ARGS)
{
	uint64 counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};
	uint64 before[PERFKIT_HISTOGRAM_BUCKETS] = {0};

	add_array(counts, PG_GETARG_ARRAYTYPE_P(0));
	add_array(before, PG_GETARG_ARRAYTYPE_P(1));
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
		counts[i] -= Min(counts[i], before[i]);
	return perfkit_histogram_datum(counts);
}


Datum
perfkit_histogram_plus_sql(PG_FUNCTION_ARGS)
{
	uint64 counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};

	add_array(counts, PG_GETARG_ARRAYTYPE_P(0));
	add_array(counts, PG_GETARG_ARRAYTYPE_P(1));
	return perfkit_histogram_datum(counts);
}


/* In ms; NULL of an empty one. */
Datum
perfkit_histogram_quantile_sql(PG_FUNCTION_ARGS)
{
	uint64 counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};
	double ns;

	add_array(counts, PG_GETARG_ARRAYTYPE_P(0));
	ns = perfkit_histogram_quantile(counts, PG_GETARG_FLOAT8(1));
	if (ns < 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(ns / 1e6);
}


/* In ms. */
Datum
perfkit_histogram_stddev_sql(PG_FUNCTION_ARGS)
{
	uint64 counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};

	add_array(counts, PG_GETARG_ARRAYTYPE_P(0));
	PG_RETURN_FLOAT8(perfkit_histogram_stddev(counts) / 1e6);
}


/* A whole number from least to most that stands in a JSON array, within it. */
static int64
number_at(JsonbContainer *array, uint32 i, int64 least, int64 most)
{
	JsonbValue *v = getIthJsonbValueFromContainer(array, i);
	int64 n;

	if (v->type != jbvNumeric)
		not_a_histogram();
	/* Beyond an int64 it is an error of its own; a fraction would be rounded. */
	n = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(v->val.numeric)));
	if (n < least || n > most ||
		!DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(int64_to_numeric(n)),
										  NumericGetDatum(v->val.numeric))))
		not_a_histogram();
	pfree(v);
	return n;
}


/*
 * From the JSON of somebody outside: [bucket, count, bucket, count, ...], buckets rising,
 * no count of nothing, one bucket at least.
 */
Datum
perfkit_histogram_read_sql(PG_FUNCTION_ARGS)
{
	Jsonb *json = PG_GETARG_JSONB_P(0);
	uint64 counts[PERFKIT_HISTOGRAM_BUCKETS] = {0};
	uint32 n = JB_ROOT_COUNT(json);
	int64 bucket = -1;

	/* To JB_ROOT_IS_ARRAY a scalar is one, too. */
	if (JB_ROOT_IS_SCALAR(json) || !JB_ROOT_IS_ARRAY(json) || n == 0 || n % 2 != 0 ||
		n > 2 * PERFKIT_HISTOGRAM_BUCKETS)
		not_a_histogram();
	for (uint32 i = 0; i < n; i += 2)
	{
		bucket = number_at(&json->root, i, bucket + 1, PERFKIT_HISTOGRAM_BUCKETS - 1);
		add_count(counts, bucket, number_at(&json->root, i + 1, 1, COUNT_MAX));
	}
	PG_RETURN_DATUM(perfkit_histogram_datum(counts));
}
