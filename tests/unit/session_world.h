/*
 * session_world.h - a real session on a real loop; PostgreSQL and its client are the other ends of
 * two socketpairs. The clock is stepped by the test.
 */
#ifndef PERFKIT_TESTS_SESSION_WORLD_H
#define PERFKIT_TESTS_SESSION_WORLD_H

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

static inline void
count_login(struct shard *shard, struct pool *pool)
{
	(void) shard;
	(void) pool;
	w.dials++;
}

/* Whatever can happen now without waiting has happened. */
static inline void
settle(void)
{
	for (int i = 0; i < 20; i++)
		turn_once(&w.shard->loop);
}

static inline void
say(int fd, const struct pgwriter *text)
{
	assert_false(text->overflow);
	assert_int_equal(write(fd, text->mem, text->len), (ssize_t) text->len);
	settle();
}

static inline void
query(const char *sql)
{
	uint8_t mem[200];
	struct pgwriter text;

	pgw_init(&text, mem, sizeof(mem));
	pgw_query(&text, sql);
	say(w.client, &text);
}

/* What has come to an end of ours is appended to w.heard, zero bytes as blanks. */
static inline bool
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

static inline bool
silent(int fd)
{
	char byte;

	settle();
	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

/* ---- the way of a session ---- */

static inline void
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

static inline void
connect_client(void)
{
	const struct peer_addr nobody = {0};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	w.client = pair[0];
	atomic_fetch_add(&w.shard->n_sessions, 1);
	greet_client(w.shard, nonblocking(pair[1]), &nobody);
	w.session = list_entry(list_last(&w.shard->sessions), struct session, node);
}

static inline void
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
static inline void
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
static inline void
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

static inline void
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

static inline void
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

#endif
