/*
 * pool.c - see pool.h. Here: who gets which server and when. Parts of the noun: pool_login.c (when
 * another server is asked for), pool_park.c (the watcher of an idle server), pool_operation.c
 * (pause, reload, counts).
 *
 * The invariants of the threads (code cites them by number; P5 and P6 are checked at each unlock in
 * debug builds):
 *
 *   P1  A loop's watchers are touched by its own thread only; the one call into a foreign loop is
 *       loop_post().
 *   P2  A session is born, lives and dies on one loop.
 *   P3  A member has one owner: the pool (IDLE, its park watcher armed in its home loop) or one
 *       loop. The owner changes only here, under the lock.
 *   P4  The lock covers O(1) work: no system call, malloc, log or callback. Locks never nest. (The
 *       timer that closes idle servers looks at all of its loop's: no query waits for that.)
 *   P5  The counts by state add up to the total, and the total is at most the size, or size and
 *       reserve when the oldest waiter has waited reserve_pool_timeout; after a shrinking reload it
 *       may only fall.
 *   P6  No barging, no sleeping waiter: with waiters nothing is idle (unless paused), and the pool
 *       is full, or a login runs, or a retry is armed, or a quota has no place (core/quota). Who is
 *       full without its reserve has a timer for that.
 *   P7  A grant is delivered by mail, even to the own loop; a session whose waiter has mail under
 *       way is not freed until it has come.
 *   P8  A server with a cancel in flight is not checked in: it would hit the next client.
 *   P9  Configuration is an immutable snapshot.
 *   P10 Counters belong to one loop.
 *   P11 A pool is freed only when no session has found it and no member or login is left of it
 *       (core/registry_forget.c).
 *
 * Who waits for a quota's place does not sleep either (B is blocked, A has the places):
 *
 *   A's server is idle     B's loop closes it, once when B becomes blocked.
 *   A's server comes back  It is closed instead of lying idle (gives_way()). Had A's checkin come
 *                          before B was counted as blocked, B's search would have found it idle:
 * both are under A's lock. A has waiters too      It gives a server up all the same, once every
 * QUOTA_TURN_US. A place comes free     Its loop sees B counted and offers it round the list, A
 * last: it reserves and logs in for B itself. If B is counted but not in the list yet, B tries once
 * more when it is (Q2). A's server stays busy  Then B waits, as it does for a busy server of its
 * own.
 */
#include "core/pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "core/pool_parts.h"

static void
check(const struct pool *p)
{
	const struct pool_counts *c = &p->counts;
	int64_t sum = 0;

	for (int i = 0; i < MEMBER_CLOSING; i++)
		sum += c->by_state[i];
	INVARIANT(sum == c->total, "P5");
	INVARIANT(c->stale >= 0 && c->stale <= c->total, "P5");
	if (c->waiters > 0 && !c->paused)
	{
		bool cared_for = c->by_state[MEMBER_LOGIN] > 0 || p->retry_armed || p->blocked_by != NULL ||
						 list_entry(list_first(&p->waiters), struct pool_waiter, node)->posted;

		INVARIANT(c->by_state[MEMBER_IDLE] == 0, "P6");
		INVARIANT(cared_for || c->total >= p->limits.size, "P6");
		INVARIANT(cared_for || p->reserve_armed || p->limits.reserve_timeout_us == 0 ||
					  c->total >= pool_most(p),
				  "P6");
	}
}

void
pool_unlock(struct pool *p)
{
	if (p->blocked_by != NULL && !pool_wants_login(p))
		pool_set_blocked(p, NULL);
#ifdef PERFKIT_DEBUG
	check(p);
#else
	(void) check;
#endif
	lock_release(&p->lock);
}

void
pool_begin(struct pool *p, struct pool_todo *todo)
{
	memset(todo, 0, sizeof(*todo));
	todo->mail_home = POOL_NO_LOOP;
	lock_acquire(&p->lock);
}

/* Who is still logging in never serves anybody after a pool_retire(), so nobody has to wait for
 * that. */
static int
is_stale(const struct pool_member *m, enum member_state state)
{
	return state > MEMBER_LOGIN && state < MEMBER_CLOSING && m->generation != m->pool->generation;
}

void
pool_set_state(struct pool_member *m, enum member_state state)
{
	struct pool_counts *c = &m->pool->counts;

	c->stale += is_stale(m, state) - is_stale(m, m->state);
	c->by_state[m->state]--;
	c->by_state[state]++;
	if (m->state < MEMBER_CLOSING && state >= MEMBER_CLOSING)
		c->total--;
	m->state = state;
}

void
pool_wake(struct pool_waiter *w, struct pool_todo *todo)
{
	if (w->posted)
		return; /* the mail under way will find the new state */
	w->posted = true;
	todo->wake = w;
}

/* Wakes the oldest waiter while it stays queued: its own loop will dial. */
void
pool_nudge(struct pool *p, struct pool_todo *todo)
{
	struct list *n = list_first(&p->waiters);

	if (n != NULL)
		pool_wake(list_entry(n, struct pool_waiter, node), todo);
}

struct pool_waiter *
pool_pop_waiter(struct pool *p, enum waiter_state state)
{
	struct list *n = list_pop(&p->waiters);
	struct pool_waiter *w;

	if (n == NULL)
		return NULL;
	w = list_entry(n, struct pool_waiter, node);
	w->state = state;
	p->counts.waiters--;
	return w;
}

bool
pool_init(struct pool *p, const struct pool_name *name, const struct pool_limits *limits,
		  int n_loops)
{
	memset(p, 0, sizeof(*p));
	lock_init(&p->lock);
	p->database = mem_strdup(name->database);
	p->user = mem_strdup(name->user);
	p->limits = *limits;
	p->n_loops = n_loops;
	p->idle = mem_alloc((size_t) n_loops * sizeof(*p->idle));
	for (int i = 0; i < n_loops; i++)
		list_init(&p->idle[i]);
	list_init(&p->walks);
	list_init(&p->waiters);
	return true;
}

void
pool_fini(struct pool *p)
{
	lock_fini(&p->lock);
	free(p->database);
	free(p->user);
	free(p->idle);
}

void
pool_session_count(struct pool *p, int delta)
{
	lock_acquire(&p->lock);
	p->counts.sessions += delta;
	pool_unlock(p);
}

/* The newest idle server of one loop (the oldest with round_robin). */
static struct pool_member *
take_from(struct pool *p, int loop)
{
	struct list *n = p->limits.round_robin ? list_first(&p->idle[loop]) : list_last(&p->idle[loop]);
	struct pool_member *m;

	if (n == NULL)
		return NULL;
	m = list_entry(n, struct pool_member, node);
	pool_unlist(p, m);
	return m;
}

/* Hands an idle member to a loop and says what becomes of its park watcher. */
void
pool_own(struct pool_member *m, int loop, enum member_state state, struct pool_todo *todo)
{
	pool_set_state(m, state);
	m->owner = loop;
	if (m->parked_at == loop)
	{
		m->parked_at = POOL_NO_LOOP;
		todo->unpark = true;
	}
	else if (m->parked_at != POOL_NO_LOOP && !m->park_mail)
	{
		m->park_mail = true;
		todo->mail_home = m->parked_at;
	}
}

/* An idle server for a session on this loop, which passes nobody (P6). */
static struct pool_member *
take_idle(struct pool *p, int loop, struct pool_todo *todo)
{
	struct pool_member *m;

	if (p->counts.waiters > 0 || p->counts.paused || p->counts.by_state[MEMBER_IDLE] == 0)
		return NULL;
	m = take_from(p, loop);
	for (int i = 0; m == NULL && i < p->n_loops; i++)
		m = take_from(p, i);
	if (m != NULL)
	{
		pool_own(m, loop, MEMBER_ACTIVE, todo);
		m->used = true;
	}
	return m;
}

static void
enqueue(struct pool *p, struct pool_waiter *w, struct list *behind, uint64_t now_us,
		struct pool_todo *todo)
{
	w->state = WAITER_QUEUED;
	w->member = NULL;
	list_insert_between(&w->node, behind, behind->next);
	p->counts.waiters++;
	pool_want_server(p, now_us, todo);
}

/* Behind whom one belongs who has waited for so long. He had found the queue empty: only others who
 * ask again can have come before him, so these are few (P4). */
static struct list *
place(struct pool *p, uint64_t since_us)
{
	struct list *behind = &p->waiters;

	while (behind->next != &p->waiters &&
		   list_entry(behind->next, struct pool_waiter, node)->since_us <= since_us)
		behind = behind->next;
	return behind;
}

struct pool_member *
pool_checkout(struct pool *p, struct pool_waiter *w, uint64_t now_us, struct pool_todo *todo)
{
	struct pool_member *m;

	pool_begin(p, todo);
	m = take_idle(p, w->loop, todo);
	if (m == NULL && p->limits.max_waiting > 0 && p->counts.waiters >= p->limits.max_waiting)
		todo->full = true;
	else if (m == NULL)
	{
		w->since_us = now_us;
		enqueue(p, w, p->waiters.prev, now_us, todo);
	}
	pool_unlock(p);
	return m;
}

struct pool_member *
pool_checkout_again(struct pool *p, struct pool_waiter *w, uint64_t now_us, struct pool_todo *todo)
{
	struct pool_member *m;

	pool_begin(p, todo);
	m = take_idle(p, w->loop, todo);
	if (m == NULL)
		enqueue(p, w, place(p, w->since_us), now_us, todo);
	pool_unlock(p);
	return m;
}

enum waiter_state
pool_waiter_woken(struct pool *p, struct pool_waiter *w, uint64_t now_us,
				  struct pool_member **member, struct pool_todo *todo)
{
	enum waiter_state state;

	pool_begin(p, todo);
	w->posted = false;
	state = w->state;
	*member = w->member;
	w->member = NULL;
	if (state == WAITER_QUEUED)
		pool_want_server(p, now_us, todo);
	w->state = state == WAITER_QUEUED ? WAITER_QUEUED : WAITER_NONE;
	pool_unlock(p);
	return state;
}

bool
pool_leave(struct pool *p, struct pool_waiter *w, uint64_t now_us, struct pool_todo *todo)
{
	bool gone;

	pool_begin(p, todo);
	if (w->state == WAITER_QUEUED)
	{
		list_remove(&w->node);
		p->counts.waiters--;
		w->state = WAITER_NONE;
		/* Its mail may have been the one that was to bring a login for the others. */
		pool_want_server(p, now_us, todo);
	}
	gone = !w->posted;
	pool_unlock(p);
	return gone;
}

void
pool_member_init(struct pool_member *m, struct pool *p, int loop, uint32_t generation,
				 uint64_t now_us)
{
	/* The slot was counted as LOGIN when it was reserved. */
	list_init(&m->node);
	m->pool = p;
	m->state = MEMBER_LOGIN;
	m->owner = loop;
	m->home = loop;
	m->parked_at = POOL_NO_LOOP;
	m->park_mail = false;
	m->logging_in = true;
	m->used = false;
	m->backoff_us = 0;
	m->born_us = now_us;
	m->idle_since_us = 0;
	m->generation = generation;
}

uint32_t
pool_generation(struct pool *p)
{
	return atomic_load(&p->generation);
}

void
pool_member_state(struct pool_member *m, enum member_state state)
{
	lock_acquire(&m->pool->lock);
	pool_set_state(m, state);
	pool_unlock(m->pool);
}

/*
 * Another pool wants this server's place. A pool that would let it lie idle gives it up; one that
 * has waiters of its own does so in turn, but not before it has been of use.
 */
static bool
gives_way(const struct pool_member *m, uint64_t now_us)
{
	struct pool *p = m->pool;
	bool used = m->state != MEMBER_LOGIN;

	for (int i = QUOTA_DATABASE; i <= QUOTA_USER; i++)
	{
		struct quota *q = p->seat[i].quota;

		if (quota_over(q))
			return true;
		if (quota_wanted(q, p->blocked_by == q) &&
			(p->counts.waiters == 0 || (used && quota_hand_over(q, now_us))))
			return true;
	}
	return false;
}

void
pool_checkin(struct pool_member *m, int loop, uint64_t now_us, struct pool_todo *todo)
{
	struct pool *p = m->pool;
	struct pool_waiter *w;

	pool_begin(p, todo);
	INVARIANT(m->owner == loop, "P3");
	pool_end_pause(p);
	if (m->state == MEMBER_LOGIN)
	{
		m->backoff_us = p->backoff_us;
		p->backoff_until_us = 0;
		p->backoff_us = 0;
		p->counts.away = false;
	}
	m->home = loop;
	if (p->counts.paused || m->generation != p->generation || p->counts.total > pool_most(p) ||
		gives_way(m, now_us))
	{
		todo->close = true;
		if (p->counts.total > pool_most(p))
			pool_set_state(m, MEMBER_CLOSING); /* or the next one would be too many as well */
	}
	else if ((w = pool_pop_waiter(p, WAITER_GRANTED)) != NULL)
	{
		pool_set_state(m, MEMBER_ACTIVE);
		m->used = true;
		m->owner = w->loop;
		w->member = m;
		todo->granted = true;
		todo->granted_loop = w->loop;
		pool_wake(w, todo);
		pool_want_server(p, now_us, todo);
	}
	else
	{
		pool_set_state(m, MEMBER_IDLE);
		m->owner = POOL_NO_LOOP;
		m->idle_since_us = now_us;
		list_append(&p->idle[loop], &m->node);
		if (!m->park_mail)
		{
			m->parked_at = loop;
			todo->park = true;
		}
		pool_want_server(p, now_us, todo);
	}
	pool_login_over(m, todo);
	pool_unlock(p);
}

/* lost: it has ended by itself. */
static void
leave_pool(struct pool_member *m, bool lost, uint64_t now_us, struct pool_todo *todo)
{
	struct pool *p = m->pool;

	pool_begin(p, todo);
	if (lost)
		pool_blame_login(m, now_us);
	pool_end_pause(p);
	pool_set_state(m, MEMBER_GONE);
	todo->destroy = !m->park_mail;
	p->held -= todo->destroy;
	pool_want_server(p, now_us, todo);
	pool_login_over(m, todo);
	pool_give_places(p, todo);
	pool_unlock(p);
}

void
pool_discard(struct pool_member *m, uint64_t now_us, struct pool_todo *todo)
{
	leave_pool(m, false, now_us, todo);
}

void
pool_lost(struct pool_member *m, uint64_t now_us, struct pool_todo *todo)
{
	leave_pool(m, true, now_us, todo);
}
