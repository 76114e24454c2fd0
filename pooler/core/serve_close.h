/*
 * serve_close.h - server_fast_close: a session-pooled server that is to be made anew (RECONNECT, a
 * RELOAD that leads elsewhere) goes as soon as its transaction has ended, and its client with it,
 * which so learns that its session was interrupted.
 */
#ifndef PERFKIT_CORE_SERVE_CLOSE_H
#define PERFKIT_CORE_SERVE_CLOSE_H

#include <stdbool.h>

struct session;
struct shard;

/* Whether the session, which has a server, is to be ended now. */
bool serve_close_due(const struct session *s);

/* Ends it. */
void serve_close(struct session *s);

/* The pools' generations may have changed: the same for all sessions of a loop. */
void serve_close_stale(struct shard *shard);

#endif
