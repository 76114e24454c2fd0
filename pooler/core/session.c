/*
 * session.c - see session.h.
 *
 * Here: birth, time and end. What a session does in between is in core/greet (who is it?),
 * core/serve (its queries) and core/admin (the console).
 *
 * session_end() is the one way out, legal in every state. A server that is linked then goes back
 * only if nothing stands open on it; else its query is cancelled and the connection is closed.
 *
 * Time: one timer per session. A deadline that moves later costs nothing, since the timer looks at
 * the deadline when it fires.
 */
#include "core/session.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "core/abandon.h"
#include "core/auth.h"
#include "core/cancel.h"
#include "core/console.h"
#include "core/lookup.h"
#include "core/replicate.h"
#include "core/server.h"
#include "core/walk.h"
#include "core/welcome.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

static const char *const state_names[SESSION_STATES] = {
	[SESSION_GREETING] = "login",  [SESSION_LOGIN_WAIT] = "waiting", [SESSION_IDLE] = "idle",
	[SESSION_WAITING] = "waiting", [SESSION_ACTIVE] = "active",      [SESSION_CONSOLE] = "idle",
	[SESSION_CLOSING] = "closing",
};

/* ---- small things ---- */

const char *
session_state_name(const struct session *s)
{
	return state_names[s->state];
}

const char *
session_label(const struct session *s, char *text, size_t cap)
{
	snprintf(text, cap, "c%llu %s/%s %s:%u", (unsigned long long) s->id,
			 s->database != NULL ? s->database : "(nodb)", s->user != NULL ? s->user : "(nouser)",
			 s->addr, s->port);
	return text;
}

void
session_trace(const struct session *s, const char *what)
{
	char label[200];

	if (!log_wants(LOG_LEVEL_DEBUG))
		return;
	session_label(s, label, sizeof(label));
	if (s->relay.server != NULL)
		log_debug("%s: %s s%llu", label, what, (unsigned long long) s->relay.server->id);
	else
		log_debug("%s: %s", label, what);
}

void
session_set_state(struct session *s, enum session_state state)
{
	static const uint8_t legal[SESSION_STATES] = {
		[SESSION_GREETING] = 1 << SESSION_LOGIN_WAIT | 1 << SESSION_IDLE | 1 << SESSION_CONSOLE,
		[SESSION_LOGIN_WAIT] = 1 << SESSION_IDLE,
		[SESSION_IDLE] = 1 << SESSION_WAITING | 1 << SESSION_ACTIVE,
		[SESSION_WAITING] = 1 << SESSION_ACTIVE,
		[SESSION_ACTIVE] = 1 << SESSION_IDLE,
	};

	s->notified = false;
	INVARIANT(state == SESSION_CLOSING || (legal[s->state] & (1 << state)) != 0, "session state");
	if (state == SESSION_CONSOLE)
		atomic_fetch_add(&s->shard->registry->n_consoles, 1);
	else if (s->state == SESSION_CONSOLE)
		atomic_fetch_sub(&s->shard->registry->n_consoles, 1);
	s->state = state;
}

static const struct conf_limits *
limits(const struct session *s)
{
	return &s->limits->now;
}

void
session_deadline(struct session *s, uint64_t at_us)
{
	uint64_t now;

	s->deadline_us = at_us;
	if (at_us == 0 || (ev_is_active(&s->timer) && s->timer_at_us <= at_us))
		return;
	now = clock_now_us();
	s->timer_at_us = at_us;
	loop_after(&s->shard->loop, &s->timer, at_us > now ? at_us - now : 0);
}

/* The earlier of two deadlines; from_us 0 or after_us 0: none. */
static uint64_t
sooner(uint64_t deadline, uint64_t from_us, uint64_t after_us)
{
	if (from_us == 0 || after_us == 0)
		return deadline;
	return deadline == 0 || from_us + after_us < deadline ? from_us + after_us : deadline;
}

/* after_us 0: never. */
static bool
passed(uint64_t from_us, uint64_t after_us, uint64_t now)
{
	return after_us != 0 && now >= from_us + after_us;
}

/* After a cancel of ours went unheard for so long the server is given up. */
static uint64_t
query_limit(const struct session *s)
{
	uint64_t limit = limits(s)->query_timeout_us;
	uint64_t more = s->shard->conf->cancel_wait_timeout_us;

	if (!s->relay.cancel_sent)
		return limit;
	return more > 0 ? limit + more : 0;
}

void
session_watch_time(struct session *s, uint64_t since_us)
{
	const struct conf_limits *l = limits(s);
	uint64_t d = 0;

	/* Streaming is one query that never ends. */
	if (s->replicate != NULL && s->state == SESSION_ACTIVE)
		d = 0;
	else if (s->state == SESSION_WAITING || s->state == SESSION_LOGIN_WAIT)
	{
		d = sooner(0, since_us, l->query_wait_timeout_us);
		if (s->state == SESSION_WAITING && !s->notified)
			d = sooner(d, since_us, s->shard->conf->query_wait_notify_us);
	}
	else if (s->state == SESSION_IDLE ||
			 (s->relay.server->tx.status == 'I' && s->relay.request_us == 0))
		d = sooner(0, since_us, l->client_idle_timeout_us);
	else if (s->relay.request_us != 0)
		d = sooner(0, s->relay.request_us, query_limit(s));
	else
		d = sooner(0, since_us, l->idle_transaction_timeout_us);
	if (s->replicate == NULL && s->state == SESSION_ACTIVE)
		d = sooner(d, s->relay.xact_us, l->transaction_timeout_us);
	if (d != s->deadline_us)
		session_deadline(s, d);
}

/* ---- the end ---- */

void
session_free_if_done(struct session *s)
{
	if (s->busy > 0 || s->mail_coming)
		return;
	params_fini(&s->params);
	welcome_release(&s->welcome);
	relay_fini(&s->relay);
	replicate_free(s->replicate);
	if (s->pool != NULL)
		registry_leave(s->pool);
	console_free(s->console);
	free(s->database);
	free(s->user);
	free(s);
}

/*
 * A linked server goes back when nothing stands open on it, else it is brought to rest first. With
 * cancel what it runs is not waited for.
 */
static void
drop_server(struct session *s, bool cancel)
{
	struct server *server = s->relay.server;
	bool reset = s->mode == POOL_SESSION || s->shard->conf->server_reset_query_always;

	if (server == NULL)
		return;
	cancel_drop_held(s->shard, server);
	relay_abandon(&s->relay);
	if (s->replicate != NULL)
		server_close(server, "its client has left", true);
	else if (!server->statements_lost && txstate_releasable(&server->tx) && server->left == 0 &&
			 !server->partial_in && buf_len(&server->conn.in) == 0 && !conn_blocked(&server->conn))
		server_release(server, reset);
	else
		abandon_start(s->shard, server, cancel);
}

void
session_forget_secret(struct session *s)
{
	if (s->secret != NULL)
		OPENSSL_cleanse(s->secret, strlen(s->secret));
	free(s->secret);
	s->secret = NULL;
}

static void
leave(struct session *s)
{
	struct shard *shard = s->shard;

	ev_timer_stop(shard->loop.ev, &s->timer);
	auth_free(s->auth);
	s->auth = NULL;
	lookup_cancel(&s->lookup);
	session_forget_secret(s);
	replicate_hang_up(s->replicate);
	registry_remove(shard, &s->slot);
	OPENSSL_cleanse(s->key, sizeof(s->key));
	walk_leaving(&shard->walks, &s->node);
	list_remove(&s->node);
	conn_uncork(&s->conn);
	/* Who has taken leave waits for nothing more. */
	if (!s->said_goodbye || s->conn.tls != NULL)
		conn_linger(&s->conn);
	conn_close(&s->conn);
	if (s->pool != NULL)
		pool_session_count(s->pool, -1);
	throttle_leave(&s->throttle, s->limits == NULL ? NULL : &s->limits->now, shard->conf_serial,
				   s->relay.n_queries);
	client_limits_leave(&shard->client_limits, &s->limits);
	for (int i = 0; i < 2; i++)
	{
		if (s->client_of[i] != NULL)
			quota_give_client(s->client_of[i]);
		registry_quota_leave(shard->registry, &s->client_of[i]);
	}
	if (s->counted)
		atomic_fetch_sub(&shard->registry->n_clients, 1);
	atomic_fetch_sub(&shard->n_sessions, 1);
}

void
session_end(struct session *s, const struct pgw_error *error, const char *log_reason)
{
	struct shard *shard = s->shard;
	struct pool_todo todo;
	uint8_t mem[1024];
	struct pgwriter w;
	char label[200];
	bool waits;

	if (s->state == SESSION_CLOSING)
		return;
	waits = s->state == SESSION_WAITING || s->state == SESSION_LOGIN_WAIT;
	if (shard->conf->log_disconnections)
		log_info("%s: closing: %s", session_label(s, label, sizeof(label)), log_reason);
	if (shard->conf->log_pooler_errors && error != NULL)
		log_warning("%s: pooler error: %s", session_label(s, label, sizeof(label)), error->message);
	if (error != NULL)
	{
		meter_error(s->relay.meter, error->sqlstate);
		if (s->state == SESSION_GREETING || s->state == SESSION_LOGIN_WAIT)
			s->relay.stats->failed_login_count++;
		pgw_init(&w, mem, sizeof(mem));
		pgw_error(&w, error);
		if (!w.overflow && !relay_client_inside(&s->relay))
			conn_send(&s->conn, w.mem, w.len);
	}
	drop_server(s, !s->said_goodbye);
	if (s->checking != NULL)
		server_check_forget(s->checking);
	leave(s);
	session_set_state(s, SESSION_CLOSING);
	if (waits)
	{
		/* With mail under way its arrival frees the session (P7). */
		s->mail_coming = !pool_leave(s->pool, &s->waiter, clock_now_us(), &todo);
		server_todo(shard, s->pool, NULL, &todo);
	}
	session_free_if_done(s);
}

void
session_fatal(struct session *s, const char *sqlstate, const char *message)
{
	const struct pgw_error e = {.severity = "FATAL", .sqlstate = sqlstate, .message = message};

	session_end(s, &e, message);
}

/* ---- time ---- */

bool
session_answered(struct session *s)
{
	s->busy--;
	if (s->state == SESSION_GREETING)
		session_end(s, NULL, "cancel request");
	else if (s->state != SESSION_CLOSING)
		return true;
	else
		session_free_if_done(s);
	return false;
}

/* The cancel of a query_timeout has ended: from now on it can hit nothing any more. */
static void
cancel_ended(void *arg)
{
	struct session *s = arg;

	if (s->state != SESSION_CLOSING)
		conn_read_start(&s->conn);
	session_answered(s);
}

/* query_timeout: the query is cancelled, client and server stay. */
static void
cancel_query(struct session *s)
{
	static const struct pgw_error text = {
		.severity = "ERROR",
		.sqlstate = "57014",
		.message = "canceling statement due to query_timeout",
	};

	s->relay.stats->query_timeout_count++;
	s->relay.cancel_sent = true;
	s->relay.cancelled = &text;
	s->busy++;
	cancel_start(s->shard, s->relay.server, CANCEL_SPARE_SETTINGS | CANCEL_INSIST, cancel_ended, s);
	session_watch_time(s, clock_now_us());
}

/* query_wait_notify: why it takes so long. Nothing else is under way to a client that waits. */
static void
notify_waiting(struct session *s)
{
	static const struct pgw_error text = {
		.severity = "NOTICE",
		.sqlstate = "00000",
		.message = "No server connection available in postgres backend, client being queued",
	};
	uint8_t mem[256];
	struct pgwriter w;

	s->notified = true;
	pgw_init(&w, mem, sizeof(mem));
	pgw_notice(&w, &text);
	if (conn_send(&s->conn, w.mem, w.len))
		session_watch_time(s, s->waiter.since_us);
	else
		session_end(s, NULL, "client connection lost while waiting");
}

/* The limit that `count` counts is over. */
static void
time_over(struct session *s, uint64_t *count, const char *sqlstate, const char *message)
{
	(*count)++;
	session_fatal(s, sqlstate, message);
}

/* The deadline has passed; which one is told by the state. */
static void
expired(struct session *s)
{
	struct stats *stats = s->relay.stats;
	uint64_t now = clock_now_us();

	switch (s->state)
	{
		case SESSION_GREETING:
			time_over(s, &stats->client_login_timeout_count, "08P01", "client_login_timeout");
			break;
		case SESSION_LOGIN_WAIT:
		case SESSION_WAITING:
			if (s->state == SESSION_LOGIN_WAIT || s->notified ||
				passed(s->waiter.since_us, limits(s)->query_wait_timeout_us, now))
				time_over(s, &stats->query_wait_timeout_count, "08P01", "query_wait_timeout");
			else
				notify_waiting(s);
			break;
		case SESSION_IDLE:
			time_over(s, &stats->client_idle_timeout_count, "57P05", "client_idle_timeout");
			break;
		case SESSION_ACTIVE:
			if (s->relay.server->tx.status == 'I' && s->relay.request_us == 0)
				time_over(s, &stats->client_idle_timeout_count, "57P05", "client_idle_timeout");
			else if (s->relay.xact_us != 0 &&
					 passed(s->relay.xact_us, limits(s)->transaction_timeout_us, now))
				time_over(s, &stats->transaction_timeout_count, "25P04", "transaction timeout");
			else if (s->relay.request_us == 0)
				time_over(s, &stats->idle_transaction_timeout_count, "25P03",
						  "idle transaction timeout");
			else if (s->relay.cancel_sent)
				session_fatal(s, "57014",
							  "query_timeout: the server does not answer the cancel request");
			else
				cancel_query(s);
			break;
		default:
			break;
	}
}

static void
timer_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct session *s = w->data;

	(void) ev;
	(void) revents;
	if (s->deadline_us == 0)
		return;
	if (clock_now_us() < s->deadline_us)
		session_deadline(s, s->deadline_us);
	else
		expired(s);
}

/* ---- cancel requests ---- */

/* A request of the client's is outstanding. What we ask ourselves is not meant by any cancel, and
 * the request that comes behind it is not there yet. */
static bool
client_asks(const struct txstate *tx)
{
	const struct tx_request *request;

	for (uint32_t i = 0; (request = txstate_request(tx, i)) != NULL; i++)
		if (request->action == TX_FORWARD)
			return true;
	return false;
}

bool
session_cancel(struct session *s, void (*done)(void *arg), void *arg)
{
	struct server *server = s->relay.server;

	if (s->state != SESSION_ACTIVE || !client_asks(&server->tx))
		return false;
	cancel_start(s->shard, server, CANCEL_SPARE_SETTINGS, done, arg);
	return true;
}

struct session *
session_new(struct shard *shard, int fd, const struct peer_addr *peer,
			void (*on_event)(struct conn *, int))
{
	struct session *s = mem_zalloc(sizeof(*s));
	char host[PEER_ADDR_TEXT_MAX];
	int port;

	s->shard = shard;
	s->state = SESSION_GREETING;
	s->id = atomic_fetch_add(&shard->registry->next_id, 1) + 1;
	s->connected_us = clock_now_us();
	s->connected_wall_us = clock_wall_us();
	s->request_wall_us = s->connected_wall_us;
	peer_addr_text(&peer->ss, host, sizeof(host), &port);
	str_copy(s->addr, sizeof(s->addr), host);
	s->port = (uint16_t) port;
	params_init(&s->params);
	list_init(&s->node);
	mail_init(&s->mail);
	list_init(&s->waiter.node);
	s->waiter.loop = shard->loop.index;
	relay_init(&s->relay);
	s->relay.client = &s->conn;
	s->relay.params = &s->params;
	s->relay.stats = &shard->no_pool->now;
	s->relay.meter = &shard->no_pool_meter;
	ev_timer_init(&s->timer, timer_event, 0., 0.);
	s->timer.data = s;
	list_append(&shard->sessions, &s->node);
	conn_open(&s->conn, &shard->loop, fd, on_event);
	session_trace(s, "connected");
	return s;
}
