/*
 * serve.h - what a session does once it is logged in: takes a server when it has work, relays,
 * gives it back.
 */
#ifndef PERFKIT_CORE_SERVE_H
#define PERFKIT_CORE_SERVE_H

struct pool;
struct session;

/* Authenticated for this pool: greets the client and begins to serve it. */
void serve_start(struct session *s, struct pool *pool);

#endif
