/*
 * relay.c - see relay.h.
 *
 * From the client: frame, feed txstate, send. From the server: frame, feed txstate, take out what
 * the client is not to see, send. Neither direction waits for the other, so a client that sends
 * without reading blocks nobody but itself.
 *
 * Whole messages are needed of the server's Z (one byte that decides), S (both sides remember it)
 * and E (as far as it is of a sane size).
 */
#include "core/relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "core/params.h"
#include "core/server.h"
#include "core/stats.h"
#include "net/conn.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/txstate.h"

/* Feeds one frontend message, making room in the queue when it is full. */
static enum tx_verdict
feed(struct txstate *tx, uint8_t type, enum tx_action action)
{
	if (txstate_full(tx))
	{
		uint32_t cap = tx->cap * 2;
		struct tx_request *mem = mem_alloc(cap * sizeof(*mem));

		free(txstate_grow(tx, mem, cap));
	}
	return txstate_frontend(tx, type, action, 0);
}

/* Frames what the client sent; *used: how much of it may be forwarded now. */
static enum relay_end
frame_client(struct relay *r, const uint8_t *p, size_t n, uint32_t max_packet, size_t *used)
{
	struct pgmsg m;

	while (*used < n)
	{
		if (r->client_left > 0)
		{
			size_t take = n - *used < r->client_left ? n - *used : r->client_left;

			r->client_left -= (uint32_t) take;
			*used += take;
			continue;
		}
		switch (pgmsg_peek(p + *used, n - *used, &m))
		{
			case PGMSG_NEED_MORE:
				return RELAY_GO_ON;
			case PGMSG_BAD:
				return RELAY_CLIENT_BAD;
			case PGMSG_OK:
				break;
		}
		if (m.type == 'X')
			return RELAY_TERMINATE;
		if (!pgmsg_frontend_type(m.type) || m.total > max_packet ||
			feed(&r->server->tx, m.type, TX_FORWARD) != TX_OK)
			return RELAY_CLIENT_BAD;
		if (m.type == 'P')
		{
			r->stats->client_parse_count++;
			r->stats->server_parse_count++;
		}
		else if (m.type == 'B')
			r->stats->bind_count++;
		r->client_left = m.total;
	}
	return RELAY_GO_ON;
}

enum relay_end
relay_from_client(struct relay *r, const uint8_t *p, size_t n, const struct relay_prefix *prefix,
				  uint32_t max_packet)
{
	struct server *s = r->server;
	struct iovec iov[2];
	size_t used = 0;
	int parts = 0;
	enum relay_end end;

	if (prefix != NULL && prefix->len > 0)
	{
		feed(&s->tx, 'Q', TX_SWALLOW);
		iov[parts++] = (struct iovec){.iov_base = (void *) prefix->bytes, .iov_len = prefix->len};
	}
	end = frame_client(r, p, n, max_packet, &used);
	r->stats->received += used;
	s->partial_in = r->client_left > 0;
	if (end == RELAY_CLIENT_BAD)
	{
		/* What was framed before it is not sent either: the queue says it was, so the server is
		 * closed. */
		s->partial_in = true;
		return end;
	}
	if (used > 0)
		iov[parts++] = (struct iovec){.iov_base = (void *) p, .iov_len = used};
	if (parts > 0)
	{
		if (r->request_us == 0 && !txstate_quiet(&s->tx))
			r->request_us = clock_now_us();
		if (!conn_sendv(&s->conn, iov, parts))
			return RELAY_SERVER_LOST;
		if (conn_blocked(&s->conn))
			conn_read_stop(r->client);
	}
	if (end == RELAY_GO_ON)
		conn_save(r->client, p + used, n - used);
	return end;
}

/* Sends [*start, end) of the server's bytes to the client. */
static bool
pass_on(struct relay *r, const uint8_t **start, const uint8_t *end)
{
	size_t n = (size_t) (end - *start);
	const uint8_t *from = *start;

	*start = end;
	r->stats->sent += n;
	return n == 0 || conn_send(r->client, from, n);
}

static bool
must_be_whole(const struct pgmsg *m)
{
	return m->type == 'Z' || m->type == 'S' || (m->type == 'E' && m->total <= SERVER_MESSAGE_MAX);
}

/* A request has been answered by ReadyForQuery. */
static void
count(struct relay *r, const struct tx_reply *reply)
{
	uint64_t now = clock_now_us();

	r->stats->query_count++;
	if (r->request_us != 0)
		r->stats->query_time += now - r->request_us;
	r->request_us = txstate_quiet(&r->server->tx) ? 0 : now;
	r->cancel_sent = false;
	r->cancelled = NULL;
	if (!reply->xact_done)
		return;
	r->stats->xact_count++;
	r->stats->xact_time += now - r->assigned_us;
	r->assigned_us = now;
}

/* An answer that the client does not see. */
static void
swallowed(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply)
{
	struct pgerror e;

	if (m->type == 'E' && m->whole && pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK)
	{
		r->refused_setting = true;
		str_copy(r->sqlstate, sizeof(r->sqlstate), e.sqlstate);
		str_copy(r->text, sizeof(r->text), e.message);
	}
	if (reply->query_done)
		params_adopt(r->params, &r->server->params);
}

static bool
parameter(struct relay *r, const struct pgmsg *m)
{
	int changed;

	if (!server_parameter(r->server, m->body, m->body_len, &changed))
		return false;
	if (changed >= 0)
		params_set(r->params, changed, r->server->params.value[changed]);
	return true;
}

/* Whether this ErrorResponse is the answer to a cancel of ours, which has words of its own. */
static bool
replaces(struct relay *r, const struct pgmsg *m)
{
	struct pgerror e;

	return r->cancelled != NULL && m->type == 'E' && m->whole &&
		   pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK &&
		   strcmp(e.sqlstate, r->cancelled->sqlstate) == 0;
}

static bool
send_replacement(struct relay *r)
{
	uint8_t mem[1024];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_error(&w, r->cancelled);
	r->cancelled = NULL;
	return conn_send(r->client, w.mem, w.len);
}

/*
 * One message whose header stands at p. Sets server->left for its bytes; hidden ones are cut out of
 * what goes to the client, which begins at *start.
 */
static enum relay_end
server_message(struct relay *r, const struct pgmsg *m, const uint8_t *p, const uint8_t **start)
{
	struct server *s = r->server;
	struct tx_reply reply;
	bool replaced;

	if (txstate_backend(&s->tx, m->type, m->body, m->body_len, &reply) != TX_OK)
		return RELAY_SERVER_BAD;
	if (m->type == 'S' && !parameter(r, m))
		return RELAY_SERVER_BAD;
	replaced = reply.action == TX_FORWARD && replaces(r, m);
	s->left = m->total;
	s->left_swallow = replaced || reply.action == TX_SWALLOW;
	if (s->left_swallow && !pass_on(r, start, p))
		return RELAY_CLIENT_LOST;
	if (replaced && !send_replacement(r))
		return RELAY_CLIENT_LOST;
	if (reply.action == TX_SWALLOW)
		swallowed(r, m, &reply);
	else if (reply.query_done)
		count(r, &reply);
	/* What comes behind it was done under the wrong settings: the client does not see it. */
	return r->refused_setting ? RELAY_SETTING_REFUSED : RELAY_GO_ON;
}

static enum relay_end
frame_server(struct relay *r, const uint8_t *p, size_t n, const uint8_t **start, size_t *used)
{
	struct server *s = r->server;
	struct pgmsg m;
	enum relay_end end;

	while (*used < n)
	{
		if (s->left > 0)
		{
			size_t take = n - *used < s->left ? n - *used : s->left;

			s->left -= (uint32_t) take;
			*used += take;
			if (s->left_swallow)
				*start = p + *used;
			continue;
		}
		switch (pgmsg_peek(p + *used, n - *used, &m))
		{
			case PGMSG_NEED_MORE:
				return RELAY_GO_ON;
			case PGMSG_BAD:
				return RELAY_SERVER_BAD;
			case PGMSG_OK:
				break;
		}
		if (!pgmsg_backend_type(m.type))
			return RELAY_SERVER_BAD;
		if (must_be_whole(&m) && !m.whole)
			return m.total <= SERVER_MESSAGE_MAX ? RELAY_GO_ON : RELAY_SERVER_BAD;
		end = server_message(r, &m, p + *used, start);
		if (end != RELAY_GO_ON)
			return end;
	}
	return RELAY_GO_ON;
}

enum relay_end
relay_from_server(struct relay *r, const uint8_t *p, size_t n)
{
	struct server *s = r->server;
	const uint8_t *start = p;
	size_t used = 0;
	enum relay_end end = frame_server(r, p, n, &start, &used);

	if (end == RELAY_CLIENT_LOST || !pass_on(r, &start, p + used))
		return RELAY_CLIENT_LOST;
	if (end != RELAY_GO_ON)
		return end;
	conn_save(&s->conn, p + used, n - used);
	if (conn_blocked(r->client))
		conn_read_stop(&s->conn);
	if (used < n || s->left > 0 || r->client_left > 0 || conn_blocked(&s->conn))
		return RELAY_GO_ON;
	if (txstate_releasable(&s->tx))
		return RELAY_RELEASABLE;
	return txstate_doubtful(&s->tx) ? RELAY_DOUBTFUL : RELAY_GO_ON;
}
