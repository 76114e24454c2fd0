/*
 * ident.h - auth_ident_file: who of the system may be whom in the database, in pg_ident.conf's
 * format.
 *
 *   # map   system-user         database-user
 *   office  "Alice Miller"      alice
 *   office  root                all               any user
 *
 * Regular expressions (a system user that begins with a slash) are refused.
 */
#ifndef PERFKIT_CONF_IDENT_H
#define PERFKIT_CONF_IDENT_H

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct conf_error;

struct ident_line
{
	const char *map;
	const char *system_user;
	const char *user; /* NULL: all */
};

/* Adds the lines of len bytes at text (changed; a byte of room behind them) to the snapshot. */
bool ident_parse(struct conf *c, char *text, size_t len, const char *file, struct conf_error *err);

/* Whether map lets system_user be user. Without a map (NULL) the names must be the same. */
bool ident_allows(const struct conf *c, const char *map, const char *system_user, const char *user);

#endif
