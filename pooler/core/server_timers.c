/*
 * server_timers.c - what becomes of a pool's servers with time: another login after a back-off, a
 * server of the reserve, the end of those that nobody needs. Each pool has its timers on each loop
 * (struct pool_local).
 */
#include "core/server.h"

#include "base/clock.h"
#include "conf/conf.h"
#include "core/registry.h"

#define US_PER_S 1e6

static void
retry_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct pool_local *t = w->data;
	struct pool_todo todo;

	(void) ev;
	(void) revents;
	pool_retry(t->pool, clock_now_us(), &todo);
	server_todo(t->shard, t->pool, NULL, &todo);
}

static void
reap_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct pool_local *t = w->data;
	uint64_t timeout = t->shard->conf->server_idle_timeout_us;
	uint64_t now = clock_now_us();
	struct pool_member *m;
	struct pool_todo todo;
	uint64_t since;

	(void) revents;
	while (timeout > 0 && now > timeout &&
		   (m = pool_take_idle(t->pool, t->shard->loop.index, now - timeout + 1, &todo)) != NULL)
	{
		server_todo(t->shard, t->pool, server_of(m), &todo);
		list_append(&t->shard->servers, &server_of(m)->node);
		server_close(server_of(m), "server_idle_timeout", true);
	}
	since = pool_oldest_idle(t->pool, t->shard->loop.index);
	if (since == 0 || timeout == 0)
		return;
	/* What is older was kept for min_pool_size: it is looked at again a whole period later. */
	ev_timer_set(w, (double) (since + timeout > now ? since + timeout - now : timeout) / US_PER_S,
				 0.);
	ev_timer_start(ev, w);
}

static void
reserve_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct pool_local *t = w->data;
	struct pool_todo todo;

	(void) ev;
	(void) revents;
	pool_reserve_due(t->pool, clock_now_us(), &todo);
	server_todo(t->shard, t->pool, NULL, &todo);
}

/* One of a pool's timers on this loop, from the real now. */
static void
start_timer(struct pool_local *t, ev_timer *w, void (*event)(struct ev_loop *, ev_timer *, int),
			uint64_t after_us)
{
	struct ev_loop *ev = t->shard->loop.ev;

	ev_timer_stop(ev, w);
	ev_now_update(ev);
	ev_timer_init(w, event, (double) after_us / US_PER_S, 0.);
	w->data = t;
	ev_timer_start(ev, w);
}

void
server_timers_retry(struct shard *shard, struct pool *pool, uint64_t after_us)
{
	struct pool_local *t = registry_local(shard, pool);

	start_timer(t, &t->retry, retry_event, after_us);
}

void
server_timers_reserve(struct shard *shard, struct pool *pool, uint64_t after_us)
{
	struct pool_local *t = registry_local(shard, pool);

	start_timer(t, &t->reserve, reserve_event, after_us);
}

void
server_timers_reap(struct shard *shard, struct pool *pool)
{
	struct pool_local *t = registry_local(shard, pool);
	uint64_t timeout = shard->conf->server_idle_timeout_us;

	if (t->reap.data == NULL)
	{
		ev_timer_init(&t->reap, reap_event, 0., 0.);
		t->reap.data = t;
	}
	if (timeout > 0 && !ev_is_active(&t->reap))
	{
		ev_timer_set(&t->reap, (double) timeout / US_PER_S, 0.);
		ev_timer_start(shard->loop.ev, &t->reap);
	}
}

void
server_trim(struct shard *shard, struct pool *pool, bool all)
{
	struct pool_member *m;
	struct pool_todo todo;

	while ((m = pool_take_idle(pool, shard->loop.index, all ? UINT64_MAX : 0, &todo)) != NULL)
	{
		server_todo(shard, pool, server_of(m), &todo);
		list_append(&shard->servers, &server_of(m)->node);
		server_close(server_of(m), all ? "paused" : "no place in the pool any more", true);
	}
}
