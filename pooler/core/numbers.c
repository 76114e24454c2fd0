/*
 * numbers.c - see numbers.h.
 *
 * All is done in one turn of each loop, since pools may go from one turn to the next: that is the
 * copying of prometheus_max_pools pools at most, some 300 us for 500 that are all in use. What a
 * pool itself knows, and its percentiles, is read by the first loop; the others have only counters
 * to add.
 */
#include "core/numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/gather.h"
#include "core/registry.h"

/* What one loop tells, newest pool first. */
struct told
{
	struct told *next;
	struct pool_numbers numbers;
};

struct request
{
	void (*done)(void *arg, struct numbers *numbers);
	void *arg;
};

/* ---- every loop ---- */

static bool
counted_nothing(const struct pool_local *l)
{
	uint64_t sum = 0;

	for (int i = 0; i < STATS_FIELDS; i++)
		sum |= stats_get(&l->stats.now, i);
	return sum == 0 && l->meter.kept == NULL;
}

static void
read_counters(struct pool_numbers *p, const struct stats_kept *stats, const struct meter *meter)
{
	stats_add(&p->total, &stats->now);
	stats_add(&p->period, &stats->last_period);
	meter_read(meter, &p->measured);
}

/* What is not a loop's but the pool's own. */
static void
read_pool(struct pool_numbers *p, struct pool_entry *e, uint64_t now)
{
	pool_counts(&e->pool, &p->counts);
	if (p->counts.oldest_wait_us != 0 && now > p->counts.oldest_wait_us)
		p->oldest_wait_s = (double) (now - p->counts.oldest_wait_us) / 1e6;
	p->pins = atomic_load(&e->pool.pins);
	for (int what = 0; what < METER_TIMES; what++)
		for (int i = 0; i < METER_SHARES; i++)
			p->latest_s[what][i] =
				atomic_load_explicit(&e->latest.ns[what][i], memory_order_relaxed) / 1e9;
}

static struct told *
tell(struct gather_part *part, struct told *behind, const char *database, const char *user)
{
	struct told *t = mem_zalloc(sizeof(*t));

	t->next = behind;
	if (database != NULL)
	{
		t->numbers.database = mem_strdup(database);
		t->numbers.user = mem_strdup(user);
	}
	part->result = t;
	return t;
}

static void
numbers_work(struct gather_part *part)
{
	struct shard *s = part->shard;
	bool first = s->loop.index == 0;
	uint64_t now = clock_now_us();
	int64_t n = 0;
	struct told *t = tell(part, NULL, NULL, NULL);

	read_counters(&t->numbers, s->no_pool, &s->no_pool_meter);
	registry_foreach_pool(e, s->registry) n += atomic_load(&e->leaving) ? 0 : 1;
	part->count[1] = s->conf->max_client_conn;
	part->count[0] = n > s->conf->prometheus_max_pools ? n - s->conf->prometheus_max_pools : 0;
	/* The newest stand in front: those are the ones that are left out. */
	n = part->count[0];
	registry_foreach_pool(e, s->registry)
	{
		struct pool_local *l = &e->local[s->loop.index];

		if (atomic_load(&e->leaving) || n-- > 0 || (!first && counted_nothing(l)))
			continue;
		t = tell(part, t, e->pool.database, e->pool.user);
		read_counters(&t->numbers, &l->stats, &l->meter);
		if (first)
			read_pool(&t->numbers, e, now);
	}
}

/* ---- their sum ---- */

struct sum
{
	UT_hash_handle hh;
	struct pool_numbers *into;
	char name[]; /* database, zero byte, user */
};

static void
add_counts(struct pool_counts *a, const struct pool_counts *b)
{
	for (int i = 0; i < MEMBER_STATES; i++)
		a->by_state[i] += b->by_state[i];
	a->total += b->total;
	a->waiters += b->waiters;
	a->sessions += b->sessions;
	a->stale += b->stale;
	a->paused = a->paused || b->paused;
	a->away = a->away || b->away;
}

static void
add_numbers(struct pool_numbers *a, const struct pool_numbers *b)
{
	add_counts(&a->counts, &b->counts);
	if (b->oldest_wait_s > a->oldest_wait_s)
		a->oldest_wait_s = b->oldest_wait_s;
	a->pins += b->pins;
	stats_add(&a->total, &b->total);
	stats_add(&a->period, &b->period);
	meter_add_kept(&a->measured, &b->measured);
	for (int what = 0; what < METER_TIMES; what++)
		for (int i = 0; i < METER_SHARES; i++)
			if (b->latest_s[what][i] > a->latest_s[what][i])
				a->latest_s[what][i] = b->latest_s[what][i];
}

static void
free_pool_numbers(struct pool_numbers *p)
{
	free(p->database);
	free(p->user);
}

/* Where the numbers of this name are added up; NULL: of a pool that the first loop did not meet. */
static struct sum *
find_sum(struct sum **table, struct numbers *all, const struct pool_numbers *p, bool make)
{
	size_t database = strlen(p->database) + 1;
	size_t len = database + strlen(p->user);
	struct sum *s = mem_zalloc(sizeof(*s) + len + 1);
	struct sum *there;

	memcpy(s->name, p->database, database);
	strcpy(s->name + database, p->user);
	HASH_FIND(hh, *table, s->name, len, there);
	if (there != NULL || !make)
	{
		free(s);
		return there;
	}
	s->into = &all->pool[all->n++];
	s->into->database = mem_strdup(p->database);
	s->into->user = mem_strdup(p->user);
	HASH_ADD_KEYPTR(hh, *table, s->name, len, s);
	return s;
}

static void
add_up(struct gather *g, struct numbers *all)
{
	struct sum *table = NULL;
	struct sum *s;
	struct sum *next_sum;

	for (int i = 0; i < g->n; i++)
	{
		struct told *next;

		for (struct told *t = g->parts[i].result; t != NULL; t = next)
		{
			next = t->next;
			s = t->numbers.database == NULL ? NULL : find_sum(&table, all, &t->numbers, i == 0);
			if (t->numbers.database == NULL)
				add_numbers(&all->no_pool, &t->numbers);
			else if (s != NULL)
				add_numbers(s->into, &t->numbers);
			free_pool_numbers(&t->numbers);
			free(t);
		}
	}
	HASH_ITER(hh, table, s, next_sum)
	{
		HASH_DEL(table, s);
		free(s);
	}
}

static double
seconds(const struct timeval *t)
{
	return (double) t->tv_sec + (double) t->tv_usec / 1e6;
}

/* What the system knows about us. */
static void
read_process(struct numbers *all)
{
	FILE *f = fopen("/proc/self/statm", "re");
	struct rusage used;
	long size;
	long pages;

	all->memory_bytes = NAN;
	if (f != NULL && fscanf(f, "%ld %ld", &size, &pages) == 2)
		all->memory_bytes = (double) pages * (double) sysconf(_SC_PAGESIZE);
	if (f != NULL)
		fclose(f);
	all->cpu_s = getrusage(RUSAGE_SELF, &used) == 0
					 ? seconds(&used.ru_utime) + seconds(&used.ru_stime)
					 : NAN;
}

static void
gathered(struct gather *g)
{
	struct request q = *(struct request *) g->arg;
	struct registry *r = g->registry;
	struct numbers *all = mem_zalloc(sizeof(*all));
	size_t room = 0;

	free(g->arg);
	for (struct told *t = g->parts[0].result; t != NULL; t = t->next)
		room++;
	all->pool = mem_zalloc(room * sizeof(*all->pool));
	add_up(g, all);
	all->wall_us = clock_wall_us();
	all->period_us = atomic_load(&r->stats_period_us);
	all->up_us = clock_now_us() - r->started_us;
	all->clients = atomic_load(&r->n_clients);
	all->max_clients = g->parts[0].count[1];
	all->left_out = g->parts[0].count[0];
	all->paused = atomic_load(&r->paused_all) || atomic_load(&r->suspended);
	all->draining = atomic_load(&r->shutting_down);
	all->broken_invariants = invariant_failures();
	read_process(all);
	q.done(q.arg, all);
}

void
numbers_gather(struct registry *r, struct loop *origin,
			   void (*done)(void *arg, struct numbers *numbers), void *arg)
{
	struct request *q = mem_alloc(sizeof(*q));

	q->done = done;
	q->arg = arg;
	gather_start(r, origin, numbers_work, gathered, q);
}

void
numbers_free(struct numbers *n)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < n->n; i++)
		free_pool_numbers(&n->pool[i]);
	free(n->pool);
	free(n);
}
