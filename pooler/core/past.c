/*
 * past.c - see past.h.
 */
#include "core/past.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static struct past *
entry(struct past **table, const char *database)
{
	struct past *p;
	size_t size;

	HASH_FIND_STR(*table, database, p);
	if (p != NULL)
		return p;
	size = sizeof(*p) + strlen(database) + 1;
	p = aligned_alloc(STATS_ALIGN, (size + STATS_ALIGN - 1) / STATS_ALIGN * STATS_ALIGN);
	if (p == NULL)
		abort();
	memset(p, 0, sizeof(*p));
	strcpy(p->database, database);
	HASH_ADD_STR(*table, database, p);
	return p;
}

void
past_add(struct past **table, const char *database, struct stats_kept *from)
{
	struct past *p = entry(table, database);

	stats_add(&p->kept.now, &from->now);
	stats_add(&p->kept.at_period, &from->at_period);
	stats_add(&p->kept.last_period, &from->last_period);
	memset(from, 0, sizeof(*from));
}

void
past_drop(struct past **table, const char *database)
{
	struct past *p;

	HASH_FIND_STR(*table, database, p);
	if (p == NULL)
		return;
	HASH_DEL(*table, p);
	free(p);
}

void
past_clear(struct past **table)
{
	struct past *p;
	struct past *next;

	HASH_ITER(hh, *table, p, next)
	{
		HASH_DEL(*table, p);
		free(p);
	}
}
