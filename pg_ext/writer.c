/*-------------------------------------------------------------------------
 * writer.c
 *	  A batch of records becomes rows.
 *
 *	  read from the ring -> INSERT each -> COMMIT -> consume -> count
 *
 * A worker that dies between COMMIT and consume leaves the batch to the next
 * one, and UNIQUE (started_at, boot, sequence) with ON CONFLICT DO NOTHING
 * makes at least once exactly once.
 *
 * Should the table refuse a row (row.c makes texts valid for the encoding)
 * nevertheless (a constraint of the DBA's, say), the
 * batch is repeated in transactions of one row, and only that row is dropped.
 *-------------------------------------------------------------------------
 */
#include "writer.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "guc.h"
#include "jsonlog.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "partition.h"
#include "pgstat.h"
#include "query.h"
#include "record.h"
#include "row.h"
#include "unfinished.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define BATCH_ROWS 1000
#define BATCH_BYTES (4 * 1024 * 1024)
#define STORM_SHARE 16 /* of slow_query_max_size written: time for a look at the size */

/* What one call of flush found in the ring. */
typedef struct Batch
{
	PerfkitRingCursor cursor;
	Size bytes;
	int64 stored;
	int64 invalid;
	int64 strangers; /* records of another database (shmem.c, S1) */
	int64 over_size;
	List *ended; /* records of statements that had a row while they ran */
	List *lines; /* for the server log */
} Batch;

static char database_name[NAMEDATALEN];
static SPIPlanPtr insert_plan = NULL;
static SPIPlanPtr delete_plan = NULL; /* of the row from while it ran */
static Size written = 0;              /* bytes of records, since the size was looked at */
static MemoryContext batch_memory = NULL;
static uint64 careful_until = 0; /* ring position up to which rows go one by one */
static bool learned = false;
static TimestampTz known_from = 0; /* start of a day whose partition we have seen */


void
perfkit_writer_init(void)
{
	StartTransactionCommand();
	strlcpy(database_name, get_database_name(MyDatabaseId), sizeof(database_name));
	CommitTransactionCommand();
	batch_memory = AllocSetContextCreate(TopMemoryContext, "perfkit batch", ALLOCSET_DEFAULT_SIZES);
}


/* Kept for the life of the worker. */
static SPIPlanPtr
prepare_one(const char *sql, int n_types, Oid *types)
{
	SPIPlanPtr plan = SPI_prepare(sql, n_types, types);

	if (plan == NULL)
		elog(ERROR, "perfkit: SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}


/* Either may fail, and is then tried again with the next batch. */
static void
prepare(void)
{
	Oid types[PERFKIT_ROW_COLUMNS];
	StringInfoData sql;

	if (delete_plan == NULL)
		delete_plan = prepare_one("DELETE FROM perfkit.slow_query_log"
								  " WHERE outcome IN ('running', 'crashed')"
								  " AND boot = $1 AND sequence = $2",
								  2, (Oid[]){INT8OID, INT8OID});
	if (insert_plan != NULL)
		return;
	initStringInfo(&sql);
	appendStringInfoString(&sql, "INSERT INTO perfkit.slow_query_log (");
	for (size_t i = 0; i < PERFKIT_ROW_COLUMNS; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(perfkit_row_columns[i].name));
	appendStringInfoString(&sql, ") VALUES (");
	for (size_t i = 0; i < PERFKIT_ROW_COLUMNS; i++)
	{
		types[i] = perfkit_row_columns[i].type;
		appendStringInfo(&sql, "%s$%zu%s", i > 0 ? ", " : "", i + 1, perfkit_row_columns[i].cast);
	}
	appendStringInfoString(&sql, ") ON CONFLICT DO NOTHING");
	insert_plan = prepare_one(sql.data, PERFKIT_ROW_COLUMNS, types);
}


/* The row of a statement that was still running makes room for what is known now. */
static void
remove_running(const PerfkitRecord *record)
{
	Datum values[] = {Int64GetDatum(record->boot), Int64GetDatum(record->sequence)};

	if (SPI_execute_plan(delete_plan, values, NULL, false, 0) < 0)
		elog(ERROR, "perfkit: DELETE failed");
}


static void
insert(Batch *batch, PerfkitRecord *record)
{
	PerfkitRow row;

	if (record->started_at < known_from || record->started_at >= known_from + USECS_PER_DAY)
	{
		perfkit_partition_for_row(record->started_at);
		known_from = record->started_at - record->started_at % USECS_PER_DAY;
	}
	perfkit_row_fill(&row, record, database_name);
	if (record->replaces)
		remove_running(record);
	if (SPI_execute_plan(insert_plan, row.values, row.nulls, false, 0) < 0)
		elog(ERROR, "perfkit: INSERT failed");

	/* SPI leaves us in its own memory, which goes before the batch is told of. */
	MemoryContextSwitchTo(batch_memory);
	batch->stored++;
	if (record->outcome == PERFKIT_RUNNING)
		return;
	if (record->replaces)
		batch->ended = lappend(batch->ended, record);
	if (perfkit_log_json)
		batch->lines = lappend(batch->lines, perfkit_jsonlog_line(&row));
}


/* Takes the next record out of the ring and stores it, or counts why not. */
static void
take_one(Batch *batch, PerfkitRing *ring, uint32 length)
{
	PerfkitRecord *record = palloc(Max(length, sizeof(PerfkitRecord)));

	perfkit_ring_next(ring, &batch->cursor, record);
	batch->bytes += length;
	if (!perfkit_record_valid(record, length))
		batch->invalid++;
	else if (record->database != MyDatabaseId)
		batch->strangers++;
	else if (perfkit_partition_full() && !record->replaces)
		batch->over_size++;
	else
		insert(batch, record);
}


static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	perfkit_query_hold_extension();

	/* Rows that are stored must survive a crash; a standby need not have them. */
	(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "perfkit: writing slow_query_log");
	prepare();
}


static void
commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
}


/* What is told of a batch that is committed. */
static void
tell(const Batch *batch)
{
	ListCell *lc;

	foreach (lc, batch->ended)
		perfkit_unfinished_remove((uint64) ((PerfkitRecord *) lfirst(lc))->sequence);
	foreach (lc, batch->lines)
		ereport(LOG, (errmsg("perfkit: %s", (char *) lfirst(lc)), errhidestmt(true),
					  errhidecontext(true)));
}


static void
end(PerfkitDatabase *db, PerfkitRing *ring, const Batch *batch)
{
	commit();

	/* No interrupt is served between the commit and this; what is pending no more is counted. */
	perfkit_count(db, PERFKIT_STORED, batch->stored);
	perfkit_count(db, PERFKIT_DROPPED_INVALID, batch->invalid);

	/* They were counted as captured where they came from: so that the books balance here. */
	perfkit_count(db, PERFKIT_CAPTURED, batch->strangers);
	perfkit_count(db, PERFKIT_DROPPED_NO_RING, batch->strangers);
	perfkit_count(db, PERFKIT_DROPPED_MAX_SIZE, batch->over_size);
	perfkit_ring_consume(ring, &batch->cursor);
	written += batch->bytes;
}


/* Would this error come again, whatever we do, because of what is in the row? */
static bool
row_is_to_blame(int sqlstate)
{
	int class = ERRCODE_TO_CATEGORY(sqlstate);

	return class == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		   class == ERRCODE_TO_CATEGORY(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION) ||
		   sqlstate == ERRCODE_RAISE_EXCEPTION;
}


/* A transaction has failed: learn from it, before the error goes on to the worker. */
static void
learn(PerfkitDatabase *db, PerfkitRing *ring, const Batch *batch)
{
	/* Perhaps somebody has dropped the partition: look again. */
	known_from = 0;

	learned = row_is_to_blame(geterrcode());
	if (!learned)
		return;
	if (batch->cursor.position > careful_until)
		careful_until = batch->cursor.position;
	else
	{
		/* It was alone, and its partition was there: this row it is. */
		perfkit_count(db, PERFKIT_DROPPED_INVALID, 1);
		perfkit_ring_consume(ring, &batch->cursor);
	}
}


bool
perfkit_writer_learned(void)
{
	return learned;
}


/* Bytes of records after which the size of the log is to be looked at. */
static Size
size_step(void)
{
	if (perfkit_slow_query_max_size == 0)
		return SIZE_MAX;
	return (Size) perfkit_slow_query_max_size * 1024 / STORM_SHARE;
}


bool
perfkit_writer_stormy(void)
{
	return written >= size_step();
}


void
perfkit_writer_size_known(void)
{
	written = 0;
}


static bool
full(const Batch *batch)
{
	if (batch->cursor.position < careful_until)
		return batch->cursor.records >= 1;
	return batch->cursor.records >= BATCH_ROWS || batch->bytes >= Min(BATCH_BYTES, size_step());
}


static void
store(PerfkitDatabase *db, PerfkitRing *ring, Batch *batch)
{
	uint32 length;

	PG_TRY();
	{
		begin();
		MemoryContextSwitchTo(batch_memory);
		while (!full(batch) && (length = perfkit_ring_peek(ring, &batch->cursor)) > 0)
		{
			CHECK_FOR_INTERRUPTS();
			take_one(batch, ring, length);
		}
		end(db, ring, batch);
	}
	PG_CATCH();
	{
		MemoryContextReset(batch_memory);
		learn(db, ring, batch);
		PG_RE_THROW();
	}
	PG_END_TRY();
}


bool
perfkit_writer_flush(PerfkitDatabase *db)
{
	PerfkitRing *ring = perfkit_shmem_ring(db);
	MemoryContext caller = CurrentMemoryContext;
	Batch batch = {0};

	if (ring == NULL)
		return false;
	perfkit_ring_start(ring, &batch.cursor);
	if (perfkit_ring_peek(ring, &batch.cursor) == 0)
		return false;
	store(db, ring, &batch);
	tell(&batch);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(batch_memory);
	return full(&batch);
}


void
perfkit_writer_store_running(PerfkitDatabase *db, PerfkitRecord *record)
{
	MemoryContext caller = CurrentMemoryContext;
	Batch batch = {0};

	begin();
	MemoryContextSwitchTo(batch_memory);
	insert(&batch, record);
	commit();
	MemoryContextSwitchTo(caller);
	MemoryContextReset(batch_memory);
	perfkit_count(db, PERFKIT_RUNNING_ROWS, 1);
}
