/*
 * serve_pool.c - see serve_pool.h.
 */
#include "core/serve_pool.h"

#include "conf/conf.h"
#include "core/registry.h"
#include "core/server.h"
#include "core/session.h"

void
serve_join_pool(struct session *s, struct pool *pool)
{
	s->pool = pool;
	s->conf_serial = s->shard->conf_serial;
	s->relay.stats = &registry_local(s->shard, pool)->stats.now;
	s->relay.meter = &registry_local(s->shard, pool)->meter;
	s->relay.rewrite.stats = s->relay.stats;
	sticky_join(&s->relay.sticky, &pool->pins, s->relay.stats);
	pool_session_count(pool, 1);
	server_want(s->shard, pool); /* min_pool_size */
}

void
serve_follow_conf(struct session *s)
{
	const struct conf *conf = s->shard->conf;
	const struct conf_database *db = conf_find_database(conf, s->database);
	struct pool *pool;
	struct pool *old;

	s->conf_serial = s->shard->conf_serial;
	/* Of a database that is gone it keeps the pool it has. */
	if (db == NULL)
		return;
	pool = registry_pool(s->shard->registry, conf, db, s->database, s->user);
	if (pool != s->pool)
	{
		old = s->pool;
		pool_session_count(old, -1);
		serve_join_pool(s, pool);
		pool = old;
	}
	registry_leave(pool);
}
