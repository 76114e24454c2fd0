/*
 * test_session_times.c - the timers of clients and servers by a stepped clock: each does nothing
 * before its deadline, and what it is for at that very moment.
 *
 * A real session on a real loop; PostgreSQL and its client are the other ends of two socketpairs.
 * libev's clock runs on by itself, so a timer is fired by hand; how it was set is read from it when
 * it is fired a hair too early and set anew. (That libev keeps to it is test_loop.c's.)
 */
#include "core/session.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf_files.h"
#include "core/abandon.h"
#include "core/cancel.h"
#include "core/greet.h"
#include "core/registry.h"
#include "core/server.h"
#include "net/peer_addr.h"
#include "proto/pgwrite.h"
#include "proto/startup.h"
#include "turning.h"

#define SEC 1000000u
#define LIMIT (7 * SEC) /* of the setting under test */
#define LATE 10000.     /* microseconds that a timer may be late */

static uint64_t now_us;

static uint64_t
stepped(void)
{
	return now_us;
}

static struct world
{
	struct registry registry;
	struct conf *conf;
	struct shard *shard;
	struct pool *pool;
	struct session *session;
	int client; /* our end */
	int dials;
	struct server *server;
	int postgres; /* our end */
	char heard[4096];
	size_t n_heard;
} w;

static void
count_login(struct shard *shard, struct pool *pool)
{
	(void) shard;
	(void) pool;
	w.dials++;
}

/* Whatever can happen now without waiting has happened. */
static void
settle(void)
{
	for (int i = 0; i < 20; i++)
		turn_once(&w.shard->loop);
}

static void
say(int fd, const struct pgwriter *text)
{
	assert_false(text->overflow);
	assert_int_equal(write(fd, text->mem, text->len), (ssize_t) text->len);
	settle();
}

static void
query(const char *sql)
{
	uint8_t mem[200];
	struct pgwriter text;

	pgw_init(&text, mem, sizeof(mem));
	pgw_query(&text, sql);
	say(w.client, &text);
}

/* What has come to an end of ours is appended to w.heard, zero bytes as blanks. */
static bool
hears(int fd, const char *words)
{
	ssize_t n;

	settle();
	while ((n = recv(fd, w.heard + w.n_heard, sizeof(w.heard) - 1 - w.n_heard, MSG_DONTWAIT)) > 0)
	{
		for (ssize_t i = 0; i < n; i++)
			if (w.heard[w.n_heard + (size_t) i] == '\0')
				w.heard[w.n_heard + (size_t) i] = ' ';
		w.n_heard += (size_t) n;
	}
	w.heard[w.n_heard] = '\0';
	return strstr(w.heard, words) != NULL;
}

static bool
silent(int fd)
{
	char byte;

	settle();
	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

/* ---- the way of a session ---- */

static void
begin(const char *setting)
{
	char text[400];
	struct conf_error err;

	memset(&w, 0, sizeof(w));
	now_us = 1000 * (uint64_t) SEC;
	snprintf(text, sizeof(text),
			 "[databases]\napp = host=/nowhere\n[pgbouncer]\nauth_type = trust\n"
			 "auth_file = users\npool_mode = transaction\nquery_wait_notify = 0\n"
			 "query_wait_timeout = 0\nclient_login_timeout = 0\nserver_idle_timeout = 0\n"
			 "server_lifetime = 1000000\nserver_connect_timeout = 0\n%s = 7\n",
			 setting);
	const struct conf_file files[] = {{"p.ini", text}, {"users", "\"alice\" \"\"\n"}, {NULL, NULL}};
	struct conf_files f = {.files = files};

	w.conf = conf_files_load(&f, &err);
	if (w.conf == NULL)
		fail_msg("%s", err.text);
	assert_true(registry_init(&w.registry, 1, w.conf));
	w.registry.start_login = count_login;
	w.shard = &w.registry.shards[0];
	w.pool = registry_pool(&w.registry, w.conf, conf_find_database(w.conf, "app"), "app", "alice");
}

static void
connect_client(void)
{
	const struct peer_addr nobody = {0};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	w.client = pair[0];
	atomic_fetch_add(&w.shard->n_sessions, 1);
	greet_client(w.shard, nonblocking(pair[1]), &nobody);
	w.session = list_entry(list_first(&w.shard->sessions), struct session, node);
}

static void
log_in(void)
{
	uint8_t mem[200];
	struct pgwriter text;

	connect_client();
	pgw_init(&text, mem, sizeof(mem));
	pgw_startup_begin(&text, 3 << 16);
	pgw_cstr(&text, "user");
	pgw_cstr(&text, "alice");
	pgw_cstr(&text, "database");
	pgw_cstr(&text, "app");
	pgw_startup_end(&text);
	say(w.client, &text);
}

/* The pool has had a login before: the client is greeted without a server. */
static void
log_in_and_be_greeted(void)
{
	struct params none;
	struct buf nothing;

	params_init(&none);
	buf_init(&nothing);
	welcome_put(registry_welcome(w.pool), &none, &nothing);
	log_in();
	assert_int_equal(w.session->state, SESSION_IDLE);
	assert_true(hears(w.client, "Z"));
}

/* The login that a pool asked for has succeeded. */
static void
server_comes(void)
{
	int pair[2];

	assert_true(w.dials > 0);
	w.dials--;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	w.postgres = pair[0];
	w.server = server_new(w.shard, 1);
	w.server->host = mem_strdup("/nowhere");
	w.server->key = mem_zalloc(4);
	w.server->key_len = 4;
	pool_member_init(&w.server->member, w.pool, 0, pool_generation(w.pool), now_us);
	conn_open(&w.server->conn, &w.shard->loop, nonblocking(pair[1]), NULL);
	list_append(&w.shard->servers, &w.server->node);
	server_logged_in(w.server, NULL, 0);
	settle();
}

static void
server_says(const char *tag, char status)
{
	uint8_t mem[200];
	struct pgwriter text;

	pgw_init(&text, mem, sizeof(mem));
	pgw_begin(&text, 'C');
	pgw_cstr(&text, tag);
	pgw_end(&text);
	pgw_ready(&text, status);
	say(w.postgres, &text);
}

static void
end(void)
{
	struct list *n;

	while ((n = list_first(&w.shard->sessions)) != NULL)
		session_end(list_entry(n, struct session, node), NULL, "the test is over");
	settle();
	abandon_close_all(w.shard, "", "the end of the test");
	cancel_abandon_all(w.shard);
	server_trim(w.shard, w.pool, true);
	while ((n = list_first(&w.shard->servers)) != NULL)
		server_close(list_entry(n, struct server, node), "the test is over", false);
	settle();
	close(w.client);
	if (w.server != NULL)
		close(w.postgres);
	registry_fini(&w.registry);
	conf_free(w.conf);
}

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
