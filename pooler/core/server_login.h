/*
 * server_login.h - making a new server: connect, log in, first return to the pool.
 */
#ifndef PERFKIT_CORE_SERVER_LOGIN_H
#define PERFKIT_CORE_SERVER_LOGIN_H

struct pool;
struct shard;

/* Starts the login for a slot that the pool reserved (pool_todo.dial). Success and failure are both
 * told to the pool. */
void server_login_start(struct shard *shard, struct pool *pool);

/* Ends all that are under way on a loop: the process is about to exit. */
void server_login_abandon_all(struct shard *shard);

#endif
