/*
 * abandon.c - see abandon.h.
 *
 * A cancel may reach PostgreSQL before the query that it is meant for, and is forgotten there. So
 * it is repeated, at growing intervals, until the server is quiet; after cancel_wait_timeout the
 * connection is given up.
 */
#include "core/abandon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/cancel.h"
#include "core/registry.h"
#include "core/server.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

#define RETRY_FIRST_US 20000
#define RETRY_MAX_US 1000000

struct abandon
{
	struct list node; /* shard->abandoned */
	struct shard *shard;
	struct server *server; /* NULL: over; the struct waits for its cancel to end */
	ev_timer timer;        /* the next cancel */
	uint64_t retry_us;
	uint64_t deadline_us; /* 0: none, the work is left to end by itself */
	bool cancelling;      /* a cancel is under way */
};

static void
free_if_over(struct abandon *a)
{
	if (a->server == NULL && !a->cancelling)
		free(a);
}

/* The server is somebody else's from here on. */
static struct server *
let_go(struct abandon *a)
{
	struct server *s = a->server;

	ev_timer_stop(a->shard->loop.ev, &a->timer);
	list_remove(&a->node);
	s->link = NULL;
	a->server = NULL;
	return s;
}

static void
give_up(struct abandon *a, const char *reason)
{
	server_close(let_go(a), reason, false);
	free_if_over(a);
}

/* The timer fires at the deadline, or sooner to try once more. */
static void
wait_for_deadline(struct abandon *a, uint64_t sooner_us)
{
	uint64_t now = clock_now_us();
	uint64_t left = a->deadline_us > now ? a->deadline_us - now : 0;

	loop_after(&a->shard->loop, &a->timer, sooner_us < left ? sooner_us : left);
}

static void
cancelled(void *arg)
{
	struct abandon *a = arg;

	a->cancelling = false;
	if (a->server == NULL)
	{
		free_if_over(a);
		return;
	}
	wait_for_deadline(a, a->retry_us);
	a->retry_us = a->retry_us * 2 < RETRY_MAX_US ? a->retry_us * 2 : RETRY_MAX_US;
}

static void
send_cancel(struct abandon *a)
{
	a->cancelling = true;
	cancel_start(a->shard, a->server, CANCEL_AT_ONCE, cancelled, a);
}

static void
timer_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct abandon *a = w->data;

	(void) ev;
	(void) revents;
	if (clock_now_us() >= a->deadline_us)
		give_up(a, "its client has left and the query does not end");
	else if (!txstate_quiet(&a->server->tx))
		send_cancel(a);
	else
		wait_for_deadline(a, UINT64_MAX); /* libev's clock was a hair ahead of ours */
}

/* Sends what ends the work that the client left open; false: nothing was open. */
static bool
close_what_is_open(struct server *s, struct pgwriter *w)
{
	struct txstate *tx = &s->tx;

	if (tx->copy_in)
	{
		pgw_begin(w, 'f');
		pgw_cstr(w, "client left");
		pgw_end(w);
		txstate_frontend(tx, 'f', TX_SWALLOW, 0);
	}
	if (tx->unsynced || tx->skipping)
	{
		pgw_begin(w, 'S');
		pgw_end(w);
		txstate_frontend(tx, 'S', TX_SWALLOW, 0);
	}
	else if (txstate_quiet(tx) && !tx->copy_in && tx->status != 'I')
	{
		pgw_query(w, "ROLLBACK");
		txstate_frontend(tx, 'Q', TX_SWALLOW, 0);
	}
	else if (txstate_releasable(tx) && s->statements_lost)
	{
		pgw_query(w, "DEALLOCATE ALL");
		txstate_frontend(tx, 'Q', TX_SWALLOW, 0);
		server_forget_statements(s);
	}
	return w->len > 0;
}

/* From now on it is our own work that must end in time. */
static void
limit(struct abandon *a)
{
	if (a->deadline_us == 0)
		a->deadline_us = clock_now_us() + cancel_patience_us(a->shard->conf);
	if (!a->cancelling && !ev_is_active(&a->timer))
		wait_for_deadline(a, UINT64_MAX);
}

/* Between two messages of the server: what is left to do? */
static void
go_on(struct abandon *a)
{
	struct server *s = a->server;
	uint8_t mem[128];
	struct pgwriter w;

	if (s->left > 0)
		return;
	pgw_init(&w, mem, sizeof(mem));
	if (close_what_is_open(s, &w))
	{
		limit(a);
		if (!conn_send(&s->conn, w.mem, w.len))
			give_up(a, "lost while being brought to rest");
		return;
	}
	if (txstate_releasable(&s->tx) && buf_len(&s->conn.in) == 0)
	{
		server_release(let_go(a), true);
		free_if_over(a);
	}
	else if (txstate_quiet(&s->tx))
		give_up(a, "its client has left and it cannot be brought to rest");
}

/* What we would have answered ourselves, to nobody now. */
static void
drop_fakes(struct server *s)
{
	struct tx_reply reply;

	while (s->left == 0 && txstate_fake_due(&s->tx, &reply))
		;
}

/* Reads and throws away; false when it is nonsense. */
static bool
discard(struct server *s, uint8_t *p, size_t n)
{
	struct tx_reply reply;
	struct pgmsg m;
	int changed;

	while (n > 0)
	{
		size_t take;

		if (s->left == 0)
		{
			enum pgmsg_result r = pgmsg_peek(p, n, &m);

			if (r == PGMSG_BAD || (r == PGMSG_OK && !pgmsg_backend_type(m.type)))
				return false;
			if (r == PGMSG_NEED_MORE ||
				(!m.whole && (m.type == 'Z' || m.type == 'S') && m.total <= SERVER_MESSAGE_MAX))
				break;
			if ((m.type == 'E' && txstate_quiet(&s->tx)) ||
				txstate_backend(&s->tx, m.type, m.body, m.body_len, &reply) != TX_OK ||
				(m.type == 'S' && !server_parameter(s, m.body, m.body_len, &changed)))
				return false;
			s->left = m.total;
		}
		take = n < s->left ? n : s->left;
		s->left -= (uint32_t) take;
		p += take;
		n -= take;
		drop_fakes(s);
	}
	conn_save(&s->conn, p, n);
	return true;
}

static void
event(struct conn *c, int revents)
{
	struct server *s = list_entry(c, struct server, conn);
	struct abandon *a = s->link;
	uint8_t *p;
	size_t n;
	enum conn_io io;

	if ((revents & EV_READ) == 0)
		return;
	io = conn_recv(c, &p, &n);
	if (io == CONN_AGAIN)
		return;
	if (io != CONN_OK)
		give_up(a, io == CONN_EOF ? "closed by PostgreSQL" : strerror(errno));
	else if (!discard(s, p, n))
		give_up(a, "invalid message from server");
	else
		go_on(a);
}

void
abandon_start(struct shard *shard, struct server *server, bool cancel)
{
	struct abandon *a;

	if (server->partial_in || conn_blocked(&server->conn))
	{
		if (cancel && !txstate_quiet(&server->tx))
			cancel_start(shard, server, CANCEL_AT_ONCE, NULL, NULL);
		server_close(server, "its client left in the middle of a message", false);
		return;
	}
	a = mem_zalloc(sizeof(*a));
	a->shard = shard;
	a->server = server;
	a->retry_us = RETRY_FIRST_US;
	ev_timer_init(&a->timer, timer_event, 0., 0.);
	a->timer.data = a;
	list_append(&shard->abandoned, &a->node);
	pool_member_state(&server->member, MEMBER_DRAINING);
	server->state_doubt = true;
	server->link = a;
	server->conn.on_event = event;
	conn_hold(&server->conn, false);
	conn_read_start(&server->conn);
	drop_fakes(server);
	if (cancel && !txstate_quiet(&server->tx))
	{
		a->deadline_us = clock_now_us() + cancel_patience_us(shard->conf);
		send_cancel(a);
	}
	go_on(a);
}

void
abandon_close_all(struct shard *shard, const char *database, const char *reason)
{
	list_foreach(n, next, &shard->abandoned)
	{
		struct abandon *a = list_entry(n, struct abandon, node);

		if (registry_matches(a->server->member.pool, database))
			give_up(a, reason);
	}
}
