/*
 * server_login.h - making a new server: connect, log in, first return to the pool.
 */
#ifndef PERFKIT_CORE_SERVER_LOGIN_H
#define PERFKIT_CORE_SERVER_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attempt;
struct buf;
struct pgw_error;
struct pool;
struct server;
struct shard;

/* Starts the login for a slot that the pool reserved (pool_todo.dial). Success and failure are both
 * told to the pool. */
void server_login_start(struct shard *shard, struct pool *pool);

/* A login that is one session's alone: what it asks for, and who is told. */
struct login_own
{
	struct server *server; /* the place (core/server_own) that it is to become */
	const uint8_t *params; /* to stand in the startup packet: names and values by turns */
	size_t len;
	bool physical; /* no database is named */
	/* With the server's ParameterStatus messages when it is connected, else with an error. */
	void (*done)(void *arg, const struct buf *welcome, const struct pgw_error *error);
	void *arg;
};

/* Its end is told by own->done alone, later; the pool hears nothing. */
struct attempt *server_login_own(const struct login_own *own);

/* Takes it back; done is not called. */
void server_login_cancel(struct attempt **a);

/* Ends all that are under way on a loop: the process is about to exit. */
void server_login_abandon_all(struct shard *shard);

#endif
