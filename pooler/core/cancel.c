/*
 * cancel.c - see cancel.h.
 *
 * The client means its query, not what was put in front of that to set the server up. So while the
 * server is still busy with our own SET a cancel is held back: there it would fail the settings, or
 * be forgotten by a PostgreSQL that has not begun yet. When the settings are answered the query may
 * still not have begun. So such a cancel is repeated until the server has said something.
 */
#include "core/cancel.h"

#include <stdlib.h>

#include "base/log.h"
#include "conf/conf.h"
#include "core/reach.h"
#include "core/registry.h"
#include "core/server.h"
#include "net/conn.h"
#include "proto/pgwrite.h"
#include "proto/txstate.h"

#define AGAIN_FIRST_US 20000
#define AGAIN_MAX_US 1000000
#define NO_LIMIT_US 10000000 /* a server is never kept from its pool for ever (P8) */

struct cancel
{
	struct list node; /* shard->cancels */
	struct shard *shard;
	struct server *server; /* lives until server_cancel_end() */
	struct reach *reach;
	struct conn conn;
	ev_timer timer;
	bool held;      /* not sent: the server is being set up, or it waits to be repeated */
	bool repeats;   /* it was held */
	uint32_t heard; /* server->heard when it was sent */
	ev_timer again;
	uint64_t again_us;
	void (*done)(void *arg);
	void *arg;
};

uint64_t
cancel_patience_us(const struct conf *conf)
{
	return conf->cancel_wait_timeout_us > 0 ? conf->cancel_wait_timeout_us : NO_LIMIT_US;
}

/* settled: it was carried out, or never sent. */
static void
end(struct cancel *c, bool settled)
{
	struct server *server = c->server;
	void (*done)(void *) = c->done;
	void *arg = c->arg;

	ev_timer_stop(c->shard->loop.ev, &c->timer);
	ev_timer_stop(c->shard->loop.ev, &c->again);
	list_remove(&c->node);
	reach_cancel(&c->reach);
	conn_close(&c->conn);
	free(c);
	server_cancel_end(server, settled);
	if (done != NULL)
		done(arg);
}

/* Carried out; but perhaps before the query had begun. */
static void
carried_out(struct cancel *c)
{
	if (!c->repeats || c->server->heard != c->heard || txstate_quiet(&c->server->tx))
	{
		end(c, true);
		return;
	}
	conn_close(&c->conn);
	c->held = true;
	loop_after(&c->shard->loop, &c->again, c->again_us);
	c->again_us = c->again_us * 2 < AGAIN_MAX_US ? c->again_us * 2 : AGAIN_MAX_US;
}

/* PostgreSQL never answers; it closes when the signal has been sent. */
static void
closed_event(struct conn *conn, int revents)
{
	uint8_t *p;
	size_t n;

	(void) revents;
	if (conn_recv(conn, &p, &n) != CONN_AGAIN)
		carried_out(list_entry(conn, struct cancel, conn));
}

static void
reached(void *arg, struct conn *conn, const char *error)
{
	struct cancel *c = arg;
	uint8_t mem[300];
	struct pgwriter w;
	char label[160];

	c->reach = NULL;
	if (conn == NULL)
	{
		log_warning("%s: cancel request not delivered: %s",
					server_label(c->server, label, sizeof(label)), error);
		end(c, true);
		return;
	}
	conn_take(&c->conn, conn, closed_event);
	pgw_init(&w, mem, sizeof(mem));
	pgw_cancel_request(&w, c->server->backend_pid, c->server->key, c->server->key_len);
	if (w.overflow || !conn_send(&c->conn, w.mem, w.len))
		end(c, false);
}

static void
timed_out(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct cancel *c = w->data;
	char label[160];

	(void) ev;
	(void) revents;
	log_warning("%s: cancel request not answered within cancel_wait_timeout",
				server_label(c->server, label, sizeof(label)));
	end(c, c->conn.fd < 0);
}

/* Whether the server is busy with a query of ours. */
static bool
setting_up(const struct server *server)
{
	const struct tx_request *oldest = txstate_request(&server->tx, 0);

	return oldest != NULL && oldest->kind == 'Q' && oldest->action == TX_SWALLOW;
}

static void
go(struct cancel *c)
{
	const struct server *s = c->server;
	/* The key is a secret: it travels as the session does. */
	const struct reach_to to = {
		.host = s->host,
		.name = s->host_name,
		.port = s->port,
		.how = s->conn.tls != NULL ? REACH_TLS : REACH_PLAIN,
	};

	c->held = false;
	c->heard = c->server->heard;
	c->reach = reach_start(c->shard, &to, reached, c);
}

static void
again_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	go(w->data);
}

void
cancel_start(struct shard *shard, struct server *server, int care, void (*done)(void *arg),
			 void *arg)
{
	struct cancel *c = mem_zalloc(sizeof(*c));
	c->shard = shard;
	c->server = server;
	c->done = done;
	c->arg = arg;
	list_append(&shard->cancels, &c->node);
	conn_init(&c->conn);
	ev_timer_init(&c->timer, timed_out, 0., 0.);
	c->timer.data = c;
	loop_after(&shard->loop, &c->timer, cancel_patience_us(shard->conf));
	server_cancel_begin(server);
	ev_timer_init(&c->again, again_event, 0., 0.);
	c->again.data = c;
	c->again_us = AGAIN_FIRST_US;
	c->held = (care & CANCEL_SPARE_SETTINGS) != 0 && setting_up(server);
	c->repeats = c->held || (care & CANCEL_INSIST) != 0;
	if (!c->held)
		go(c);
}

/* The next one that is held back for this server, or NULL. */
static struct cancel *
next_held(struct shard *shard, const struct server *server)
{
	list_foreach(n, tmp, &shard->cancels)
	{
		struct cancel *c = list_entry(n, struct cancel, node);

		if (c->held && c->server == server)
			return c;
	}
	return NULL;
}

void
cancel_go_on(struct shard *shard, struct server *server)
{
	struct cancel *c;

	while (server->n_cancels > 0 && !setting_up(server) && (c = next_held(shard, server)) != NULL)
	{
		/* The query has begun, or there is none: it was a question of our own. */
		if (ev_is_active(&c->again) || txstate_quiet(&server->tx))
			end(c, true);
		else
			go(c);
	}
}

void
cancel_drop_held(struct shard *shard, struct server *server)
{
	struct cancel *c;

	if (server->n_cancels == 0)
		return;
	list_foreach(n, tmp, &shard->cancels)
	{
		c = list_entry(n, struct cancel, node);
		c->repeats = c->repeats && c->server != server;
	}
	while (server->n_cancels > 0 && (c = next_held(shard, server)) != NULL)
		end(c, true);
}

void
cancel_abandon_all(struct shard *shard)
{
	struct list *n;

	while ((n = list_first(&shard->cancels)) != NULL)
		end(list_entry(n, struct cancel, node), false);
}
