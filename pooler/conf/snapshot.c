/*
 * snapshot.c - see snapshot.h; also conf_free() and the two look-ups, which need to know how the
 * tables are built.
 *
 * Text goes to chunks that are never moved, so that every const char * in the snapshot stays valid;
 * they are wiped when freed because they hold secrets. Entries lie in plain arrays that grow, so
 * the hash knows them by position.
 */
#include "conf/snapshot.h"

#include "base/hash.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/option.h"

#include <stdlib.h>
#include <string.h>

#define uthash_malloc(size) mem_alloc(size)
#define uthash_free(ptr, size) free(ptr)
#include <uthash.h>

#define CHUNK_SIZE 16384

struct chunk
{
	struct chunk *next;
	size_t size; /* bytes in mem */
	size_t used;
	char mem[];
};

struct named
{
	const char *name;
	size_t position; /* in the array */
	UT_hash_handle hh;
};

struct names
{
	struct named *databases;
	struct named *users;
	size_t database_room; /* entries allocated */
	size_t user_room;
};

struct conf *
snapshot_new(const char *path)
{
	struct conf *c = mem_zalloc(sizeof *c);

	c->index = mem_zalloc(sizeof(struct names));
	option_set_defaults(c);
	c->path = snapshot_text(c, path, strlen(path));
	return c;
}

char *
snapshot_text(struct conf *c, const char *bytes, size_t n)
{
	struct chunk *chunk = c->arena;

	if (chunk == NULL || chunk->size - chunk->used <= n)
	{
		size_t size = n < CHUNK_SIZE ? CHUNK_SIZE : n + 1;

		chunk = mem_alloc(sizeof *chunk + size);
		chunk->next = c->arena;
		chunk->size = size;
		chunk->used = 0;
		c->arena = chunk;
	}

	char *text = chunk->mem + chunk->used;

	memcpy(text, bytes, n);
	text[n] = '\0';
	chunk->used += n + 1;
	return text;
}

static void
free_names(struct named **head)
{
	struct named *named = *head;

	/* Clearing frees the table alone; the entries stay chained in the order they came. */
	HASH_CLEAR(hh, *head);
	while (named != NULL)
	{
		struct named *next = named->hh.next;

		free(named);
		named = next;
	}
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;

	struct names *names = c->index;

	free_names(&names->databases);
	free_names(&names->users);
	free(names);
	for (struct chunk *chunk = c->arena, *next; chunk != NULL; chunk = next)
	{
		next = chunk->next;
		explicit_bzero(chunk->mem, chunk->used);
		free(chunk);
	}
	free(c->databases);
	free(c->users);
	free(c->peers);
	free(c->hba);
	free(c->ident);
	free(c->files);
	free(c->settings);
	free(c);
}

static const struct named *
find_name(struct named *head, const char *name)
{
	struct named *found = NULL;

	if (head != NULL)
		HASH_FIND_STR(head, name, found);
	return found;
}

static void
add_name(struct named **head, const char *name, size_t position)
{
	struct named *named = mem_zalloc(sizeof *named);

	named->name = name;
	named->position = position;
	HASH_ADD_KEYPTR(hh, *head, name, strlen(name), named);
}

/* Makes room for one entry more; returns the array, which may have moved. */
static void *
make_room(void *array, size_t used, size_t *room, size_t entry_size)
{
	if (used < *room)
		return array;
	*room = *room > 0 ? *room * 2 : 16;
	return mem_realloc(array, *room * entry_size);
}

struct conf_database *
snapshot_database(struct conf *c, const char *name)
{
	struct names *names = c->index;
	const struct named *known = find_name(names->databases, name);

	if (known != NULL)
		return &c->databases[known->position];
	c->databases =
		make_room(c->databases, c->n_databases, &names->database_room, sizeof *c->databases);

	struct conf_database *db = &c->databases[c->n_databases];

	*db = conf_bare_database;
	db->name = snapshot_text(c, name, strlen(name));
	add_name(&names->databases, db->name, c->n_databases++);
	return db;
}

struct conf_user *
snapshot_user(struct conf *c, const char *name)
{
	struct names *names = c->index;
	const struct named *known = find_name(names->users, name);

	if (known != NULL)
		return &c->users[known->position];
	c->users = make_room(c->users, c->n_users, &names->user_room, sizeof *c->users);

	struct conf_user *user = &c->users[c->n_users];

	*user = conf_bare_user;
	user->name = snapshot_text(c, name, strlen(name));
	add_name(&names->users, user->name, c->n_users++);
	return user;
}

const struct conf_peer *
conf_find_peer(const struct conf *c, int id)
{
	for (size_t i = 0; i < c->n_peers; i++)
		if (c->peers[i].id == id)
			return &c->peers[i];
	return NULL;
}

struct conf_peer *
snapshot_peer(struct conf *c, int id)
{
	struct conf_peer *known = (struct conf_peer *) conf_find_peer(c, id);

	if (known != NULL)
		return known;
	c->peers = mem_realloc(c->peers, (c->n_peers + 1) * sizeof *c->peers);
	c->peers[c->n_peers].id = id;
	return &c->peers[c->n_peers++];
}

const struct conf_database *
conf_find_database(const struct conf *c, const char *name)
{
	const struct names *names = c->index;
	const struct named *known = find_name(names->databases, name);

	if (known == NULL)
		known = find_name(names->databases, "*");
	return known != NULL ? &c->databases[known->position] : NULL;
}

const struct conf_user *
conf_find_user(const struct conf *c, const char *name)
{
	const struct names *names = c->index;
	const struct named *known = find_name(names->users, name);

	return known != NULL ? &c->users[known->position] : NULL;
}
