/*
 * cancel.h - cancelling what a server runs: a connection of its own that carries one CancelRequest
 * and ends.
 *
 * While it is under way the server is not given to anyone else (P8); it has ended when PostgreSQL
 * closes it, when it cannot be made, or after cancel_wait_timeout.
 */
#ifndef PERFKIT_CORE_CANCEL_H
#define PERFKIT_CORE_CANCEL_H

struct server;
struct shard;

/* done may be NULL; it is called once, never from within. The server must be owned by shard. */
void cancel_start(struct shard *shard, struct server *server, void (*done)(void *arg), void *arg);

/* Ends all that are under way on a loop: the process is about to exit. */
void cancel_abandon_all(struct shard *shard);

#endif
