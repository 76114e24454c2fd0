/*
 * period.c - see period.h.
 */
#include "core/period.h"

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/durations.h"
#include "core/gather.h"
#include "core/home.h"
#include "core/past.h"
#include "core/registry.h"

static struct
{
	struct registry *registry;
	ev_timer timer;
	uint64_t started_us;
	bool ending; /* the loops are at it */
	enum
	{
		LAST_NOT,
		LAST_WANTED, /* behind the one that is ending */
		LAST_ENDING
	} last;
} period;

static void period_done(struct gather *g);

static void
end_one(struct stats_kept *k, int64_t count[4])
{
	stats_end_period(k);
	count[0] += (int64_t) k->last_period.xact_count;
	count[1] += (int64_t) k->last_period.query_count;
	count[2] += (int64_t) k->last_period.query_time;
	count[3] += (int64_t) k->last_period.wait_time;
}

static void
period_work(struct gather_part *part)
{
	registry_foreach_pool(e, part->shard->registry)
	{
		end_one(&e->local[part->shard->loop.index].stats, part->count);
		meter_end_period(&e->local[part->shard->loop.index].meter);
	}
	stats_end_period(part->shard->no_pool);
	meter_end_period(&part->shard->no_pool_meter);
	for (struct past *p = part->shard->past; p != NULL; p = p->hh.next)
		end_one(&p->kept, part->count);
}

static void
end_now(void)
{
	period.ending = true;
	gather_start(period.registry, &period.registry->main_loop, period_work, period_done, NULL);
}

static void
end_last(void)
{
	period.last = LAST_ENDING;
	end_now();
}

/* What a pool's loops have measured in the period; into d as well, where somebody wants that. */
static void
take_times(struct pool_entry *e, int n_loops, struct durations *d)
{
	struct meter_sum sum;

	if (meter_take_ended(&e->local[0].meter, sizeof(e->local[0]), n_loops, &e->latest, &sum) &&
		d != NULL)
		durations_add(d, e->pool.database, e->pool.user, &sum);
}

static void
period_done(struct gather *g)
{
	struct durations *durations = home_is_on() ? durations_new() : NULL;
	uint64_t now = clock_now_us();
	uint64_t length = now - period.started_us;
	int64_t sum[4] = {0};

	for (int i = 0; i < g->n; i++)
		for (int k = 0; k < 4; k++)
			sum[k] += g->parts[i].count[k];
	atomic_store(&period.registry->stats_period_us, length);
	period.started_us = now;
	period.ending = false;
	/* A pool that was dropped meanwhile has left its times to registry_free_left(). */
	registry_foreach_pool(e, g->registry) take_times(e, g->n, durations);
	if (period.registry->conf->log_stats && length > 0)
		log_info("stats: %.0f xacts/s, %.0f queries/s, query %.0f us, wait %.0f us on average",
				 (double) sum[0] * 1e6 / (double) length, (double) sum[1] * 1e6 / (double) length,
				 sum[1] > 0 ? (double) sum[2] / (double) sum[1] : 0.,
				 sum[1] > 0 ? (double) sum[3] / (double) sum[1] : 0.);
	home_period(durations, period.last == LAST_ENDING);
	if (period.last == LAST_WANTED)
		end_last();
}

static void
stats_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	double length = (double) period.registry->conf->stats_period_us / 1e6;

	(void) revents;
	/* A loop that has been busy for longer than a period gets a longer one. */
	if (!period.ending)
		end_now();
	ev_timer_set(w, length, 0.);
	ev_timer_start(ev, w);
}

void
period_start(struct registry *r)
{
	double length = (double) r->conf->stats_period_us / 1e6;

	period.registry = r;
	period.started_us = clock_now_us();
	ev_timer_init(&period.timer, stats_event, length, 0.);
	ev_timer_start(r->main_loop.ev, &period.timer);
}

void
period_stop(void)
{
	ev_timer_stop(period.registry->main_loop.ev, &period.timer);
}

void
period_last(void)
{
	period_stop();
	if (period.ending)
		period.last = LAST_WANTED;
	else
		end_last();
}
