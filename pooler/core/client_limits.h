/*
 * client_limits.h - the limits in force for the clients of one database and user, on one loop.
 *
 * What concerns a client is its own user's even where a database forces another one on its servers;
 * so it cannot be kept with the pool, which those clients share. All sessions of a loop that log in
 * under the same names share an entry; a reload changes it under them (P9).
 */
#ifndef PERFKIT_CORE_CLIENT_LIMITS_H
#define PERFKIT_CORE_CLIENT_LIMITS_H

#include <stdint.h>

#include "base/hash.h"
#include <uthash.h>

#include "conf/conf.h"

struct client_limits
{
	struct conf_limits now;
	int64_t n_sessions; /* the last one frees it */
	const char *user;   /* in key */
	UT_hash_handle hh;
	char key[]; /* database, zero byte, user */
};

/* The entry for these names in a loop's table, made when there is none. The database is configured.
 */
struct client_limits *client_limits_join(struct client_limits **table, const struct conf *conf,
										 const char *database, const char *user);
void client_limits_leave(struct client_limits **table, struct client_limits **mine);

/* A new snapshot: all follow. Those of a database that is gone stay until the last has left. */
void client_limits_adopt(struct client_limits *table, const struct conf *conf);

#endif
