/*
 * server_places.c - places in quotas that came free, or that a pool waits for (core/quota, P6).
 *
 * Whoever frees a place logs in for the pool that gets it, on its own loop: no mail, so nobody can
 * come in between. Depth: a pool that is offered a place, or closed a server of, may free another
 * place in turn; each such step takes a pool out of a list or an idle server out of a pool.
 */
#include "core/server.h"

#include "base/clock.h"
#include "core/registry.h"

/* Looks once more whether the pool wants a server and may have one. */
void
server_want(struct shard *shard, struct pool *pool)
{
	struct pool_todo todo;

	pool_want(pool, clock_now_us(), &todo);
	server_todo(shard, pool, NULL, &todo);
}

/* Round the list of those who were blocked, the pool that gave the place up last. Who still finds
 * none enlists again. */
static void
offer(struct shard *shard, struct quota *q, const struct pool *from)
{
	struct quota_seat *last = NULL;
	struct quota_seat *seat;

	/* Seats of pools that are not blocked any more fall out of the list here. */
	while (quota_has_room(q) && quota_wanted(q, false) && (seat = quota_pop(q)) != NULL)
	{
		if (seat->pool == from)
			last = seat;
		else
			server_want(shard, seat->pool);
	}
	if (last != NULL)
		server_want(shard, last->pool);
}

/* One idle server of another pool gives way. */
static void
evict(struct shard *shard, struct quota *q, const struct pool *pool)
{
	struct pool_todo todo;

	quota_foreach_seat(seat, q)
	{
		struct pool_member *m;

		if (seat->pool == pool || (m = pool_evict(seat->pool, shard->loop.index, &todo)) == NULL)
			continue;
		server_todo(shard, seat->pool, server_of(m), &todo);
		server_attach(server_of(m), shard, NULL, NULL);
		server_close(server_of(m), "its place is wanted by another pool", true);
		return;
	}
}

static void
wait_for_place(struct shard *shard, struct pool *pool, const struct pool_todo *todo)
{
	struct quota *q = todo->blocked;
	bool enlisted = quota_enlist(&pool->seat[q->kind]);
	struct pool_todo again;

	if (enlisted || todo->newly_blocked)
	{
		/* A place that came free before the pool was counted and stood in the list was offered to
		 * others only. A seat may stand there since an earlier time. */
		pool_want(pool, clock_now_us(), &again);
		server_todo(shard, pool, NULL, &again);
		if (again.blocked != q)
			return;
	}
	/* A login that ends makes room, an idle server does not. */
	if (todo->newly_blocked && q->kind != QUOTA_LOGINS)
		evict(shard, q, pool);
}

void
server_places(struct shard *shard, struct pool *pool, const struct pool_todo *todo)
{
	for (int kind = 0; kind < QUOTA_KINDS; kind++)
		if ((todo->freed & 1u << kind) != 0)
			offer(shard, pool->seat[kind].quota, pool);
	if (todo->blocked != NULL)
		wait_for_place(shard, pool, todo);
}
