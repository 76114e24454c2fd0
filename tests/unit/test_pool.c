/*
 * test_pool.c - who gets which server and when: order, grants, leaving.
 *
 * Logins and back-off are in test_pool_login.c, pause and limits in test_pool_operation.c, the
 * watchers of idle servers and their mail in test_pool_park.c.
 */
#include "pool_world.h"

/* ---- checkout and checkin ---- */

static void
test_first_client_dials(void **state)
{
	struct world w;
	struct fake_session s = session_at(1);
	struct fake_server server;

	(void) state;
	world_init(&w, 2);
	assert_null(checkout(&w, &s));
	assert_int_equal(w.dials, 1);
	assert_int_equal(s.w.state, WAITER_QUEUED);
	assert_int_equal(counts(&w).by_state[MEMBER_LOGIN], 1);
	assert_int_equal(counts(&w).oldest_wait_us, w.now);
	/* P7: by mail, even on the same loop. */
	assert_true(up(&w, &server, 1));
	assert_int_equal(s.mails, 1);
	assert_ptr_equal(expect_grant(&w, &s), &server);
	assert_int_equal(counts(&w).waiters, 0);
	assert_int_equal(counts(&w).oldest_wait_us, 0);
	assert_true(checkin(&w, &server));
	assert_int_equal(server.m.owner, POOL_NO_LOOP);
	assert_int_equal(server.m.state, MEMBER_IDLE);
	assert_ptr_equal(checkout(&w, &s), &server);
	assert_int_equal(server.m.owner, 1);
	assert_int_equal(s.w.state, WAITER_NONE);
	discard(&w, &server);
	assert_true(server.freed);
	assert_int_equal(counts(&w).total, 0);
	world_fini(&w);
}

static void
test_own_loop_first_newest_first(void **state)
{
	static const int loops[] = {0, 1, 1, 2};
	struct world w;
	struct fake_server servers[4];
	struct fake_session s[5];

	(void) state;
	world_init(&w, 4);
	idle_servers(&w, servers, loops, 4);
	for (int i = 0; i < 5; i++)
		s[i] = session_at(1);
	assert_ptr_equal(checkout(&w, &s[0]), &servers[2]);
	assert_ptr_equal(checkout(&w, &s[1]), &servers[1]);
	assert_ptr_equal(checkout(&w, &s[2]), &servers[0]);
	assert_int_equal(servers[0].mail_to, 0);
	assert_ptr_equal(checkout(&w, &s[3]), &servers[3]);
	assert_null(checkout(&w, &s[4]));
	assert_int_equal(w.dials, 0); /* full */
	assert_true(leave(&w, &s[4]));
	park_mail(&w, &servers[0]);
	park_mail(&w, &servers[3]);
	for (int i = 0; i < 4; i++)
		discard(&w, &servers[i]);
	world_fini(&w);
}

static void
test_round_robin_takes_the_oldest(void **state)
{
	static const int loops[] = {1, 1, 1};
	struct world w;
	struct fake_server servers[3];
	struct fake_session s = session_at(1);
	struct pool_limits limits;
	struct pool_todo todo;

	(void) state;
	world_init(&w, 3);
	limits = w.pool.limits;
	limits.round_robin = true;
	pool_set_limits(&w.pool, &limits, &todo);
	idle_servers(&w, servers, loops, 3);
	for (int i = 0; i < 6; i++)
	{
		assert_ptr_equal(checkout(&w, &s), &servers[i % 3]);
		assert_true(checkin(&w, &servers[i % 3]));
	}
	close_idle(&w);
	world_fini(&w);
}

static void
test_fifo_across_loops(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s[6];

	(void) state;
	world_init(&w, 1);
	for (int i = 0; i < 6; i++)
	{
		s[i] = session_at((i * 2) % LOOPS);
		w.now++;
		assert_null(checkout(&w, &s[i]));
	}
	assert_int_equal(w.dials, 1);
	assert_true(up(&w, &server, 0));
	for (int i = 0; i < 6; i++)
	{
		for (int k = 0; k < 6; k++)
			assert_int_equal(s[k].mails, k == i);
		assert_ptr_equal(expect_grant(&w, &s[i]), &server);
		assert_int_equal(s[i].w.loop, server.m.owner);
		assert_true(checkin(&w, &server));
	}
	close_idle(&w);
	world_fini(&w);
}

/* P6: while anybody waits, nobody who comes later is served first. */
static void
test_nobody_barges_in(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session first = session_at(1);
	struct fake_session second = session_at(0);

	(void) state;
	world_init(&w, 1);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	assert_null(checkout(&w, &first));
	assert_true(checkin(&w, &server));
	/* Granted, not idle: the holder, back with its next query, has to queue. */
	assert_int_equal(counts(&w).by_state[MEMBER_IDLE], 0);
	assert_null(checkout(&w, &second));
	assert_ptr_equal(expect_grant(&w, &first), &server);
	assert_true(checkin(&w, &server));
	assert_ptr_equal(expect_grant(&w, &second), &server);
	discard(&w, &server);
	world_fini(&w);
}

static void
test_grant_says_where_it_went(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session next = session_at(2);
	struct pool_todo todo;

	(void) state;
	world_init(&w, 1);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	assert_null(checkout(&w, &next));
	pool_checkin(&server.m, 0, w.now, &todo);
	assert_true(todo.granted);
	assert_int_equal(todo.granted_loop, 2);
	assert_false(todo.park);
	assert_int_equal(todo.mail_home, POOL_NO_LOOP);
	act(&w, 0, &server, &todo);
	discard(&w, expect_grant(&w, &next));
	world_fini(&w);
}

/* ---- leaving ---- */

static void
test_leaving_in_every_state(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_server *got;
	struct fake_session holder = session_at(0);
	struct fake_session s = session_at(1);

	(void) state;
	world_init(&w, 1);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);

	/* Never asked. */
	assert_true(leave(&w, &s));
	/* Queued. */
	assert_null(checkout(&w, &s));
	assert_true(leave(&w, &s));
	assert_int_equal(counts(&w).waiters, 0);
	/* Granted, mail under way (P7): the mail brings the server, which is to be given back. */
	assert_null(checkout(&w, &s));
	assert_true(checkin(&w, &server));
	assert_false(leave(&w, &s));
	assert_int_equal(woken(&w, &s, &got), WAITER_GRANTED);
	assert_ptr_equal(got, &server);
	assert_true(checkin(&w, got));
	assert_ptr_equal(checkout(&w, &holder), &server);
	/* Queued, and woken to dial. */
	assert_null(checkout(&w, &s));
	pool_pause(&w.pool);
	struct pool_todo todo;

	pool_resume(&w.pool, &todo);
	act(&w, 0, NULL, &todo);
	assert_int_equal(s.mails, 1);
	assert_false(leave(&w, &s));
	assert_int_equal(woken(&w, &s, &got), WAITER_NONE);
	assert_null(got);
	/* And again from the start. */
	assert_null(checkout(&w, &s));
	assert_true(leave(&w, &s));
	discard(&w, &server);
	/* Refused, mail under way. */
	assert_null(checkout(&w, &s));
	pool_login_refused(&w.pool, "3D000", "gone");
	fake_wake(pool_refuse_next(&w.pool));
	assert_false(leave(&w, &s));
	assert_int_equal(woken(&w, &s, &got), WAITER_REFUSED);
	assert_null(got);
	down(&w);
	world_fini(&w);
}

/* A grant that comes before the mail of a nudge has arrived needs no second mail. */
static void
test_nudged_then_granted(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session s[3] = {session_at(1), session_at(2), session_at(0)};
	struct pool_limits limits;
	struct pool_todo todo;

	(void) state;
	world_init(&w, 1);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	for (int i = 0; i < 3; i++)
		assert_null(checkout(&w, &s[i]));
	limits = w.pool.limits;
	limits.size = 2;
	pool_set_limits(&w.pool, &limits, &todo);
	act(&w, 0, NULL, &todo);
	assert_int_equal(s[0].mails, 1);
	pool_checkin(&server.m, 0, w.now, &todo);
	assert_null(todo.wake == &s[0].w ? todo.wake : NULL);
	act(&w, 0, &server, &todo);
	/* The nudge's room is not forgotten: somebody dials for the two who still wait. */
	assert_int_equal(w.dials, 1);
	assert_ptr_equal(expect_grant(&w, &s[0]), &server);
	assert_true(checkin(&w, &server));
	assert_ptr_equal(expect_grant(&w, &s[1]), &server);
	assert_true(leave(&w, &s[2]));
	down(&w);
	discard(&w, &server);
	world_fini(&w);
}

/* The one who was woken to dial leaves: another gets the login. */
static void
test_nudged_waiter_leaves(void **state)
{
	struct world w;
	struct fake_session s[2] = {session_at(1), session_at(2)};
	struct fake_server *got;
	struct pool_todo todo;

	(void) state;
	world_init(&w, 4);
	pool_pause(&w.pool);
	for (int i = 0; i < 2; i++)
		assert_null(checkout(&w, &s[i]));
	assert_int_equal(w.dials, 0);
	pool_resume(&w.pool, &todo);
	act(&w, 0, NULL, &todo);
	assert_int_equal(s[0].mails, 1);
	assert_false(leave(&w, &s[0]));
	assert_int_equal(w.dials, 1);
	assert_int_equal(woken(&w, &s[0], &got), WAITER_NONE);
	assert_true(leave(&w, &s[1]));
	down(&w);
	world_fini(&w);
}

/* A server lost in use makes room: its place goes to who waits. */
static void
test_discard_dials_for_waiters(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session s = session_at(1);

	(void) state;
	world_init(&w, 1);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	assert_null(checkout(&w, &s));
	assert_int_equal(w.dials, 0);
	discard(&w, &server);
	assert_int_equal(w.dials, 1);
	assert_true(up(&w, &server, 0));
	discard(&w, expect_grant(&w, &s));
	world_fini(&w);
}

/* P8: a slot is taken as long as its server is not GONE, whatever is done with it. */
static void
test_states_of_an_owner_keep_the_slot(void **state)
{
	static const enum member_state states[] = {MEMBER_RESETTING, MEMBER_CANCELLING, MEMBER_TESTED,
											   MEMBER_ACTIVE};
	struct world w;
	struct fake_server server;
	struct fake_session holder = session_at(0);
	struct fake_session s = session_at(1);

	(void) state;
	world_init(&w, 1);
	assert_null(checkout(&w, &holder));
	assert_true(up(&w, &server, 0));
	expect_grant(&w, &holder);
	assert_null(checkout(&w, &s));
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
	{
		pool_member_state(&server.m, states[i]);
		assert_int_equal(counts(&w).by_state[states[i]], 1);
		assert_int_equal(counts(&w).total, 1);
		assert_int_equal(w.dials, 0);
		assert_int_equal(s.mails, 0);
	}
	assert_true(checkin(&w, &server));
	discard(&w, expect_grant(&w, &s));
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_client_dials),
		cmocka_unit_test(test_own_loop_first_newest_first),
		cmocka_unit_test(test_round_robin_takes_the_oldest),
		cmocka_unit_test(test_fifo_across_loops),
		cmocka_unit_test(test_nobody_barges_in),
		cmocka_unit_test(test_grant_says_where_it_went),
		cmocka_unit_test(test_leaving_in_every_state),
		cmocka_unit_test(test_nudged_then_granted),
		cmocka_unit_test(test_nudged_waiter_leaves),
		cmocka_unit_test(test_discard_dials_for_waiters),
		cmocka_unit_test(test_states_of_an_owner_keep_the_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
