/*
 * undo.c - see undo.h.
 */
#include "core/undo.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/names.h"
#include "core/statement.h"
#include "core/stmt_cache.h"

static void
release(struct undo *u)
{
	list_remove(&u->node);
	statement_drop(&u->statement);
	free(u);
}

void
undo_note(struct list *notes, uint32_t serial, enum undo_kind kind, struct statement *s,
		  const char *name)
{
	size_t len = strlen(name);
	struct undo *u = mem_zalloc(sizeof(*u) + len + 1);

	u->serial = serial;
	u->kind = kind;
	u->statement = statement_use(s);
	memcpy(u->name, name, len + 1);
	list_append(notes, &u->node);
}

struct undo *
undo_oldest(const struct list *notes)
{
	struct list *n = list_first(notes);

	return n == NULL ? NULL : list_entry(n, struct undo, node);
}

void
undo_answered(struct list *notes, uint32_t serial)
{
	struct undo *u;

	while ((u = undo_oldest(notes)) != NULL && u->serial == serial)
		release(u);
}

static void
take_back(struct undo *u, struct names *names, struct stmt_cache *known)
{
	switch (u->kind)
	{
		case UNDO_NAMED:
			names_remove(names, u->name);
			break;
		case UNDO_UNNAMED:
			names_add(names, u->name, u->statement);
			break;
		case UNDO_CACHED:
			stmt_cache_remove(known, u->statement);
			break;
		case UNDO_EVICTED:
			stmt_cache_add(known, u->statement);
			break;
		case UNDO_DUPLICATE:
		case UNDO_SENT:
		case UNDO_DEALLOCATE:
			break;
	}
}

void
undo_back_from(struct list *notes, struct undo *newest, struct names *names,
			   struct stmt_cache *known)
{
	while (newest != NULL)
	{
		struct list *before = newest->node.prev;

		take_back(newest, names, known);
		release(newest);
		newest = before == notes ? NULL : list_entry(before, struct undo, node);
	}
}

void
undo_redo(const struct list *notes, struct names *names, struct stmt_cache *known)
{
	list_foreach(n, next, notes)
	{
		struct undo *u = list_entry(n, struct undo, node);

		if (u->kind == UNDO_CACHED)
			stmt_cache_add(known, u->statement);
		else if (u->kind == UNDO_EVICTED)
			stmt_cache_remove(known, u->statement);
		else if (u->kind == UNDO_NAMED)
			names_add(names, u->name, u->statement);
		else if (u->kind == UNDO_UNNAMED)
			names_remove(names, u->name);
	}
}

const struct undo *
undo_find(const struct list *notes, enum undo_kind kind, const struct statement *s,
		  const char *name)
{
	for (const struct list *n = notes->prev; n != notes; n = n->prev)
	{
		const struct undo *u = list_entry(n, struct undo, node);

		if (u->kind == kind && u->statement == s && strcmp(u->name, name) == 0)
			return u;
	}
	return NULL;
}

const struct undo *
undo_find_name(const struct list *notes, const char *name)
{
	for (const struct list *n = notes->prev; n != notes; n = n->prev)
	{
		const struct undo *u = list_entry(n, struct undo, node);

		if ((u->kind == UNDO_NAMED || u->kind == UNDO_UNNAMED || u->kind == UNDO_DEALLOCATE) &&
			strcmp(u->name, name) == 0)
			return u;
	}
	return NULL;
}

void
undo_clear(struct list *notes)
{
	struct undo *u;

	while ((u = undo_oldest(notes)) != NULL)
		release(u);
}
