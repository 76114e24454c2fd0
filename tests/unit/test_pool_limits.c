/*
 * test_pool_limits.c - sizes that grow (reserve), the length of the queue, and
 * quotas that two pools share.
 */
#include "pool_world.h"

/* ---- the reserve ---- */

static void
set_reserve(struct world *w, int64_t reserve, uint64_t timeout_us)
{
	w->pool.limits.reserve = reserve;
	w->pool.limits.reserve_timeout_us = timeout_us;
}

static void
reserve_due(struct world *w)
{
	struct pool_todo todo;

	w->reserve_us = 0;
	pool_reserve_due(&w->pool, w->now, &todo);
	act(w, 0, NULL, &todo);
}

static void
test_reserve_opens_for_who_waited(void **state)
{
	static const int loops[] = {0};
	struct world w;
	struct fake_server servers[3];
	struct fake_session holder = session_at(0);
	struct fake_session s[3];

	(void) state;
	world_init(&w, 1);
	set_reserve(&w, 2, 5 * SEC);
	idle_servers(&w, servers, loops, 1);
	assert_ptr_equal(checkout(&w, &holder), &servers[0]);
	for (int i = 0; i < 3; i++)
	{
		s[i] = session_at(i);
		assert_null(checkout(&w, &s[i]));
		assert_int_equal(w.dials, 0);
		w.now += SEC;
	}
	assert_int_equal(w.reserve_us, 5 * SEC);
	/* A timer that fires early comes again. */
	reserve_due(&w);
	assert_int_equal(w.dials, 0);
	assert_int_equal(w.reserve_us, 2 * SEC);
	w.now += w.reserve_us;
	reserve_due(&w);
	assert_int_equal(w.dials, 1);
	assert_true(up(&w, &servers[1], 0));
	assert_ptr_equal(expect_grant(&w, &s[0]), &servers[1]);
	/* The next has its own five seconds. */
	assert_int_equal(w.dials, 0);
	assert_int_equal(w.reserve_us, 1 * SEC);
	w.now += w.reserve_us;
	reserve_due(&w);
	assert_true(up(&w, &servers[2], 1));
	assert_ptr_equal(expect_grant(&w, &s[1]), &servers[2]);
	/* P5: size and reserve are used up. */
	w.now += 60 * SEC;
	reserve_due(&w);
	assert_int_equal(w.dials, 0);
	assert_int_equal(counts(&w).total, 3);
	/* A server of the reserve is as good as any. */
	assert_true(checkin(&w, &servers[1]));
	assert_ptr_equal(expect_grant(&w, &s[2]), &servers[1]);
	for (int i = 0; i < 3; i++)
		assert_true(checkin(&w, &servers[i]));
	assert_int_equal(counts(&w).by_state[MEMBER_IDLE], 3);
	close_idle(&w);
	world_fini(&w);
}

static void
test_reserve_logins_follow_one_another(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session s[3];

	(void) state;
	world_init(&w, 1);
	set_reserve(&w, 3, 1 * SEC);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	for (int i = 0; i < 3; i++)
	{
		s[i] = session_at(i);
		assert_null(checkout(&w, &s[i]));
	}
	w.now += 2 * SEC;
	reserve_due(&w);
	assert_int_equal(w.dials, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(s[i].mails, 0);
	/* It fails: back-off first, and then again. */
	down(&w);
	assert_int_equal(w.dials, 0);
	assert_true(w.retry_us > 0);
	w.now += w.retry_us;
	retry(&w);
	assert_int_equal(w.dials, 1);
	for (int i = 0; i < 3; i++)
		assert_true(leave(&w, &s[i]));
	down(&w);
	discard(&w, &server);
	world_fini(&w);
}

static void
test_no_reserve_without_a_timeout(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session s = session_at(0);

	(void) state;
	world_init(&w, 1);
	set_reserve(&w, 3, 0);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	assert_null(checkout(&w, &s));
	w.now += 1000 * SEC;
	reserve_due(&w);
	assert_int_equal(w.dials, 0);
	assert_int_equal(w.reserve_us, 0);
	assert_true(leave(&w, &s));
	discard(&w, &server);
	world_fini(&w);
}

/* ---- the queue ---- */

static void
test_queue_limit(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session s[3] = {session_at(0), session_at(1), session_at(2)};

	(void) state;
	world_init(&w, 1);
	w.pool.limits.max_waiting = 1;
	assert_null(checkout(&w, &holder));
	assert_null(checkout(&w, &s[0]));
	assert_int_equal(w.full, 1); /* who waits for a login waits */
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	assert_null(checkout(&w, &s[1]));
	assert_int_equal(w.full, 1);
	assert_null(checkout(&w, &s[2]));
	assert_int_equal(w.full, 2);
	assert_int_equal(s[2].w.state, WAITER_NONE);
	assert_int_equal(counts(&w).waiters, 1);
	assert_true(checkin(&w, &server));
	assert_ptr_equal(expect_grant(&w, &s[1]), &server);
	discard(&w, &server);
	world_fini(&w);
}

/* Two were given servers that proved dead: they stand in front of all who came meanwhile, in their
 * own order, wait since they first asked, and are not shed. */
static void
test_who_asks_again_keeps_its_place(void **state)
{
	static const int loops[] = {0, 1};
	struct world w;
	struct fake_server servers[2];
	struct fake_server server;
	struct fake_session s[4];
	uint64_t first;

	(void) state;
	world_init(&w, 2);
	w.pool.limits.max_waiting = 2;
	idle_servers(&w, servers, loops, 2);
	first = w.now;
	for (int i = 0; i < 4; i++)
	{
		s[i] = session_at(i % LOOPS);
		assert_int_equal(checkout(&w, &s[i]) != NULL, i < 2);
		s[i].w.since_us = w.now;
		w.now += MS;
	}
	lose(&w, &servers[1]);
	assert_null(checkout_again(&w, &s[1]));
	lose(&w, &servers[0]);
	assert_null(checkout_again(&w, &s[0]));
	assert_int_equal(w.full, 0);
	assert_int_equal(counts(&w).waiters, 4);
	assert_int_equal(counts(&w).oldest_wait_us, first);
	assert_int_equal(w.dials, 2);
	assert_true(up(&w, &server, 0));
	for (int i = 0; i < 4; i++)
	{
		assert_ptr_equal(expect_grant(&w, &s[i]), &server);
		assert_int_equal(s[i].w.since_us, first + (uint64_t) i * MS);
		assert_true(checkin(&w, &server));
	}
	/* Nobody waits: what is idle is taken. */
	assert_ptr_equal(checkout_again(&w, &s[1]), &server);
	discard(&w, &server);
	down(&w);
	world_fini(&w);
}

/* ---- quotas ---- */

static void
test_idle_server_of_another_pool(void **state)
{
	static const int loops[] = {1};
	struct shared sh;
	struct fake_server servers[2];
	struct fake_session s = session_at(0);
	struct pool_member *m;
	struct pool_todo todo;

	(void) state;
	shared_init(&sh, 1, 0);
	idle_servers(&sh.a, servers, loops, 1);
	assert_null(checkout(&sh.b, &s));
	assert_int_equal(sh.b.dials, 0);
	assert_ptr_equal(sh.b.blocked, &sh.quotas[QUOTA_DATABASE]);
	assert_true(sh.b.newly_blocked);
	want(&sh.b);
	assert_false(sh.b.newly_blocked); /* still blocked: nothing new */
	m = pool_evict(&sh.a.pool, 0, &todo);
	assert_ptr_equal(m, &servers[0].m);
	assert_int_equal(m->owner, 0);
	act(&sh.a, 0, &servers[0], &todo);
	assert_null(pool_evict(&sh.a.pool, 0, &todo));
	sh.a.freed = 0;
	discard(&sh.a, &servers[0]);
	assert_int_equal(sh.a.freed, 1u << QUOTA_DATABASE);
	park_mail(&sh.a, &servers[0]);
	want(&sh.b);
	assert_int_equal(sh.b.dials, 1);
	assert_int_equal(atomic_load(&sh.quotas[QUOTA_DATABASE].n_blocked), 0);
	assert_true(up(&sh.b, &servers[1], 0));
	discard(&sh.b, expect_grant(&sh.b, &s));
	shared_fini(&sh);
}

/* A server that comes back while another pool is blocked does not lie idle. */
static void
test_returning_server_gives_way(void **state)
{
	struct shared sh;
	struct fake_server servers[2];
	struct fake_session a = session_at(0);
	struct fake_session b = session_at(1);

	(void) state;
	shared_init(&sh, 1, 0);
	assert_null(checkout(&sh.a, &a));
	assert_true(up(&sh.a, &servers[0], 0));
	expect_grant(&sh.a, &a);
	assert_null(checkout(&sh.b, &b));
	assert_false(checkin(&sh.a, &servers[0]));
	assert_int_equal(sh.a.freed, 1u << QUOTA_DATABASE);
	want(&sh.b);
	assert_true(up(&sh.b, &servers[1], 1));
	expect_grant(&sh.b, &b);
	/* Nobody is blocked any more: this one may. */
	assert_true(checkin(&sh.b, &servers[1]));
	assert_int_equal(servers[1].m.state, MEMBER_IDLE);
	close_idle(&sh.b);
	shared_fini(&sh);
}

/* The same for a waiter that has left meanwhile: it stays idle. */
static void
test_who_leaves_wants_nothing(void **state)
{
	struct shared sh;
	struct fake_server server;
	struct fake_session a = session_at(0);
	struct fake_session b = session_at(1);

	(void) state;
	shared_init(&sh, 1, 0);
	assert_null(checkout(&sh.a, &a));
	assert_true(up(&sh.a, &server, 0));
	expect_grant(&sh.a, &a);
	assert_null(checkout(&sh.b, &b));
	assert_int_equal(atomic_load(&sh.quotas[QUOTA_DATABASE].n_blocked), 1);
	assert_true(leave(&sh.b, &b));
	assert_true(checkin(&sh.a, &server));
	/* Nor does one that is paused, or was refused. */
	assert_ptr_equal(checkout(&sh.a, &a), &server);
	assert_null(checkout(&sh.b, &b));
	pool_pause(&sh.b.pool);
	assert_true(checkin(&sh.a, &server));
	assert_true(leave(&sh.b, &b));
	close_idle(&sh.a);
	shared_fini(&sh);
}

/* With waiters on both sides a server changes pools now and then, not each time. */
static void
test_turns(void **state)
{
	struct shared sh;
	struct fake_server server;
	struct fake_session a[40];
	struct fake_session b = session_at(1);
	int served = 0;

	(void) state;
	shared_init(&sh, 1, 0);
	for (int i = 0; i < 40; i++)
	{
		a[i] = session_at(0);
		assert_null(checkout(&sh.a, &a[i]));
	}
	assert_null(checkout(&sh.b, &b));
	assert_true(up(&sh.a, &server, 0));
	while (server.m.state == MEMBER_ACTIVE)
	{
		expect_grant(&sh.a, &a[served++]);
		sh.a.now += 10 * MS;
		checkin(&sh.a, &server);
	}
	assert_int_equal(served, 1); /* the last turn was long ago */
	want(&sh.b);
	assert_int_equal(sh.b.dials, 1);
	assert_true(up(&sh.b, &server, 1));
	expect_grant(&sh.b, &b);
	/* Back again, now with some ten of these queries to a turn. */
	assert_false(checkin(&sh.b, &server));
	want(&sh.a);
	assert_null(checkout(&sh.b, &b));
	assert_int_equal(sh.b.dials, 0);
	assert_true(up(&sh.a, &server, 0));
	while (server.m.state == MEMBER_ACTIVE)
	{
		expect_grant(&sh.a, &a[served++]);
		sh.a.now += 10 * MS;
		checkin(&sh.a, &server);
	}
	assert_in_range(served, 6, 20);
	pool_pause(&sh.a.pool);
	while (served < 40)
		assert_true(leave(&sh.a, &a[served++]));
	pool_pause(&sh.b.pool);
	assert_true(leave(&sh.b, &b));
	shared_fini(&sh);
}

static void
test_logins_of_all_pools(void **state)
{
	struct shared sh;
	struct fake_server servers[2];
	struct fake_session a = session_at(0);
	struct fake_session b = session_at(1);

	(void) state;
	shared_init(&sh, 0, 1);
	assert_null(checkout(&sh.a, &a));
	assert_null(checkout(&sh.b, &b));
	assert_int_equal(sh.a.dials, 1);
	assert_int_equal(sh.b.dials, 0);
	assert_ptr_equal(sh.b.blocked, &sh.quotas[QUOTA_LOGINS]);
	assert_true(up(&sh.a, &servers[0], 0));
	assert_int_equal(sh.a.freed, 1u << QUOTA_LOGINS);
	expect_grant(&sh.a, &a);
	assert_true(checkin(&sh.a, &servers[0])); /* and none is closed for it */
	want(&sh.b);
	assert_int_equal(sh.b.dials, 1);
	/* A login that fails gives it back too, and the back-off is not counted as waiting. */
	down(&sh.b);
	assert_int_equal(atomic_load(&sh.quotas[QUOTA_LOGINS].used), 0);
	assert_int_equal(atomic_load(&sh.quotas[QUOTA_LOGINS].n_blocked), 0);
	assert_int_equal(atomic_load(&sh.quotas[QUOTA_DATABASE].used), 1);
	assert_true(leave(&sh.b, &b));
	close_idle(&sh.a);
	shared_fini(&sh);
}

/* The place of a login that has just ended is asked for before it is back: it must be offered to
 * the pool itself. */
static void
test_own_login_ends(void **state)
{
	struct shared sh;
	struct fake_server servers[2];
	struct fake_session s[2] = {session_at(0), session_at(1)};

	(void) state;
	shared_init(&sh, 0, 1);
	for (int i = 0; i < 2; i++)
		assert_null(checkout(&sh.a, &s[i]));
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(sh.a.dials, 1);
		assert_true(up(&sh.a, &servers[i], 0));
		expect_grant(&sh.a, &s[i]);
		if (i == 0)
			assert_int_equal(sh.a.freed, 1u << QUOTA_LOGINS);
		want(&sh.a);
	}
	assert_int_equal(sh.a.dials, 0);
	for (int i = 0; i < 2; i++)
		discard(&sh.a, &servers[i]);
	shared_fini(&sh);
}

static void
test_lowered_limit(void **state)
{
	static const int loops[] = {0, 0, 0};
	struct shared sh;
	struct fake_server servers[3];
	struct fake_session s = session_at(0);
	struct pool_member *m;
	struct pool_todo todo;

	(void) state;
	shared_init(&sh, 3, 0);
	idle_servers(&sh.a, servers, loops, 3);
	assert_ptr_equal(checkout(&sh.a, &s), &servers[2]);
	atomic_store(&sh.quotas[QUOTA_DATABASE].limit, 1);
	m = pool_take_idle(&sh.a.pool, 0, 0, &todo);
	assert_ptr_equal(m, &servers[0].m);
	act(&sh.a, 0, &servers[0], &todo);
	discard(&sh.a, &servers[0]);
	assert_false(checkin(&sh.a, &servers[2]));
	assert_null(pool_take_idle(&sh.a.pool, 0, 0, &todo));
	assert_int_equal(atomic_load(&sh.quotas[QUOTA_DATABASE].used), 1);
	close_idle(&sh.a);
	shared_fini(&sh);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve_opens_for_who_waited),
		cmocka_unit_test(test_reserve_logins_follow_one_another),
		cmocka_unit_test(test_no_reserve_without_a_timeout),
		cmocka_unit_test(test_queue_limit),
		cmocka_unit_test(test_who_asks_again_keeps_its_place),
		cmocka_unit_test(test_idle_server_of_another_pool),
		cmocka_unit_test(test_returning_server_gives_way),
		cmocka_unit_test(test_who_leaves_wants_nothing),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_logins_of_all_pools),
		cmocka_unit_test(test_own_login_ends),
		cmocka_unit_test(test_lowered_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
