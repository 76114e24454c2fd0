/*
 * cancel.h - cancelling what a server runs: a connection of its own that carries one CancelRequest
 * and ends.
 *
 * While it is under way the server is not given to anyone else (P8); it has ended when PostgreSQL
 * closes it, when it cannot be made, or after cancel_wait_timeout.
 */
#ifndef PERFKIT_CORE_CANCEL_H
#define PERFKIT_CORE_CANCEL_H

#include <stdbool.h>
#include <stdint.h>

struct conf;
struct server;
struct shard;

/* How long an answer to a cancel is waited for where somebody must wait: cancel_wait_timeout, or a
 * while of our own where that is 0. */
uint64_t cancel_patience_us(const struct conf *conf);

enum cancel_care
{
	CANCEL_AT_ONCE = 0,
	/* Not before the server has been set up for its client, which cancel_go_on() tells. */
	CANCEL_SPARE_SETTINGS = 1,
	/* Once more until the server says something: PostgreSQL forgets a cancel that it gets before it
	 * has begun with the query. */
	CANCEL_INSIST = 2
};

/* care: of these, or-ed. done may be NULL; it is called once, never from within. The server must be
 * owned by shard. */
void cancel_start(struct shard *shard, struct server *server, int care, void (*done)(void *arg),
				  void *arg);

/* The server has said something: what was held back for its settings may go. */
void cancel_go_on(struct shard *shard, struct server *server);

/* Before a session's server goes elsewhere: what is still held back has nothing to cancel, and
 * nothing is repeated. */
void cancel_drop_held(struct shard *shard, struct server *server);

/* Ends all that are under way on a loop: the process is about to exit. */
void cancel_abandon_all(struct shard *shard);

#endif
