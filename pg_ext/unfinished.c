/*-------------------------------------------------------------------------
 * unfinished.c
 *	  What becomes of the rows of statements that were still running.
 *
 * The worker remembers the rows it has written; one that takes over from a
 * dead worker reads them from the table.  A row leaves the list when the
 * record of its end is committed.  What has ended, by a look at the slots and at
 * its backend, and is still on the list after the ring was emptied, got no such
 * record.
 *-------------------------------------------------------------------------
 */
#include "unfinished.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "query.h"
#include "record.h"
#include "slot.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

typedef struct Row
{
	uint64 sequence;
	int pid;   /* of the backend */
	bool over; /* its slot did not hold it any more at the last look */
	bool gone; /* nor was its backend there: what it wrote was in the ring by then */
} Row;

static List *rows = NIL;     /* of Row, in TopMemoryContext */
static uint64 head_then = 0; /* of the ring, at the last look */


static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	perfkit_query_hold_extension();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "perfkit: unfinished statements");
}


static void
end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}


/* Runs a statement with parameters, the first of which is the boot; returns the rows it met. */
static uint64
run(int expected, const char *sql, int n, Oid *types, Datum *values, const char *nulls)
{
	values[0] = Int64GetDatum(perfkit_shared->boot);
	if (SPI_execute_with_args(sql, n, types, values, nulls, false, 0) != expected)
		elog(ERROR, "perfkit: SPI failed: %s", sql);
	return SPI_processed;
}


/* Takes over what an earlier worker of this life has written. */
static void
load(void)
{
	Oid types[] = {INT8OID};
	Datum values[1];
	uint64 n = run(SPI_OK_SELECT,
				   "SELECT sequence, pid FROM perfkit.slow_query_log"
				   " WHERE outcome = 'running' AND boot = $1",
				   1, types, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool null;

		perfkit_unfinished_add((uint64) DatumGetInt64(SPI_getbinval(tuple, desc, 1, &null)),
							   DatumGetInt32(SPI_getbinval(tuple, desc, 2, &null)));
	}
}


void
perfkit_unfinished_start(PerfkitDatabase *db)
{
	Oid types[] = {INT8OID};
	Datum values[1];
	uint64 n;

	list_free_deep(rows);
	rows = NIL;
	begin();
	n = run(SPI_OK_UPDATE,
			"UPDATE perfkit.slow_query_log SET outcome = 'crashed'"
			" WHERE outcome = 'running' AND boot <> $1",
			1, types, values, NULL);
	load();
	end();
	perfkit_count(db, PERFKIT_CRASHED_ROWS, (int64) n);
}


static Row *
find(uint64 sequence)
{
	ListCell *lc;

	foreach (lc, rows)
	{
		Row *row = lfirst(lc);

		if (row->sequence == sequence)
			return row;
	}
	return NULL;
}


void
perfkit_unfinished_add(uint64 sequence, int pid)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	Row *row;

	if (find(sequence) == NULL)
	{
		row = palloc0(sizeof(Row));
		row->sequence = sequence;
		row->pid = pid;
		rows = lappend(rows, row);
	}
	MemoryContextSwitchTo(caller);
}


void
perfkit_unfinished_remove(uint64 sequence)
{
	Row *row = find(sequence);

	if (row == NULL)
		return;
	rows = list_delete_ptr(rows, row);
	pfree(row);
}


static bool
runs(uint64 sequence)
{
	for (int i = 0; i < perfkit_slot_count(); i++)
	{
		if (perfkit_slot_holds(perfkit_slot_at(i), sequence))
			return true;
	}
	return false;
}


void
perfkit_unfinished_look(PerfkitDatabase *db)
{
	PerfkitRing *ring = perfkit_shmem_ring(db);
	ListCell *lc;

	foreach (lc, rows)
	{
		Row *row = lfirst(lc);

		row->over = !runs(row->sequence);
		row->gone = BackendPidGetProc(row->pid) == NULL;
	}
	if (ring != NULL)
	{
		PerfkitRingCursor tail;

		perfkit_ring_start(ring, &tail);
		head_then = tail.position + perfkit_ring_used(ring);
	}
}


/* Whether all that was in the ring at the last look has been read: it stops at a record whose
 * writer was interrupted. */
static bool
read_since(PerfkitDatabase *db)
{
	PerfkitRing *ring = perfkit_shmem_ring(db);
	PerfkitRingCursor tail;

	if (ring == NULL)
		return true;
	perfkit_ring_start(ring, &tail);
	return tail.position >= head_then;
}


/* The numbers a backend has left for it, or NULL. */
static PerfkitSlotEnd *
find_end(uint64 sequence)
{
	for (int i = 0; i < perfkit_slot_count(); i++)
	{
		PerfkitSlotEnd *end = &perfkit_slot_at(i)->end;

		if (pg_atomic_read_u64(&end->sequence) == sequence)
		{
			pg_read_barrier();
			return end;
		}
	}
	return NULL;
}


static void
close_by_numbers(uint64 sequence, const PerfkitSlotEnd *end)
{
	Oid types[] = {INT8OID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, FLOAT8OID, INT8OID};
	char nulls[] = {
		' ', ' ', ' ', end->sqlstate != 0 ? ' ' : 'n', ' ', ' ', end->rows >= 0 ? ' ' : 'n'};
	Datum values[] = {
		0,
		Int64GetDatum((int64) sequence),
		CStringGetTextDatum(perfkit_outcome_name(end->outcome)),
		CStringGetTextDatum(unpack_sql_state(end->sqlstate)),
		TimestampTzGetDatum(end->ended_at),
		Float8GetDatum(end->duration_ms),
		Int64GetDatum(end->rows),
	};

	(void) run(SPI_OK_UPDATE,
			   "UPDATE perfkit.slow_query_log"
			   " SET outcome = $3, sqlstate = $4, ended_at = $5, duration_ms = $6, rows = $7"
			   " WHERE outcome IN ('running', 'crashed') AND boot = $1 AND sequence = $2",
			   lengthof(types), types, values, nulls);
}


static void
close_crashed(PerfkitDatabase *db, uint64 sequence)
{
	Oid types[] = {INT8OID, INT8OID};
	Datum values[] = {0, Int64GetDatum((int64) sequence)};

	perfkit_count(db, PERFKIT_CRASHED_ROWS,
				  (int64) run(SPI_OK_UPDATE,
							  "UPDATE perfkit.slow_query_log SET outcome = 'crashed'"
							  " WHERE outcome = 'running'"
							  " AND boot = $1 AND sequence = $2",
							  lengthof(types), types, values, NULL));
}


/* Closes one row in a transaction of its own; false when its end may still come. */
static bool
close_row(PerfkitDatabase *db, const Row *row)
{
	PerfkitSlotEnd *numbers = find_end(row->sequence);

	if (numbers == NULL && !(row->gone && read_since(db)))
		return false;
	begin();
	if (numbers != NULL)
		close_by_numbers(row->sequence, numbers);
	else
		close_crashed(db, row->sequence);
	end();
	return true;
}


void
perfkit_unfinished_close(PerfkitDatabase *db)
{
	List *copy = list_copy(rows);
	ListCell *lc;

	foreach (lc, copy)
	{
		const Row *row = lfirst(lc);

		if (row->over && close_row(db, row))
			perfkit_unfinished_remove(row->sequence);
	}
	list_free(copy);
}
