/*
 * stmt_cache.h - which shared statements one server knows, the longest unused first.
 */
#ifndef PERFKIT_CORE_STMT_CACHE_H
#define PERFKIT_CORE_STMT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct statement;
struct stmt_entry;

struct stmt_cache
{
	struct stmt_entry *by_id; /* a hash that is kept in order of use */
	bool uncertain; /* the server may have others besides: Close a name before it is given */
};

/* True when the server has it; then it is the one used last. */
bool stmt_cache_touch(struct stmt_cache *c, const struct statement *s);

/* The statement with this id, if the server has it. */
struct statement *stmt_cache_find(const struct stmt_cache *c, uint32_t id);

/* The server is about to have it. Adding what is there does nothing. */
void stmt_cache_add(struct stmt_cache *c, struct statement *s);
void stmt_cache_remove(struct stmt_cache *c, const struct statement *s);

/* The longest unused one, or NULL when there are fewer than max. */
struct statement *stmt_cache_superfluous(const struct stmt_cache *c, size_t max);

size_t stmt_cache_count(const struct stmt_cache *c);

/* The server has none. */
void stmt_cache_clear(struct stmt_cache *c);

#endif
