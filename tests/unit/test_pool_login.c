/*
 * test_pool_login.c - when a pool asks for a login: room, limits, back-off, refusal.
 */
#include "pool_world.h"

/* ---- logins ---- */

static void
test_no_more_logins_than_waiters_room_or_limit(void **state)
{
	static const struct
	{
		int64_t size;
		int64_t concurrency;
		int waiters;
		int dials;
	} table[] = {
		{10, 4, 1, 1}, {10, 4, 3, 3}, {10, 4, 9, 4}, {2, 4, 9, 2}, {10, 1, 9, 1}, {0, 4, 2, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		struct world w;
		struct fake_session s[9];

		world_init(&w, table[i].size);
		w.pool.limits.login_concurrency = table[i].concurrency;
		for (int k = 0; k < table[i].waiters; k++)
		{
			s[k] = session_at(k % LOOPS);
			assert_null(checkout(&w, &s[k]));
		}
		assert_int_equal(w.dials, table[i].dials);
		for (int k = 0; k < table[i].waiters; k++)
			assert_true(leave(&w, &s[k]));
		while (w.dials > 0)
			down(&w);
		assert_int_equal(counts(&w).total, 0);
		world_fini(&w);
	}
}

/* A login that serves one waiter makes room for the login of the next. */
static void
test_logins_follow_one_another(void **state)
{
	struct world w;
	struct fake_server servers[5];
	struct fake_session s[5];

	(void) state;
	world_init(&w, 5);
	for (int i = 0; i < 5; i++)
	{
		s[i] = session_at(0);
		assert_null(checkout(&w, &s[i]));
	}
	for (int i = 0; i < 5; i++)
	{
		assert_int_equal(w.dials, i < 4 ? 2 : 1);
		assert_true(up(&w, &servers[i], 0));
		assert_ptr_equal(expect_grant(&w, &s[i]), &servers[i]);
	}
	assert_int_equal(w.dials, 0);
	for (int i = 0; i < 5; i++)
		discard(&w, &servers[i]);
	world_fini(&w);
}

/* The waiter it was for has left: the server is of use all the same. */
static void
test_login_for_a_waiter_who_left(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(0);

	(void) state;
	world_init(&w, 1);
	assert_null(checkout(&w, &s));
	assert_true(leave(&w, &s));
	assert_true(up(&w, &server, 0));
	assert_int_equal(s.mails, 0);
	assert_int_equal(server.m.state, MEMBER_IDLE);
	close_idle(&w);
	assert_true(server.freed);
	world_fini(&w);
}

static void
test_back_off_grows_up_to_the_limit(void **state)
{
	struct world w;
	struct fake_session s = session_at(0);
	uint64_t last = 0;

	(void) state;
	world_init(&w, 3);
	assert_null(checkout(&w, &s));
	for (int i = 0; i < 14; i++)
	{
		down(&w);
		assert_int_equal(w.dials, 0);
		assert_int_equal(w.retries, i + 1);
		assert_true(w.retry_us > 0 && w.retry_us <= 15 * SEC);
		assert_true(w.retry_us >= last);
		last = w.retry_us;
		/* Who comes during the back-off does not shorten it. */
		struct fake_session more = session_at(1);

		assert_null(checkout(&w, &more));
		assert_int_equal(w.dials, 0);
		assert_true(leave(&w, &more));
		w.now += w.retry_us;
		retry(&w);
		assert_int_equal(w.dials, 1);
	}
	assert_int_equal(last, 15 * SEC);
	assert_true(leave(&w, &s));
	down(&w);
	world_fini(&w);
}

/* Success ends it: the next failure begins with a short one. */
static void
test_back_off_ends_with_success(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(0);
	struct fake_session more = session_at(0);
	uint64_t first;

	(void) state;
	world_init(&w, 3);
	assert_null(checkout(&w, &s));
	down(&w);
	first = w.retry_us;
	for (int i = 0; i < 3; i++)
	{
		w.now += w.retry_us;
		retry(&w);
		if (i < 2)
			down(&w);
	}
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &s);
	assert_null(checkout(&w, &more));
	assert_int_equal(w.dials, 1);
	down(&w);
	assert_true(w.retry_us < 2 * first);
	assert_true(leave(&w, &more));
	discard(&w, &server);
	world_fini(&w);
}

/* server_login_retry = 0 must not become a busy loop of logins. */
static void
test_back_off_of_zero_still_waits(void **state)
{
	struct world w;
	struct fake_session s = session_at(0);

	(void) state;
	world_init(&w, 3);
	w.pool.limits.login_retry_us = 0;
	assert_null(checkout(&w, &s));
	for (int i = 0; i < 3; i++)
	{
		down(&w);
		assert_int_equal(w.dials, 0);
		assert_true(w.retry_us > 0);
		w.now += w.retry_us;
		retry(&w);
	}
	assert_true(leave(&w, &s));
	down(&w);
	world_fini(&w);
}

/* One of two logins fails: the other may still come, so no timer is needed until it fails too. */
static void
test_one_retry_timer_at_a_time(void **state)
{
	struct world w;
	struct fake_session s[3];

	(void) state;
	world_init(&w, 3);
	for (int i = 0; i < 3; i++)
	{
		s[i] = session_at(0);
		assert_null(checkout(&w, &s[i]));
	}
	assert_int_equal(w.dials, 2);
	down(&w);
	assert_int_equal(w.retries, 0);
	down(&w);
	assert_int_equal(w.retries, 1);
	for (int i = 0; i < 3; i++)
		assert_true(leave(&w, &s[i]));
	assert_int_equal(w.retries, 1);
	/* Nobody waits any more when it fires. */
	retry(&w);
	assert_int_equal(w.dials, 0);
	world_fini(&w);
}

/* After a back-off the logins go on side by side, not one after the other. */
static void
test_logins_side_by_side_after_back_off(void **state)
{
	struct world w;
	struct fake_session s[4];
	struct fake_server *none;

	(void) state;
	world_init(&w, 4);
	for (int i = 0; i < 4; i++)
	{
		s[i] = session_at(i % LOOPS);
		assert_null(checkout(&w, &s[i]));
	}
	down(&w);
	down(&w);
	w.now += w.retry_us;
	retry(&w);
	/* The oldest waiter is woken, stays queued and dials on its own loop. */
	assert_int_equal(w.dials, 1);
	assert_int_equal(woken(&w, &s[0], &none), WAITER_QUEUED);
	assert_null(none);
	assert_int_equal(w.dials, 2);
	for (int i = 0; i < 4; i++)
		assert_int_equal(s[i].mails, 0);
	for (int i = 0; i < 4; i++)
		assert_true(leave(&w, &s[i]));
	down(&w);
	down(&w);
	world_fini(&w);
}

/* ---- refusal ---- */

static void
test_refusal_reaches_everybody_once(void **state)
{
	struct world w;
	struct fake_session s[3];
	struct fake_session late = session_at(0);
	struct fake_server *got;
	struct pool_waiter *r;
	char sqlstate[6];
	char text[POOL_ERROR_MAX];

	(void) state;
	world_init(&w, 1);
	for (int i = 0; i < 3; i++)
	{
		s[i] = session_at(i);
		assert_null(checkout(&w, &s[i]));
	}
	pool_login_refused(&w.pool, "28P01", "password authentication failed");
	for (int i = 0; i < 3; i++)
	{
		r = pool_refuse_next(&w.pool);
		assert_ptr_equal(r, &s[i].w);
		r->wake(r);
	}
	assert_null(pool_refuse_next(&w.pool));
	assert_int_equal(counts(&w).waiters, 0);
	down(&w);
	assert_int_equal(w.retries, 0); /* nobody waits */
	/* Who comes during the back-off waits for its end. */
	assert_null(checkout(&w, &late));
	assert_int_equal(w.dials, 0);
	assert_int_equal(w.retries, 1);
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(woken(&w, &s[i], &got), WAITER_REFUSED);
		assert_null(got);
		assert_int_equal(s[i].w.state, WAITER_NONE);
	}
	pool_refusal(&w.pool, sqlstate, text);
	assert_string_equal(sqlstate, "28P01");
	assert_string_equal(text, "password authentication failed");
	assert_true(leave(&w, &late));
	world_fini(&w);
}

/* While servers are there that will come back, those who wait keep their places, whatever a login
 * for more of them is told; so do those who come in the back-off. */
static void
test_refusal_spares_a_pool_with_servers(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session s[3];
	struct fake_server *none;
	struct pool_waiter *r;

	(void) state;
	world_init(&w, 2);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	for (int i = 0; i < 2; i++)
	{
		s[i] = session_at(i);
		assert_null(checkout(&w, &s[i]));
	}
	assert_int_equal(w.dials, 1);
	pool_login_refused(&w.pool, "28P01", "password authentication failed");
	assert_null(pool_refuse_next(&w.pool));
	down(&w);
	assert_int_equal(w.retries, 1);
	s[2] = session_at(2);
	assert_null(checkout(&w, &s[2]));
	/* The one server serves all of them, in their order. */
	for (int i = 0; i < 2; i++)
	{
		assert_true(checkin(&w, &server));
		assert_ptr_equal(expect_grant(&w, &s[i]), &server);
	}
	/* When it has gone nobody comes back: then they are told. */
	discard(&w, &server);
	assert_int_equal(w.dials, 0);
	w.now += w.retry_us;
	retry(&w);
	assert_int_equal(w.dials, 1);
	pool_login_refused(&w.pool, "28P01", "password authentication failed");
	r = pool_refuse_next(&w.pool);
	assert_ptr_equal(r, &s[2].w);
	r->wake(r);
	assert_int_equal(woken(&w, &s[2], &none), WAITER_REFUSED);
	down(&w);
	world_fini(&w);
}

/* A server that ends behind its login before anybody had it: each time a longer back-off, as for a
 * login that fails; and no busy loop where servers are to be kept open. */
static void
test_newborn_that_ends_is_a_failed_login(void **state)
{
	struct world w;
	struct fake_server server;
	uint64_t last = 0;

	(void) state;
	world_init(&w, 2);
	w.pool.limits.min = 1;
	w.pool.limits.min_always = true;
	want(&w);
	for (int i = 0; i < 5; i++)
	{
		assert_int_equal(w.dials, 1);
		assert_true(up(&w, &server, 0));
		assert_int_equal(w.dials, 0);
		lose(&w, &server);
		assert_true(server.freed);
		assert_int_equal(w.dials, 0);
		assert_int_equal(w.retries, i + 1);
		assert_true(w.retry_us > last);
		last = w.retry_us;
		w.now += w.retry_us;
		retry(&w);
	}
	/* The same before it is in the pool at all. */
	assert_int_equal(w.dials, 1);
	w.dials--;
	server = (struct fake_server){.watched_by = POOL_NO_LOOP, .mail_to = POOL_NO_LOOP};
	pool_member_init(&server.m, &w.pool, 0, pool_generation(&w.pool), w.now);
	lose(&w, &server);
	assert_int_equal(w.dials, 0);
	assert_int_equal(w.retries, 6);
	w.now += w.retry_us;
	retry(&w);
	/* That one closes it is no failure. */
	assert_true(up(&w, &server, 0));
	close_idle(&w);
	assert_int_equal(w.dials, 1);
	down(&w);
	world_fini(&w);
}

/* One that was of use, or has been there for long, ends for other reasons: the next one comes at
 * once. */
static void
test_server_that_ends_later_costs_no_back_off(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(0);

	(void) state;
	world_init(&w, 1);
	w.pool.limits.min = 1;
	w.pool.limits.min_always = true;
	want(&w);
	assert_true(up(&w, &server, 0));
	assert_ptr_equal(checkout(&w, &s), &server);
	assert_true(checkin(&w, &server));
	lose(&w, &server);
	assert_int_equal(w.dials, 1);
	assert_true(up(&w, &server, 0));
	w.now += SEC;
	lose(&w, &server);
	assert_int_equal(w.dials, 1);
	assert_null(checkout(&w, &s));
	assert_true(up(&w, &server, 0));
	assert_ptr_equal(expect_grant(&w, &s), &server);
	lose(&w, &server);
	assert_int_equal(w.dials, 1);
	assert_int_equal(w.retries, 0);
	down(&w);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_more_logins_than_waiters_room_or_limit),
		cmocka_unit_test(test_logins_follow_one_another),
		cmocka_unit_test(test_login_for_a_waiter_who_left),
		cmocka_unit_test(test_back_off_grows_up_to_the_limit),
		cmocka_unit_test(test_back_off_ends_with_success),
		cmocka_unit_test(test_back_off_of_zero_still_waits),
		cmocka_unit_test(test_one_retry_timer_at_a_time),
		cmocka_unit_test(test_logins_side_by_side_after_back_off),
		cmocka_unit_test(test_refusal_reaches_everybody_once),
		cmocka_unit_test(test_refusal_spares_a_pool_with_servers),
		cmocka_unit_test(test_newborn_that_ends_is_a_failed_login),
		cmocka_unit_test(test_server_that_ends_later_costs_no_back_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
