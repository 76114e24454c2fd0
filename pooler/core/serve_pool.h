/*
 * serve_pool.h - which pool serves a session.
 */
#ifndef PERFKIT_CORE_SERVE_POOL_H
#define PERFKIT_CORE_SERVE_POOL_H

struct pool;
struct session;

/* Its servers are those of this pool, which the caller has found for it, from now on; it has none
 * at the moment. */
void serve_join_pool(struct session *s, struct pool *pool);

/* The configuration has changed since its pool was looked up: the database may force another user
 * on its servers. */
void serve_follow_conf(struct session *s);

#endif
