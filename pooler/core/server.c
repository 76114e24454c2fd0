/*
 * server.c - see server.h.
 *
 * The happy path: core/server_login.c logs in and calls server_logged_in(), and from then on
 * attach, release, give_back in turn. Failure: every way out ends in server_close(), which tells
 * the pool; the pool says whether another login should start in its place.
 *
 * Who may touch a server: its owner (P3). While idle that is the pool, and only its home loop's
 * park watcher looks at the socket. After give_back() has handed the member to the pool or to
 * another loop, nothing of it is touched here but the park watcher of the own loop.
 *
 * An idle server that says something: ParameterStatus, Notice and Notification are taken in and it
 * goes back; anything else, and end of file, ends it.
 */
#include "core/server.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/registry.h"
#include "core/walk.h"
#include "net/dns.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

#define RESET_LIMIT_US 10000000

static void give_back(struct server *s);
static void send_park_mail(struct server *s, struct shard *to);
static void park_event(struct ev_loop *ev, ev_io *w, int revents);

/* ---- small things ---- */

const char *
server_label(const struct server *s, char *text, size_t cap)
{
	snprintf(text, cap, "s%llu %s/%s", (unsigned long long) s->id, s->member.pool->database,
			 s->member.pool->user);
	return text;
}

bool
server_parameter(struct server *s, const uint8_t *body, size_t n, int *changed)
{
	struct pgreader r;
	const char *name;
	const char *value;

	pgr_init(&r, body, n);
	name = pgr_cstr(&r);
	value = pgr_cstr(&r);
	if (r.bad)
		return false;
	*changed = params_find(name);
	if (*changed >= 0)
		params_set(&s->params, *changed, value);
	return true;
}

struct server *
server_new(struct shard *shard, uint64_t id)
{
	struct server *s = mem_zalloc(sizeof(*s));

	s->id = id;
	s->shard = shard;
	s->connected_wall_us = s->request_wall_us = clock_wall_us();
	list_init(&s->node);
	mail_init(&s->park_mail);
	loop_io_init(&s->park, NULL, -1, 0);
	txstate_init(&s->tx);
	return s;
}

void
server_destroy(struct server *s)
{
	conn_close(&s->conn);
	params_fini(&s->params);
	if (s->tx.queue != s->tx.inline_queue)
		free(s->tx.queue);
	settings_fini(&s->settings);
	stmt_cache_clear(&s->statements);
	if (s->key != NULL)
		OPENSSL_cleanse(s->key, s->key_len);
	free(s->key);
	free(s->host);
	free(s->host_name);
	free(s);
}

/* ---- what pools ask for ---- */

static void
park_mail_arrived(struct mail *mail)
{
	struct server *s = list_entry(mail, struct server, park_mail);
	struct pool *pool = s->member.pool;
	struct pool_todo todo;

	struct shard *here = s->park_mail_to;

	/* Before the pool knows: as soon as it does, the next owner may arm the watcher anew. */
	if (s->park.data == here)
		ev_io_stop(here->loop.ev, &s->park);
	pool_park_mail(&s->member, here->loop.index, &todo);
	if (todo.mail_home != POOL_NO_LOOP)
	{
		send_park_mail(s, &here->registry->shards[todo.mail_home]);
		return;
	}
	server_todo(here, pool, s, &todo);
}

static void
send_park_mail(struct server *s, struct shard *to)
{
	s->park_mail_to = to;
	loop_post(&to->loop, &s->park_mail, park_mail_arrived);
}

static void
start_park(struct shard *shard, struct server *s)
{
	if (s->park.data != shard)
	{
		/* Another loop's epoll set: force the registration. */
		loop_io_init(&s->park, park_event, s->conn.fd, EV_READ);
		s->park.data = shard;
	}
	ev_io_start(shard->loop.ev, &s->park);
	server_timers_reap(shard, s);
}

void
server_unlist(struct server *s)
{
	walk_leaving(&s->shard->walks, &s->node);
	list_remove(&s->node);
}

void
server_todo(struct shard *shard, struct pool *pool, struct server *s, const struct pool_todo *todo)
{
	if (todo->unpark)
		ev_io_stop(shard->loop.ev, &s->park);
	if (todo->mail_home != POOL_NO_LOOP)
		send_park_mail(s, &shard->registry->shards[todo->mail_home]);
	if (todo->park)
		start_park(shard, s);
	if (todo->destroy)
		server_destroy(s);
	if (todo->wake != NULL)
		todo->wake->wake(todo->wake);
	if (todo->retry_us > 0)
		server_timers_retry(shard, pool, todo->retry_us);
	if (todo->reserve_us > 0)
		server_timers_reserve(shard, pool, todo->reserve_us);
	if (todo->refill_us > 0)
		server_timers_refill(shard, pool, todo->refill_us);
	if (todo->dial)
		shard->registry->start_login(shard, pool);
	if (todo->freed != 0 || todo->blocked != NULL)
		server_places(shard, pool, todo);
}

/* ---- the end ---- */

void
server_close(struct server *s, const char *reason, bool polite)
{
	struct shard *shard = s->shard;
	struct pool *pool = s->member.pool;
	uint8_t bye[8];
	struct pgwriter w;
	void (*checked)(void *, bool) = s->checked;
	void *checked_arg = s->checked_arg;
	struct pool_todo todo;
	char label[160];

	s->checked = NULL;
	log_info("%s: server closed: %s", server_label(s, label, sizeof(label)), reason);
	if (polite && s->conn.fd >= 0 && !s->partial_in && !conn_blocked(&s->conn))
	{
		pgw_init(&w, bye, sizeof(bye));
		pgw_terminate(&w);
		conn_send(&s->conn, w.mem, w.len);
	}
	s->link = NULL;
	ev_timer_stop(shard->loop.ev, &s->reset_timer);
	server_unlist(s);
	conn_leave(&s->conn);
	if (s->n_cancels > 0)
	{
		/* A cancel that is on its way still points here; the slot stays taken until it has ended
		 * (P8). */
		pool_member_state(&s->member, MEMBER_CANCELLING);
		s->closed = true;
		shutdown(s->conn.fd, SHUT_RDWR);
		list_append(&shard->servers, &s->node);
		return;
	}
	if (polite)
		pool_discard(&s->member, clock_now_us(), &todo);
	else
		pool_lost(&s->member, clock_now_us(), &todo);
	/* With park mail under way the descriptor stays open until its handler has stopped the watcher.
	 */
	server_todo(shard, pool, s, &todo);
	if (checked != NULL)
		checked(checked_arg, false);
}

/* ---- back to the pool ---- */

/* Waits for its session's mail on the same loop; level-triggered events come again then. */
static void
granted_event(struct conn *c, int revents)
{
	(void) revents;
	list_entry(c, struct server, conn)->spoke = true;
}

static bool
too_old(const struct server *s, uint64_t now)
{
	const struct pool_local *local = registry_local(s->shard, s->member.pool);

	/* A lifetime of 0 means: use once. So the first return, from its login, never counts. */
	return s->member.state != MEMBER_LOGIN &&
		   now >= s->member.born_us + local->limits.server_lifetime_us;
}

/* The name of its host stands for other addresses than the one it is connected to. */
static bool
has_moved(struct server *s)
{
	uint32_t moves = dns_moves();

	if (s->moves_seen == moves)
		return false;
	s->moves_seen = moves;
	return s->host_name != NULL && !dns_stands_for(s->host_name, s->host);
}

static void
give_back(struct server *s)
{
	struct shard *shard = s->shard;
	struct pool *pool = s->member.pool;
	uint64_t now = clock_turn_us();
	struct pool_todo todo;

	if (too_old(s, now))
	{
		server_close(s, "server_lifetime", true);
		return;
	}
	if (has_moved(s))
	{
		server_close(s, "its host has moved to another address", true);
		return;
	}
	ev_timer_stop(shard->loop.ev, &s->reset_timer);
	conn_leave(&s->conn);
	server_unlist(s);
	s->link = NULL;
	s->conn.on_event = granted_event;
	pool_checkin(&s->member, shard->loop.index, now, &todo);
	if (todo.close)
	{
		list_append(&shard->servers, &s->node);
		server_close(s, "no place in the pool any more", true);
		return;
	}
	/* Granted on this loop: keep the watcher, so that the hand-over costs no system call. */
	if (todo.granted && todo.granted_loop == shard->loop.index)
		conn_move(&s->conn, &shard->loop);
	server_todo(shard, pool, s, &todo);
}

void
server_attach(struct server *s, struct shard *shard, void (*on_event)(struct conn *, int),
			  void *link)
{
	s->shard = shard;
	s->link = link;
	s->conn.on_event = on_event;
	s->request_wall_us = clock_turn_wall_us();
	s->conn.held = link != NULL && shard->suspended;
	list_append(&shard->servers, &s->node);
	conn_move(&s->conn, &shard->loop);
}

void
server_forget_statements(struct server *s)
{
	stmt_cache_clear(&s->statements);
	s->statements_lost = false;
	s->unnamed_of = 0;
}

/* Takes in what a server says while no session has it. Answers to requests of ours complete them.
 */
static bool
take_in(struct server *s, const struct pgmsg *m, struct tx_reply *reply)
{
	int changed;

	if ((m->type == 'E' && txstate_quiet(&s->tx)) || pgmsg_is_farewell(m))
		return false;
	if (txstate_backend(&s->tx, m->type, m->body, m->body_len, reply) != TX_OK)
		return false;
	if (m->type == 'C' && m->whole && m->body_len == sizeof("DISCARD ALL") &&
		memcmp(m->body, "DISCARD ALL", sizeof("DISCARD ALL")) == 0)
	{
		server_forget_statements(s);
		settings_fini(&s->settings);
		s->state_doubt = false;
	}
	if (m->type == 'S')
		return server_parameter(s, m->body, m->body_len, &changed);
	return true;
}

static void
log_last_words(struct server *s, const struct pgmsg *m)
{
	struct pgerror e;
	char label[160];

	if ((m->type == 'E' || m->type == 'N') &&
		pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK)
		log_info("%s: server said: %s (%s)", server_label(s, label, sizeof(label)), e.message,
				 e.sqlstate);
}

/* What is being answered is connect_query, which stands last and may fail. */
static bool
is_connect_query(const struct server *s)
{
	return s->connects_anew && txstate_request(&s->tx, 1) == NULL;
}

/* Works off what a server says that no session has; when nothing is outstanding and no message
 * stands half-read, it goes back to the pool. */
static void
take_in_all(struct server *s, uint8_t *p, size_t n)
{
	struct tx_reply reply;
	struct pgmsg m;

	while (n > 0)
	{
		enum pgmsg_result r = pgmsg_peek(p, n, &m);

		if (r == PGMSG_NEED_MORE || (r == PGMSG_OK && !m.whole && m.total <= SERVER_MESSAGE_MAX))
			break;
		if (r == PGMSG_BAD || !m.whole || !take_in(s, &m, &reply))
		{
			if (r == PGMSG_OK && m.whole)
				log_last_words(s, &m);
			server_close(s, "unexpected message while not in use", false);
			return;
		}
		if (m.type == 'E' &&
			((s->member.state == MEMBER_RESETTING && !is_connect_query(s)) || s->checked != NULL))
		{
			server_close(
				s, s->checked != NULL ? "server_check_query failed" : "server_reset_query failed",
				true);
			return;
		}
		p += m.total;
		n -= m.total;
	}
	conn_save(&s->conn, p, n);
	if (n > 0 && (s->member.state == MEMBER_LOGIN || s->member.state == MEMBER_TESTED))
		server_timers_rest(s);
	if (n > 0 || s->n_cancels > 0 || s->member.state == MEMBER_CANCELLING ||
		!txstate_releasable(&s->tx))
		return;
	if (s->checked != NULL)
		server_check_over(s);
	else
		give_back(s);
}

/* Its socket had bytes for us, and TLS kept them for itself (a session ticket, a new key): who was
 * only looked into goes back. */
static void
nothing_said(struct server *s)
{
	if (s->conn.tls != NULL && s->member.state == MEMBER_TESTED && buf_len(&s->conn.in) == 0)
		take_in_all(s, NULL, 0);
}

/* LOGIN, RESETTING, TESTED, CANCELLING. */
static void
quiet_event(struct conn *c, int revents)
{
	struct server *s = list_entry(c, struct server, conn);
	uint8_t *p;
	size_t n;
	enum conn_io io = conn_recv(c, &p, &n);

	(void) revents;
	if (io == CONN_OK)
	{
		s->spoke = true;
		take_in_all(s, p, n);
	}
	else if (io == CONN_AGAIN)
		nothing_said(s);
	else
		server_close(s, io == CONN_EOF ? "closed by PostgreSQL" : strerror(errno), false);
}

void
server_logged_in(struct server *s, uint8_t *rest, size_t n)
{
	s->conn.on_event = quiet_event;
	take_in_all(s, rest, n);
}

static void
park_event(struct ev_loop *ev, ev_io *w, int revents)
{
	struct server *s = list_entry(w, struct server, park);
	struct shard *shard = w->data;

	ev_io_stop(ev, w);
	if (!pool_claim(&s->member, shard->loop.index))
		return; /* another loop owns it by now: read nothing, its mail is on the way */
	list_append(&shard->servers, &s->node);
	s->shard = shard;
	s->conn.on_event = quiet_event;
	conn_move(&s->conn, &shard->loop);
	quiet_event(&s->conn, revents);
}

void
server_look_after(struct server *s, struct shard *shard)
{
	server_attach(s, shard, quiet_event, NULL);
	pool_member_state(&s->member, MEMBER_TESTED);
}

void
server_look_into(struct server *s, struct shard *shard)
{
	server_look_after(s, shard);
	quiet_event(&s->conn, EV_READ);
}

static void
reset_timed_out(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	server_close(w->data, "server_reset_query does not end", false);
}

static void
start_reset(struct server *s)
{
	const struct conf *conf = s->shard->conf;
	const struct conf_database *db = conf_find_database(conf, s->member.pool->database);
	uint8_t mem[4096 + CONF_CONNECT_QUERY_MAX];
	struct pgwriter w;

	/* Whatever the query is, what was set is not what it was, unless it is DISCARD ALL; and a
	 * simple query ends the unnamed statement. */
	settings_spoil(&s->settings);
	s->unnamed_of = 0;
	pgw_init(&w, mem, sizeof(mem));
	pgw_query(&w, s->state_doubt ? "DISCARD ALL" : conf->server_reset_query);
	/* What it has set is gone too. */
	s->connects_anew = db != NULL && db->connect_query != NULL && db->connect_query[0] != '\0';
	if (s->connects_anew)
		pgw_query(&w, db->connect_query);
	if (w.overflow)
	{
		server_close(s, "server_reset_query is too long", true);
		return;
	}
	pool_member_state(&s->member, MEMBER_RESETTING);
	txstate_frontend(&s->tx, 'Q', TX_SWALLOW, 0);
	if (s->connects_anew)
		txstate_frontend(&s->tx, 'Q', TX_SWALLOW, 0);
	ev_timer_init(&s->reset_timer, reset_timed_out, 0., 0.);
	s->reset_timer.data = s;
	loop_after(&s->shard->loop, &s->reset_timer, RESET_LIMIT_US);
	if (!conn_send(&s->conn, w.mem, w.len))
		server_close(s, "lost while resetting", false);
}

void
server_release(struct server *s, bool reset)
{
	s->link = NULL;
	s->conn.on_event = quiet_event;
	s->reset_wanted = s->state_doubt || (reset && s->shard->conf->server_reset_query[0] != '\0');
	INVARIANT(txstate_releasable(&s->tx) && s->left == 0 && !s->partial_in, "P0");
	conn_hold(&s->conn, false);
	conn_read_start(&s->conn);
	if (s->n_cancels > 0)
	{
		pool_member_state(&s->member, MEMBER_CANCELLING);
		return;
	}
	if (s->spoiled != NULL)
	{
		server_close(s, s->spoiled, true);
		return;
	}
	if (s->reset_wanted)
		start_reset(s);
	else
		give_back(s);
}

void
server_cancel_begin(struct server *s)
{
	s->n_cancels++;
}

void
server_cancel_end(struct server *s, bool settled)
{
	struct pool *pool = s->member.pool;
	struct pool_todo todo;

	s->n_cancels--;
	if (!settled)
		s->spoiled = "a cancel request was not settled in time";
	if (s->n_cancels > 0 || s->member.state != MEMBER_CANCELLING)
		return;
	if (s->closed)
	{
		server_unlist(s);
		pool_discard(&s->member, clock_now_us(), &todo);
		server_todo(s->shard, pool, s, &todo);
		return;
	}
	/* A cancel that came too late for its query may still hit the reset query: then the server is
	 * closed, never handed on. */
	pool_member_state(&s->member, MEMBER_TESTED);
	if (s->spoiled != NULL)
		server_close(s, s->spoiled, true);
	else if (s->reset_wanted)
		start_reset(s);
	else if (buf_len(&s->conn.in) > 0)
		server_timers_rest(s);
	else if (txstate_releasable(&s->tx))
		give_back(s);
}
