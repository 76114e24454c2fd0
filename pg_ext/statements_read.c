/*-------------------------------------------------------------------------
 * statements_read.c
 *	  perfkit._statements(), behind view statements, and reset_statements().
 *
 * What backends have counted is merged first, so the answer is of now.  Then the
 * table is copied under its lock, shared, into memory made before, and turned into
 * rows after it.  Works on a standby as anywhere.
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "histogramsql.h"
#include "miscadmin.h"
#include "sheets.h"
#include "shmem.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* Sums behind ROWS are columns one by one; before and behind them stand 15 and 3. */
#define FIRST_LISTED (PERFKIT_TALLY_ROWS + 1)
#define N_COLUMNS (15 + (PERFKIT_N_TALLY_SUMS - FIRST_LISTED) + 3)

/* What is free for statements that come between the look at the sizes and the copy. */
#define SLACK_STATEMENTS 16
#define SLACK_BYTES (64 * 1024)

PG_FUNCTION_INFO_V1(perfkit_statements);
PG_FUNCTION_INFO_V1(perfkit_reset_statements);
PG_FUNCTION_INFO_V1(perfkit_bucket_start);

/* The statements of a database, copied. */
typedef struct Copy
{
	int n;
	int room;
	Size text_length;
	Size text_room;
	PerfkitStatement *statements; /* their `text` is where it begins in texts, or -1 */
	char *texts;
} Copy;

/* One row on its way. */
typedef struct Cells
{
	int n;
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS];
} Cells;


static void
put(Cells *cells, Datum value, bool null)
{
	cells->values[cells->n] = value;
	cells->nulls[cells->n++] = null;
}


static void
put_ms(Cells *cells, double ns)
{
	put(cells, Float8GetDatum(ns / 1e6), ns < 0);
}


/* False when there is more than there is room for. */
static bool
copy_statement(Copy *copy, const PerfkitStatement *s)
{
	PerfkitStatement *to = &copy->statements[copy->n];

	if (copy->n == copy->room ||
		(s->text >= 0 && copy->text_room - copy->text_length < s->text_length))
		return false;
	*to = *s;
	copy->n++;
	if (s->text < 0)
		return true;
	to->text = (int32) copy->text_length;
	perfkit_statements_table_text(s, copy->texts + copy->text_length);
	copy->text_length += s->text_length;
	return true;
}


/* Lock held. */
static bool
copy_all(Copy *copy)
{
	for (int i = 0; i < perfkit_statements_table_size(); i++)
	{
		const PerfkitStatement *s = perfkit_statements_table_at(i);

		if (s->key.queryid != 0 && s->key.database == MyDatabaseId && !copy_statement(copy, s))
			return false;
	}
	return true;
}


static void
copy_table(Copy *copy)
{
	bool done;

	do
	{
		copy->n = 0;
		copy->text_length = 0;
		copy->room = perfkit_statements_table_used() + SLACK_STATEMENTS;
		copy->text_room = perfkit_statements_table_text_used() + SLACK_BYTES;
		copy->statements =
			MemoryContextAllocHuge(CurrentMemoryContext, copy->room * sizeof(PerfkitStatement));
		copy->texts = MemoryContextAllocHuge(CurrentMemoryContext, copy->text_room);
		LWLockAcquire(perfkit_statements_lock, LW_SHARED);
		done = copy_all(copy);
		LWLockRelease(perfkit_statements_lock);
		if (!done)
		{
			pfree(copy->statements);
			pfree(copy->texts);
		}
	} while (!done);
}


static bool
may_see(Oid userid)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		   has_privs_of_role(GetUserId(), userid);
}


static void
put_text(Cells *cells, const Copy *copy, const PerfkitStatement *s)
{
	if (!may_see(s->key.userid))
		put(cells, CStringGetTextDatum("<insufficient privilege>"), false);
	else if (s->text < 0)
		put(cells, (Datum) 0, true);
	else
		put(cells,
			PointerGetDatum(cstring_to_text_with_len(copy->texts + s->text, (int) s->text_length)),
			false);
}


/* A quantile cannot be outside of what was measured, as the middle of a bucket can. */
static void
put_quantile(Cells *cells, const PerfkitStatement *s, double q)
{
	double ns = perfkit_histogram_quantile(s->counts, q);

	if (ns >= 0)
		ns = Min(Max(ns, (double) s->tally.min_ns), (double) s->tally.max_ns);
	put_ms(cells, ns);
}


/* Does this PostgreSQL count it? */
static bool
is_counted(PerfkitTallySum sum)
{
	switch (sum)
	{
		case PERFKIT_TALLY_LOCAL_READ_NS:
		case PERFKIT_TALLY_LOCAL_WRITE_NS:
			return PERFKIT_HAS_LOCAL_TIMES;
		case PERFKIT_TALLY_JIT_DEFORM_COUNT:
		case PERFKIT_TALLY_JIT_DEFORM_NS:
			return PERFKIT_HAS_JIT_DEFORM;
		case PERFKIT_TALLY_WAL_BUFFERS_FULL:
		case PERFKIT_TALLY_WORKERS_PLANNED:
		case PERFKIT_TALLY_WORKERS_LAUNCHED:
			return PERFKIT_HAS_WORKER_COUNTS;
		default:
			return true;
	}
}


static void
put_sum(Cells *cells, const PerfkitStatement *s, PerfkitTallySum sum)
{
	if (perfkit_tally_unit(sum) == PERFKIT_TALLY_NS)
		put(cells, Float8GetDatum((double) s->tally.sums[sum] / 1e6), !is_counted(sum));
	else
		put(cells, Int64GetDatum(s->tally.sums[sum]), !is_counted(sum));
}


static void
fill(Cells *cells, const Copy *copy, const PerfkitStatement *s, bool with_histogram)
{
	bool any = s->tally.sums[PERFKIT_TALLY_CALLS] > 0;

	cells->n = 0;
	put(cells, Int64GetDatum(s->key.queryid), false);
	put(cells, ObjectIdGetDatum(s->key.userid), false);
	put(cells, BoolGetDatum(s->key.toplevel), false);
	put_text(cells, copy, s);
	put_sum(cells, s, PERFKIT_TALLY_CALLS);
	put_sum(cells, s, PERFKIT_TALLY_ERRORS);
	put_sum(cells, s, PERFKIT_TALLY_EXEC_NS);
	put_ms(cells, any ? perfkit_tally_mean(&s->tally) : -1);
	put_ms(cells, any ? (double) s->tally.min_ns : -1);
	put_ms(cells, any ? (double) s->tally.max_ns : -1);
	put_ms(cells, any ? perfkit_tally_stddev(&s->tally) : -1);
	put_quantile(cells, s, 0.5);
	put_quantile(cells, s, 0.95);
	put_quantile(cells, s, 0.99);
	put_sum(cells, s, PERFKIT_TALLY_ROWS);
	for (int i = FIRST_LISTED; i < PERFKIT_N_TALLY_SUMS; i++)
		put_sum(cells, s, (PerfkitTallySum) i);
	put_quantile(cells, s, 0.999);
	put(cells, TimestampTzGetDatum(s->since), false);
	put(cells, with_histogram ? perfkit_histogram_datum(s->counts) : (Datum) 0, !with_histogram);
}


/* perfkit._statements(with_histogram): one row a statement of this database. */
Datum
perfkit_statements(PG_FUNCTION_ARGS)
{
	bool with_histogram = PG_GETARG_BOOL(0);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext row_context;
	MemoryContext outer;
	Copy copy;

	perfkit_shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	perfkit_sheets_merge(MyDatabaseId, true);
	copy_table(&copy);
	row_context =
		AllocSetContextCreate(CurrentMemoryContext, "perfkit row", ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(row_context);
	for (int i = 0; i < copy.n; i++)
	{
		const PerfkitStatement *s = &copy.statements[i];
		Cells cells;

		/* Its text was brought, and its first execution is just being counted. */
		if (s->tally.sums[PERFKIT_TALLY_CALLS] == 0 && s->tally.sums[PERFKIT_TALLY_ERRORS] == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		fill(&cells, &copy, s, with_histogram);
		tuplestore_putvalues(result->setResult, result->setDesc, cells.values, cells.nulls);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(row_context);
	pfree(copy.statements);
	pfree(copy.texts);
	return (Datum) 0;
}


/* perfkit.reset_statements(username, database, queryid); NULL: all, and the current database. */
Datum
perfkit_reset_statements(PG_FUNCTION_ARGS)
{
	PerfkitStatementFilter filter = {.database = MyDatabaseId};

	perfkit_shmem_require();
	if (!PG_ARGISNULL(0))
		filter.userid = get_role_oid(NameStr(*PG_GETARG_NAME(0)), false);
	if (!PG_ARGISNULL(1))
		filter.database = get_database_oid(NameStr(*PG_GETARG_NAME(1)), false);
	if (!PG_ARGISNULL(2))
		filter.queryid = PG_GETARG_INT64(2);
	perfkit_sheets_reset(&filter);
	PG_RETURN_VOID();
}


/* perfkit._bucket_start(bucket): in ms. */
Datum
perfkit_bucket_start(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(perfkit_histogram_start(PG_GETARG_INT32(0)) / 1e6);
}
