/*
 * pool_login.c - when a pool asks for another server, and what it does when it does not get one.
 *
 * A login is wanted while more sessions wait than logins are under way, and possible while the pool
 * has room and no back-off runs. Every call that changes one of these ends in pool_want_server(),
 * so that with waiters there is a login, or a timer, or no room (P6).
 */
#include "core/pool.h"

#include <stdatomic.h>
#include <string.h>

#include "base/str.h"
#include "core/pool_parts.h"

/* After the first failed login; doubles up to server_login_retry. */
#define BACKOFF_FIRST_US 50000

/* One more server would help somebody, and may be asked for now. */
static bool
may_login(const struct pool *p, uint64_t now_us)
{
	const struct pool_counts *c = &p->counts;

	return !c->paused && !p->retry_armed && now_us >= p->backoff_until_us &&
		   c->total < p->limits.size && c->by_state[MEMBER_LOGIN] < p->limits.login_concurrency &&
		   c->by_state[MEMBER_LOGIN] < c->waiters;
}

/*
 * Reserves a login slot if may_login(). The caller can start one login; where there is room for
 * more at once, the oldest waiter is woken to start the next, and so on: after a back-off or a
 * pause the logins would else follow one another.
 */
void
pool_reserve(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	todo->dial = may_login(p, now_us);
	if (!todo->dial)
		return;
	p->counts.by_state[MEMBER_LOGIN]++;
	p->counts.total++;
	if (todo->wake == NULL && may_login(p, now_us))
		pool_nudge(p, todo);
}

/* With waiters and room: a login, or a timer that will try one (P6). */
void
pool_want_server(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	struct pool_counts *c = &p->counts;

	pool_reserve(p, now_us, todo);
	if (todo->dial || c->paused || c->waiters == 0 || p->retry_armed)
		return;
	if (now_us < p->backoff_until_us && c->total < p->limits.size && c->by_state[MEMBER_LOGIN] == 0)
	{
		p->retry_armed = true;
		todo->retry_us = p->backoff_until_us - now_us;
	}
}

void
pool_refusal(struct pool *p, char sqlstate[6], char text[POOL_ERROR_MAX])
{
	lock_acquire(&p->lock);
	memcpy(sqlstate, p->refusal_sqlstate, sizeof(p->refusal_sqlstate));
	memcpy(text, p->refusal, sizeof(p->refusal));
	pool_unlock(p);
}

void
pool_login_failed(struct pool *p, uint64_t now_us, struct pool_todo *todo)
{
	uint64_t most;

	pool_begin(p, todo);
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
	pool_want_server(p, now_us, todo);
	pool_unlock(p);
}

void
pool_login_refused(struct pool *p, const char *sqlstate, const char *text)
{
	lock_acquire(&p->lock);
	str_copy(p->refusal_sqlstate, sizeof(p->refusal_sqlstate), sqlstate);
	str_copy(p->refusal, sizeof(p->refusal), text);
	pool_unlock(p);
}

struct pool_waiter *
pool_refuse_next(struct pool *p)
{
	struct pool_todo todo;
	struct pool_waiter *w;

	do
	{
		pool_begin(p, &todo);
		w = pool_pop_waiter(p, WAITER_REFUSED);
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
