/*
 * pool.c - see pool.h.
 *
 * The invariants of the threads (code cites them by number; P5 and P6 are checked at each unlock in
 * debug builds):
 *
 *   P1  A loop's watchers are touched by its own thread only; the one call into a foreign loop is
 * loop_post(). P2  A session is born, lives and dies on one loop. P3  A member has one owner: the
 * pool (IDLE, its park watcher armed in its home loop) or one loop. The owner changes only here,
 * under the lock. P4  The lock covers O(1) work: no system call, no malloc, no log, no callback.
 * Locks never nest. P5  The counts by state add up to the total, and the total is at most the size;
 * after a shrinking reload it may only fall. P6  No barging, no sleeping waiter: with waiters
 * nothing is idle (unless paused), and the pool is full, or a login runs, or a retry is armed. P7
 * A grant is delivered by mail, even to the own loop; a session whose waiter has mail under way is
 * not freed until it has come. P8  A server with a cancel in flight is not checked in: it would
 * cancel the next client's query. P9  Configuration is an immutable snapshot; P10 counters belong
 * to one loop.
 *
 * The park watcher. An idle server is watched by the loop that last owned it, so that its death is
 * seen at once and a checkout on the same loop costs nothing. When another loop checks it out, the
 * home loop's watcher has to be stopped by the home loop itself: park_mail is posted. Until that
 * mail has been handled nobody arms the watcher anew and nobody frees the member; the handler
 * (pool_park_mail) looks at where the member is by then and arms, passes the mail on to the new
 * home, or frees what is gone.
 */
#include "core/pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"

#define BACKOFF_FIRST_US                                                                           \
	50000 /* after the first failed login; doubles up to server_login_retry                        \
		   */

static void
check(const struct pool *p)
{
	const struct pool_counts *c = &p->counts;
	int64_t sum = 0;

	for (int i = 0; i < MEMBER_CLOSING; i++)
		sum += c->by_state[i];
	INVARIANT(sum == c->total, "P5");
	if (c->waiters > 0 && !c->paused)
	{
		INVARIANT(c->by_state[MEMBER_IDLE] == 0, "P6");
		INVARIANT(c->total >= p->limits.size || c->by_state[MEMBER_LOGIN] > 0 || p->retry_armed ||
					  list_entry(list_first(&p->waiters), struct pool_waiter, node)->posted,
				  "P6");
	}
}

static void
unlock(struct pool *p)
{
#ifdef PERFKIT_DEBUG
	check(p);
#else
	(void) check;
#endif
	lock_release(&p->lock);
}

static void
begin(struct pool *p, struct pool_todo *todo)
{
	memset(todo, 0, sizeof(*todo));
	todo->mail_home = POOL_NO_LOOP;
	lock_acquire(&p->lock);
}

static void
set_state(struct pool_member *m, enum member_state state)
{
	struct pool_counts *c = &m->pool->counts;

	c->by_state[m->state]--;
	c->by_state[state]++;
	if (m->state < MEMBER_CLOSING && state >= MEMBER_CLOSING)
		c->total--;
	m->state = state;
}

/* One more server would help somebody, and may be asked for now. */
static bool
may_login(const struct pool *p, uint64_t now_us)
{
	const struct pool_counts *c = &p->counts;

	return !c->paused && !p->retry_armed && now_us >= p->backoff_until_us &&
		   c->total < p->limits.size && c->by_state[MEMBER_LOGIN] < p->limits.login_concurrency &&
		   c->by_state[MEMBER_LOGIN] < c->waiters;
}

static void
wake(struct pool_waiter *w, struct pool_todo *todo)
{
	if (w->posted)
		return; /* the mail under way will find the new state */
	w->posted = true;
	todo->wake = w;
}

/* Wakes the oldest waiter while it stays queued: its own loop will dial. */
static void
nudge(struct pool *p, struct pool_todo *todo)
{
	struct list *n = list_first(&p->waiters);

	if (n != NULL)
		wake(list_entry(n, struct pool_waiter, node), todo);
}

/*
 * Reserves a login slot if may_login(). The caller can start one login; where there is room for
 * more at once, the oldest waiter is woken to start the next, and so on: after a back-off or a
 * pause the logins would else follow one another.
 */
static void
reserve(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	todo->dial = may_login(p, now_us);
	if (!todo->dial)
		return;
	p->counts.by_state[MEMBER_LOGIN]++;
	p->counts.total++;
	if (todo->wake == NULL && may_login(p, now_us))
		nudge(p, todo);
}

/* With waiters and room: a login, or a timer that will try one (P6). */
static void
want_server(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	struct pool_counts *c = &p->counts;

	reserve(p, now_us, todo);
	if (todo->dial || c->paused || c->waiters == 0 || p->retry_armed)
		return;
	if (now_us < p->backoff_until_us && c->total < p->limits.size && c->by_state[MEMBER_LOGIN] == 0)
	{
		p->retry_armed = true;
		todo->retry_us = p->backoff_until_us - now_us;
	}
}

static struct pool_waiter *
pop_waiter(struct pool *p, enum waiter_state state)
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
	unlock(p);
}

/* The newest idle server of one loop (the oldest with round_robin). */
static struct pool_member *
take_from(struct pool *p, int loop)
{
	struct list *n = p->limits.round_robin ? list_first(&p->idle[loop]) : list_last(&p->idle[loop]);

	if (n == NULL)
		return NULL;
	list_remove(n);
	return list_entry(n, struct pool_member, node);
}

/* Hands an idle member to a loop and says what becomes of its park watcher. */
static void
own(struct pool_member *m, int loop, enum member_state state, struct pool_todo *todo)
{
	set_state(m, state);
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

struct pool_member *
pool_checkout(struct pool *p, struct pool_waiter *w, uint64_t now_us, struct pool_todo *todo)
{
	struct pool_member *m = NULL;

	begin(p, todo);
	if (p->counts.waiters == 0 && !p->counts.paused && p->counts.by_state[MEMBER_IDLE] > 0)
	{
		m = take_from(p, w->loop);
		for (int i = 0; m == NULL && i < p->n_loops; i++)
			m = take_from(p, i);
	}
	if (m != NULL)
		own(m, w->loop, MEMBER_ACTIVE, todo);
	else
	{
		w->state = WAITER_QUEUED;
		w->since_us = now_us;
		w->member = NULL;
		list_append(&p->waiters, &w->node);
		p->counts.waiters++;
		want_server(p, now_us, todo);
	}
	unlock(p);
	return m;
}

enum waiter_state
pool_waiter_woken(struct pool *p, struct pool_waiter *w, struct pool_member **member,
				  struct pool_todo *todo)
{
	enum waiter_state state;

	begin(p, todo);
	w->posted = false;
	state = w->state;
	*member = w->member;
	w->member = NULL;
	if (state == WAITER_QUEUED)
		reserve(p, UINT64_MAX, todo);
	w->state = state == WAITER_QUEUED ? WAITER_QUEUED : WAITER_NONE;
	unlock(p);
	return state;
}

bool
pool_leave(struct pool *p, struct pool_waiter *w, uint64_t now_us, struct pool_todo *todo)
{
	bool gone;

	begin(p, todo);
	if (w->state == WAITER_QUEUED)
	{
		list_remove(&w->node);
		p->counts.waiters--;
		w->state = WAITER_NONE;
		/* Its mail may have been the one that was to bring a login for the others. */
		want_server(p, now_us, todo);
	}
	gone = !w->posted;
	unlock(p);
	return gone;
}

void
pool_refusal(struct pool *p, char sqlstate[6], char text[POOL_ERROR_MAX])
{
	lock_acquire(&p->lock);
	memcpy(sqlstate, p->refusal_sqlstate, sizeof(p->refusal_sqlstate));
	memcpy(text, p->refusal, sizeof(p->refusal));
	unlock(p);
}

void
pool_member_init(struct pool_member *m, struct pool *p, int loop, uint32_t generation)
{
	/* The slot was counted as LOGIN when it was reserved. */
	list_init(&m->node);
	m->pool = p;
	m->state = MEMBER_LOGIN;
	m->owner = loop;
	m->home = loop;
	m->parked_at = POOL_NO_LOOP;
	m->park_mail = false;
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
	set_state(m, state);
	unlock(m->pool);
}

/*
 * A pause that was ended while idle servers were still waiting to be closed goes on until they are:
 * those who came meanwhile stand in the queue, and nobody would hand them what is idle (P6).
 */
static void
end_pause(struct pool *p)
{
	if (!p->resuming || p->counts.by_state[MEMBER_IDLE] > 0)
		return;
	p->resuming = false;
	p->counts.paused = false;
}

void
pool_checkin(struct pool_member *m, int loop, uint64_t now_us, struct pool_todo *todo)
{
	struct pool *p = m->pool;
	struct pool_waiter *w;

	begin(p, todo);
	INVARIANT(m->owner == loop, "P3");
	end_pause(p);
	if (m->state == MEMBER_LOGIN)
	{
		p->backoff_until_us = 0;
		p->backoff_us = 0;
	}
	m->home = loop;
	if (p->counts.paused || m->generation != p->generation || p->counts.total > p->limits.size)
	{
		todo->close = true;
		if (p->counts.total > p->limits.size)
			set_state(m, MEMBER_CLOSING); /* or the next one would be too many as well */
	}
	else if ((w = pop_waiter(p, WAITER_GRANTED)) != NULL)
	{
		set_state(m, MEMBER_ACTIVE);
		m->owner = w->loop;
		w->member = m;
		todo->granted = true;
		todo->granted_loop = w->loop;
		wake(w, todo);
		want_server(p, now_us, todo);
	}
	else
	{
		set_state(m, MEMBER_IDLE);
		m->owner = POOL_NO_LOOP;
		m->idle_since_us = now_us;
		list_append(&p->idle[loop], &m->node);
		if (!m->park_mail)
		{
			m->parked_at = loop;
			todo->park = true;
		}
	}
	unlock(p);
}

void
pool_discard(struct pool_member *m, uint64_t now_us, struct pool_todo *todo)
{
	struct pool *p = m->pool;

	begin(p, todo);
	end_pause(p);
	set_state(m, MEMBER_GONE);
	todo->destroy = !m->park_mail;
	want_server(p, now_us, todo);
	unlock(p);
}

void
pool_login_failed(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	uint64_t most;

	begin(p, todo);
	p->counts.by_state[MEMBER_LOGIN]--;
	p->counts.total--;
	p->backoff_us = p->backoff_us == 0 ? BACKOFF_FIRST_US : p->backoff_us * 2;
	/* The low bits of the clock spread the loops and pools that failed together. */
	p->backoff_us += now_us % (p->backoff_us / 4 + 1);
	/* A ceiling of nothing would make the loop busy with failing logins. */
	most =
		p->limits.login_retry_us > BACKOFF_FIRST_US ? p->limits.login_retry_us : BACKOFF_FIRST_US;
	if (p->backoff_us > most)
		p->backoff_us = most;
	p->backoff_until_us = now_us + p->backoff_us;
	want_server(p, now_us, todo);
	unlock(p);
}

void
pool_login_refused(struct pool *p, const char *sqlstate, const char *text)
{
	lock_acquire(&p->lock);
	str_copy(p->refusal_sqlstate, sizeof(p->refusal_sqlstate), sqlstate);
	str_copy(p->refusal, sizeof(p->refusal), text);
	unlock(p);
}

struct pool_waiter *
pool_refuse_next(struct pool *p)
{
	struct pool_todo todo;
	struct pool_waiter *w;

	do
	{
		begin(p, &todo);
		w = pop_waiter(p, WAITER_REFUSED);
		if (w != NULL)
			wake(w, &todo);
		unlock(p);
	} while (w != NULL && todo.wake == NULL);
	return w;
}

void
pool_retry(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	begin(p, todo);
	p->retry_armed = false;
	/* A timer may fire a hair early by another clock: the back-off is over when its timer says so.
	 */
	p->backoff_until_us = 0;
	want_server(p, now_us, todo);
	unlock(p);
}

bool
pool_claim(struct pool_member *m, int loop)
{
	struct pool *p = m->pool;
	bool mine;

	lock_acquire(&p->lock);
	mine = m->state == MEMBER_IDLE && m->parked_at == loop;
	if (mine)
	{
		list_remove(&m->node);
		set_state(m, MEMBER_TESTED);
		m->owner = loop;
	}
	if (m->parked_at == loop)
		m->parked_at = POOL_NO_LOOP;
	unlock(p);
	return mine;
}

void
pool_park_mail(struct pool_member *m, int loop, struct pool_todo *todo)
{
	bool here;

	begin(m->pool, todo);
	here = m->state == MEMBER_IDLE && m->home == loop;
	if (m->parked_at == loop)
		m->parked_at = POOL_NO_LOOP;
	if (here && m->parked_at == POOL_NO_LOOP)
	{
		m->parked_at = loop;
		todo->park = true;
	}
	if (m->state == MEMBER_IDLE && !here)
		todo->mail_home = m->home; /* park_mail stays true: the mail goes on */
	else
		m->park_mail = false;
	todo->destroy = m->state == MEMBER_GONE;
	unlock(m->pool);
}

uint64_t
pool_oldest_idle(struct pool *p, int loop)
{
	struct list *oldest;
	uint64_t since = 0;

	lock_acquire(&p->lock);
	oldest = list_first(&p->idle[loop]);
	if (oldest != NULL)
		since = list_entry(oldest, struct pool_member, node)->idle_since_us;
	unlock(p);
	return since;
}

void
pool_set_limits(struct pool *p, const struct pool_limits *limits, struct pool_todo *todo)
{
	begin(p, todo);
	p->limits = *limits;
	nudge(p, todo);
	unlock(p);
}

void
pool_retire(struct pool *p)
{
	lock_acquire(&p->lock);
	p->generation++;
	unlock(p);
}

void
pool_pause(struct pool *p)
{
	lock_acquire(&p->lock);
	p->counts.paused = true;
	p->resuming = false;
	unlock(p);
}

void
pool_resume(struct pool *p, struct pool_todo *todo)
{
	begin(p, todo);
	p->resuming = p->counts.paused && p->counts.waiters > 0;
	end_pause(p);
	if (!p->resuming)
	{
		p->counts.paused = false;
		nudge(p, todo);
	}
	unlock(p);
}

struct pool_member *
pool_take_idle(struct pool *p, int loop, uint64_t idle_before_us, struct pool_todo *todo)
{
	struct pool_member *m = NULL;
	struct list *oldest;
	bool over;

	begin(p, todo);
	over = p->counts.total > p->limits.size;
	oldest = list_first(&p->idle[loop]);
	if (oldest != NULL)
	{
		m = list_entry(oldest, struct pool_member, node);
		if (over || m->idle_since_us < idle_before_us || m->generation != p->generation)
		{
			list_remove(&m->node);
			own(m, loop, over ? MEMBER_CLOSING : MEMBER_TESTED, todo);
			if (p->resuming)
			{
				end_pause(p);
				if (!p->counts.paused)
					nudge(p, todo);
			}
		}
		else
			m = NULL;
	}
	unlock(p);
	return m;
}

void
pool_counts(struct pool *p, struct pool_counts *out)
{
	struct list *n;

	lock_acquire(&p->lock);
	*out = p->counts;
	n = list_first(&p->waiters);
	out->oldest_wait_us = n == NULL ? 0 : list_entry(n, struct pool_waiter, node)->since_us;
	unlock(p);
}
