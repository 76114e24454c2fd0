/*-------------------------------------------------------------------------
 * standby.c
 *	  Rows that are in memory only: given up oldest first, shown by _memory().
 *
 *	  backend: ring full -> gives up the oldest -> its record fits
 *	  reader:  the ring from its oldest record on, one record a look
 *	  promoted: the worker stores what is there (writer.c), and nobody shows it any more
 *
 * SB1 On a standby a ring is read under perfkit_shared->lock, shared, and
 *     records are given up under it, exclusive; both ask there whether recovery
 *     goes on.  So when the worker of a promoted server has passed through that
 *     lock once, the ring is its own again and needs none.
 * SB2 Under the lock bytes are copied, skipped or zeroed, at most MAX_GIVEN_UP
 *     and one record; nothing is allocated and nothing can raise.
 * SB3 Anybody may call _memory(), so what others may not know of a row is masked
 *     here, as the views do it.
 *-------------------------------------------------------------------------
 */
#include "standby.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "record.h"
#include "row.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#define GIVE_UP_SHARE 8           /* an eighth of the ring at a time, */
#define MAX_GIVEN_UP (256 * 1024) /* or so many bytes, so that it takes microseconds */
#define MASKED_TEXT "<insufficient privilege>"

PG_FUNCTION_INFO_V1(perfkit_memory);

/* Where a look at the ring stands, and the record it has found. */
typedef struct Look
{
	PerfkitDatabase *db;
	PerfkitRingCursor cursor;
	PerfkitRecord *record;
	Size room; /* of `record` */
	uint32 length;
} Look;

/* How an attribute of slow_query_log is told to others; by default it is not theirs to know. */
typedef enum Secrecy
{
	OPEN,
	SECRET,
	SECRET_TEXT /* says that it is one */
} Secrecy;

/* What is made of one attribute. */
typedef struct Target
{
	int from; /* index in perfkit_row_columns; -1: not in a record */
	Oid type;
	bool is_origin;
	Secrecy secrecy;
} Target;


/* Records from the oldest on, `bytes` of them or more.  Lock held. */
static void
give_up(PerfkitDatabase *db, PerfkitRing *ring, uint64 bytes)
{
	PerfkitRingCursor cursor;
	uint64 tail;

	perfkit_ring_start(ring, &cursor);
	tail = cursor.position;
	while (cursor.position - tail < bytes && perfkit_ring_peek(ring, &cursor) > 0)
		perfkit_ring_skip(ring, &cursor);
	perfkit_count(db, PERFKIT_DROPPED_OVERWRITTEN, (int64) cursor.records);
	perfkit_ring_consume(ring, &cursor);
}


bool
perfkit_standby_make_room(PerfkitDatabase *db, uint32 length)
{
	PerfkitRing *ring;
	bool standby;

	if (!RecoveryInProgress() || !LWLockConditionalAcquire(perfkit_shared->lock, LW_EXCLUSIVE))
		return false;
	ring = perfkit_shmem_ring(db);
	standby = ring != NULL && RecoveryInProgress();
	if (standby)
		give_up(db, ring, Max(length, Min(ring->size / GIVE_UP_SHARE, MAX_GIVEN_UP)));
	LWLockRelease(perfkit_shared->lock);
	return standby;
}


void
perfkit_standby_leave(void)
{
	LWLockAcquire(perfkit_shared->lock, LW_EXCLUSIVE);
	LWLockRelease(perfkit_shared->lock);
}


/* The ring to look at, or NULL when there is none any more.  Lock held. */
static PerfkitRing *
ring_of(const Look *look)
{
	if (pg_atomic_read_u32(&look->db->database) != MyDatabaseId || !RecoveryInProgress())
		return NULL;
	return perfkit_shmem_ring(look->db);
}


/* Copies the next record if there is room for it; its length, 0 at the end. */
static uint32
try_next(Look *look)
{
	PerfkitRing *ring;
	uint32 length = 0;

	LWLockAcquire(perfkit_shared->lock, LW_SHARED);
	ring = ring_of(look);
	if (ring != NULL)
	{
		perfkit_ring_catch_up(ring, &look->cursor);
		length = perfkit_ring_peek(ring, &look->cursor);
		if (length > 0 && length <= look->room)
			perfkit_ring_next(ring, &look->cursor, look->record);
	}
	LWLockRelease(perfkit_shared->lock);
	return length;
}


/* The next record, whole; false when that was the last. */
static bool
next(Look *look)
{
	uint32 length;

	CHECK_FOR_INTERRUPTS();
	while ((length = try_next(look)) > look->room)
	{
		look->room = length;
		look->record = repalloc(look->record, length);
	}
	look->length = length;
	return length > 0;
}


/* Starts at the oldest record; how many there are now. */
static uint64
begin(Look *look)
{
	PerfkitRing *ring;
	uint64 records = 0;

	memset(look, 0, sizeof(*look));
	look->db = perfkit_shmem_find(MyDatabaseId);
	if (look->db == NULL)
		return 0;
	look->room = BLCKSZ;
	look->record = palloc(look->room);
	LWLockAcquire(perfkit_shared->lock, LW_SHARED);
	ring = ring_of(look);
	if (ring != NULL)
	{
		perfkit_ring_start(ring, &look->cursor);
		records = perfkit_ring_records(ring);
	}
	LWLockRelease(perfkit_shared->lock);
	return records;
}


/* As the views have it (SB3). */
static Secrecy
secrecy_of(const char *name)
{
	static const char *const texts[] = {"query", "query_normalized"};
	static const char *const others[] = {
		"client_addr", "client_port", "application_name", "parameters", "tags", "plan", "message"};

	for (size_t i = 0; i < lengthof(texts); i++)
	{
		if (strcmp(name, texts[i]) == 0)
			return SECRET_TEXT;
	}
	for (size_t i = 0; i < lengthof(others); i++)
	{
		if (strcmp(name, others[i]) == 0)
			return SECRET;
	}
	return OPEN;
}


/* Columns are found by name: an update of the extension may have added some. */
static Target *
find_targets(TupleDesc desc)
{
	Target *targets = palloc0(desc->natts * sizeof(Target));

	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(desc, i)->attname);

		targets[i].from = -1;
		targets[i].type = TupleDescAttr(desc, i)->atttypid;
		targets[i].is_origin = strcmp(name, "origin") == 0;
		targets[i].secrecy = secrecy_of(name);
		for (int j = 0; j < PERFKIT_ROW_COLUMNS; j++)
		{
			if (strcmp(name, perfkit_row_columns[j].name) == 0)
				targets[i].from = j;
		}
	}
	return targets;
}


/* The casts of perfkit_row_columns. */
static Datum
cast(Datum value, Oid type)
{
	switch (type)
	{
		case NAMEOID:
			return DirectFunctionCall1(text_name, value);
		case INETOID:
			return DirectFunctionCall1(inet_in, CStringGetDatum(TextDatumGetCString(value)));
		default:
			return value;
	}
}


static void
put(ReturnSetInfo *result, const Target *targets, const PerfkitRow *row, bool visible)
{
	TupleDesc desc = result->setDesc;
	Datum *values = palloc0(desc->natts * sizeof(Datum));
	bool *nulls = palloc0(desc->natts * sizeof(bool));

	for (int i = 0; i < desc->natts; i++)
	{
		const Target *t = &targets[i];

		if (t->is_origin)
			values[i] = CStringGetTextDatum("memory");
		else if (!visible && t->secrecy == SECRET_TEXT)
			values[i] = CStringGetTextDatum(MASKED_TEXT);
		else if (t->from < 0 || row->nulls[t->from] == 'n' || (!visible && t->secrecy != OPEN))
			nulls[i] = true;
		else
			values[i] = cast(row->values[t->from], t->type);
	}
	tuplestore_putvalues(result->setResult, desc, values, nulls);
}


/* perfkit._memory(): the rows of a standby, as rows of slow_query_log; elsewhere none. */
Datum
perfkit_memory(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext row_memory;
	const char *database;
	Target *targets;
	PerfkitRow row;
	uint64 records;
	Look look;

	InitMaterializedSRF(fcinfo, 0);
	/* What is stored can be read without the library being preloaded. */
	if (perfkit_shared == NULL || !RecoveryInProgress())
		return (Datum) 0;
	records = begin(&look);
	targets = find_targets(result->setDesc);
	database = get_database_name(MyDatabaseId);
	row_memory = AllocSetContextCreate(caller, "perfkit memory row", ALLOCSET_DEFAULT_SIZES);
	for (; records > 0 && next(&look); records--)
	{
		if (!perfkit_record_valid(look.record, look.length) ||
			look.record->database != MyDatabaseId)
			continue;
		MemoryContextSwitchTo(row_memory);
		perfkit_row_fill(&row, look.record, database);
		put(result, targets, &row,
			has_privs_of_role(GetUserId(), look.record->userid) ||
				has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS));
		MemoryContextSwitchTo(caller);
		MemoryContextReset(row_memory);
	}
	MemoryContextDelete(row_memory);
	return (Datum) 0;
}
