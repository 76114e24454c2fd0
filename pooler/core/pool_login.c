/*
 * pool_login.c - when a pool asks for another server, and what it does when it does not get one.
 *
 * A login is wanted while more sessions wait than logins are under way, or fewer servers are open
 * than min_pool_size; it is possible while the pool has room, no back-off runs and every quota has
 * a place. Every call that changes one of these ends in pool_want_server(), so that with waiters
 * there is a login, or a timer, or no room, or a quota that binds (P6).
 */
#include "core/pool.h"

#include <stdatomic.h>
#include <string.h>

#include "base/str.h"
#include "core/pool_parts.h"

/* After the first failed login; doubles up to server_login_retry. */
#define BACKOFF_FIRST_US 50000

/* A server that ends by itself, younger than this and before anybody had it, was not let in for
 * good. Later ends have other causes: a restart of PostgreSQL must not delay the next login. */
#define NEWBORN_US 1000000

/* How often a pool that has fewer servers than are to be kept open looks for a place in its quotas.
 * It does not stand in line with those who are waited for. */
#define REFILL_US 250000

int64_t
pool_most(const struct pool *p)
{
	return p->limits.size + p->limits.reserve;
}

/* How many servers are to be kept open: none of a pool that nobody uses. */
static int64_t
minimum(const struct pool *p)
{
	const struct pool_limits *l = &p->limits;

	if (p->counts.sessions == 0 && !l->min_always)
		return 0;
	return l->min < l->size ? l->min : l->size;
}

bool
pool_at_minimum(const struct pool *p)
{
	return p->counts.total <= minimum(p);
}

bool
pool_wants_login(const struct pool *p)
{
	return !p->counts.paused &&
		   (p->counts.by_state[MEMBER_LOGIN] < p->counts.waiters || p->counts.total < minimum(p));
}

/* When the oldest waiter may have a server of the reserve; 0: never. */
static uint64_t
reserve_opens_us(const struct pool *p)
{
	struct list *n = list_first(&p->waiters);

	if (n == NULL || p->limits.reserve_timeout_us == 0)
		return 0;
	return list_entry(n, struct pool_waiter, node)->since_us + p->limits.reserve_timeout_us;
}

/* Logins of the reserve follow one another, so that each is for somebody who has waited. */
static bool
has_room(const struct pool *p, uint64_t now_us)
{
	uint64_t opens = reserve_opens_us(p);

	if (p->counts.total < p->limits.size)
		return true;
	return p->counts.total < pool_most(p) && p->counts.by_state[MEMBER_LOGIN] == 0 && opens != 0 &&
		   now_us >= opens;
}

/* One more server would help somebody, and may be asked for now. */
static bool
may_login(const struct pool *p, uint64_t now_us)
{
	return pool_wants_login(p) && !p->retry_armed && now_us >= p->backoff_until_us &&
		   has_room(p, now_us) && p->counts.by_state[MEMBER_LOGIN] < p->limits.login_concurrency;
}

/* ---- quotas ---- */

void
pool_set_blocked(struct pool *p, struct quota *q)
{
	if (p->blocked_by == q)
		return;
	if (p->blocked_by != NULL)
		quota_unblock(p->blocked_by);
	p->blocked_by = q;
	if (q != NULL)
		quota_block(q);
}

/* The pool itself may be among those who want it. */
static void
give_place(struct pool *p, enum quota_kind kind, struct pool_todo *todo)
{
	struct quota *q = p->seat[kind].quota;

	quota_give(q);
	if (quota_wanted(q, false))
		todo->freed |= 1u << kind;
}

void
pool_login_over(struct pool_member *m, struct pool_todo *todo)
{
	if (m->logging_in)
		give_place(m->pool, QUOTA_LOGINS, todo);
	m->logging_in = false;
}

void
pool_give_places(struct pool *p, struct pool_todo *todo)
{
	give_place(p, QUOTA_DATABASE, todo);
	give_place(p, QUOTA_USER, todo);
}

/* The first quota without room, or NULL. A server that nobody waits for (spare) finds none where
 * another pool waits for a place: it would have to give way at once. */
static struct quota *
narrowest(struct pool *p, bool spare)
{
	for (int i = 0; i < QUOTA_KINDS; i++)
	{
		struct quota *q = p->seat[i].quota;

		if (!quota_has_room(q) ||
			(spare && i != QUOTA_LOGINS && quota_wanted(q, p->blocked_by == q)))
			return q;
	}
	return NULL;
}

/*
 * A place in every quota, or in none. All are looked at first: a place that is taken and given back
 * would be missed by others meanwhile.
 */
static bool
take_places(struct pool *p, struct pool_todo *todo)
{
	bool spare = p->counts.by_state[MEMBER_LOGIN] >= p->counts.waiters;
	struct quota *q = narrowest(p, spare);

	for (int i = 0; q == NULL && i < QUOTA_KINDS; i++)
		if (!quota_take(p->seat[i].quota))
		{
			q = p->seat[i].quota;
			while (--i >= 0)
				give_place(p, (enum quota_kind) i, todo);
			break;
		}
	/* For a server that is only to be kept open no other pool is asked to give one up: it is tried
	 * again now and then. */
	if (q != NULL && spare && q->kind != QUOTA_LOGINS)
	{
		pool_set_blocked(p, NULL);
		if (!p->refill_armed)
			todo->refill_us = REFILL_US;
		p->refill_armed = true;
		return false;
	}
	todo->blocked = q;
	todo->newly_blocked = q != NULL && q != p->blocked_by;
	pool_set_blocked(p, q);
	return q == NULL;
}

/* ---- asking ---- */

/*
 * Reserves a login if may_login(). The caller can start one login; where there is room for more at
 * once, the oldest waiter is woken to start the next, and so on: after a back-off or a pause the
 * logins would else follow one another.
 */
static void
reserve(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	if (!may_login(p, now_us))
	{
		pool_set_blocked(p, NULL);
		return;
	}
	todo->dial = take_places(p, todo);
	if (!todo->dial)
		return;
	p->counts.by_state[MEMBER_LOGIN]++;
	p->counts.total++;
	p->held++;
	if (todo->wake == NULL && may_login(p, now_us))
		pool_nudge(p, todo);
}

void
pool_want_server(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	struct pool_counts *c = &p->counts;
	uint64_t opens;

	reserve(p, now_us, todo);
	if (todo->dial || c->total >= pool_most(p) || !pool_wants_login(p))
		return;
	if (!p->retry_armed && now_us < p->backoff_until_us && c->by_state[MEMBER_LOGIN] == 0)
	{
		p->retry_armed = true;
		todo->retry_us = p->backoff_until_us - now_us;
	}
	opens = reserve_opens_us(p);
	if (c->total >= p->limits.size && !p->reserve_armed && opens > now_us)
	{
		p->reserve_armed = true;
		todo->reserve_us = opens - now_us;
	}
}

void
pool_want(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	pool_begin(p, todo);
	pool_want_server(p, now_us, todo);
	pool_unlock(p);
}

void
pool_reserve_due(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	pool_begin(p, todo);
	p->reserve_armed = false;
	pool_want_server(p, now_us, todo);
	pool_unlock(p);
}

void
pool_refill_due(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	pool_begin(p, todo);
	p->refill_armed = false;
	pool_want_server(p, now_us, todo);
	pool_unlock(p);
}

void
pool_refusal(struct pool *p, char sqlstate[6], char text[POOL_ERROR_MAX])
{
	lock_acquire(&p->lock);
	memcpy(sqlstate, p->refusal_sqlstate, sizeof(p->refusal_sqlstate));
	memcpy(text, p->refusal, sizeof(p->refusal));
	pool_unlock(p);
}

/* Longer than the last time. */
static void
back_off(struct pool *p, uint64_t now_us)
{
	uint64_t most;

	p->backoff_us = p->backoff_us == 0 ? BACKOFF_FIRST_US : p->backoff_us * 2;
	/* The low bits of the clock spread the loops and pools that failed together. */
	p->backoff_us += now_us % (p->backoff_us / 4 + 1);
	/* A ceiling of nothing would make the loop busy with failing logins. */
	most =
		p->limits.login_retry_us > BACKOFF_FIRST_US ? p->limits.login_retry_us : BACKOFF_FIRST_US;
	if (p->backoff_us > most)
		p->backoff_us = most;
	p->backoff_until_us = now_us + p->backoff_us;
}

/* Several that end together count once. The delay goes on from where its login had ended it. */
void
pool_blame_login(const struct pool_member *m, uint64_t now_us)
{
	struct pool *p = m->pool;

	if (m->used || (m->state != MEMBER_LOGIN && now_us >= m->born_us + NEWBORN_US) ||
		now_us < p->backoff_until_us)
		return;
	if (p->backoff_us < m->backoff_us)
		p->backoff_us = m->backoff_us;
	back_off(p, now_us);
}

void
pool_login_failed(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	pool_begin(p, todo);
	p->counts.by_state[MEMBER_LOGIN]--;
	p->counts.total--;
	p->held--;
	back_off(p, now_us);
	p->counts.away = !p->refused;
	p->refused = false;
	pool_want_server(p, now_us, todo);
	give_place(p, QUOTA_LOGINS, todo);
	pool_give_places(p, todo);
	pool_unlock(p);
}

void
pool_login_refused(struct pool *p, const char *sqlstate, const char *text)
{
	lock_acquire(&p->lock);
	str_copy(p->refusal_sqlstate, sizeof(p->refusal_sqlstate), sqlstate);
	str_copy(p->refusal, sizeof(p->refusal), text);
	p->refused = true;
	pool_unlock(p);
}

/* Logged in and not gone: it comes back, and serves somebody. */
static bool
has_servers(const struct pool *p)
{
	return p->counts.total > p->counts.by_state[MEMBER_LOGIN];
}

struct pool_waiter *
pool_refuse_next(struct pool *p)
{
	struct pool_todo todo;
	struct pool_waiter *w;

	do
	{
		pool_begin(p, &todo);
		w = has_servers(p) ? NULL : pool_pop_waiter(p, WAITER_REFUSED);
		if (w != NULL)
			pool_wake(w, &todo);
		pool_unlock(p);
	} while (w != NULL && todo.wake == NULL);
	return w;
}

void
pool_retry(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	pool_begin(p, todo);
	p->retry_armed = false;
	/* A timer may fire a hair early by another clock: the back-off is over when its timer says so.
	 */
	p->backoff_until_us = 0;
	pool_want_server(p, now_us, todo);
	pool_unlock(p);
}
