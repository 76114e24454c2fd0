/*
 * pool_world.h - sessions and servers without sockets, for the tests of core/pool.
 *
 * A world does what core/server does with a struct pool_todo, and fails the test when it is asked
 * for something that would break an invariant: two watchers for one server, a second mail while one
 * is under way, freeing what a mail still points to. Time is an argument; mail is delivered when
 * the test says so, in the order that the test likes.
 */
#ifndef PERFKIT_TEST_POOL_WORLD_H
#define PERFKIT_TEST_POOL_WORLD_H

#include "base/assert.h"
#include "core/pool.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define LOOPS 3
#define MS 1000u /* microseconds */
#define SEC 1000000u

/* A server as far as pools care. */
struct fake_server
{
	struct pool_member m;
	int watched_by; /* loop whose park watcher runs, or POOL_NO_LOOP */
	int mail_to;    /* park mail is under way to this loop, or POOL_NO_LOOP */
	bool freed;
};

struct fake_session
{
	struct pool_waiter w;
	int mails; /* under way: 0 or 1 */
};

struct world
{
	struct pool pool;
	uint64_t now;
	int dials;         /* reserved and not yet answered by up() or refused() */
	uint64_t retry_us; /* last asked for; 0: none */
	int retries;
	uint64_t reserve_us; /* the same for the reserve */
	uint64_t refill_us;  /* and for what is to be kept open */
	int full;            /* checkouts that were refused */
	unsigned freed;      /* as last asked for, like the next two */
	struct quota *blocked;
	bool newly_blocked;
	int closes;      /* checkins that were refused */
	uint64_t broken; /* invariants, before the test */
};

static inline struct fake_server *
fake_of(struct pool_member *m)
{
	return list_entry(m, struct fake_server, m);
}

static inline void
fake_wake(struct pool_waiter *w)
{
	struct fake_session *s = list_entry(w, struct fake_session, w);

	assert_int_equal(s->mails, 0);
	s->mails = 1;
}

static inline struct fake_session
session_at(int loop)
{
	struct fake_session s = {.w = {.loop = loop, .wake = fake_wake}};

	return s;
}

/* What core/server does with a todo, on the given loop. */
static inline void
act(struct world *world, int loop, struct fake_server *s, const struct pool_todo *todo)
{
	if (todo->unpark)
	{
		assert_true(s->watched_by == loop || s->watched_by == POOL_NO_LOOP);
		s->watched_by = POOL_NO_LOOP;
	}
	if (todo->mail_home != POOL_NO_LOOP)
	{
		assert_int_equal(s->mail_to, POOL_NO_LOOP);
		s->mail_to = todo->mail_home;
	}
	if (todo->park)
	{
		/* P1, P3: only one loop watches an idle server. */
		assert_true(s->watched_by == POOL_NO_LOOP || s->watched_by == loop);
		s->watched_by = loop;
	}
	if (todo->destroy)
	{
		assert_int_equal(s->mail_to, POOL_NO_LOOP);
		assert_int_equal(s->watched_by, POOL_NO_LOOP);
		assert_false(s->freed);
		s->freed = true;
	}
	if (todo->wake != NULL)
		todo->wake->wake(todo->wake);
	if (todo->retry_us > 0)
	{
		world->retry_us = todo->retry_us;
		world->retries++;
	}
	if (todo->reserve_us > 0)
		world->reserve_us = todo->reserve_us;
	if (todo->refill_us > 0)
		world->refill_us = todo->refill_us;
	if (todo->dial)
		world->dials++;
	world->full += todo->full;
	if (todo->freed != 0)
		world->freed = todo->freed;
	if (todo->blocked != NULL)
		world->blocked = todo->blocked;
	world->newly_blocked = todo->newly_blocked;
}

static inline void
world_init(struct world *world, int64_t size)
{
	const struct pool_limits limits = {
		.size = size,
		.login_concurrency = 2,
		.login_retry_us = 15 * SEC,
	};
	const struct pool_name name = {.database = "app", .user = "orders"};

	memset(world, 0, sizeof(*world));
	world->now = 1000 * SEC;
	world->broken = invariant_failures();
	assert_true(pool_init(&world->pool, &name, &limits, LOOPS));
}

/* Every test ends here: no invariant was found broken on the way. */
static inline void
world_fini(struct world *world)
{
	pool_fini(&world->pool);
	assert_int_equal(invariant_failures(), world->broken);
}

static inline struct pool_counts
counts(struct world *world)
{
	struct pool_counts c;

	pool_counts(&world->pool, &c);
	return c;
}

/* ---- sessions ---- */

static inline struct fake_server *
checkout(struct world *world, struct fake_session *s)
{
	struct pool_todo todo;
	struct pool_member *m = pool_checkout(&world->pool, &s->w, world->now, &todo);

	act(world, s->w.loop, m == NULL ? NULL : fake_of(m), &todo);
	return m == NULL ? NULL : fake_of(m);
}

/* The same by who asks again. */
static inline struct fake_server *
checkout_again(struct world *world, struct fake_session *s)
{
	struct pool_todo todo;
	struct pool_member *m = pool_checkout_again(&world->pool, &s->w, world->now, &todo);

	act(world, s->w.loop, m == NULL ? NULL : fake_of(m), &todo);
	return m == NULL ? NULL : fake_of(m);
}

/* Delivers the session's mail. */
static inline enum waiter_state
woken(struct world *world, struct fake_session *s, struct fake_server **got)
{
	struct pool_member *m;
	struct pool_todo todo;
	enum waiter_state state;

	assert_int_equal(s->mails, 1);
	s->mails = 0;
	state = pool_waiter_woken(&world->pool, &s->w, world->now, &m, &todo);
	act(world, s->w.loop, m == NULL ? NULL : fake_of(m), &todo);
	*got = m == NULL ? NULL : fake_of(m);
	return state;
}

static inline struct fake_server *
expect_grant(struct world *world, struct fake_session *s)
{
	struct fake_server *got;

	assert_int_equal(woken(world, s, &got), WAITER_GRANTED);
	assert_non_null(got);
	assert_int_equal(got->m.owner, s->w.loop);
	assert_int_equal(got->m.state, MEMBER_ACTIVE);
	return got;
}

static inline bool
leave(struct world *world, struct fake_session *s)
{
	struct pool_todo todo;
	bool gone = pool_leave(&world->pool, &s->w, world->now, &todo);

	act(world, s->w.loop, NULL, &todo);
	return gone;
}

/* ---- servers ---- */

static inline void
discard(struct world *world, struct fake_server *s)
{
	int loop = s->m.owner;
	struct pool_todo todo;

	pool_discard(&s->m, world->now, &todo);
	act(world, loop, s, &todo);
}

/* It ends by itself; one that was idle is taken out by its home loop first. */
static inline void
lose(struct world *world, struct fake_server *s)
{
	struct pool_todo todo;

	if (s->m.state == MEMBER_IDLE)
	{
		s->watched_by = POOL_NO_LOOP;
		assert_true(pool_claim(&s->m, s->m.home));
	}
	pool_lost(&s->m, world->now, &todo);
	act(world, s->m.home, s, &todo);
}

/* True: the pool kept it or gave it to a waiter. False: it has been discarded. */
static inline bool
checkin(struct world *world, struct fake_server *s)
{
	int loop = s->m.owner;
	struct pool_todo todo;

	pool_checkin(&s->m, loop, world->now, &todo);
	act(world, loop, s, &todo);
	if (!todo.close)
		return true;
	world->closes++;
	discard(world, s);
	return false;
}

/* A login that was asked for succeeds on a loop: the server is checked in. */
static inline bool
up(struct world *world, struct fake_server *s, int loop)
{
	assert_true(world->dials > 0);
	world->dials--;
	*s = (struct fake_server){.watched_by = POOL_NO_LOOP, .mail_to = POOL_NO_LOOP};
	pool_member_init(&s->m, &world->pool, loop, pool_generation(&world->pool), world->now);
	return checkin(world, s);
}

/* A login that was asked for fails. */
static inline void
down(struct world *world)
{
	struct pool_todo todo;

	assert_true(world->dials > 0);
	world->dials--;
	pool_login_failed(&world->pool, world->now, &todo);
	act(world, 0, NULL, &todo);
}

static inline void
retry(struct world *world)
{
	struct pool_todo todo;

	world->retry_us = 0;
	pool_retry(&world->pool, world->now, &todo);
	act(world, 0, NULL, &todo);
}

/* The park mail arrives where it was sent. */
static inline void
park_mail(struct world *world, struct fake_server *s)
{
	int loop = s->mail_to;
	struct pool_todo todo;

	assert_true(loop != POOL_NO_LOOP);
	s->mail_to = POOL_NO_LOOP;
	if (s->watched_by == loop)
		s->watched_by = POOL_NO_LOOP;
	pool_park_mail(&s->m, loop, &todo);
	act(world, loop, s, &todo);
}

/* An idle server on each of the loops named. */
static inline void
idle_servers(struct world *world, struct fake_server *servers, const int *loops, int n)
{
	for (int i = 0; i < n; i++)
	{
		struct fake_session s = session_at(loops[i]);

		assert_null(checkout(world, &s));
		assert_true(up(world, &servers[i], loops[i]));
		assert_ptr_equal(expect_grant(world, &s), &servers[i]);
	}
	for (int i = 0; i < n; i++)
		assert_true(checkin(world, &servers[i]));
}

/* Takes every idle server out and frees it; n must be left in none. */
static inline void
close_idle(struct world *world)
{
	for (int loop = 0; loop < LOOPS; loop++)
	{
		struct pool_member *m;
		struct pool_todo todo;

		while ((m = pool_take_idle(&world->pool, loop, UINT64_MAX, &todo)) != NULL)
		{
			act(world, loop, fake_of(m), &todo);
			discard(world, fake_of(m));
		}
	}
}

static inline void
want(struct world *w)
{
	struct pool_todo todo;

	pool_want(&w->pool, w->now, &todo);
	act(w, 0, NULL, &todo);
}

/* ---- quotas ---- */

/* Two pools with seats in the same quotas. */
struct shared
{
	struct quota quotas[QUOTA_KINDS];
	struct world a;
	struct world b;
};

static inline void
shared_init(struct shared *sh, int64_t servers, int64_t logins)
{
	struct world *worlds[] = {&sh->a, &sh->b};

	for (int i = 0; i < QUOTA_KINDS; i++)
		quota_init(&sh->quotas[i], (enum quota_kind) i, "shared");
	atomic_store(&sh->quotas[QUOTA_DATABASE].limit, servers);
	atomic_store(&sh->quotas[QUOTA_LOGINS].limit, logins);
	for (int w = 0; w < 2; w++)
	{
		world_init(worlds[w], 4);
		for (int i = 0; i < QUOTA_KINDS; i++)
			quota_join(&sh->quotas[i], &worlds[w]->pool.seat[i], &worlds[w]->pool);
	}
}

/* Everything has been given back. */
static inline void
shared_fini(struct shared *sh)
{
	world_fini(&sh->a);
	world_fini(&sh->b);
	for (int i = 0; i < QUOTA_KINDS; i++)
	{
		assert_int_equal(atomic_load(&sh->quotas[i].used), 0);
		assert_int_equal(atomic_load(&sh->quotas[i].n_blocked), 0);
		quota_fini(&sh->quotas[i]);
	}
}

#endif
