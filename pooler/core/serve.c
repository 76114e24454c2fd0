/*
 * serve.c - see serve.h.
 *
 * The happy path of a query in transaction mode: client_event() -> idle_input() -> take_server() ->
 * relay_from_client(); server_event() -> relay_from_server() -> RELAY_RELEASABLE -> give_server().
 * Without a free server the bytes are kept, the session waits, and granted() goes on where it was.
 *
 * Failure: whatever the relay found wrong ends the session (after_relay()), which takes care of the
 * server.
 *
 * Mail (P7): granted() may find the session CLOSING, refused, or QUEUED still, in which case it was
 * woken to start a login.
 */
#include "core/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "conf/conf.h"
#include "core/cancel.h"
#include "core/refuse.h"
#include "core/registry.h"
#include "core/relay.h"
#include "core/replicate.h"
#include "core/serve_close.h"
#include "core/serve_front.h"
#include "core/serve_pool.h"
#include "core/serve_prefix.h"
#include "core/server.h"
#include "core/server_own.h"
#include "core/serve_waiting.h"
#include "core/session.h"
#include "core/welcome.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

static void server_event(struct conn *c, int revents);
static void client_event(struct conn *c, int revents);
static void post_grant(struct pool_waiter *w);
static void go_on_with_saved(struct session *s);

/* For a server, or for what the pool's first one says of itself. */
static void
waited(struct session *s, uint64_t us)
{
	s->relay.stats->wait_time += us;
	meter_time(s->relay.meter, METER_WAIT, us);
}

/* waited_us: for it. */
static void
attach(struct session *s, struct server *server, uint64_t waited_us)
{
	s->relay.server = server;
	s->relay.request_us = s->relay.xact_us = 0;
	s->relay.cancelled = NULL;
	s->relay.cancel_sent = s->relay.held = false;
	s->relay.max_statement = s->limits->now.max_statement_length;
	s->relay.no_simple = s->shard->conf->disable_pqexec;
	s->relay.stats->server_assignment_count++;
	waited(s, waited_us);
	session_set_state(s, SESSION_ACTIVE);
	server_attach(server, s->shard, server_event, s);
	session_trace(s, "has");
}

static void
back_to_idle(struct session *s)
{
	s->relay.request_us = s->relay.xact_us = 0;
	session_set_state(s, SESSION_IDLE);
	conn_read_start(&s->conn);
	session_watch_time(s, clock_turn_us());
}

/* The server goes back to the pool; the session is idle again. */
static void
give_server(struct session *s)
{
	struct server *server = s->relay.server;

	session_trace(s, "gives back");
	s->relay.server = NULL;
	cancel_drop_held(s->shard, server);
	server_release(server, s->shard->conf->server_reset_query_always);
	back_to_idle(s);
}

/* The session's server is of no use any more. */
static void
lose_server(struct session *s, const char *reason)
{
	struct server *server = s->relay.server;

	cancel_drop_held(s->shard, server);
	relay_abandon(&s->relay);
	server_close(server, reason, false);
}

/* What the relay found ends the session. */
static void
relay_failed(struct session *s, enum relay_end end)
{
	struct pgw_error e = {
		.severity = "FATAL", .sqlstate = s->relay.sqlstate, .message = s->relay.text};

	switch (end)
	{
		case RELAY_TERMINATE:
			s->said_goodbye = true;
			session_end(s, NULL, "client close request");
			break;
		case RELAY_CLIENT_LOST:
			session_end(s, NULL, "client connection lost");
			break;
		case RELAY_CLIENT_BAD:
			session_fatal(s, "08P01", "invalid message from client");
			break;
		case RELAY_SERVER_LOST:
			lose_server(s, "connection lost");
			session_fatal(s, "08006", "server connection lost");
			break;
		case RELAY_SERVER_BAD:
			lose_server(s, "invalid message from server");
			session_fatal(s, "08P01", "invalid message from server");
			break;
		case RELAY_SIMPLE_FORBIDDEN:
			session_fatal(s, "0A000", "PQexec disallowed");
			break;
		case RELAY_SETTING_REFUSED:
			session_end(s, &e, s->relay.text);
			break;
		case RELAY_GO_ON:
		case RELAY_RELEASABLE:
		case RELAY_DOUBTFUL:
			break;
	}
}

/* Acts on what the relay found. False when the session is gone. */
static bool
after_relay(struct session *s, enum relay_end end)
{
	if (end > RELAY_DOUBTFUL)
	{
		relay_failed(s, end);
		return false;
	}
	if (end == RELAY_RELEASABLE && s->mode != POOL_SESSION && !relay_keeps_server(&s->relay))
		give_server(s);
	else if (end == RELAY_DOUBTFUL && s->mode != POOL_SESSION && !sticky_pinned(&s->relay.sticky))
	{
		lose_server(s, "a failed COPY leaves open whether it has answered everything");
		back_to_idle(s);
	}
	else if (end == RELAY_RELEASABLE && serve_close_due(s))
	{
		serve_close(s);
		return false;
	}
	else
		session_watch_time(s, clock_turn_us());
	return true;
}

/* Bytes of a client that has a server. */
static void
client_input(struct session *s, const uint8_t *p, size_t n)
{
	if (serve_front_asks(s) && !serve_front_rest(s, &p, &n))
		return;
	s->request_wall_us = clock_turn_wall_us();
	s->relay.max_statement = s->limits->now.max_statement_length;
	after_relay(
		s, relay_from_client(&s->relay, p, n, NULL, (uint32_t) s->shard->conf->max_packet_size));
}

/* Sends the first bytes to a server just attached. */
static void
begin(struct session *s, const uint8_t *p, size_t n)
{
	uint8_t mem[SERVE_PREFIX_MAX + 16];
	struct relay_prefix prefix = {.bytes = mem};
	int len = serve_prefix(s, mem, sizeof(mem));

	if (len < 0)
	{
		session_fatal(s, "22023",
					  "a session parameter is too long to be carried to another server");
		return;
	}
	prefix.len = (size_t) len;
	after_relay(
		s, relay_from_client(&s->relay, p, n, &prefix, (uint32_t) s->shard->conf->max_packet_size));
}

/*
 * An idle server that has nothing to say, or NULL: the session is queued, or the queue is *full
 * (NULL: it has been waiting, and is not shed). *p and *n are the client's bytes, which must be
 * kept where another read on this loop comes in between; NULL: they are saved.
 */
static struct server *
take_server(struct session *s, const uint8_t **p, size_t *n, bool *full)
{
	uint64_t now = clock_turn_us();

	for (;;)
	{
		struct pool_todo todo;
		struct pool_member *m = full != NULL ? pool_checkout(s->pool, &s->waiter, now, &todo)
											 : pool_checkout_again(s->pool, &s->waiter, now, &todo);
		struct server *server = m == NULL ? NULL : server_of(m);
		bool fresh = server != NULL && server_fresh(server, &todo);
		uint8_t *saved = NULL;

		if (full != NULL)
			*full = todo.full;
		server_todo(s->shard, s->pool, server, &todo);
		if (server == NULL || (fresh && !server_is_stale(server)))
			return server;
		if (p != NULL)
			conn_save(&s->conn, *p, *n);
		if (fresh)
			server_retire(server, s->shard);
		else
			server_look_into(server, s->shard);
		if (p != NULL && conn_saved(&s->conn, &saved, n))
			*p = saved;
	}
}

static void check_server(struct session *s, struct server *server);

/* What the session waited for. */
static void
waited_for(struct session *s, struct server *server)
{
	uint8_t *p;
	size_t n;

	attach(s, server, clock_turn_us() - s->waiter.since_us);
	conn_read_start(&s->conn);
	if (conn_saved(&s->conn, &p, &n))
		begin(s, p, n);
}

/* What it waited for was dead: another one, or it waits on, in its old place. */
static void
ask_again(struct session *s)
{
	struct server *server = take_server(s, NULL, NULL, NULL);

	if (server == NULL)
		return;
	if (server_check_due(server, s->shard->conf, clock_turn_us()))
		check_server(s, server);
	else
		waited_for(s, server);
}

static void
checked(void *arg, bool alive)
{
	struct session *s = arg;
	struct server *server = s->checking;

	s->checking = NULL;
	if (alive)
		waited_for(s, server);
	else
		ask_again(s);
}

static void
check_server(struct session *s, struct server *server)
{
	s->checking = server;
	server_check_start(server, s->shard, checked, s);
}

/* Bytes of a client that has no server. */
static void
idle_input(struct session *s, const uint8_t *p, size_t n)
{
	struct server *server;
	struct pgmsg m;
	bool gone;
	bool full;

	while (serve_front_request(s, &p, &n, &m, &gone))
	{
		s->request_wall_us = clock_turn_wall_us();
		if (s->conf_serial != s->shard->conf_serial)
			serve_follow_conf(s);
		server = take_server(s, &p, &n, &full);
		if (server != NULL && !server_check_due(server, s->shard->conf, clock_turn_us()))
		{
			attach(s, server, 0);
			begin(s, p, n);
			return;
		}
		if (!full)
		{
			conn_save(&s->conn, p, n);
			if (server != NULL)
				s->waiter.since_us = clock_turn_us();
			session_set_state(s, SESSION_WAITING);
			session_watch_time(s, s->waiter.since_us);
			if (server != NULL)
				check_server(s, server);
			return;
		}
		if (!refuse_request(s, &m, refuse_full_queue()))
			return;
		s->relay.client_left = m.total;
	}
	if (gone)
		return;
	conn_save(&s->conn, p, n);
	session_watch_time(s, clock_turn_us());
}

/* ---- greeting ---- */

/* Bytes that came while the session waited, or behind its startup packet. */
static void
go_on_with_saved(struct session *s)
{
	uint8_t nothing = 0;
	uint8_t *p = &nothing;
	size_t n = 0;
	bool saved = conn_saved(&s->conn, &p, &n);

	conn_read_start(&s->conn);
	if (s->state == SESSION_IDLE && saved)
		idle_input(s, p, n);
	else if (s->state == SESSION_ACTIVE && (saved || s->relay.held))
		client_input(s, p, n);
}

/* Logged in: AuthenticationOk has been sent; the rest of what PostgreSQL says at start follows.
 * own: what the session's own server said, NULL for the pool's. */
static void
greet(struct session *s, const struct buf *own)
{
	struct buf out;
	uint8_t mem[SESSION_KEY_MAX + 32];
	struct pgwriter w;
	char label[200];
	bool sent;

	s->key_len = s->minor >= 2 ? SESSION_KEY_MAX : 4;
	if (!random_bytes(s->key, s->key_len))
	{
		session_fatal(s, "58000", "no random numbers for the cancel key");
		return;
	}
	registry_add(s->shard, &s->slot, s->key);
	buf_init(&out);
	if (own != NULL)
		buf_append(&out, buf_data(own), buf_len(own));
	else if (sticky_greet(&s->relay.sticky, &s->params, &s->welcome->params))
		welcome_write(s->welcome, &s->params, &out);
	else
	{
		session_fatal(s, "22023", "startup parameters are too long to be kept");
		return;
	}
	pgw_init(&w, mem, sizeof(mem));
	pgw_backend_key(&w, s->slot.pid, s->key, s->key_len);
	buf_append(&out, w.mem, w.len);
	welcome_notify(s->shard->conf->login_notify_message, &out);
	pgw_init(&w, mem, sizeof(mem));
	pgw_ready(&w, 'I');
	buf_append(&out, w.mem, w.len);
	sent = conn_send(&s->conn, buf_data(&out), buf_len(&out)) && conn_uncork(&s->conn);
	buf_fini(&out);
	if (!sent)
	{
		session_end(s, NULL, "client connection lost");
		return;
	}
	s->relay.stats->client_login_count++;
	if (s->shard->conf->log_connections)
		log_info("%s: login", session_label(s, label, sizeof(label)));
	session_set_state(s, SESSION_IDLE);
	conn_hold(&s->conn, s->shard->suspended);
	if (own != NULL)
		attach(s, s->relay.server, 0);
	session_watch_time(s, clock_turn_us());
	go_on_with_saved(s);
}

static void
own_server(void *arg, const struct buf *welcome, const struct pgw_error *error)
{
	struct session *s = arg;

	if (error != NULL)
		session_end(s, error, "no server for replication");
	else
		greet(s, welcome);
}

/* The server that a session waited for before it could be greeted. */
static void
first_server(struct session *s, struct server *server)
{
	if (s->replicate != NULL)
	{
		server_own_take(server, s->shard);
		s->relay.server = server;
		replicate_dial(s->replicate, server, own_server, s);
		return;
	}
	server_attach(server, s->shard, NULL, NULL);
	server_release(server, false);
	s->welcome = welcome_take(registry_welcome(s->pool));
	greet(s, NULL);
}

void
serve_start(struct session *s, struct pool *pool)
{
	struct server *server;
	bool full;

	s->limits = client_limits_join(&s->shard->client_limits, s->shard->conf, s->database, s->user);
	s->mode = s->replicate != NULL ? POOL_SESSION : s->limits->now.pool_mode;
	s->relay.shared = s->mode != POOL_SESSION;
	s->relay.rewrite.id = s->id;
	s->relay.rewrite.max = (size_t) s->shard->conf->max_prepared_statements;
	s->relay.rewrite.on = s->mode != POOL_SESSION && s->relay.rewrite.max > 0;
	if (s->mode != POOL_SESSION)
		sticky_init(&s->relay.sticky, &s->limits->now);
	s->conn.on_event = client_event;
	s->waiter.wake = post_grant;
	serve_join_pool(s, pool);
	if (s->replicate == NULL && (s->welcome = welcome_take(registry_welcome(pool))) != NULL)
	{
		greet(s, NULL);
		return;
	}
	/* Nobody has logged in yet, so there is nothing to greet with; or its server is its own. */
	if (!conn_uncork(&s->conn))
	{
		session_end(s, NULL, "client connection lost");
		return;
	}
	session_set_state(s, SESSION_LOGIN_WAIT);
	server = take_server(s, NULL, NULL, &full);
	if (full)
		session_fatal(s, refuse_full_queue()->sqlstate, refuse_full_queue()->message);
	else if (server == NULL)
		session_watch_time(s, s->waiter.since_us);
	else
		first_server(s, server);
}

/* ---- events ---- */

/* What the mail brings to a session that is not there any more. */
static void
return_grant(struct session *s, struct pool_member *m)
{
	if (m != NULL && s->replicate != NULL)
	{
		server_own_take(server_of(m), s->shard);
		server_close(server_of(m), "its client has left", false);
	}
	else if (m != NULL)
	{
		server_attach(server_of(m), s->shard, NULL, NULL);
		server_release(server_of(m), false);
	}
	s->mail_coming = false;
	session_free_if_done(s);
}

static void
granted(struct mail *mail)
{
	struct session *s = list_entry(mail, struct session, mail);
	struct pool_member *m;
	struct pool_todo todo;
	uint64_t now = clock_turn_us();
	enum waiter_state state = pool_waiter_woken(s->pool, &s->waiter, now, &m, &todo);

	server_todo(s->shard, s->pool, NULL, &todo);
	if (s->state == SESSION_CLOSING)
		return_grant(s, m);
	else if (state == WAITER_REFUSED)
		refuse_session(s);
	else if (state == WAITER_GRANTED && s->state == SESSION_LOGIN_WAIT)
	{
		waited(s, now - s->waiter.since_us);
		first_server(s, server_of(m));
	}
	else if (state == WAITER_GRANTED && server_arrived(server_of(m), s->shard))
		waited_for(s, server_of(m));
	else if (state == WAITER_GRANTED)
	{
		server_look_into(server_of(m), s->shard);
		ask_again(s);
	}
}

/* Called by whichever thread grants. */
static void
post_grant(struct pool_waiter *w)
{
	struct session *s = list_entry(w, struct session, waiter);

	loop_post(&s->shard->loop, &s->mail, granted);
}

static void
client_readable(struct session *s)
{
	uint8_t *p;
	size_t n;
	enum conn_io io = conn_recv(&s->conn, &p, &n);

	if (io == CONN_AGAIN)
		return;
	if (io != CONN_OK)
	{
		session_end(s, NULL, io == CONN_EOF ? "client unexpected eof" : strerror(errno));
		return;
	}
	if (s->state == SESSION_IDLE)
	{
		idle_input(s, p, n);
		return;
	}
	client_input(s, p, n);
}

static void
client_event(struct conn *c, int revents)
{
	struct session *s = list_entry(c, struct session, conn);

	/* Drained: the server may be read again. */
	if ((revents & EV_WRITE) != 0 && s->relay.server != NULL)
		conn_read_start(&s->relay.server->conn);
	if ((revents & EV_READ) == 0)
		return;
	if (s->state == SESSION_WAITING || s->state == SESSION_LOGIN_WAIT)
		serve_waiting_event(s);
	else if (s->state == SESSION_ACTIVE &&
			 (s->relay.held || (s->busy > 0 && txstate_quiet(&s->relay.server->tx))))
		conn_read_stop(&s->conn); /* a cancel of ours that came late must not hit the next query */
	else
		client_readable(s);
}

static void
server_event(struct conn *c, int revents)
{
	struct server *server = list_entry(c, struct server, conn);
	struct session *s = server->link;
	enum relay_end end;
	uint8_t *p;
	size_t n;
	enum conn_io io;

	if ((revents & EV_WRITE) != 0)
		conn_read_start(&s->conn);
	if ((revents & EV_READ) == 0)
		return;
	io = conn_recv(c, &p, &n);
	if (io == CONN_AGAIN)
		return;
	if (io != CONN_OK)
	{
		lose_server(s, io == CONN_EOF ? "closed by PostgreSQL" : strerror(errno));
		session_fatal(s, "08006", "server conn crashed?");
		return;
	}
	server->heard++;
	end = relay_from_server(&s->relay, p, n);
	if (s->mode == POOL_STATEMENT && server->tx.status != 'I' && txstate_quiet(&server->tx))
	{
		session_fatal(s, "08P01", "transaction blocks not allowed in statement pooling mode");
		return;
	}
	if (!after_relay(s, end))
		return;
	if (s->state != SESSION_IDLE && server->n_cancels > 0)
		cancel_go_on(s->shard, server);
	if (s->state == SESSION_IDLE || s->relay.held)
		go_on_with_saved(s);
}
