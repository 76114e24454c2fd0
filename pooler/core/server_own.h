/*
 * server_own.h - the place of a server that belongs to one session from its login to its end.
 *
 * Such servers have a pool beside the ordinary one of their database and user
 * (registry_replication_pool). Nothing is ever idle in it, and what its logins bring are places: a
 * struct server without a connection, so that it does not matter which of the waiters gets which.
 * The session makes the connection (core/replicate). Size, queue, back-off and order are the pool's
 * as always.
 */
#ifndef PERFKIT_CORE_SERVER_OWN_H
#define PERFKIT_CORE_SERVER_OWN_H

struct pool;
struct server;
struct shard;

/* For a slot that such a pool reserved (pool_todo.dial). */
void server_own_place(struct shard *shard, struct pool *pool);

/* The session that was granted the place takes it over on its own loop. */
void server_own_take(struct server *s, struct shard *shard);

#endif
