/*
 * pool_operation.c - what is done to a pool from outside: pause, resume, reload, idle servers taken
 * out, counts.
 */
#include "core/pool.h"

#include <stdatomic.h>

#include "core/pool_parts.h"

/*
 * A pause that was ended while idle servers were still waiting to be closed goes on until they are:
 * those who came meanwhile stand in the queue, and nobody would hand them what is idle (P6).
 */
void
pool_end_pause(struct pool *p)
{
	if (!p->resuming || p->counts.by_state[MEMBER_IDLE] > 0)
		return;
	p->resuming = false;
	p->counts.paused = false;
}

void
pool_set_limits(struct pool *p, const struct pool_limits *limits, struct pool_todo *todo)
{
	pool_begin(p, todo);
	p->limits = *limits;
	pool_nudge(p, todo);
	pool_unlock(p);
}

void
pool_retire(struct pool *p)
{
	lock_acquire(&p->lock);
	p->generation++;
	p->counts.stale = p->counts.total - p->counts.by_state[MEMBER_LOGIN];
	pool_unlock(p);
}

void
pool_pause(struct pool *p)
{
	lock_acquire(&p->lock);
	p->counts.paused = true;
	p->resuming = false;
	pool_unlock(p);
}

void
pool_resume(struct pool *p, struct pool_todo *todo)
{
	pool_begin(p, todo);
	p->resuming = p->counts.paused && p->counts.waiters > 0;
	pool_end_pause(p);
	if (!p->resuming)
	{
		p->counts.paused = false;
		pool_nudge(p, todo);
	}
	pool_unlock(p);
}

/* An idle server was taken out, perhaps the last one that a resume waited for. */
static void
go_on(struct pool *p, struct pool_todo *todo)
{
	if (!p->resuming)
		return;
	pool_end_pause(p);
	if (!p->counts.paused)
		pool_nudge(p, todo);
}

struct pool_member *
pool_take_idle(struct pool *p, int loop, uint64_t idle_before_us, struct pool_todo *todo)
{
	struct pool_member *m = NULL;
	struct list *oldest;
	bool over;
	bool spare;

	pool_begin(p, todo);
	over = p->counts.total > pool_most(p);
	spare = idle_before_us == UINT64_MAX || !pool_at_minimum(p);
	oldest = list_first(&p->idle[loop]);
	if (oldest != NULL)
	{
		m = list_entry(oldest, struct pool_member, node);
		if (over || (spare && m->idle_since_us < idle_before_us) ||
			m->generation != p->generation || quota_over(p->seat[QUOTA_DATABASE].quota) ||
			quota_over(p->seat[QUOTA_USER].quota))
		{
			pool_unlist(p, m);
			pool_own(m, loop, over ? MEMBER_CLOSING : MEMBER_TESTED, todo);
			go_on(p, todo);
		}
		else
			m = NULL;
	}
	pool_unlock(p);
	return m;
}

struct pool_member *
pool_take_old(struct pool *p, int loop, uint64_t born_before_us, struct pool_todo *todo)
{
	struct pool_member *old = NULL;

	pool_begin(p, todo);
	list_foreach(n, next, &p->idle[loop])
	{
		struct pool_member *m = list_entry(n, struct pool_member, node);

		if (m->born_us >= born_before_us)
			continue;
		old = m;
		pool_unlist(p, m);
		pool_own(m, loop, MEMBER_TESTED, todo);
		go_on(p, todo);
		break;
	}
	pool_unlock(p);
	return old;
}

struct pool_member *
pool_evict(struct pool *p, int loop, struct pool_todo *todo)
{
	struct pool_member *m = NULL;

	pool_begin(p, todo);
	for (int i = 0; m == NULL && i < p->n_loops; i++)
	{
		struct list *oldest = list_first(&p->idle[i]);

		if (oldest != NULL)
			m = list_entry(oldest, struct pool_member, node);
	}
	if (m != NULL)
	{
		pool_unlist(p, m);
		pool_own(m, loop, MEMBER_TESTED, todo);
		go_on(p, todo);
	}
	pool_unlock(p);
	return m;
}

void
pool_counts(struct pool *p, struct pool_counts *out)
{
	struct list *n;

	lock_acquire(&p->lock);
	*out = p->counts;
	out->backoff_until_us = p->backoff_until_us;
	n = list_first(&p->waiters);
	out->oldest_wait_us = n == NULL ? 0 : list_entry(n, struct pool_waiter, node)->since_us;
	pool_unlock(p);
}

bool
pool_some_idle(struct pool *p, int loop, struct walk *w, int *left,
			   void (*see)(void *arg, const struct pool_member *m), void *arg)
{
	struct list *n = &p->idle[loop];

	lock_acquire(&p->lock);
	walk_begin(w, &p->walks, n);
	for (; *left > 0 && (n = walk_next(w)) != NULL; (*left)--)
		see(arg, list_entry(n, struct pool_member, node));
	pool_unlock(p);
	return n != NULL;
}

void
pool_end_walk(struct pool *p, struct walk *w)
{
	lock_acquire(&p->lock);
	walk_end(w);
	pool_unlock(p);
}

bool
pool_at_rest(const struct pool *p)
{
	return atomic_load(&p->held) == 0 && (p->limits.min == 0 || !p->limits.min_always);
}
