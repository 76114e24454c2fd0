/*
 * names.c - see names.h.
 */
#include "core/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/log.h"
#include "core/statement.h"

struct name_entry
{
	UT_hash_handle hh;
	struct statement *statement;
	char name[];
};

static struct name_entry *
find(const struct names *n, const char *name)
{
	struct name_entry *e;

	HASH_FIND_STR(n->by_name, name, e);
	return e;
}

struct statement *
names_find(const struct names *n, const char *name)
{
	struct name_entry *e = n->by_name == NULL ? NULL : find(n, name);

	return e == NULL ? NULL : e->statement;
}

void
names_add(struct names *n, const char *name, struct statement *s)
{
	size_t len = strlen(name);
	struct name_entry *e = mem_zalloc(sizeof(*e) + len + 1);

	memcpy(e->name, name, len + 1);
	e->statement = statement_use(s);
	HASH_ADD_KEYPTR(hh, n->by_name, e->name, len, e);
}

static void
take_out(struct names *n, struct name_entry *e)
{
	HASH_DELETE(hh, n->by_name, e);
	statement_drop(&e->statement);
	free(e);
}

void
names_remove(struct names *n, const char *name)
{
	struct name_entry *e = n->by_name == NULL ? NULL : find(n, name);

	if (e != NULL)
		take_out(n, e);
}

size_t
names_count(const struct names *n)
{
	return HASH_COUNT(n->by_name);
}

void
names_clear(struct names *n)
{
	while (n->by_name != NULL)
		take_out(n, n->by_name);
}
