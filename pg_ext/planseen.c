/*-------------------------------------------------------------------------
 * planseen.c
 *	  The table of statements and their plans.
 *
 *	  [ bucket: 8 entries ] [ bucket ] ...      entry: key, plans, number, second: 64 bytes
 *
 * The key says which bucket; all its entries are searched.  Every word changes
 * by itself, atomically.
 *
 * Q1  A key or plan is written by compare-and-swap.  Who adds a statement's first
 *     plan tells that it is new, whoever has written the key.
 * Q2  An entry that makes room has its plans cleared before it gets its new key.
 *     A backend that is late may still put a plan of the old statement there: at
 *     worst a plan of the new one is told twice, or not when the ids are equal.
 *-------------------------------------------------------------------------
 */
#include "planseen.h"

#include "guc.h"
#include "port/atomics.h"

#define BUCKET_ENTRIES 8
#define TAKING UINT64_MAX /* no statement's key */

typedef struct Entry
{
	pg_atomic_uint64 key;                         /* 0: free */
	pg_atomic_uint64 plans[PERFKIT_PLANS_OF_ONE]; /* 0: none; the newest overwrites the oldest */
	pg_atomic_uint64 plans_ever;                  /* how many were added */
	pg_atomic_uint64 met;                         /* second it was met last */
} Entry;

typedef struct Table
{
	pg_atomic_uint64 statements;
	pg_atomic_uint64 evicted;
	uint64 n_buckets;
	Entry entries[FLEXIBLE_ARRAY_MEMBER];
} Table;

static Table *table = NULL;


static uint64
n_buckets(void)
{
	return ((uint64) perfkit_max_plans + BUCKET_ENTRIES - 1) / BUCKET_ENTRIES;
}


Size
perfkit_planseen_memory(void)
{
	return offsetof(Table, entries) + n_buckets() * BUCKET_ENTRIES * sizeof(Entry);
}


void
perfkit_planseen_init(void *memory)
{
	table = memory;
	pg_atomic_init_u64(&table->statements, 0);
	pg_atomic_init_u64(&table->evicted, 0);
	table->n_buckets = n_buckets();
	for (uint64 i = 0; i < table->n_buckets * BUCKET_ENTRIES; i++)
	{
		Entry *entry = &table->entries[i];

		pg_atomic_init_u64(&entry->key, 0);
		pg_atomic_init_u64(&entry->plans_ever, 0);
		pg_atomic_init_u64(&entry->met, 0);
		for (int j = 0; j < PERFKIT_PLANS_OF_ONE; j++)
			pg_atomic_init_u64(&entry->plans[j], 0);
	}
}


static uint64
key_of(Oid database, int64 queryid)
{
	uint64 key = ((uint64) queryid ^ database) * UINT64CONST(0x9E3779B97F4A7C15);

	key ^= key >> 32;
	return key != 0 && key != TAKING ? key : 1;
}


/*
 * The statement's entry in its bucket; else the one that shall become it, or NULL:
 * not now.  Each key is read once: all who look for the same statement at once
 * must come to the same entry, whatever happens to it meanwhile.
 */
static Entry *
find(Entry *bucket, uint64 key, bool *found)
{
	Entry *best = NULL;
	uint64 best_has = 0;
	bool taking = false;

	*found = true;
	for (int i = 0; i < BUCKET_ENTRIES; i++)
	{
		Entry *entry = &bucket[i];
		uint64 has = pg_atomic_read_u64(&entry->key);

		if (has == key)
			return entry;
		taking |= has == TAKING;
		if (best != NULL && best_has == 0)
			continue;
		if (best == NULL || has == 0 ||
			pg_atomic_read_u64(&entry->met) < pg_atomic_read_u64(&best->met))
		{
			best = entry;
			best_has = has;
		}
	}
	*found = false;
	return taking ? NULL : best;
}


/* Makes an entry the statement's, unless somebody else has just taken it. */
static void
take(Entry *entry, uint64 key)
{
	uint64 has = pg_atomic_read_u64(&entry->key);

	if (has == key || has == TAKING)
		return;
	if (has == 0)
	{
		if (pg_atomic_compare_exchange_u64(&entry->key, &has, key))
			pg_atomic_fetch_add_u64(&table->statements, 1);
		return;
	}
	/* Q2 */
	if (!pg_atomic_compare_exchange_u64(&entry->key, &has, TAKING))
		return;
	for (int i = 0; i < PERFKIT_PLANS_OF_ONE; i++)
		pg_atomic_write_u64(&entry->plans[i], 0);
	pg_atomic_write_u64(&entry->plans_ever, 0);
	pg_write_barrier();
	pg_atomic_write_u64(&entry->key, key);
	pg_atomic_fetch_add_u64(&table->evicted, 1);
}


static bool
knows_plan(Entry *entry, uint64 plan)
{
	for (int i = 0; i < PERFKIT_PLANS_OF_ONE; i++)
	{
		if (pg_atomic_read_u64(&entry->plans[i]) == plan)
			return true;
	}
	return false;
}


/* Of several that add the same plan at once only one finds the slot as it was. */
static PerfkitPlanNews
add_plan(Entry *entry, uint64 plan)
{
	uint64 ever = pg_atomic_read_u64(&entry->plans_ever);
	pg_atomic_uint64 *slot = &entry->plans[ever % PERFKIT_PLANS_OF_ONE];
	uint64 has = pg_atomic_read_u64(slot);

	if (knows_plan(entry, plan) || !pg_atomic_compare_exchange_u64(slot, &has, plan))
		return PERFKIT_PLAN_KNOWN;
	pg_atomic_fetch_add_u64(&entry->plans_ever, 1);
	return ever == 0 ? PERFKIT_PLAN_OF_NEW_STATEMENT : PERFKIT_PLAN_NEW;
}


PerfkitPlanNews
perfkit_planseen_note(Oid database, int64 queryid, int64 plan_id, int64 second)
{
	uint64 key = key_of(database, queryid);
	Entry *bucket = &table->entries[(key % table->n_buckets) * BUCKET_ENTRIES];
	bool found;
	Entry *entry = find(bucket, key, &found);

	/* When the entry is another's by now this statement is told next time. */
	if (entry == NULL)
		return PERFKIT_PLAN_KNOWN;
	if (!found)
		take(entry, key);
	if (pg_atomic_read_u64(&entry->key) != key)
		return PERFKIT_PLAN_KNOWN;
	if (pg_atomic_read_u64(&entry->met) != (uint64) second)
		pg_atomic_write_u64(&entry->met, (uint64) second);
	if (knows_plan(entry, (uint64) plan_id))
		return PERFKIT_PLAN_KNOWN;
	return add_plan(entry, (uint64) plan_id);
}


uint64
perfkit_planseen_statements(void)
{
	return pg_atomic_read_u64(&table->statements);
}


uint64
perfkit_planseen_evicted(void)
{
	return pg_atomic_read_u64(&table->evicted);
}
