/*-------------------------------------------------------------------------
 * outbox.c
 *	  log_metric(async => true) -> ring -> worker -> INSERT, COMMIT -> consume.
 *
 * The series of a day are a set of hashes, in which entries are only added, by
 * compare-and-swap, until the worker empties it at midnight (UTC).
 *-------------------------------------------------------------------------
 */
#include "outbox.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "guc.h"
#include "miscadmin.h"
#include "partition.h"
#include "query.h"
#include "ring.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define BATCH_RECORDS 1000
#define WINDOW 64
#define MAX_METRIC_SIZE 128

/* One measurement on its way; behind it the metric's name and the labels, a jsonb. */
typedef struct Record
{
	TimestampTz at;
	double value;
	Oid database;
	uint16 metric_length;
	uint16 labels_length;
	char bytes[FLEXIBLE_ARRAY_MEMBER];
} Record;

/* The series of one database's applications, today. */
typedef struct Series
{
	pg_atomic_uint32 used;
	int day; /* since 2000-01-01; the worker's */
	pg_atomic_uint64 hashes[FLEXIBLE_ARRAY_MEMBER];
} Series;

static char *boxes = NULL;
static SPIPlanPtr insert_plan = NULL;


static uint32
places(void)
{
	return 2 * (uint32) perfkit_max_series + WINDOW;
}


static Size
ring_memory(void)
{
	return CACHELINEALIGN(perfkit_ring_memory((Size) perfkit_metric_ring_size * 1024));
}


static Size
box_memory(void)
{
	return CACHELINEALIGN(
		add_size(ring_memory(),
				 add_size(offsetof(Series, hashes), mul_size(places(), sizeof(pg_atomic_uint64)))));
}


Size
perfkit_outbox_memory(void)
{
	return mul_size(perfkit_max_databases, box_memory());
}


static PerfkitRing *
ring_of(int index)
{
	return (PerfkitRing *) (boxes + index * box_memory());
}


static Series *
series_of(int index)
{
	return (Series *) (boxes + index * box_memory() + ring_memory());
}


static void
forget_series(Series *series)
{
	for (uint32 i = 0; i < places(); i++)
		pg_atomic_write_u64(&series->hashes[i], 0);
	pg_atomic_write_u32(&series->used, 0);
}


void
perfkit_outbox_init(void *memory, bool fresh)
{
	boxes = memory;
	for (int i = 0; fresh && i < perfkit_max_databases; i++)
	{
		Series *series = series_of(i);

		perfkit_ring_init(ring_of(i), (Size) perfkit_metric_ring_size * 1024);
		pg_atomic_init_u32(&series->used, 0);
		for (uint32 j = 0; j < places(); j++)
			pg_atomic_init_u64(&series->hashes[j], 0);
	}
}


/* ---------------------------------------------------------------- series */

/* Is it in the set, or may it come in? */
static bool
admit(Series *series, uint64 hash)
{
	for (uint32 i = 0; i < WINDOW; i++)
	{
		pg_atomic_uint64 *place = &series->hashes[(hash + i) % places()];
		uint64 there = pg_atomic_read_u64(place);

		if (there == hash)
			return true;
		if (there != 0)
			continue;
		if (pg_atomic_read_u32(&series->used) >= (uint32) perfkit_max_series)
			return false;
		if (pg_atomic_compare_exchange_u64(place, &there, hash))
		{
			pg_atomic_fetch_add_u32(&series->used, 1);
			return true;
		}
		if (there == hash)
			return true;
	}
	return false;
}


bool
perfkit_outbox_admits(PerfkitDatabase *db, const char *metric, const Jsonb *labels)
{
	uint64 hash;

	/* A database without a ring has no worker that would forget its series. */
	if (db == NULL || db->ring < 0)
		return true;
	hash =
		hash_combine64(hash_bytes_extended((const unsigned char *) metric, (int) strlen(metric), 0),
					   hash_bytes_extended((const unsigned char *) &labels->root,
										   (int) VARSIZE(labels) - VARHDRSZ, 0));
	if (admit(series_of(db->ring), hash == 0 ? 1 : hash))
		return true;
	perfkit_count(db, PERFKIT_SERIES_REFUSED, 1);
	return false;
}


/* ---------------------------------------------------------------- in and out */

void
perfkit_outbox_put(PerfkitDatabase *db, TimestampTz at, const char *metric, const Jsonb *labels,
				   double value)
{
	union
	{
		Record record;
		char room[sizeof(Record) + MAX_METRIC_SIZE + PERFKIT_MAX_LABELS_SIZE];
	} u;
	Record *r = &u.record;

	if (db == NULL)
		return;
	*r = (Record){.at = at, .value = value, .database = MyDatabaseId};
	r->metric_length = (uint16) strlen(metric);
	r->labels_length = (uint16) VARSIZE(labels);
	Assert(r->metric_length <= MAX_METRIC_SIZE && r->labels_length <= PERFKIT_MAX_LABELS_SIZE);
	memcpy(r->bytes, metric, r->metric_length);
	memcpy(r->bytes + r->metric_length, labels, r->labels_length);
	if (db->ring < 0 || RecoveryInProgress() ||
		perfkit_ring_put(ring_of(db->ring), r,
						 (uint32) offsetof(Record, bytes) + r->metric_length + r->labels_length) !=
			PERFKIT_RING_STORED)
		perfkit_count(db, PERFKIT_METRICS_LOST, 1);
}


static void
prepare(void)
{
	Oid types[] = {TIMESTAMPTZOID, TEXTOID, JSONBOID, FLOAT8OID};

	insert_plan =
		SPI_prepare("INSERT INTO perfkit.performance_log (logged_at, source, metric, labels, value)"
					" VALUES ($1, 'application', $2, $3, $4)",
					lengthof(types), types);
	if (insert_plan == NULL)
		elog(ERROR, "perfkit: SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(insert_plan);
}


static void
insert(const Record *r)
{
	char *labels = palloc(r->labels_length);
	Datum values[] = {
		TimestampTzGetDatum(r->at),
		PointerGetDatum(cstring_to_text_with_len(r->bytes, r->metric_length)),
		PointerGetDatum(labels),
		Float8GetDatum(r->value),
	};

	memcpy(labels, r->bytes + r->metric_length, r->labels_length);
	perfkit_partition_for_metric(r->at);
	if (SPI_execute_plan(insert_plan, values, NULL, false, 0) < 0)
		elog(ERROR, "perfkit: INSERT into performance_log failed");
}


/* The next record, if it is one of this database. */
static int
take_one(PerfkitRing *ring, PerfkitRingCursor *cursor, uint32 length)
{
	Record *r = palloc(length);

	perfkit_ring_next(ring, cursor, r);
	if (r->database != MyDatabaseId)
		return 0;
	insert(r);
	return 1;
}


static void
new_day(Series *series)
{
	int day = (int) (GetCurrentTimestamp() / USECS_PER_DAY);

	if (series->day == day)
		return;
	series->day = day;
	forget_series(series);
}


bool
perfkit_outbox_flush(PerfkitDatabase *db)
{
	PerfkitRingCursor cursor;
	PerfkitRing *ring;
	uint32 length;
	int64 stored = 0;

	if (db->ring < 0)
		return false;
	new_day(series_of(db->ring));
	ring = ring_of(db->ring);
	perfkit_ring_start(ring, &cursor);
	if (perfkit_ring_peek(ring, &cursor) == 0)
		return false;
	perfkit_query_begin("perfkit: writing performance_log");
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	if (insert_plan == NULL)
		prepare();
	while (cursor.records < BATCH_RECORDS && (length = perfkit_ring_peek(ring, &cursor)) > 0)
	{
		CHECK_FOR_INTERRUPTS();
		stored += take_one(ring, &cursor, length);
	}
	perfkit_query_end();
	perfkit_ring_consume(ring, &cursor);
	perfkit_count(db, PERFKIT_METRICS_STORED, stored);
	return cursor.records >= BATCH_RECORDS;
}
