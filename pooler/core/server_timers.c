/*
 * server_timers.c - what becomes of a pool's servers with time: another login after a back-off, a
 * server of the reserve, the end of those that nobody needs. Each pool has its timers on each loop
 * (struct pool_local).
 */
#include "core/server.h"

#include "base/clock.h"
#include "conf/conf.h"
#include "core/registry.h"

#define REST_US 15000000 /* its slot is wanted, also where server_connect_timeout is 0 */

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

/* Takes an idle server of this loop out of the pool and closes it. */
static void
close_idle(struct shard *shard, struct pool_member *m, const struct pool_todo *todo,
		   const char *reason)
{
	struct server *s = server_of(m);

	server_todo(shard, m->pool, s, todo);
	list_append(&shard->servers, &s->node);
	server_close(s, reason, true);
}

/* The earlier of two times; 0: never. */
static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static void
reap_at(struct pool_local *t, uint64_t at_us, uint64_t now)
{
	t->reap_at_us = at_us;
	loop_after(&t->shard->loop, &t->reap, at_us > now ? at_us - now : 0);
}

/* Closes what has been idle or has lived for too long, and sets the timer for the next. A lifetime
 * of 0 means: use once, so what was never used stays. */
static void
reap(struct pool_local *t)
{
	int loop = t->shard->loop.index;
	uint64_t timeout = t->shard->conf->server_idle_timeout_us;
	uint64_t lifetime = t->limits.server_lifetime_us;
	uint64_t now = clock_now_us();
	uint64_t next = 0;
	struct pool_member *m;
	struct pool_todo todo;
	uint64_t since;
	uint64_t born;

	while (timeout > 0 && now > timeout &&
		   (m = pool_take_idle(t->pool, loop, now - timeout + 1, &todo)) != NULL)
		close_idle(t->shard, m, &todo, "server_idle_timeout");
	while (lifetime > 0 && now > lifetime &&
		   (m = pool_take_old(t->pool, loop, now - lifetime + 1, &todo)) != NULL)
		close_idle(t->shard, m, &todo, "server_lifetime");
	pool_oldest_idle(t->pool, loop, &since, &born);
	/* What is older was kept for min_pool_size: it is looked at again a whole period later. */
	if (since != 0 && timeout > 0)
		next = since + timeout > now ? since + timeout : now + timeout;
	if (born != 0 && lifetime > 0)
		next = earlier(next, born + lifetime);
	ev_timer_stop(t->shard->loop.ev, &t->reap);
	if (next != 0)
		reap_at(t, next, now);
}

static void
reap_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	reap(w->data);
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

static void
refill_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct pool_local *t = w->data;
	struct pool_todo todo;

	(void) ev;
	(void) revents;
	pool_refill_due(t->pool, clock_now_us(), &todo);
	server_todo(t->shard, t->pool, NULL, &todo);
}

static void
start_timer(struct pool_local *t, ev_timer *w, void (*event)(struct ev_loop *, ev_timer *, int),
			uint64_t after_us)
{
	w->data = t;
	ev_set_cb(w, event);
	loop_after(&t->shard->loop, w, after_us);
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
server_timers_refill(struct shard *shard, struct pool *pool, uint64_t after_us)
{
	struct pool_local *t = registry_local(shard, pool);

	start_timer(t, &t->refill, refill_event, after_us);
}

static void
rest_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	server_close(w->data, "the rest of a message does not come", false);
}

void
server_timers_rest(struct server *s)
{
	uint64_t limit = s->shard->conf->server_connect_timeout_us;

	if (ev_is_active(&s->reset_timer))
		return;
	ev_timer_init(&s->reset_timer, rest_event, 0., 0.);
	s->reset_timer.data = s;
	loop_after(&s->shard->loop, &s->reset_timer, limit > 0 ? limit : REST_US);
}

/* Another loop may own the server by now: what is read of it never changes. */
void
server_timers_reap(struct shard *shard, const struct server *s)
{
	struct pool_local *t = registry_local(shard, s->member.pool);
	uint64_t timeout = shard->conf->server_idle_timeout_us;
	uint64_t lifetime = t->limits.server_lifetime_us;
	uint64_t at = lifetime > 0 ? s->member.born_us + lifetime : 0;
	uint64_t now;

	/* A timer that runs was set when somebody else had server_idle_timeout before him: it does not
	 * fire later than this one has to be looked at for that. */
	if (ev_is_active(&t->reap) && (at == 0 || t->reap_at_us <= at))
		return;
	now = clock_now_us();
	at = earlier(at, timeout > 0 ? now + timeout : 0);
	if (at == 0)
		return;
	t->reap.data = t;
	ev_set_cb(&t->reap, reap_event);
	reap_at(t, at, now);
}

void
server_trim(struct shard *shard, struct pool *pool, bool all)
{
	struct pool_local *t = registry_local(shard, pool);
	struct pool_member *m;
	struct pool_todo todo;

	while ((m = pool_take_idle(pool, shard->loop.index, all ? UINT64_MAX : 0, &todo)) != NULL)
		close_idle(shard, m, &todo, all ? "paused" : "no place in the pool any more");
	/* The times may be others than when the timer was set. */
	t->reap.data = t;
	ev_set_cb(&t->reap, reap_event);
	reap(t);
}

void
server_review(struct shard *shard, struct pool *pool)
{
	struct list taken;
	struct pool_member *m;
	struct pool_todo todo;
	struct list *n;

	/* All are taken before the first comes back: else that one would be taken again. */
	list_init(&taken);
	while ((m = pool_take_idle(pool, shard->loop.index, UINT64_MAX, &todo)) != NULL)
	{
		server_todo(shard, pool, server_of(m), &todo);
		server_attach(server_of(m), shard, NULL, NULL);
		server_unlist(server_of(m));
		list_append(&taken, &server_of(m)->node);
	}
	while ((n = list_pop(&taken)) != NULL)
	{
		struct server *s = list_entry(n, struct server, node);

		list_append(&shard->servers, n);
		if (s->member.state == MEMBER_CLOSING)
			server_close(s, "no place in the pool any more", true);
		else
			server_release(s, false);
	}
}
