/*
 * lookup_line.c - see lookup_line.h.
 *
 * Failure: whatever goes wrong is told to who asks, and the line is down until the next question.
 * An idle connection may have died unnoticed: a question that it takes to the grave is asked once
 * more over a new one.
 */
#include "core/lookup_line.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "core/hosts.h"
#include "core/login.h"
#include "core/lookup_answer.h"
#include "core/params.h"
#include "core/reach.h"
#include "core/registry.h"
#include "net/conn.h"
#include "net/tls.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/scram.h"

#define MESSAGE_MAX 65536

enum line_state
{
	LINE_DOWN,
	LINE_REACHING,
	LINE_LOGIN,
	LINE_IDLE,
	LINE_ASKING
};

struct lookup_line
{
	enum line_state state;
	struct shard *shard;
	char *database;
	char *as;
	uint32_t serial; /* of the configuration that it was connected with */
	struct hosts hosts;
	_Atomic uint32_t host_turn;
	struct conn conn;
	struct reach *reach;
	struct login *login;
	struct params params;
	/* Of the connection, for SHOW. */
	uint64_t id;
	uint32_t backend_pid;
	uint64_t connected_wall_us;
	uint64_t asked_wall_us;
	ev_timer timer; /* IDLE: server_idle_timeout; else server_connect_timeout */
	bool used;      /* the connection has answered before */
	bool second;    /* the connection is the second try of reach_second() */
	/* The open question. */
	char *query;
	char *user;
	lookup_reply_cb cb; /* NULL: none is open */
	void *arg;
	struct lookup_answer answer;
	char error[LOGIN_TEXT_MAX];
};

static void connect_line(struct lookup_line *l, enum reach_how how);
static void connect_anew(struct lookup_line *l);
static void lost(struct lookup_line *l, const char *error);

/* ---- endings ---- */

static void
set_timer(struct lookup_line *l, uint64_t after_us)
{
	struct ev_loop *ev = l->shard->loop.ev;

	ev_timer_stop(ev, &l->timer);
	if (after_us == 0)
		return;
	ev_now_update(ev);
	ev_timer_set(&l->timer, (double) after_us / 1e6, 0.);
	ev_timer_start(ev, &l->timer);
}

static void
go_down(struct lookup_line *l)
{
	set_timer(l, 0);
	reach_cancel(&l->reach);
	conn_close(&l->conn);
	login_free(l->login);
	l->login = NULL;
	params_fini(&l->params);
	params_init(&l->params);
	l->used = l->second = false;
	l->state = LINE_DOWN;
}

/* Tells who has asked; nothing of the line is touched afterwards. */
static void
reply(struct lookup_line *l)
{
	lookup_reply_cb cb = l->cb;
	char secret[LOOKUP_SECRET_MAX];
	char error[LOGIN_TEXT_MAX];
	const struct lookup_reply r = {
		.found = l->answer.found,
		.secret = l->answer.has_secret ? secret : NULL,
		.error = l->error[0] != '\0' ? error : NULL,
		.down = l->state == LINE_DOWN,
	};

	memcpy(secret, l->answer.secret, sizeof(secret));
	memcpy(error, l->error, sizeof(error));
	lookup_answer_clear(&l->answer);
	free(l->query);
	free(l->user);
	l->query = l->user = NULL;
	l->cb = NULL;
	if (cb != NULL)
		cb(l->arg, &r);
	OPENSSL_cleanse(secret, sizeof(secret));
}

static void
fail(struct lookup_line *l, const char *error)
{
	char text[LOGIN_TEXT_MAX];
	bool connecting;

	str_copy(text, sizeof(text), error);
	if (l->state == LINE_IDLE)
	{
		go_down(l);
		return;
	}
	log_warning("auth_query in %s as %s: %s", l->database, l->as, text);
	connecting = l->state == LINE_REACHING ||
				 (l->state == LINE_LOGIN && !login_hopeless(l->login->sqlstate));
	go_down(l);
	lookup_answer_clear(&l->answer);
	if (connecting && l->cb != NULL && hosts_next(&l->hosts))
	{
		connect_line(l, reach_first(l->shard, hosts_current(&l->hosts)));
		return;
	}
	memcpy(l->error, text, sizeof(text));
	reply(l);
}

static void
timed_out(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct lookup_line *l = w->data;

	(void) ev;
	(void) revents;
	if (l->state == LINE_IDLE)
		go_down(l);
	else
		fail(l, "no answer within server_connect_timeout");
}

/* ---- asking ---- */

static void
send_question(struct lookup_line *l)
{
	size_t cap = strlen(l->query) + strlen(l->user) + 128;
	uint8_t *mem = mem_alloc(cap);
	struct pgwriter w;
	bool sent;

	pgw_init(&w, mem, cap);
	pgw_begin(&w, 'P');
	pgw_cstr(&w, "");
	pgw_cstr(&w, l->query);
	pgw_u16(&w, 0);
	pgw_end(&w);
	pgw_begin(&w, 'B');
	pgw_cstr(&w, "");
	pgw_cstr(&w, "");
	pgw_u16(&w, 0);
	pgw_u16(&w, 1);
	pgw_u32(&w, (uint32_t) strlen(l->user));
	pgw_bytes(&w, l->user, strlen(l->user));
	pgw_u16(&w, 0);
	pgw_end(&w);
	pgw_begin(&w, 'E');
	pgw_cstr(&w, "");
	pgw_u32(&w, 0);
	pgw_end(&w);
	pgw_begin(&w, 'S');
	pgw_end(&w);
	l->state = LINE_ASKING;
	l->asked_wall_us = clock_wall_us();
	lookup_answer_clear(&l->answer);
	l->error[0] = '\0';
	set_timer(l, l->shard->conf->server_connect_timeout_us);
	sent = !w.overflow && conn_send(&l->conn, w.mem, w.len);
	free(mem);
	if (!sent)
		lost(l, "connection lost");
}

/* One message while asking. False: the question is over. */
static bool
answer(struct lookup_line *l, const struct pgmsg *m)
{
	struct pgerror e;
	const char *error = NULL;

	switch (m->type)
	{
		case 'D':
			error = lookup_answer_row(&l->answer, m, l->user);
			break;
		case 'E':
			error = pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK ? e.message
																			 : "malformed error";
			break;
		case 'Z':
			l->state = LINE_IDLE;
			l->used = true;
			set_timer(l, l->shard->conf->server_idle_timeout_us);
			if (l->error[0] != '\0')
			{
				log_warning("auth_query in %s as %s: %s", l->database, l->as, l->error);
				lookup_answer_clear(&l->answer);
			}
			reply(l);
			return false;
		default:
			break;
	}
	if (error != NULL && l->error[0] == '\0')
		str_copy(l->error, sizeof(l->error), error);
	return true;
}

/* With TLS or without: perhaps pg_hba.conf lets us in the other way. */
static void
refused(struct lookup_line *l)
{
	enum reach_how how;

	if (!l->second && strcmp(l->login->sqlstate, "28000") == 0 &&
		reach_second(l->shard, hosts_current(&l->hosts), l->conn.tls != NULL, &how))
	{
		go_down(l);
		l->second = true;
		connect_line(l, how);
		return;
	}
	fail(l, l->login->text);
}

static bool
login_step(struct lookup_line *l, const struct pgmsg *m)
{
	uint8_t mem[4096];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	switch (login_message(l->login, m, &l->params, &w))
	{
		case LOGIN_MORE:
			if (!w.overflow && (w.len == 0 || conn_send(&l->conn, w.mem, w.len)))
				return true;
			fail(l, "login message could not be sent");
			return false;
		case LOGIN_OK:
			l->backend_pid = l->login->backend_pid;
			login_free(l->login);
			l->login = NULL;
			hosts_worked(&l->hosts);
			send_question(l);
			return l->state == LINE_ASKING;
		default:
			refused(l);
			return false;
	}
}

/* Once more over a new connection, when the old one may have been dead all along. What it said
 * first is then no answer: a backend that was ended while idle says why, and the question that was
 * sent at that moment hears it. */
static void
lost(struct lookup_line *l, const char *error)
{
	if (l->state == LINE_ASKING && l->used)
	{
		go_down(l);
		connect_anew(l);
		return;
	}
	/* A server that ends says so before it closes. */
	fail(l, l->error[0] != '\0' ? l->error : error);
}

static void
line_event(struct conn *c, int revents)
{
	struct lookup_line *l = list_entry(c, struct lookup_line, conn);
	enum pgmsg_result r = PGMSG_NEED_MORE;
	struct pgmsg m;
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
		lost(l, io == CONN_EOF ? "server closed the connection" : strerror(errno));
		return;
	}
	while (n > 0 && (r = pgmsg_peek(p, n, &m)) == PGMSG_OK && m.whole)
	{
		p += m.total;
		n -= m.total;
		/* Idle: only what may come at any time, and nothing of it matters. */
		if (l->state == LINE_IDLE && strchr("SNA", m.type) == NULL)
		{
			fail(l, "unexpected message");
			return;
		}
		if (l->state == LINE_LOGIN ? !login_step(l, &m) : l->state == LINE_ASKING && !answer(l, &m))
			return; /* behind the last message of an answer nothing can stand */
	}
	if (n > 0 && (r == PGMSG_BAD || (r == PGMSG_OK && m.total > MESSAGE_MAX)))
		fail(l, "server does not speak PostgreSQL's protocol");
	else
		conn_save(c, p, n);
}

/* ---- connecting ---- */

static void
reached(void *arg, struct conn *c, const char *error)
{
	struct lookup_line *l = arg;
	const struct params none = {0};
	uint8_t mem[1024];
	struct pgwriter w;

	l->reach = NULL;
	if (c == NULL)
	{
		fail(l, error);
		return;
	}
	conn_take(&l->conn, c, line_event);
	if (l->conn.tls != NULL)
		l->login->binding.len = tls_binding(l->conn.tls, l->login->binding.data);
	l->state = LINE_LOGIN;
	l->id = atomic_fetch_add(&l->shard->registry->next_id, 1) + 1;
	l->backend_pid = 0;
	l->connected_wall_us = l->asked_wall_us = clock_wall_us();
	pgw_init(&w, mem, sizeof(mem));
	login_startup(l->login, &none, &w);
	if (w.overflow || !conn_send(&l->conn, w.mem, w.len))
		fail(l, "startup packet could not be sent");
}

static void
gone_database(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct lookup_line *l = w->data;

	(void) ev;
	(void) revents;
	ev_set_cb(&l->timer, timed_out);
	fail(l, "the database is not configured");
}

static void
connect_line(struct lookup_line *l, enum reach_how how)
{
	const struct conf *conf = l->shard->conf;
	const struct conf_database *db = conf_find_database(conf, l->database);
	const struct conf_user *u = conf_find_user(conf, l->as);
	const char *secret = u == NULL ? NULL : u->secret;
	struct reach_to to = {.how = how};

	l->state = LINE_REACHING;
	l->serial = l->shard->conf_serial;
	if (db == NULL)
	{
		ev_set_cb(&l->timer, gone_database);
		set_timer(l, 1);
		return;
	}
	to.host = to.name = hosts_current(&l->hosts);
	to.port = l->hosts.port;
	l->login = login_new(l->as, db->dbname != NULL ? db->dbname : l->database,
						 secret != NULL && scram_is_verifier(secret) ? NULL : secret);
	set_timer(l, hosts_time_us(&l->hosts, conf));
	l->reach = reach_start(l->shard, &to, reached, l);
}

static void
connect_anew(struct lookup_line *l)
{
	const struct conf *conf = l->shard->conf;
	const struct conf_database *db = conf_find_database(conf, l->database);

	hosts_fini(&l->hosts);
	if (db != NULL)
		hosts_begin(&l->hosts, conf, db, &l->host_turn);
	connect_line(l, reach_first(l->shard, hosts_current(&l->hosts)));
}

/* ---- life ---- */

struct lookup_line *
lookup_line_new(struct shard *shard, const char *database, const char *as)
{
	struct lookup_line *l = mem_zalloc(sizeof(*l));

	l->shard = shard;
	l->database = mem_strdup(database);
	l->as = mem_strdup(as);
	conn_init(&l->conn);
	params_init(&l->params);
	ev_timer_init(&l->timer, timed_out, 0., 0.);
	l->timer.data = l;
	return l;
}

void
lookup_line_ask(struct lookup_line *l, const char *query, const char *user, lookup_reply_cb cb,
				void *arg)
{
	l->query = mem_strdup(query);
	l->user = mem_strdup(user);
	l->cb = cb;
	l->arg = arg;
	lookup_answer_clear(&l->answer);
	l->error[0] = '\0';
	if (l->state == LINE_IDLE && l->serial == l->shard->conf_serial)
	{
		send_question(l);
		return;
	}
	go_down(l);
	connect_anew(l);
}

void
lookup_line_free(struct lookup_line *l)
{
	if (l == NULL)
		return;
	l->cb = NULL;
	go_down(l);
	params_fini(&l->params);
	lookup_answer_clear(&l->answer);
	hosts_fini(&l->hosts);
	free(l->query);
	free(l->user);
	free(l->database);
	free(l->as);
	free(l);
}

bool
lookup_line_look(const struct lookup_line *l, struct lookup_line_view *out)
{
	static const char *const names[] = {
		[LINE_LOGIN] = "new",
		[LINE_IDLE] = "idle",
		[LINE_ASKING] = "active",
	};
	const char *application = l->params.value[PARAM_APPLICATION_NAME];

	if (l->state == LINE_DOWN || l->state == LINE_REACHING)
		return false;
	*out = (struct lookup_line_view){
		.line = l,
		.database = l->database,
		.as = l->as,
		.state = names[l->state],
		.idle = l->state == LINE_IDLE,
		.host = hosts_current(&l->hosts),
		.port = l->hosts.port,
		.conn = &l->conn,
		.application = application != NULL ? application : "",
		.backend_pid = l->backend_pid,
		.id = l->id,
		.connected_wall_us = l->connected_wall_us,
		.asked_wall_us = l->asked_wall_us,
	};
	return true;
}
