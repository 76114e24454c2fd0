/*-------------------------------------------------------------------------
 * qualsql.c
 *	  Conditions and sort keys of plans, for SQL (qual.h).
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "fmgr.h"
#include "qual.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(perfkit_quals_sql);
PG_FUNCTION_INFO_V1(perfkit_sort_key_sql);


/*
 * perfkit._quals(condition, alias): one row a part.  A condition that cannot be read is one
 * part that is not understood.
 */
Datum
perfkit_quals_sql(PG_FUNCTION_ARGS)
{
	text *condition = PG_GETARG_TEXT_PP(0);
	char *alias = text_to_cstring(PG_GETARG_TEXT_PP(1));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	PerfkitQual *quals = palloc0(sizeof(PerfkitQual) * PERFKIT_MAX_QUALS);
	int n = perfkit_quals(VARDATA_ANY(condition), VARSIZE_ANY_EXHDR(condition), alias, quals);
	static const char *const kinds[] = {
		[PERFKIT_QUAL_OTHER] = "other",
		[PERFKIT_QUAL_EQUAL] = "equal",
		[PERFKIT_QUAL_RANGE] = "range",
	};

	if (n < 0)
	{
		n = 1;
		quals[0].kind = PERFKIT_QUAL_OTHER;
	}
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		bool other = quals[i].kind == PERFKIT_QUAL_OTHER;
		Datum values[] = {
			CStringGetTextDatum(kinds[quals[i].kind]),
			CStringGetTextDatum(quals[i].column),
			CStringGetTextDatum(quals[i].cast),
		};
		bool nulls[] = {false, other, other || quals[i].cast[0] == '\0'};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}


/*
 * perfkit._sort_key(key, alias): the column, and what stands behind it in a DDL: '', ' DESC',
 * ' NULLS FIRST', ' DESC NULLS LAST'.  NULL: it is not just a column of this relation.
 */
Datum
perfkit_sort_key_sql(PG_FUNCTION_ARGS)
{
	text *sort_key = PG_GETARG_TEXT_PP(0);
	char *alias = text_to_cstring(PG_GETARG_TEXT_PP(1));
	PerfkitSortKey key;
	Datum values[2];
	bool nulls[2] = {false, false};
	const char *nulls_order = "";
	TupleDesc desc;

	if (!perfkit_sort_key(VARDATA_ANY(sort_key), VARSIZE_ANY_EXHDR(sort_key), alias, &key))
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (key.nulls_first != key.descending)
		nulls_order = key.nulls_first ? " NULLS FIRST" : " NULLS LAST";
	values[0] = CStringGetTextDatum(key.column);
	values[1] = CStringGetTextDatum(psprintf("%s%s", key.descending ? " DESC" : "", nulls_order));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
