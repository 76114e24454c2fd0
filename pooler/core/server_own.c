/*
 * server_own.c - see server_own.h.
 */
#include "core/server_own.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/registry.h"
#include "core/server.h"

void
server_own_place(struct shard *shard, struct pool *pool)
{
	struct server *s = server_new(shard, atomic_fetch_add(&shard->registry->next_id, 1) + 1);
	int loop = shard->loop.index;
	uint64_t now = clock_now_us();
	struct pool_todo todo;
	bool granted;

	s->host = mem_strdup("");
	conn_init(&s->conn);
	s->conn.loop = &shard->loop;
	pool_member_init(&s->member, pool, loop, pool_generation(pool), now);
	pool_checkin(&s->member, loop, now, &todo);
	granted = todo.granted;
	todo.park = false;
	server_todo(shard, pool, s, &todo);
	/* Else its waiter has left meanwhile. What is idle even for a moment may be checked out. */
	if (!granted && (todo.close || pool_claim(&s->member, loop)))
		server_close(s, "nobody waits for it any more", true);
}

void
server_own_take(struct server *s, struct shard *shard)
{
	s->shard = shard;
	s->conn.loop = &shard->loop;
}
