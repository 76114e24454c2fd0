/*-------------------------------------------------------------------------
 * probe.c
 *	  From a probe's rows to numbers.
 *-------------------------------------------------------------------------
 */
#include "probe.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define LABEL_PREFIX "label_"

/* A look that takes longer costs more than it tells. */
#define TIMEOUT_MS 5000

/* What is kept of each probe while the worker lives. */
typedef struct State
{
	SPIPlanPtr plan;
	bool failing;
} State;

static State *states = NULL;


/* A cell as a number; false when it is NULL, or none that can be logged. */
static bool
number(HeapTuple row, TupleDesc desc, int column, double *out)
{
	bool null;
	Datum value = SPI_getbinval(row, desc, column, &null);

	if (null)
		return false;
	switch (SPI_gettypeid(desc, column))
	{
		case FLOAT8OID:
			*out = DatumGetFloat8(value);
			break;
		case INT4OID:
			*out = DatumGetInt32(value);
			break;
		case INT8OID:
			*out = (double) DatumGetInt64(value);
			break;
		case NUMERICOID:
			*out = DatumGetFloat8(DirectFunctionCall1(numeric_float8, value));
			break;
		default:
			elog(ERROR, "perfkit: column %s of a probe is no number", SPI_fname(desc, column));
	}
	return isfinite(*out);
}


static bool
is_label(TupleDesc desc, int column)
{
	return strncmp(NameStr(TupleDescAttr(desc, column - 1)->attname), LABEL_PREFIX,
				   strlen(LABEL_PREFIX)) == 0;
}


/* A probe has one label at most, so there is no order of keys to keep. */
static char *
labels_of(HeapTuple row, TupleDesc desc)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 1; i <= desc->natts; i++)
	{
		char *value = is_label(desc, i) ? SPI_getvalue(row, desc, i) : NULL;

		if (value == NULL)
			continue;
		escape_json(&out, NameStr(TupleDescAttr(desc, i - 1)->attname) + strlen(LABEL_PREFIX));
		appendStringInfoString(&out, ": ");
		escape_json(&out, value);
	}
	appendStringInfoChar(&out, '}');
	return out.data;
}


static void
take_row(const PerfkitProbe *probe, HeapTuple row, TupleDesc desc, PerfkitProbeSink sink)
{
	char *labels = labels_of(row, desc);

	for (int i = 1; i <= desc->natts; i++)
	{
		double value;
		int metric;

		if (is_label(desc, i) || !number(row, desc, i, &value))
			continue;
		metric = perfkit_metric_find(NameStr(TupleDescAttr(desc, i - 1)->attname));
		if (metric < 0)
			elog(ERROR, "perfkit: probe %s has an unknown metric %s", probe->name,
				 SPI_fname(desc, i));
		sink(probe, metric, labels, value);
	}
}


static SPIPlanPtr
prepare(const PerfkitProbe *probe)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	SPIPlanPtr plan = SPI_prepare(probe->sql, lengthof(types), types);

	if (plan == NULL)
		elog(ERROR, "perfkit: probe %s: %s", probe->name, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}


static void
run(const PerfkitProbe *probe, State *state, TimestampTz last, TimestampTz now,
	PerfkitProbeSink sink)
{
	Datum values[] = {TimestampTzGetDatum(last), TimestampTzGetDatum(now)};
	int result;

	enable_timeout_after(STATEMENT_TIMEOUT, TIMEOUT_MS);
	if (state->plan == NULL)
		state->plan = prepare(probe);
	result = SPI_execute_plan(state->plan, values, NULL, true, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "perfkit: probe %s: %s", probe->name, SPI_result_code_string(result));
	for (uint64 i = 0; i < SPI_processed; i++)
		take_row(probe, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, sink);
	disable_timeout(STATEMENT_TIMEOUT, false);
	SPI_freetuptable(SPI_tuptable);
}


/* The error has been caught: back to where we were, a word about it, once. */
static void
give_up(const PerfkitProbe *probe, State *state, MemoryContext context)
{
	ErrorData *error;

	HOLD_INTERRUPTS();
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	if (!state->failing)
		ereport(WARNING, (errcode(error->sqlerrcode),
						  errmsg("perfkit: cannot sample %s: %s", probe->name, error->message),
						  errdetail("Its metrics are absent until it can be read again.")));
	state->failing = true;
	FreeErrorData(error);
	RESUME_INTERRUPTS();
}


bool
perfkit_probe_run(int i, TimestampTz last, TimestampTz now, PerfkitProbeSink sink)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool ok = true;

	if (states == NULL)
		states = MemoryContextAllocZero(TopMemoryContext, perfkit_n_probes * sizeof(State));
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		run(&perfkit_probes[i], &states[i], last, now, sink);
		states[i].failing = false;
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ok = false;
		give_up(&perfkit_probes[i], &states[i], context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return ok;
}
