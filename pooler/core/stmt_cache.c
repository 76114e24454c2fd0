/*
 * stmt_cache.c - see stmt_cache.h.
 *
 * uthash keeps its elements in order of insertion, so using one is taking it out and putting it
 * back at the end.
 *
 * Ids are numbers of ours, one after the other: they are their own hash, which nobody can spoil.
 */
#include "core/stmt_cache.h"

#include <stdlib.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/log.h"
#include "core/statement.h"

struct stmt_entry
{
	UT_hash_handle hh;
	uint32_t id;
	struct statement *statement;
};

static struct stmt_entry *
find(const struct stmt_cache *c, const struct statement *s)
{
	struct stmt_entry *e;

	HASH_FIND_BYHASHVALUE(hh, c->by_id, &s->id, sizeof(s->id), s->id, e);
	return e;
}

struct statement *
stmt_cache_find(const struct stmt_cache *c, uint32_t id)
{
	struct stmt_entry *e;

	HASH_FIND_BYHASHVALUE(hh, c->by_id, &id, sizeof(id), id, e);
	return e == NULL ? NULL : e->statement;
}

bool
stmt_cache_touch(struct stmt_cache *c, const struct statement *s)
{
	struct stmt_entry *e = find(c, s);

	if (e == NULL)
		return false;
	if (e->hh.next != NULL)
	{
		HASH_DELETE(hh, c->by_id, e);
		HASH_ADD_BYHASHVALUE(hh, c->by_id, id, sizeof(e->id), e->id, e);
	}
	return true;
}

void
stmt_cache_add(struct stmt_cache *c, struct statement *s)
{
	struct stmt_entry *e = find(c, s);

	if (e != NULL)
		return;
	e = mem_zalloc(sizeof(*e));
	e->id = s->id;
	e->statement = statement_use(s);
	HASH_ADD_BYHASHVALUE(hh, c->by_id, id, sizeof(e->id), e->id, e);
}

static void
take_out(struct stmt_cache *c, struct stmt_entry *e)
{
	HASH_DELETE(hh, c->by_id, e);
	statement_drop(&e->statement);
	free(e);
}

void
stmt_cache_remove(struct stmt_cache *c, const struct statement *s)
{
	struct stmt_entry *e = find(c, s);

	if (e != NULL)
		take_out(c, e);
}

struct statement *
stmt_cache_superfluous(const struct stmt_cache *c, size_t max)
{
	return HASH_COUNT(c->by_id) < max ? NULL : c->by_id->statement;
}

size_t
stmt_cache_count(const struct stmt_cache *c)
{
	return HASH_COUNT(c->by_id);
}

void
stmt_cache_clear(struct stmt_cache *c)
{
	while (c->by_id != NULL)
		take_out(c, c->by_id);
	c->uncertain = false;
}
