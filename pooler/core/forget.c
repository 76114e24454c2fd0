/*
 * forget.c - see forget.h.
 *
 * A timer looks at all pools now and then; one that it has found unused, and not used in between,
 * for long enough is taken out. Then, each by mail to all loops:
 *
 *     take_out -> every loop stops its timers and keeps the counters -> drop -> every loop has been
 *     through with what it was doing -> free (core/registry_forget.c)
 *
 * One batch at a time. A pooler that ends meanwhile leaves what is under way to registry_fini().
 */
#include "core/forget.h"

#include <ev.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/gather.h"
#include "core/past.h"
#include "core/registry.h"

/* A pool goes by this part of its timeout too late at most. */
#define LATE_PART 8
#define LOOK_S_MIN 0.02
#define LOOK_S_MAX 10.

#define NEVER UINT64_MAX

static struct
{
	ev_timer look;
	bool busy; /* a batch is under way */
} forget;

static uint64_t
shorter(uint64_t a_us, uint64_t b_us)
{
	if (a_us == 0 || b_us == 0)
		return a_us + b_us; /* 0: never */
	return a_us < b_us ? a_us : b_us;
}

/* After how long without use; NEVER. */
static uint64_t
timeout_us(const struct conf *conf, const struct pool_entry *e)
{
	const struct conf_database *db = conf_find_database(conf, e->pool.database);
	uint64_t us;

	if (db == NULL)
		return 0;
	us = conf->pool_idle_timeout_us;
	if (strcmp(db->name, "*") == 0)
		us = shorter(us, conf->autodb_idle_timeout_us);
	return us == 0 ? NEVER : us;
}

/* Unused for so long that it was taken out. */
static bool
taken_out(struct registry *r, struct pool_entry *e, uint64_t now)
{
	uint64_t timeout = timeout_us(r->conf, e);
	uint64_t uses = atomic_load(&e->uses);

	if (atomic_load(&e->users) > 0 || !pool_at_rest(&e->pool))
	{
		e->idle_since_us = 0;
		return false;
	}
	if (e->idle_since_us == 0 || e->idle_uses != uses)
	{
		e->idle_since_us = now;
		e->idle_uses = uses;
	}
	if (timeout == NEVER || now - e->idle_since_us < timeout || !registry_take_out(r, e, uses))
		return false;
	log_info("%s/%s: pool forgotten, unused for %llu s", e->pool.database, e->pool.user,
			 (unsigned long long) ((now - e->idle_since_us) / 1000000));
	return true;
}

/* ---- every loop ---- */

static void
stop_timers(struct shard *s, struct pool_local *l)
{
	ev_timer_stop(s->loop.ev, &l->reap);
	ev_timer_stop(s->loop.ev, &l->retry);
	ev_timer_stop(s->loop.ev, &l->reserve);
	ev_timer_stop(s->loop.ev, &l->refill);
}

static void
part_work(struct gather_part *part)
{
	struct shard *s = part->shard;

	registry_foreach_pool(e, s->registry)
	{
		struct pool_local *l = &e->local[s->loop.index];

		if (!atomic_load(&e->leaving))
			continue;
		stop_timers(s, l);
		past_add(&s->past, e->pool.database, &l->stats);
	}
	/* Behind them all, since several may be of one database. */
	registry_foreach_pool(e, s->registry)
	{
		const struct conf_database *db = conf_find_database(s->conf, e->pool.database);

		if (atomic_load(&e->leaving) && e->last_of_database &&
			(db == NULL || strcmp(db->name, "*") == 0))
			past_drop(&s->past, e->pool.database);
	}
}

static void
nothing(struct gather_part *part)
{
	(void) part;
}

/* ---- the main thread ---- */

static void
passed_by(struct gather *g)
{
	registry_free_left(g->registry);
	forget.busy = false;
}

static void
parted(struct gather *g)
{
	struct registry *r = g->registry;
	struct pool_entry *next;

	for (struct pool_entry *e = atomic_load(&r->pools); e != NULL; e = next)
	{
		next = atomic_load(&e->next);
		if (e->leaving)
			registry_drop(r, e);
	}
	gather_start(r, &r->main_loop, nothing, passed_by, NULL);
}

static void
look(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct registry *r = w->data;
	uint64_t now = clock_now_us();
	bool any = false;

	(void) ev;
	(void) revents;
	if (forget.busy || atomic_load(&r->shutting_down))
		return;
	registry_foreach_pool(e, r) any |= taken_out(r, e, now);
	forget.busy = any;
	if (any)
		gather_start(r, &r->main_loop, part_work, parted, NULL);
}

void
forget_start(struct registry *r)
{
	const struct conf *conf = r->conf;
	uint64_t us = shorter(conf->pool_idle_timeout_us, conf->autodb_idle_timeout_us);
	double every = (double) us / 1e6 / LATE_PART;

	if (us == 0 || every > LOOK_S_MAX)
		every = LOOK_S_MAX;
	if (every < LOOK_S_MIN)
		every = LOOK_S_MIN;
	ev_timer_stop(r->main_loop.ev, &forget.look);
	ev_timer_init(&forget.look, look, every, every);
	forget.look.data = r;
	ev_timer_start(r->main_loop.ev, &forget.look);
}

void
forget_stop(struct registry *r)
{
	ev_timer_stop(r->main_loop.ev, &forget.look);
}
