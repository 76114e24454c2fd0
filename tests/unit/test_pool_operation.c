/*
 * test_pool_operation.c - pause, resume, limits that change, retiring, age.
 */
#include "pool_world.h"

static void
test_pause_and_resume(void **state)
{
	static const int loops[] = {0, 1};
	struct world w;
	struct fake_server servers[2];
	struct fake_server *none;
	struct fake_session s[2] = {session_at(0), session_at(1)};
	struct fake_session holder = session_at(0);
	struct pool_todo todo;

	(void) state;
	world_init(&w, 2);
	idle_servers(&w, servers, loops, 2);
	assert_ptr_equal(checkout(&w, &holder), &servers[0]);
	pool_pause(&w.pool);
	assert_true(counts(&w).paused);
	/* Nobody gets one, nobody dials, what is idle and what comes back is closed. */
	assert_null(checkout(&w, &s[0]));
	assert_null(checkout(&w, &s[1]));
	close_idle(&w);
	assert_false(checkin(&w, &servers[0]));
	assert_int_equal(counts(&w).total, 0);
	assert_int_equal(w.dials, 0);
	pool_resume(&w.pool, &todo);
	act(&w, 2, NULL, &todo);
	assert_int_equal(s[0].mails, 1);
	assert_int_equal(woken(&w, &s[0], &none), WAITER_QUEUED);
	assert_int_equal(w.dials, 1);
	/* Room for one more beside it. */
	assert_int_equal(woken(&w, &s[0], &none), WAITER_QUEUED);
	assert_int_equal(w.dials, 2);
	for (int i = 0; i < 2; i++)
		assert_true(up(&w, &servers[i], 0));
	for (int i = 0; i < 2; i++)
		discard(&w, expect_grant(&w, &s[i]));
	world_fini(&w);
}

/* The timer of a back-off fires while paused: resuming must not depend on it. */
static void
test_retry_while_paused(void **state)
{
	struct world w;
	struct fake_session s = session_at(0);
	struct fake_server *none;
	struct pool_todo todo;

	(void) state;
	world_init(&w, 2);
	assert_null(checkout(&w, &s));
	down(&w);
	pool_pause(&w.pool);
	w.now += w.retry_us;
	retry(&w);
	assert_int_equal(w.dials, 0);
	pool_resume(&w.pool, &todo);
	act(&w, 0, NULL, &todo);
	assert_int_equal(woken(&w, &s, &none), WAITER_QUEUED);
	assert_int_equal(w.dials, 1);
	assert_true(leave(&w, &s));
	down(&w);
	world_fini(&w);
}

/* RESUME overtakes the closing of what was idle when PAUSE came: who queued meanwhile must not be
 * forgotten beside idle servers. */
static void
test_resume_before_all_is_closed(void **state)
{
	static const int loops[] = {0, 1};
	struct world w;
	struct fake_server servers[2];
	struct fake_server *none;
	struct fake_session s = session_at(0);
	struct pool_member *m;
	struct pool_todo todo;

	(void) state;
	for (int way = 0; way < 3; way++)
	{
		world_init(&w, 2);
		idle_servers(&w, servers, loops, 2);
		pool_pause(&w.pool);
		assert_null(checkout(&w, &s));
		m = pool_take_idle(&w.pool, 0, UINT64_MAX, &todo);
		act(&w, 0, fake_of(m), &todo);
		discard(&w, fake_of(m));
		pool_resume(&w.pool, &todo);
		act(&w, 2, NULL, &todo);
		assert_int_equal(w.dials, 0);
		switch (way)
		{
			case 0: /* the last one is closed as planned */
				m = pool_take_idle(&w.pool, 1, UINT64_MAX, &todo);
				act(&w, 1, fake_of(m), &todo);
				assert_int_equal(woken(&w, &s, &none), WAITER_QUEUED);
				assert_int_equal(w.dials, 1);
				discard(&w, fake_of(m));
				assert_true(leave(&w, &s));
				down(&w);
				break;
			case 1: /* it had something to say and goes back */
				servers[1].watched_by = POOL_NO_LOOP;
				assert_true(pool_claim(&servers[1].m, 1));
				assert_true(checkin(&w, &servers[1]));
				discard(&w, expect_grant(&w, &s));
				break;
			default: /* it had something to say: goodbye */
				servers[1].watched_by = POOL_NO_LOOP;
				assert_true(pool_claim(&servers[1].m, 1));
				discard(&w, &servers[1]);
				assert_int_equal(w.dials, 1);
				assert_true(leave(&w, &s));
				down(&w);
				break;
		}
		assert_false(counts(&w).paused);
		world_fini(&w);
	}
}

/* Nobody waits: it ends at once, and the servers stay. */
static void
test_resume_without_waiters_keeps_servers(void **state)
{
	static const int loops[] = {0};
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(0);
	struct pool_todo todo;

	(void) state;
	world_init(&w, 1);
	idle_servers(&w, &server, loops, 1);
	pool_pause(&w.pool);
	pool_resume(&w.pool, &todo);
	act(&w, 0, NULL, &todo);
	assert_false(counts(&w).paused);
	assert_ptr_equal(checkout(&w, &s), &server);
	discard(&w, &server);
	world_fini(&w);
}

static void
test_login_under_way_when_paused(void **state)
{
	struct world w;
	struct fake_session s = session_at(0);
	struct fake_server server;

	(void) state;
	world_init(&w, 2);
	assert_null(checkout(&w, &s));
	pool_pause(&w.pool);
	assert_false(up(&w, &server, 0));
	assert_true(server.freed);
	assert_int_equal(counts(&w).total, 0);
	assert_int_equal(s.mails, 0);
	assert_true(leave(&w, &s));
	world_fini(&w);
}

static void
test_shrinking(void **state)
{
	static const int loops[] = {0, 1, 2};
	struct world w;
	struct fake_server servers[3];
	struct fake_session s[3];
	struct pool_limits limits;
	struct pool_member *m;
	struct pool_todo todo;

	(void) state;
	world_init(&w, 3);
	idle_servers(&w, servers, loops, 3);
	for (int i = 0; i < 2; i++)
	{
		s[i] = session_at(i);
		assert_ptr_equal(checkout(&w, &s[i]), &servers[i]);
	}
	limits = w.pool.limits;
	limits.size = 1;
	pool_set_limits(&w.pool, &limits, &todo);
	act(&w, 0, NULL, &todo);
	/* Idle ones go when their loop looks, others when they come back, waiters or not. */
	assert_null(pool_take_idle(&w.pool, 0, 0, &todo));
	m = pool_take_idle(&w.pool, 2, 0, &todo);
	assert_ptr_equal(m, &servers[2].m);
	assert_int_equal(m->state, MEMBER_CLOSING);
	act(&w, 2, &servers[2], &todo);
	discard(&w, &servers[2]);
	s[2] = session_at(2);
	assert_null(checkout(&w, &s[2]));
	assert_int_equal(w.dials, 0);
	assert_false(checkin(&w, &servers[0]));
	assert_int_equal(w.dials, 0);
	assert_true(checkin(&w, &servers[1]));
	discard(&w, expect_grant(&w, &s[2]));
	world_fini(&w);
}

static void
test_growing_wakes_a_waiter_to_dial(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_server *none;
	struct fake_session s[3] = {session_at(0), session_at(1), session_at(2)};
	struct pool_limits limits;
	struct pool_todo todo;

	(void) state;
	world_init(&w, 1);
	assert_null(checkout(&w, &s[0]));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &s[0]);
	assert_null(checkout(&w, &s[1]));
	assert_null(checkout(&w, &s[2]));
	limits = w.pool.limits;
	limits.size = 3;
	pool_set_limits(&w.pool, &limits, &todo);
	assert_false(todo.dial); /* the caller is not one of the loops */
	act(&w, POOL_NO_LOOP, NULL, &todo);
	assert_int_equal(s[1].mails, 1);
	assert_int_equal(woken(&w, &s[1], &none), WAITER_QUEUED);
	assert_int_equal(woken(&w, &s[1], &none), WAITER_QUEUED);
	assert_int_equal(w.dials, 2);
	assert_int_equal(s[1].mails, 0);
	assert_true(leave(&w, &s[1]));
	assert_true(leave(&w, &s[2]));
	down(&w);
	down(&w);
	discard(&w, &server);
	world_fini(&w);
}

static void
test_retiring(void **state)
{
	static const int loops[] = {0, 0};
	struct world w;
	struct fake_server servers[2];
	struct fake_server new_one;
	struct fake_session s = session_at(0);
	struct fake_session next = session_at(1);
	struct pool_member *m;
	struct pool_todo todo;

	(void) state;
	world_init(&w, 2);
	idle_servers(&w, servers, loops, 2);
	assert_ptr_equal(checkout(&w, &s), &servers[1]);
	pool_retire(&w.pool);
	m = pool_take_idle(&w.pool, 0, 0, &todo);
	assert_ptr_equal(m, &servers[0].m);
	act(&w, 0, &servers[0], &todo);
	discard(&w, &servers[0]);
	/* Even with somebody waiting the old one is closed, and its place dialled for. */
	assert_null(checkout(&w, &next));
	assert_int_equal(w.dials, 1);
	assert_false(checkin(&w, &servers[1]));
	assert_true(up(&w, &new_one, 1));
	assert_ptr_equal(expect_grant(&w, &next), &new_one);
	assert_true(checkin(&w, &new_one));
	assert_null(pool_take_idle(&w.pool, 1, 0, &todo));
	close_idle(&w);
	world_fini(&w);
}

static void
test_take_idle_by_age(void **state)
{
	static const int loops[] = {0, 0, 1};
	struct world w;
	struct fake_server servers[3];
	struct fake_session s = session_at(0);
	struct pool_member *m;
	struct pool_todo todo;
	uint64_t since;
	uint64_t idle;
	uint64_t born;

	(void) state;
	world_init(&w, 3);
	idle_servers(&w, servers, loops, 3);
	since = w.now;
	w.now += 10 * SEC;
	/* Used again: young again. */
	assert_ptr_equal(checkout(&w, &s), &servers[1]);
	assert_true(checkin(&w, &servers[1]));
	for (int loop = 0; loop < 3; loop++)
	{
		pool_oldest_idle(&w.pool, loop, &idle, &born);
		assert_int_equal(idle, loop < 2 ? since : 0);
		assert_int_equal(born, loop < 2 ? since : 0);
	}
	assert_null(pool_take_idle(&w.pool, 0, since, &todo));
	m = pool_take_idle(&w.pool, 0, since + 1, &todo);
	assert_ptr_equal(m, &servers[0].m);
	assert_true(todo.unpark);
	act(&w, 0, &servers[0], &todo);
	assert_null(pool_take_idle(&w.pool, 0, since + 1, &todo));
	pool_oldest_idle(&w.pool, 0, &idle, &born);
	assert_int_equal(idle, w.now);
	assert_int_equal(born, since);
	/* It may go back instead of being closed. */
	assert_true(checkin(&w, &servers[0]));
	close_idle(&w);
	for (int i = 0; i < 3; i++)
		assert_true(servers[i].freed);
	world_fini(&w);
}

static void
test_old_servers(void **state)
{
	static const int loops[] = {0, 1, 1};
	struct world w;
	struct fake_server servers[3];
	struct fake_session s = session_at(0);
	struct pool_member *m;
	struct pool_todo todo;

	(void) state;
	world_init(&w, 3);
	idle_servers(&w, servers, loops, 1);
	w.pool.limits.min = 3;
	pool_session_count(&w.pool, 1);
	w.now += SEC;
	assert_ptr_equal(checkout(&w, &s), &servers[0]);
	idle_servers(&w, &servers[1], &loops[1], 2);
	/* Its use changes nothing about its age. */
	assert_true(checkin(&w, &servers[0]));
	assert_null(pool_take_old(&w.pool, 0, w.now - SEC, &todo));
	assert_null(pool_take_old(&w.pool, 1, w.now, &todo));
	/* What min_pool_size keeps goes too, and another one comes. */
	assert_int_equal(w.dials, 0);
	m = pool_take_old(&w.pool, 0, w.now - SEC + 1, &todo);
	assert_ptr_equal(m, &servers[0].m);
	assert_int_equal(m->state, MEMBER_TESTED);
	assert_true(todo.unpark);
	act(&w, 0, &servers[0], &todo);
	discard(&w, &servers[0]);
	assert_true(servers[0].freed);
	assert_int_equal(w.dials, 1);
	assert_true(up(&w, &servers[0], 0));
	assert_null(pool_take_old(&w.pool, 0, w.now, &todo));
	/* One behind younger ones is found. */
	w.now += SEC;
	servers[2].m.born_us -= SEC;
	m = pool_take_old(&w.pool, 1, w.now - SEC, &todo);
	assert_ptr_equal(m, &servers[2].m);
	act(&w, 1, &servers[2], &todo);
	pool_session_count(&w.pool, -1);
	discard(&w, &servers[2]);
	close_idle(&w);
	world_fini(&w);
}

static void
test_sessions_are_counted(void **state)
{
	struct world w;

	(void) state;
	world_init(&w, 1);
	pool_session_count(&w.pool, 1);
	pool_session_count(&w.pool, 1);
	pool_session_count(&w.pool, -1);
	assert_int_equal(counts(&w).sessions, 1);
	world_fini(&w);
}

struct sight
{
	const struct pool_member *seen[8];
	int n;
};

static void
see(void *arg, const struct pool_member *m)
{
	struct sight *sight = arg;

	sight->seen[sight->n++] = m;
}

/* SHOW SERVERS looks at what is idle in parts, while others take it. */
static void
test_walk_over_what_is_idle(void **state)
{
	static const int loops[] = {1, 1, 1, 1, 2};
	struct world w;
	struct fake_server servers[5];
	struct fake_session s = session_at(1);
	struct sight sight = {.n = 0};
	struct walk walk;
	int left = 2;

	(void) state;
	world_init(&w, 5);
	idle_servers(&w, servers, loops, 5);
	walk_init(&walk);
	assert_true(pool_some_idle(&w.pool, 1, &walk, &left, see, &sight));
	assert_int_equal(left, 0);
	assert_int_equal(sight.n, 2);
	assert_ptr_equal(sight.seen[0], &servers[0].m);
	assert_ptr_equal(sight.seen[1], &servers[1].m);
	/* The one that is next dies, and the one behind it is taken. */
	servers[2].watched_by = POOL_NO_LOOP;
	assert_true(pool_claim(&servers[2].m, 1));
	assert_ptr_equal(checkout(&w, &s), &servers[3]);
	discard(&w, &servers[2]);
	left = 5;
	assert_false(pool_some_idle(&w.pool, 1, &walk, &left, see, &sight));
	assert_int_equal(left, 5);
	assert_int_equal(sight.n, 2);
	/* It is over and may begin anew, be it to no end. */
	left = 1;
	assert_true(pool_some_idle(&w.pool, 1, &walk, &left, see, &sight));
	assert_int_equal(sight.n, 3);
	pool_end_walk(&w.pool, &walk);
	left = 5;
	assert_false(pool_some_idle(&w.pool, 2, &walk, &left, see, &sight));
	assert_int_equal(sight.n, 4);
	assert_ptr_equal(sight.seen[3], &servers[4].m);
	discard(&w, &servers[3]);
	close_idle(&w);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause_and_resume),
		cmocka_unit_test(test_retry_while_paused),
		cmocka_unit_test(test_resume_before_all_is_closed),
		cmocka_unit_test(test_resume_without_waiters_keeps_servers),
		cmocka_unit_test(test_login_under_way_when_paused),
		cmocka_unit_test(test_shrinking),
		cmocka_unit_test(test_growing_wakes_a_waiter_to_dial),
		cmocka_unit_test(test_retiring),
		cmocka_unit_test(test_take_idle_by_age),
		cmocka_unit_test(test_old_servers),
		cmocka_unit_test(test_sessions_are_counted),
		cmocka_unit_test(test_walk_over_what_is_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
