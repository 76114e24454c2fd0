/*
 * test_session_times.c - the timers of clients and servers by a stepped clock: each does nothing
 * before its deadline, and what it is for at that very moment.
 *
 * libev's clock runs on by itself, so a timer is fired by hand; how it was set is read from it when
 * it is fired a hair too early and set anew. (That libev keeps to it is test_loop.c's.)
 */
#include "session_world.h"

#define LIMIT (7 * SEC) /* of the setting under test */
#define LATE 10000.     /* microseconds that a timer may be late */

/* ---- timers ---- */

static struct ev_loop *
ev(void)
{
	return w.shard->loop.ev;
}

static void
fire(ev_timer *timer)
{
	ev_timer_stop(ev(), timer);
	ev_invoke(ev(), timer, EV_TIMER);
}

/* A hair before the deadline nothing happens, and the timer is set for that hair. */
static void
expect_nothing_before(ev_timer *timer, uint64_t deadline_us)
{
	assert_true(ev_is_active(timer));
	hears(w.client, ""); /* all that came before */
	now_us = deadline_us - 1;
	fire(timer);
	assert_true(silent(w.client));
	assert_true(ev_is_active(timer));
	ev_now_update(ev());
	assert_true(ev_timer_remaining(ev(), timer) * 1e6 <= LATE);
	now_us = deadline_us;
}

/* The session's deadline is the setting after since_us; then its client hears these words. */
static void
expect_end(uint64_t since_us, const char *words)
{
	assert_int_equal(w.session->deadline_us, since_us + LIMIT);
	expect_nothing_before(&w.session->timer, since_us + LIMIT);
	fire(&w.session->timer);
	if (!hears(w.client, words))
		fail_msg("heard: %s", w.heard);
}

static void
test_client_login_timeout(void **state)
{
	(void) state;
	begin("client_login_timeout");
	connect_client();
	expect_end(now_us, "client_login_timeout");
	assert_true(list_empty(&w.shard->sessions));
	end();
}

static void
test_client_idle_timeout(void **state)
{
	(void) state;
	begin("client_idle_timeout");
	log_in_and_be_greeted();
	now_us += 3 * SEC;
	query("select 1");
	now_us += 3 * SEC;
	server_comes();
	/* While it works or waits it is not idle. */
	assert_int_equal(w.session->deadline_us, 0);
	now_us += 3 * SEC;
	server_says("SELECT 1", 'I');
	expect_end(now_us, "client_idle_timeout");
	end();
}

static void
test_query_wait_timeout(void **state)
{
	(void) state;
	begin("query_wait_timeout");
	log_in();
	/* At its login, for the first server of the pool. */
	assert_int_equal(w.session->state, SESSION_LOGIN_WAIT);
	expect_end(now_us, "query_wait_timeout");
	end();
	begin("query_wait_timeout");
	log_in_and_be_greeted();
	now_us += 60 * SEC;
	query("select 1");
	assert_int_equal(w.session->state, SESSION_WAITING);
	expect_end(now_us, "query_wait_timeout");
	end();
}

static void
test_query_wait_notify(void **state)
{
	(void) state;
	begin("query_wait_notify");
	log_in_and_be_greeted();
	query("select 1");
	expect_end(now_us, "NOTICE");
	assert_int_equal(w.session->state, SESSION_WAITING);
	assert_int_equal(w.session->deadline_us, 0);
	end();
}

/* From the moment when the query goes to the server; 57014 by a cancel, so nothing is heard yet. */
static void
test_query_timeout(void **state)
{
	uint64_t since;

	(void) state;
	begin("query_timeout");
	log_in_and_be_greeted();
	query("select 1");
	now_us += 60 * SEC;
	server_comes();
	since = now_us;
	assert_int_equal(w.session->deadline_us, since + LIMIT);
	expect_nothing_before(&w.session->timer, since + LIMIT);
	assert_true(list_empty(&w.shard->cancels));
	fire(&w.session->timer);
	assert_false(list_empty(&w.shard->cancels));
	assert_int_equal(w.session->state, SESSION_ACTIVE);
	/* The cancel has cancel_wait_timeout, whose default is ten seconds. */
	assert_int_equal(w.session->deadline_us, since + LIMIT + 10 * SEC);
	expect_nothing_before(&w.session->timer, since + LIMIT + 10 * SEC);
	fire(&w.session->timer);
	assert_true(hears(w.client, "does not answer the cancel request"));
	end();
}

static void
test_idle_transaction_timeout(void **state)
{
	(void) state;
	begin("idle_transaction_timeout");
	log_in_and_be_greeted();
	query("begin");
	server_comes();
	assert_int_equal(w.session->deadline_us, 0);
	now_us += 60 * SEC;
	server_says("BEGIN", 'T');
	assert_true(hears(w.client, "BEGIN"));
	/* Work starts it anew. */
	now_us += 3 * SEC;
	query("select 1");
	assert_int_equal(w.session->deadline_us, 0);
	server_says("SELECT 1", 'T');
	assert_true(hears(w.client, "SELECT 1"));
	expect_end(now_us, "idle transaction timeout");
	end();
}

/* From the first request to the end, whatever happens in between. */
static void
test_transaction_timeout(void **state)
{
	uint64_t since;

	(void) state;
	begin("transaction_timeout");
	log_in_and_be_greeted();
	query("begin");
	now_us += 60 * SEC;
	server_comes();
	since = now_us;
	now_us += SEC;
	server_says("BEGIN", 'T');
	now_us += SEC;
	query("select 1");
	now_us += SEC;
	server_says("SELECT 1", 'T');
	assert_true(hears(w.client, "SELECT 1"));
	expect_end(since, "transaction timeout");
	end();
	/* A single query is one. */
	begin("transaction_timeout");
	log_in_and_be_greeted();
	query("select 1");
	server_comes();
	expect_end(now_us, "transaction timeout");
	end();
}

/* The session lets its server go: it lies idle from then on. */
static void
work_once(void)
{
	log_in_and_be_greeted();
	query("select 1");
	server_comes();
	now_us += 2 * SEC;
	server_says("SELECT 1", 'I');
	assert_true(hears(w.client, "SELECT 1"));
	assert_int_equal(w.session->state, SESSION_IDLE);
	assert_true(hears(w.postgres, "select 1"));
}

/* The server's connection has ended. */
static bool
server_ended(void)
{
	struct pool_counts c;

	settle();
	pool_counts(w.pool, &c);
	return c.total == 0 && hears(w.postgres, "X");
}

static void
test_server_idle_timeout(void **state)
{
	struct pool_local *local;
	struct pool_counts c;

	(void) state;
	begin("server_idle_timeout");
	work_once();
	local = registry_local(w.shard, w.pool);
	assert_int_equal(local->reap_at_us, now_us + LIMIT);
	expect_nothing_before(&local->reap, now_us + LIMIT);
	pool_counts(w.pool, &c);
	assert_int_equal(c.by_state[MEMBER_IDLE], 1);
	fire(&local->reap);
	assert_true(server_ended());
	assert_false(ev_is_active(&local->reap));
	end();
}

static void
test_server_lifetime(void **state)
{
	struct pool_local *local;
	uint64_t born;

	(void) state;
	begin("server_lifetime");
	work_once();
	local = registry_local(w.shard, w.pool);
	born = now_us - 2 * SEC;
	assert_int_equal(local->reap_at_us, born + LIMIT);
	/* Its use changes nothing. */
	now_us += SEC;
	query("select 2");
	now_us += SEC;
	server_says("SELECT 2", 'I');
	assert_true(hears(w.client, "SELECT 2"));
	assert_true(hears(w.postgres, "select 2"));
	assert_int_equal(local->reap_at_us, born + LIMIT);
	expect_nothing_before(&local->reap, born + LIMIT);
	fire(&local->reap);
	assert_true(server_ended());
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client_login_timeout),
		cmocka_unit_test(test_client_idle_timeout),
		cmocka_unit_test(test_query_wait_timeout),
		cmocka_unit_test(test_query_wait_notify),
		cmocka_unit_test(test_query_timeout),
		cmocka_unit_test(test_idle_transaction_timeout),
		cmocka_unit_test(test_transaction_timeout),
		cmocka_unit_test(test_server_idle_timeout),
		cmocka_unit_test(test_server_lifetime),
	};

	clock_set_source(stepped);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
