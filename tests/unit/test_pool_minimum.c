/*
 * test_pool_minimum.c - servers that are kept open although nobody waits for one (min_pool_size).
 */
#include "pool_world.h"

static void
test_minimum(void **state)
{
	struct world w;
	struct fake_server servers[3];
	struct pool_todo todo;

	(void) state;
	world_init(&w, 5);
	w.pool.limits.min = 2;
	want(&w);
	assert_int_equal(w.dials, 0); /* nobody is there */
	pool_session_count(&w.pool, 1);
	want(&w);
	assert_int_equal(w.dials, 1);
	assert_true(up(&w, &servers[0], 0));
	assert_int_equal(w.dials, 1); /* the next of its own accord */
	assert_true(up(&w, &servers[1], 1));
	assert_int_equal(w.dials, 0);
	/* Age does not close them; a pause, or that nobody is left, does. */
	w.now += 1000 * SEC;
	assert_null(pool_take_idle(&w.pool, 0, w.now, &todo));
	/* One is lost: another is opened. */
	servers[0].watched_by = POOL_NO_LOOP;
	assert_true(pool_claim(&servers[0].m, 0));
	discard(&w, &servers[0]);
	assert_int_equal(w.dials, 1);
	/* It fails: a timer tries again although nobody waits. */
	down(&w);
	assert_true(w.retry_us > 0);
	w.now += w.retry_us;
	retry(&w);
	assert_int_equal(w.dials, 1);
	assert_true(up(&w, &servers[2], 2));
	pool_session_count(&w.pool, -1);
	for (int i = 1; i < 3; i++)
	{
		struct pool_member *m = pool_take_idle(&w.pool, i, w.now + 1, &todo);

		assert_ptr_equal(m, &servers[i].m);
		act(&w, i, &servers[i], &todo);
		discard(&w, &servers[i]);
	}
	assert_int_equal(w.dials, 0);
	world_fini(&w);
}

static void
test_minimum_is_capped_by_the_size(void **state)
{
	struct world w;
	struct fake_server server;

	(void) state;
	world_init(&w, 1);
	w.pool.limits.min = 3;
	w.pool.limits.min_always = true;
	want(&w);
	assert_true(up(&w, &server, 0));
	assert_int_equal(w.dials, 0);
	/* While paused nothing is opened, and what is kept goes. */
	pool_pause(&w.pool);
	close_idle(&w);
	assert_int_equal(w.dials, 0);
	assert_true(server.freed);
	world_fini(&w);
}

/* Keeping a minimum takes no place away from anybody. */
static void
test_minimum_takes_free_places_only(void **state)
{
	static const int loops[] = {0};
	struct shared sh;
	struct fake_server servers[2];
	struct fake_session s = session_at(0);

	(void) state;
	shared_init(&sh, 2, 0);
	idle_servers(&sh.a, servers, loops, 1);
	sh.b.pool.limits.min = 3;
	sh.b.pool.limits.min_always = true;
	want(&sh.b);
	assert_true(up(&sh.b, &servers[1], 0));
	assert_int_equal(sh.b.dials, 0);
	assert_int_equal(atomic_load(&sh.quotas[QUOTA_DATABASE].n_blocked), 0);
	assert_ptr_equal(checkout(&sh.a, &s), &servers[0]);
	assert_true(checkin(&sh.a, &servers[0]));
	sh.b.pool.limits.min = 0;
	close_idle(&sh.b);
	close_idle(&sh.a);
	shared_fini(&sh);
}

static void
refill_due(struct world *w)
{
	struct pool_todo todo;

	w->refill_us = 0;
	pool_refill_due(&w->pool, w->now, &todo);
	act(w, 0, NULL, &todo);
}

/* Nobody tells it of the place: it looks again, as long as one is missing. */
static void
test_minimum_takes_a_place_that_comes_free(void **state)
{
	static const int loops[] = {0};
	struct shared sh;
	struct fake_server servers[2];

	(void) state;
	shared_init(&sh, 1, 0);
	idle_servers(&sh.a, servers, loops, 1);
	sh.b.pool.limits.min = 1;
	sh.b.pool.limits.min_always = true;
	want(&sh.b);
	assert_int_equal(sh.b.dials, 0);
	for (int i = 0; i < 3; i++)
	{
		assert_in_range(sh.b.refill_us, 10 * MS, SEC);
		sh.b.now += sh.b.refill_us;
		/* One timer, whatever else asks meanwhile. */
		sh.b.refill_us = 0;
		want(&sh.b);
		assert_int_equal(sh.b.refill_us, 0);
		refill_due(&sh.b);
		assert_int_equal(sh.b.dials, 0);
	}
	close_idle(&sh.a);
	refill_due(&sh.b);
	assert_int_equal(sh.b.dials, 1);
	assert_int_equal(sh.b.refill_us, 0);
	assert_true(up(&sh.b, &servers[1], 0));
	assert_int_equal(servers[1].m.state, MEMBER_IDLE);
	/* What is evicted for another pool's sake comes back the same way. */
	sh.b.pool.limits.min = 0;
	close_idle(&sh.b);
	shared_fini(&sh);
}

/* A place that another pool waits for is not its: the server would have to give way at once. */
static void
test_minimum_lets_who_waits_go_first(void **state)
{
	struct shared sh;
	struct fake_server servers[3];
	struct fake_session s[2] = {session_at(0), session_at(1)};

	(void) state;
	shared_init(&sh, 1, 0);
	assert_null(checkout(&sh.a, &s[0]));
	assert_true(up(&sh.a, &servers[0], 0));
	expect_grant(&sh.a, &s[0]);
	assert_null(checkout(&sh.a, &s[1])); /* blocked */
	sh.b.pool.limits.min = 1;
	sh.b.pool.limits.min_always = true;
	atomic_store(&sh.quotas[QUOTA_DATABASE].limit, 2); /* the place is there before a has looked */
	want(&sh.b);
	assert_int_equal(sh.b.dials, 0);
	assert_true(sh.b.refill_us > 0);
	want(&sh.a);
	assert_int_equal(sh.a.dials, 1);
	assert_true(up(&sh.a, &servers[1], 1));
	expect_grant(&sh.a, &s[1]);
	atomic_store(&sh.quotas[QUOTA_DATABASE].limit, 3);
	refill_due(&sh.b);
	assert_int_equal(sh.b.dials, 1);
	assert_true(up(&sh.b, &servers[2], 2));
	sh.b.pool.limits.min = 0;
	close_idle(&sh.b);
	for (int i = 0; i < 2; i++)
		discard(&sh.a, &servers[i]);
	shared_fini(&sh);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_minimum),
		cmocka_unit_test(test_minimum_is_capped_by_the_size),
		cmocka_unit_test(test_minimum_takes_free_places_only),
		cmocka_unit_test(test_minimum_takes_a_place_that_comes_free),
		cmocka_unit_test(test_minimum_lets_who_waits_go_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
