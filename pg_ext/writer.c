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
 * Texts are made valid for the database's encoding before they go in.  Should
 * the table refuse a row nevertheless (a constraint of the DBA's, say), the
 * batch is repeated in transactions of one row, and only that row is dropped.
 *-------------------------------------------------------------------------
 */
#include "writer.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "partition.h"
#include "pgstat.h"
#include "record.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define BATCH_ROWS 1000
#define BATCH_BYTES (4 * 1024 * 1024)

typedef struct Column
{
	const char *name;
	Oid type;         /* of the parameter */
	const char *cast; /* appended to it */
} Column;

/* The columns filled now, in the order in which fill_row() fills them. */
static const Column columns[] = {
	{"id", INT8OID, ""},
	{"started_at", TIMESTAMPTZOID, ""},
	{"ended_at", TIMESTAMPTZOID, ""},
	{"duration_ms", FLOAT8OID, ""},
	{"planning_ms", FLOAT8OID, ""},
	{"execution_ms", FLOAT8OID, ""},
	{"queryid", INT8OID, ""},
	{"parent_id", INT8OID, ""},
	{"nesting_level", INT4OID, ""},
	{"database", TEXTOID, "::name"},
	{"username", TEXTOID, "::name"},
	{"client_addr", TEXTOID, "::inet"},
	{"client_port", INT4OID, ""},
	{"application_name", TEXTOID, ""},
	{"pid", INT4OID, ""},
	{"command_tag", TEXTOID, ""},
	{"query", TEXTOID, ""},
	{"rows", INT8OID, ""},
	{"outcome", TEXTOID, ""},
	{"sqlstate", TEXTOID, ""},
	{"message", TEXTOID, ""},
	{"reason", TEXTOID, ""},
	{"sample_weight", FLOAT8OID, ""},
	{"commit_ms", FLOAT8OID, ""},
	{"userid", OIDOID, ""},
	{"shared_blks_hit", INT8OID, ""},
	{"shared_blks_read", INT8OID, ""},
	{"shared_blks_dirtied", INT8OID, ""},
	{"shared_blks_written", INT8OID, ""},
	{"local_blks_hit", INT8OID, ""},
	{"local_blks_read", INT8OID, ""},
	{"local_blks_dirtied", INT8OID, ""},
	{"local_blks_written", INT8OID, ""},
	{"temp_blks_read", INT8OID, ""},
	{"temp_blks_written", INT8OID, ""},
	{"shared_blk_read_time", FLOAT8OID, ""},
	{"shared_blk_write_time", FLOAT8OID, ""},
	{"local_blk_read_time", FLOAT8OID, ""},
	{"local_blk_write_time", FLOAT8OID, ""},
	{"temp_blk_read_time", FLOAT8OID, ""},
	{"temp_blk_write_time", FLOAT8OID, ""},
	{"wal_records", INT8OID, ""},
	{"wal_fpi", INT8OID, ""},
	{"wal_bytes", INT8OID, ""},
	{"wal_buffers_full", INT8OID, ""},
	{"jit_functions", INT8OID, ""},
	{"jit_generation_time", FLOAT8OID, ""},
	{"jit_inlining_time", FLOAT8OID, ""},
	{"jit_optimization_time", FLOAT8OID, ""},
	{"jit_emission_time", FLOAT8OID, ""},
	{"jit_deform_time", FLOAT8OID, ""},
	{"parallel_workers_to_launch", INT4OID, ""},
	{"parallel_workers_launched", INT4OID, ""},
	{"boot", INT8OID, ""},
	{"sequence", INT8OID, ""},
};

#define N_COLUMNS lengthof(columns)

typedef struct Row
{
	size_t n;
	Datum values[N_COLUMNS];
	char nulls[N_COLUMNS];
} Row;

/* What one call of flush found in the ring. */
typedef struct Batch
{
	PerfkitRingCursor cursor;
	Size bytes;
	int64 stored;
	int64 invalid;
	int64 strangers; /* records of another database (shmem.c, S1) */
} Batch;

static char database_name[NAMEDATALEN];
static SPIPlanPtr insert_plan = NULL;
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


static void
put(Row *row, Datum value, bool null)
{
	Assert(row->n < N_COLUMNS);
	row->values[row->n] = value;
	row->nulls[row->n] = null ? 'n' : ' ';
	row->n++;
}


static void
put_int8(Row *row, int64 value, bool null)
{
	put(row, Int64GetDatum(value), null);
}


static void
put_int4(Row *row, int32 value, bool null)
{
	put(row, Int32GetDatum(value), null);
}


static void
put_float8(Row *row, double value, bool null)
{
	put(row, Float8GetDatum(value), null);
}


/* A text made valid for the database's encoding: each bad byte becomes '?'. */
static text *
valid_text(const char *bytes, int length)
{
	int encoding = GetDatabaseEncoding();
	text *result = cstring_to_text_with_len(bytes, length);
	char *at = VARDATA(result);

	while (length > 0)
	{
		int n = pg_encoding_verifymbchar(encoding, at, length);

		if (n <= 0 || *at == '\0')
		{
			*at = '?';
			n = 1;
		}
		at += n;
		length -= n;
	}
	return result;
}


static void
put_text(Row *row, const char *bytes, int length)
{
	if (length == 0)
		put(row, (Datum) 0, true);
	else
		put(row, PointerGetDatum(valid_text(bytes, length)), false);
}


static void
put_string(Row *row, const char *string)
{
	put_text(row, string != NULL ? string : "", string != NULL ? strlen(string) : 0);
}


static void
put_record_text(Row *row, const PerfkitRecord *record, PerfkitText which)
{
	uint32 length;
	const char *bytes = perfkit_record_text(record, which, &length);

	put_text(row, bytes, length);
}


static void
put_identity(Row *row, const PerfkitRecord *record)
{
	uint32 length;

	put_int4(row, record->nesting_level, false);
	put_string(row, database_name);
	(void) perfkit_record_text(record, PERFKIT_TEXT_USERNAME, &length);
	if (length > 0)
		put_record_text(row, record, PERFKIT_TEXT_USERNAME);
	else
		put_string(row, GetUserNameFromId(record->userid, true));
	put_record_text(row, record, PERFKIT_TEXT_CLIENT_ADDR);
	put_int4(row, record->client_port, record->client_port < 0);
	put_record_text(row, record, PERFKIT_TEXT_APPLICATION);
	put_int4(row, record->pid, false);
	put_record_text(row, record, PERFKIT_TEXT_COMMAND_TAG);
	put_record_text(row, record, PERFKIT_TEXT_QUERY);
}


static void
put_usage(Row *row, const PerfkitRecord *record)
{
	const PerfkitUsage *u = &record->usage;
	bool no_times = !record->io_timing;
	bool no_local_times = !record->local_io_timing;

	for (int i = 0; i < 4; i++)
		put_int8(row, u->shared_blks[i], false);
	for (int i = 0; i < 4; i++)
		put_int8(row, u->local_blks[i], false);
	for (int i = 0; i < 2; i++)
		put_int8(row, u->temp_blks[i], false);
	for (int i = 0; i < 2; i++)
		put_float8(row, u->shared_blk_times[i], no_times);
	for (int i = 0; i < 2; i++)
		put_float8(row, u->local_blk_times[i], no_local_times);
	for (int i = 0; i < 2; i++)
		put_float8(row, u->temp_blk_times[i], no_times);
	put_int8(row, u->wal_records, false);
	put_int8(row, u->wal_fpi, false);
	put_int8(row, u->wal_bytes, false);
	put_int8(row, u->wal_buffers_full, u->wal_buffers_full < 0);
}


static void
put_jit(Row *row, const PerfkitRecord *record)
{
	const PerfkitJit *j = &record->jit;

	put_int8(row, j->functions, false);
	put_float8(row, j->generation_ms, false);
	put_float8(row, j->inlining_ms, false);
	put_float8(row, j->optimization_ms, false);
	put_float8(row, j->emission_ms, false);
	put_float8(row, j->deform_ms, !record->jit_deform);
	put_int4(row, record->workers_planned, record->workers_planned < 0);
	put_int4(row, record->workers_launched, record->workers_launched < 0);
}


/* In the order of columns[]. */
static void
fill_row(Row *row, const PerfkitRecord *record)
{
	row->n = 0;
	put_int8(row, record->id, false);
	put(row, TimestampTzGetDatum(record->started_at), false);
	put(row, TimestampTzGetDatum(record->ended_at), false);
	put_float8(row, record->duration_ms, false);
	put_float8(row, record->planning_ms, record->planning_ms < 0);
	put_float8(row, record->execution_ms, record->execution_ms < 0);
	put_int8(row, record->queryid, record->queryid == 0);
	put_int8(row, record->parent_id, record->parent_id == 0);
	put_identity(row, record);
	put_int8(row, record->rows, record->rows < 0);
	put_string(row, perfkit_outcome_name(record->outcome));
	put_string(row, record->sqlstate != 0 ? unpack_sql_state(record->sqlstate) : NULL);
	put_record_text(row, record, PERFKIT_TEXT_MESSAGE);
	put_string(row, perfkit_reason_name(record->reason));
	put_float8(row, 1, false);
	put_float8(row, record->commit_ms, record->commit_ms < 0);
	put(row, ObjectIdGetDatum(record->userid), false);
	put_usage(row, record);
	put_jit(row, record);
	put_int8(row, record->boot, false);
	put_int8(row, record->sequence, false);
	Assert(row->n == N_COLUMNS);
}


/* The INSERT, prepared once and kept. */
static void
prepare(void)
{
	Oid types[N_COLUMNS];
	StringInfoData sql;

	if (insert_plan != NULL)
		return;
	initStringInfo(&sql);
	appendStringInfoString(&sql, "INSERT INTO perfkit.slow_query_log (");
	for (size_t i = 0; i < N_COLUMNS; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", quote_identifier(columns[i].name));
	appendStringInfoString(&sql, ") VALUES (");
	for (size_t i = 0; i < N_COLUMNS; i++)
	{
		types[i] = columns[i].type;
		appendStringInfo(&sql, "%s$%zu%s", i > 0 ? ", " : "", i + 1, columns[i].cast);
	}
	appendStringInfoString(&sql, ") ON CONFLICT DO NOTHING");
	insert_plan = SPI_prepare(sql.data, N_COLUMNS, types);
	if (insert_plan == NULL)
		elog(ERROR, "perfkit: SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(insert_plan);
}


static void
insert(Batch *batch, const PerfkitRecord *record)
{
	Row row;

	if (record->started_at < known_from || record->started_at >= known_from + USECS_PER_DAY)
	{
		perfkit_partition_for_row(record->started_at);
		known_from = record->started_at - record->started_at % USECS_PER_DAY;
	}
	fill_row(&row, record);
	if (SPI_execute_plan(insert_plan, row.values, row.nulls, false, 0) < 0)
		elog(ERROR, "perfkit: INSERT failed");
	batch->stored++;
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
	else
		insert(batch, record);
}


static void
begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();

	/* Rows that are stored must survive a crash; a standby need not have them. */
	(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "perfkit: writing slow_query_log");
	prepare();
}


static void
end(PerfkitDatabase *db, PerfkitRing *ring, const Batch *batch)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);

	/* No interrupt is served between the commit and this. */
	perfkit_ring_consume(ring, &batch->cursor);
	perfkit_count(db, PERFKIT_STORED, batch->stored);
	perfkit_count(db, PERFKIT_DROPPED_INVALID, batch->invalid);
	perfkit_count(db, PERFKIT_DROPPED_NO_RING, batch->strangers);
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
		perfkit_ring_consume(ring, &batch->cursor);
		perfkit_count(db, PERFKIT_DROPPED_INVALID, 1);
	}
}


bool
perfkit_writer_learned(void)
{
	return learned;
}


static bool
full(const Batch *batch)
{
	if (batch->cursor.position < careful_until)
		return batch->cursor.records >= 1;
	return batch->cursor.records >= BATCH_ROWS || batch->bytes >= BATCH_BYTES;
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
	MemoryContextSwitchTo(caller);
	MemoryContextReset(batch_memory);
	return full(&batch);
}


void
perfkit_writer_overwrite(PerfkitDatabase *db, bool only_half)
{
	PerfkitRing *ring = perfkit_shmem_ring(db);
	uint64 keep = only_half && ring != NULL ? ring->size / 2 : 0;
	PerfkitRingCursor cursor;

	if (ring == NULL || perfkit_ring_used(ring) <= keep)
		return;
	perfkit_ring_start(ring, &cursor);
	while (perfkit_ring_peek(ring, &cursor) > 0 &&
		   pg_atomic_read_u64(&ring->head) - cursor.position > keep)
		perfkit_ring_skip(ring, &cursor);
	perfkit_count(db, PERFKIT_DROPPED_OVERWRITTEN, (int64) cursor.records);
	perfkit_ring_consume(ring, &cursor);
}
