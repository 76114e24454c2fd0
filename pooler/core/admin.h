/*
 * admin.h - the console on the virtual databases `perfkit` and `pgbouncer`.
 *
 * Commands are rows of commands.def, each with the privilege it needs; answers about sessions and
 * servers are gathered from all loops by mail (P10).
 */
#ifndef PERFKIT_CORE_ADMIN_H
#define PERFKIT_CORE_ADMIN_H

#include <stdbool.h>

struct conf;
struct session;

/* `pgbouncer` always, `perfkit` unless [databases] has one of that name. */
bool admin_is_console(const struct conf *conf, const char *database);

/* A user as whom the system's user that runs the pooler may take the console without a password:
 * the console's own names. */
bool admin_is_owner_name(const char *user);

/* An authenticated client takes the console; refused when it is in neither admin_users nor
 * stats_users. */
void admin_start(struct session *s);

#endif
