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

/* An authenticated client takes the console; refused when it is in neither admin_users nor
 * stats_users. */
void admin_start(struct session *s);

#endif
