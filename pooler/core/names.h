/*
 * names.h - what one client calls the statements that it has prepared.
 */
#ifndef PERFKIT_CORE_NAMES_H
#define PERFKIT_CORE_NAMES_H

#include <stddef.h>

struct name_entry;
struct statement;

struct names
{
	struct name_entry *by_name; /* NULL: none, and no memory */
};

/* The statement of a name, or NULL. */
struct statement *names_find(const struct names *n, const char *name);

/* A name that is not there yet; the statement is used by it. */
void names_add(struct names *n, const char *name, struct statement *s);

/* Forgets a name, if it is there. */
void names_remove(struct names *n, const char *name);

size_t names_count(const struct names *n);
void names_clear(struct names *n);

#endif
