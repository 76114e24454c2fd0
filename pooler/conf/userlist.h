/*
 * userlist.h - auth_file: the secrets of users, in PgBouncer's userlist.txt dialect.
 *
 *   ; comment
 *   "user" "secret"          a quote inside is written twice; what follows on the line is ignored
 *
 * A secret is plain text, md5 and 32 hex digits, or SCRAM-SHA-256$iterations:salt$stored:server.
 */
#ifndef PERFKIT_CONF_USERLIST_H
#define PERFKIT_CONF_USERLIST_H

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct conf_error;

/*
 * Adds the users of len bytes at text (changed; a byte of room behind them) to the snapshot. A
 * second line for a user replaces the first. False with err filled in, which tells the line and
 * never anything of a secret.
 */
bool userlist_parse(struct conf *c, char *text, size_t len, const char *file,
					struct conf_error *err);

#endif
