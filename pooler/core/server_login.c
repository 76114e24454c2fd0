/*
 * server_login.c - see server_login.h.
 *
 * The happy path: start -> reached() -> login messages -> logged_in(), which turns the attempt
 * into a server and hands that to the pool.
 *
 * Failure. Nothing to talk to (refused, timeout, starting up, too many connections): the waiting
 * sessions keep their place, the next host of the list is tried at once, and after the last one the
 * pool backs off. PostgreSQL says no (wrong password, no such database or role), or we lack what it
 * asks for: trying again would not help anybody, so the waiting sessions are told why, once, and
 * the pool backs off as well. But while the pool has other servers, which come back to serve them,
 * nobody is told anything (pool_refuse_next()). Nonsense: the next host as well, and who waits is
 * told after the last one.
 */
#include "core/server_login.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "core/hosts.h"
#include "core/login.h"
#include "core/reach.h"
#include "core/registry.h"
#include "core/server.h"
#include "core/server_own.h"
#include "core/welcome.h"
#include "net/peer_addr.h"
#include "net/tls.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/startup.h"

#define HOST_TEXT_MAX 256 /* in a log line */

/* One attempt; becomes a server or nothing. */
struct attempt
{
	struct list node; /* shard->logins */
	struct conn conn;
	struct shard *shard;
	struct pool *pool;
	struct reach *reach;
	bool second; /* try: the first was refused with TLS, or without */
	struct login *login;
	struct params params;   /* as reported so far */
	struct params settings; /* asked for in the startup packet */
	struct hosts hosts;     /* none: the database is not configured any more */
	ev_timer timer;         /* server_connect_timeout */
	uint64_t id;
	uint64_t started_us;
	uint32_t generation;         /* of the pool then */
	const struct login_own *own; /* NULL: for the pool */
};

static void try(struct attempt *a, enum reach_how how);
static void limit_time(struct attempt *a);

static void
free_attempt(struct attempt *a)
{
	ev_timer_stop(a->shard->loop.ev, &a->timer);
	list_remove(&a->node);
	reach_cancel(&a->reach);
	conn_close(&a->conn);
	login_free(a->login);
	params_fini(&a->params);
	params_fini(&a->settings);
	hosts_fini(&a->hosts);
	free(a);
}

/* The same where only one session waits for it. */
static void
failed_own(struct attempt *a, const char *text, const char *sqlstate)
{
	const struct pgw_error e = {
		.severity = "FATAL",
		.sqlstate = sqlstate != NULL ? sqlstate : "08006",
		.message = text,
	};

	a->own->done(a->own->arg, NULL, &e);
	free_attempt(a);
}

/* The next host of the list takes its turn; false: there is none. */
static bool
pass_over(struct attempt *a, const char *text)
{
	char host[HOST_TEXT_MAX];

	str_copy(host, sizeof(host), hosts_current(&a->hosts));
	if (!hosts_next(&a->hosts))
		return false;
	log_warning("s%llu %s/%s: %s is passed over: %s", (unsigned long long) a->id, a->pool->database,
				a->pool->user, host, text);
	a->second = false;
	limit_time(a);
	try(a, reach_first(a->shard, hosts_current(&a->hosts)));
	return true;
}

/* No server came of it: back-off, and with `refusal` an answer to everyone who waits. */
static void
failed(struct attempt *a, const char *text, const char *refusal_sqlstate)
{
	struct shard *shard = a->shard;
	struct pool *pool = a->pool;
	struct pool_waiter *w;
	struct pool_todo todo;

	if (refusal_sqlstate == NULL && pass_over(a, text))
		return;
	registry_local(shard, pool)->stats.now.server_login_failure_count++;
	log_warning("s%llu %s/%s: server login failed: %s", (unsigned long long) a->id, pool->database,
				pool->user, text);
	if (a->own != NULL)
	{
		failed_own(a, text, refusal_sqlstate);
		return;
	}
	if (refusal_sqlstate != NULL)
	{
		pool_login_refused(pool, refusal_sqlstate, text);
		while ((w = pool_refuse_next(pool)) != NULL)
			w->wake(w);
	}
	free_attempt(a);
	pool_login_failed(pool, clock_now_us(), &todo);
	server_todo(shard, pool, NULL, &todo);
}

/* Whoever it is that answers there: at the next host there may be PostgreSQL. */
static void
nonsense(struct attempt *a, const char *text)
{
	if (!pass_over(a, text))
		failed(a, text, "08P01");
}

static void
quiet(struct conn *c, int revents)
{
	(void) c;
	(void) revents;
}

/* Where a cancel request for this server has to go: the very address it is connected to. */
static void
peer(struct server *s, int fd, struct attempt *a)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	char host[PEER_ADDR_TEXT_MAX];

	s->port = a->hosts.port;
	if (getpeername(fd, (struct sockaddr *) &ss, &len) != 0 || ss.ss_family == AF_UNIX)
		s->host = mem_strdup(hosts_current(&a->hosts));
	else
	{
		peer_addr_text(&ss, host, sizeof(host), &s->port);
		s->host = mem_strdup(host);
	}
}

/*
 * Right behind its login PostgreSQL may say what it may say at any time, and nothing else: what the
 * server goes on with, or, when it is terminated at that moment, its last words.
 */
enum behind
{
	BEHIND_ASYNCHRONOUS,
	BEHIND_LAST_WORDS, /* the message that is filled in */
	BEHIND_NONSENSE
};

static enum behind
behind_login(const uint8_t *p, size_t n, struct pgmsg *m)
{
	static const char types[] = {'S', 'N', 'A', 'E'};

	while (n > 0)
	{
		enum pgmsg_result r = pgmsg_peek(p, n, m);

		if (r == PGMSG_NEED_MORE)
			break;
		if (r == PGMSG_BAD || memchr(types, m->type, sizeof(types)) == NULL ||
			m->total > SERVER_MESSAGE_MAX)
			return BEHIND_NONSENSE;
		if (!m->whole)
			break;
		if (m->type == 'E')
			return BEHIND_LAST_WORDS;
		p += m->total;
		n -= m->total;
	}
	return BEHIND_ASYNCHRONOUS;
}

/* What the login has told goes over to the server, and the socket too. */
static void
hand_over(struct attempt *a, struct server *s)
{
	struct login *l = a->login;
	char label[160];

	registry_local(a->shard, a->pool)->stats.now.server_login_count++;
	s->backend_pid = l->backend_pid;
	s->key_len = l->key_len;
	s->key = mem_alloc(l->key_len + 1);
	memcpy(s->key, l->key, l->key_len);
	s->params = a->params;
	params_init(&a->params);
	free(s->host);
	peer(s, a->conn.fd, a);
	s->host_name = mem_strdup(hosts_current(&a->hosts));
	conn_take(&s->conn, &a->conn, quiet);
	hosts_worked(&a->hosts);
	log_info("%s: new connection to %s:%d, backend pid %u", server_label(s, label, sizeof(label)),
			 s->host, s->port, s->backend_pid);
}

static void
logged_in(struct attempt *a, uint8_t *rest, size_t n)
{
	struct server *s;

	if (a->own != NULL)
	{
		hand_over(a, a->own->server);
		conn_save(&a->own->server->conn, rest, n);
		a->own->done(a->own->arg, &a->login->welcome, NULL);
		free_attempt(a);
		return;
	}
	welcome_put(registry_welcome(a->pool), &a->params, &a->login->welcome);
	s = server_new(a->shard, a->id);
	pool_member_init(&s->member, a->pool, a->shard->loop.index, a->generation, clock_now_us());
	hand_over(a, s);
	list_append(&a->shard->servers, &s->node);
	free_attempt(a);
	server_logged_in(s, rest, n);
}

/*
 * The server does not want this user from here, with TLS or without it, as it stands in its
 * pg_hba.conf: perhaps it does the other way. A wrong password has another SQLSTATE.
 */
static bool
another_way(const struct attempt *a, enum reach_how *how)
{
	return !a->second && strcmp(a->login->sqlstate, "28000") == 0 &&
		   reach_second(a->shard, hosts_current(&a->hosts), a->conn.tls != NULL, how);
}

static void
refused(struct attempt *a)
{
	enum reach_how how;

	if (another_way(a, &how))
	{
		a->second = true;
		try(a, how);
		return;
	}
	if (!login_hopeless(a->login->sqlstate) && pass_over(a, a->login->text))
		return;
	failed(a, a->login->text,
		   a->own != NULL || login_hopeless(a->login->sqlstate) ? a->login->sqlstate : NULL);
}

/* Logged in; more was read with it. */
static void
welcomed(struct attempt *a, uint8_t *rest, size_t n)
{
	struct pgmsg m;

	switch (behind_login(rest, n, &m))
	{
		case BEHIND_ASYNCHRONOUS:
			logged_in(a, rest, n);
			break;
		case BEHIND_LAST_WORDS:
			/* No refusal: who waits gets the next one. */
			login_last_words(a->login, &m);
			failed(a, a->login->text, NULL);
			break;
		case BEHIND_NONSENSE:
			nonsense(a, "server sent more than it was asked for");
			break;
	}
}

/* What stands there is no message that may come during a login. */
static void
no_message(struct attempt *a, const uint8_t *p, size_t n)
{
	if (login_without_frame(a->login, p, n))
		failed(a, a->login->text, NULL);
	else
		nonsense(a, "server does not speak PostgreSQL's protocol");
}

/* Works off whole messages; false when the attempt is over. */
static bool
messages(struct attempt *a, uint8_t **p, size_t *n, struct pgwriter *reply)
{
	struct pgmsg m;
	enum pgmsg_result r;

	while ((r = pgmsg_peek(*p, *n, &m)) == PGMSG_OK && m.whole)
	{
		switch (login_message(a->login, &m, &a->params, reply))
		{
			case LOGIN_MORE:
				break;
			case LOGIN_OK:
				welcomed(a, *p + m.total, *n - m.total);
				return false;
			case LOGIN_REFUSED:
				refused(a);
				return false;
			case LOGIN_UNABLE:
				failed(a, a->login->text, a->login->sqlstate);
				return false;
			case LOGIN_BAD:
				nonsense(a, a->login->text);
				return false;
		}
		*p += m.total;
		*n -= m.total;
	}
	if (r == PGMSG_BAD || (r == PGMSG_OK && m.total > SERVER_MESSAGE_MAX))
	{
		no_message(a, *p, *n);
		return false;
	}
	return true;
}

static void
login_event(struct conn *c, int revents)
{
	struct attempt *a = list_entry(c, struct attempt, conn);
	uint8_t mem[4096 + CONF_CONNECT_QUERY_MAX];
	struct pgwriter reply;
	uint8_t *p;
	size_t n;
	enum conn_io io;

	if ((revents & EV_READ) == 0)
		return;
	io = conn_recv(c, &p, &n);
	if (io == CONN_AGAIN)
		return;
	if (io != CONN_OK)
	{
		failed(a, io == CONN_EOF ? "server closed the connection" : strerror(errno), NULL);
		return;
	}
	pgw_init(&reply, mem, sizeof(mem));
	if (!messages(a, &p, &n, &reply))
		return;
	conn_save(c, p, n);
	if (reply.overflow || !conn_send(c, reply.mem, reply.len))
		failed(a, "login message could not be sent", NULL);
}

static void
reached(void *arg, struct conn *c, const char *error)
{
	struct attempt *a = arg;
	uint8_t mem[4096 + STARTUP_MAX_LEN];
	struct pgwriter w;

	a->reach = NULL;
	if (c == NULL)
	{
		failed(a, error, NULL);
		return;
	}
	conn_take(&a->conn, c, login_event);
	if (a->conn.tls != NULL)
		a->login->binding.len = tls_binding(a->conn.tls, a->login->binding.data);
	pgw_init(&w, mem, sizeof(mem));
	login_startup(a->login, &a->settings, &w);
	if (w.overflow || !conn_send(&a->conn, w.mem, w.len))
		failed(a, "startup packet could not be sent", NULL);
}

static void
timed_out(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct attempt *a = w->data;

	(void) ev;
	(void) revents;
	if (a->hosts.n == 0)
		failed(a, "the database is not configured any more", "3D000");
	else
	{
		registry_local(a->shard, a->pool)->stats.now.server_connect_timeout_count++;
		failed(a, "server_connect_timeout", NULL);
	}
}

/* The password to log in with: of the forced user, or the plain one of auth_file. */
static const char *
password_of(const struct conf *conf, const struct conf_database *db, const char *user)
{
	const struct conf_user *u = conf_find_user(conf, user);

	if (db->password != NULL && (db->user == NULL || strcmp(db->user, user) == 0))
		return db->password;
	if (u == NULL || u->secret == NULL || scram_is_verifier(u->secret))
		return NULL;
	return u->secret;
}

/* What [databases] wants every server of this database to log in with. */
static void
settings_of(const struct conf_database *db, struct params *settings)
{
	params_init(settings);
	params_set(settings, PARAM_CLIENT_ENCODING, db->client_encoding);
	params_set(settings, PARAM_DATESTYLE, db->datestyle);
	params_set(settings, PARAM_TIMEZONE, db->timezone);
	params_set(settings, PARAM_APPLICATION_NAME, db->application_name);
}

static struct attempt *
attempt_new(struct shard *shard, struct pool *pool, const struct login_own *own)
{
	struct attempt *a = mem_zalloc(sizeof(*a));

	conn_init(&a->conn);
	list_append(&shard->logins, &a->node);
	a->shard = shard;
	a->pool = pool;
	a->own = own;
	a->generation = pool_generation(pool);
	a->id = atomic_fetch_add(&shard->registry->next_id, 1) + 1;
	a->started_us = clock_now_us();
	ev_timer_init(&a->timer, timed_out, 0., 0.);
	a->timer.data = a;
	return a;
}

/* Where no file has a password: what the clients have shown to know. */
static void
know_as_client(struct attempt *a)
{
	struct credentials c;

	credentials_get(registry_credentials(a->pool), &c);
	if (c.has_keys)
		login_keys(a->login, c.client_key, c.server_key);
	else if (c.password[0] != '\0')
		a->login->password = mem_strdup(c.password);
	OPENSSL_cleanse(&c, sizeof(c));
}

/* Opens the conversation; what an earlier try has left is forgotten. */
static void
try(struct attempt *a, enum reach_how how)
{
	const struct conf *conf = a->shard->conf;
	const struct conf_database *db = conf_find_database(conf, a->pool->database);
	const char *user = a->pool->user; /* on the server */
	const char *dbname = db != NULL && db->dbname != NULL ? db->dbname : a->pool->database;
	const char *host = hosts_current(&a->hosts);
	const struct reach_to to = {.host = host, .name = host, .port = a->hosts.port, .how = how};

	reach_cancel(&a->reach);
	conn_close(&a->conn);
	login_free(a->login);
	params_fini(&a->params);
	params_init(&a->params);
	a->login = login_new(user, a->own != NULL && a->own->physical ? NULL : dbname,
						 db == NULL ? NULL : password_of(conf, db, user));
	/* A replicating server runs no SQL before it is asked to. */
	if (db != NULL && a->own == NULL)
		login_then_run(a->login, db->connect_query);
	if (a->login->password == NULL && (db == NULL || db->user == NULL))
		know_as_client(a);
	if (a->own != NULL)
		login_ask(a->login, a->own->params, a->own->len);
	a->reach = reach_start(a->shard, &to, reached, a);
}

static void
limit_time(struct attempt *a)
{
	uint64_t limit = hosts_time_us(&a->hosts, a->shard->conf);

	if (limit > 0)
		loop_after(&a->shard->loop, &a->timer, limit);
}

/* Failure is never told before this returns. */
static struct attempt *
start(struct shard *shard, struct pool *pool, const struct login_own *own)
{
	const struct conf *conf = shard->conf;
	const struct conf_database *db = conf_find_database(conf, pool->database);
	struct attempt *a = attempt_new(shard, pool, own);

	if (db == NULL)
	{
		ev_timer_start(shard->loop.ev, &a->timer);
		return a;
	}
	hosts_begin(&a->hosts, conf, db, registry_host_turn(pool));
	settings_of(db, &a->settings);
	limit_time(a);
	try(a, reach_first(shard, hosts_current(&a->hosts)));
	return a;
}

void
server_login_start(struct shard *shard, struct pool *pool)
{
	if (pool->replication)
		server_own_place(shard, pool);
	else
		start(shard, pool, NULL);
}

struct attempt *
server_login_own(const struct login_own *own)
{
	return start(own->server->shard, own->server->member.pool, own);
}

void
server_login_cancel(struct attempt **a)
{
	if (*a != NULL)
		free_attempt(*a);
	*a = NULL;
}

void
server_login_abandon_all(struct shard *shard)
{
	struct list *n;

	while ((n = list_first(&shard->logins)) != NULL)
	{
		struct attempt *a = list_entry(n, struct attempt, node);

		hosts_fini(&a->hosts); /* no other host is tried */
		failed(a, "shutting down", NULL);
	}
}
