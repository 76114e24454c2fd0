/*
 * show_mem.c - SHOW MEM: what the objects take that there may be many of, under PgBouncer's names.
 *
 * Nothing is kept for later use here, so `free` is 0. What an object points to (names, parameters,
 * the buffers of a blocked connection) is not counted; SHOW SOCKETS shows buffers one by one.
 */
#include "core/show_mem.h"

#include <stdatomic.h>

#include "conf/conf.h"
#include "core/registry.h"
#include "core/rows.h"
#include "core/server.h"
#include "core/session.h"
#include "core/show_parts.h"

static void
kind(struct show *show, const char *name, size_t size, int64_t used)
{
	struct row r;

	row_begin(&r);
	row_text(&r, name);
	row_int(&r, (int64_t) size);
	row_int(&r, used);
	row_int(&r, 0);
	row_int(&r, (int64_t) size * used);
	row_end(&r, &show->answer);
}

void
show_mem(struct show *show)
{
	struct registry *r = show->session->shard->registry;
	const struct conf *conf = show->session->shard->conf;
	int64_t pools = 0;
	int64_t servers = 0;
	int64_t clients = 0;
	struct pool_counts c;

	registry_foreach_pool(e, r)
	{
		pool_counts(&e->pool, &c);
		pools++;
		servers += c.total;
	}
	for (int i = 0; i < r->n_shards; i++)
		clients += atomic_load(&r->shards[i].n_sessions);
	kind(show, "user_cache", sizeof(struct conf_user), (int64_t) conf->n_users);
	kind(show, "db_cache", sizeof(struct conf_database), (int64_t) conf->n_databases);
	kind(show, "pool_cache",
		 sizeof(struct pool_entry) + (size_t) r->n_shards * sizeof(struct pool_local), pools);
	kind(show, "server_cache", sizeof(struct server), servers);
	kind(show, "client_cache", sizeof(struct session), clients);
	kind(show, "iobuf_cache", LOOP_READ_SLACK + LOOP_READ_SIZE, r->n_shards + 1);
	show_finish(show);
}
