/*-------------------------------------------------------------------------
 * statements_table.c
 *	  Entries, their hash chains, the clock that makes room, and the texts.
 *
 *	  header | heads of the chains | entries | texts (chunks.h)
 *
 * ST1 Links and heads are always an index into the entries or -1, so that
 *     somebody without the lock may follow them: at worst to a wrong entry.
 *-------------------------------------------------------------------------
 */
#include "statements_table.h"

#include "chunks.h"
#include "common/hashfn.h"
#include "guc.h"
#include "port/pg_bitutils.h"

#define MAX_USAGE 20
#define MAX_STEPS 1000 /* without the lock a chain may lead in circles */

typedef struct Table
{
	PerfkitStatementNumbers numbers;
	int32 free; /* the first free entry, or -1 */
	int32 used;
	int32 hand; /* of the clock */
} Table;

LWLock *perfkit_statements_lock = NULL;
PerfkitStatementNumbers *perfkit_statement_numbers = NULL;

static Table *table = NULL;
static int32 *heads = NULL;
static PerfkitStatement *entries = NULL;
static PerfkitChunks *texts = NULL;


static int32
n_heads(void)
{
	return (int32) pg_nextpower2_32((uint32) perfkit_max_statements);
}


static Size
text_bytes(void)
{
	return (Size) perfkit_statement_text_size * 1024;
}


Size
perfkit_statements_table_memory(void)
{
	Size size = MAXALIGN(sizeof(Table)) + MAXALIGN(n_heads() * sizeof(int32));

	size = add_size(size, mul_size(perfkit_max_statements, sizeof(PerfkitStatement)));
	return add_size(MAXALIGN(size), MAXALIGN(perfkit_chunks_memory(text_bytes())));
}


static void
init_fresh(void)
{
	pg_atomic_init_u64(&table->numbers.evicted, 0);
	pg_atomic_init_u64(&table->numbers.merges, 0);
	pg_atomic_init_u64(&table->numbers.merges_by_need, 0);
	pg_atomic_init_u64(&table->numbers.lock_waits, 0);
	pg_atomic_init_u64(&table->numbers.texts_refused, 0);
	pg_atomic_init_u64(&table->numbers.lost, 0);
	table->used = 0;
	table->hand = 0;
	table->free = -1;
	for (int32 i = 0; i < n_heads(); i++)
		heads[i] = -1;
	for (int32 i = perfkit_max_statements - 1; i >= 0; i--)
	{
		entries[i].key.queryid = 0;
		entries[i].next = table->free;
		table->free = i;
	}
}


void
perfkit_statements_table_init(void *memory, bool fresh)
{
	char *at = memory;

	perfkit_statements_lock = &GetNamedLWLockTranche(PERFKIT_STATEMENTS_TRANCHE)->lock;
	table = (Table *) at;
	perfkit_statement_numbers = &table->numbers;
	at += MAXALIGN(sizeof(Table));
	heads = (int32 *) at;
	at += MAXALIGN(n_heads() * sizeof(int32));
	entries = (PerfkitStatement *) at;
	at += MAXALIGN(perfkit_max_statements * sizeof(PerfkitStatement));
	texts = (PerfkitChunks *) at;
	if (!fresh)
		return;
	init_fresh();
	(void) perfkit_chunks_init(at, text_bytes());
}


static bool
same(const PerfkitStatementKey *a, const PerfkitStatementKey *b)
{
	return a->queryid == b->queryid && a->database == b->database && a->userid == b->userid &&
		   a->toplevel == b->toplevel;
}


static int32 *
head_of(const PerfkitStatementKey *key)
{
	uint32 hash = hash_combine(murmurhash32((uint32) key->queryid ^ (uint32) (key->queryid >> 32)),
							   murmurhash32(key->database * 31 + key->userid * 2 + key->toplevel));

	return &heads[hash & (uint32) (n_heads() - 1)];
}


bool
perfkit_statements_table_has_text(const PerfkitStatementKey *key)
{
	int32 at = *(volatile int32 *) head_of(key);

	for (int steps = 0; at >= 0 && steps < MAX_STEPS; steps++)
	{
		const volatile PerfkitStatement *s = &entries[at];

		if (same((const PerfkitStatementKey *) &s->key, key))
			return s->text != PERFKIT_NO_CHUNK || s->text_refused;
		at = s->next;
	}
	return false;
}


static void
unlink_entry(int32 index)
{
	int32 *link = head_of(&entries[index].key);

	while (*link != index)
		link = &entries[*link].next;
	*link = entries[index].next;
}


static void
remove_entry(int32 index)
{
	PerfkitStatement *s = &entries[index];

	unlink_entry(index);
	perfkit_chunks_free(texts, s->text);
	s->text = PERFKIT_NO_CHUNK;
	s->key.queryid = 0;
	s->next = table->free;
	table->free = index;
	table->used--;
}


/* Removes the first entry that has run down. */
static void
make_room(void)
{
	for (;;)
	{
		int32 index = table->hand;

		table->hand = (index + 1) % perfkit_max_statements;
		if (entries[index].key.queryid == 0)
			continue;
		if (entries[index].usage == 0)
		{
			remove_entry(index);
			pg_atomic_fetch_add_u64(&table->numbers.evicted, 1);
			return;
		}
		entries[index].usage--;
	}
}


PerfkitStatement *
perfkit_statements_table_find(const PerfkitStatementKey *key, TimestampTz now)
{
	int32 *head = head_of(key);
	PerfkitStatement *s;
	int32 index;

	for (index = *head; index >= 0; index = entries[index].next)
	{
		if (same(&entries[index].key, key))
			return &entries[index];
	}
	if (table->free < 0)
		make_room();
	index = table->free;
	s = &entries[index];
	table->free = s->next;
	table->used++;
	memset(s, 0, sizeof(*s));
	s->key = *key;
	s->text = PERFKIT_NO_CHUNK;
	s->since = now;
	s->next = *head;
	*head = index;
	return s;
}


void
perfkit_statements_table_merge(PerfkitStatement *s, const PerfkitTally *tally, const uint16 *counts)
{
	uint64 executions =
		(uint64) (tally->sums[PERFKIT_TALLY_CALLS] + tally->sums[PERFKIT_TALLY_ERRORS]);
	bool again = s->tally.sums[PERFKIT_TALLY_CALLS] > 0 || s->tally.sums[PERFKIT_TALLY_ERRORS] > 0;

	/* A statement that is executed once and never again is the first to go. */
	if (executions > 0)
		s->usage = Min(MAX_USAGE, s->usage + again + pg_leftmost_one_pos64(executions));
	perfkit_tally_add(&s->tally, tally);
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
		s->counts[i] += counts[i];
}


void
perfkit_statements_table_set_text(PerfkitStatement *s, const char *text, Size length, bool cut)
{
	if (s->text != PERFKIT_NO_CHUNK || s->text_refused || length == 0)
		return;
	s->text_length = (uint32) length;
	s->text_cut = cut;
	s->text = perfkit_chunks_put(texts, text, length);
	s->text_refused = s->text == PERFKIT_NO_CHUNK;
	if (s->text_refused)
		pg_atomic_fetch_add_u64(&table->numbers.texts_refused, 1);
}


void
perfkit_statements_table_remove(const PerfkitStatementFilter *filter)
{
	for (int32 i = 0; i < perfkit_max_statements; i++)
	{
		if (entries[i].key.queryid != 0 && perfkit_statement_matches(filter, &entries[i].key))
			remove_entry(i);
	}
}


int
perfkit_statements_table_size(void)
{
	return perfkit_max_statements;
}


int
perfkit_statements_table_used(void)
{
	return table->used;
}


Size
perfkit_statements_table_text_used(void)
{
	return perfkit_chunks_used(texts);
}


PerfkitStatement *
perfkit_statements_table_at(int index)
{
	return &entries[index];
}


void
perfkit_statements_table_text(const PerfkitStatement *s, char *out)
{
	perfkit_chunks_get(texts, s->text, s->text_length, out);
}
