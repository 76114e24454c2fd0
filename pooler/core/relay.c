/*
 * relay.c - see relay.h. Here: life, the way of the client's bytes, and the last step of what goes
 * to the client; relay_server.c has the way of the server's.
 *
 * From the client: frame, feed txstate, send. From the server: frame, feed txstate, take out what
 * the client is not to see, send. Neither direction waits for the other, so a client that sends
 * without reading blocks nobody but itself.
 */
#include "core/relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/outgoing.h"
#include "core/overlong.h"
#include "core/relay_parts.h"
#include "core/relay_sticky.h"
#include "core/server.h"
#include "core/stats.h"
#include "net/conn.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/txstate.h"

#define LARGE_FROM 65536 /* longer messages that must be whole do not fit the read buffer */
#define LARGE_MAX (64 * 1024 * 1024) /* longest Parse of a named statement */

void
relay_init(struct relay *r)
{
	memset(r, 0, sizeof(*r));
	rewrite_init(&r->rewrite);
	buf_init(&r->large);
}

void
relay_fini(struct relay *r)
{
	rewrite_fini(&r->rewrite);
	sticky_fini(&r->sticky);
	buf_fini(&r->large);
}

bool
relay_client_inside(const struct relay *r)
{
	return r->cut || (r->server != NULL && r->server->left > 0 && !r->server->left_swallow);
}

void
relay_abandon(struct relay *r)
{
	r->cut = relay_client_inside(r);
	if (r->server != NULL)
	{
		rewrite_abandon(&r->rewrite, r->server);
		sticky_leave(&r->sticky, r->server);
	}
	r->server = NULL;
}

/* ---- to the client ---- */

void
relay_to_client(struct relay *r, const void *p, size_t n)
{
	if (n == 0 || r->client_lost || r->refused_setting)
		return;
	r->stats->sent += n;
	r->client_lost = !conn_send(r->client, p, n);
}

void
relay_send_fakes(struct relay *r)
{
	uint8_t mem[RELAY_FAKES * PGMSG_HEADER];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	for (int i = 0; i < r->n_fakes; i++)
	{
		pgw_begin(&w, r->fakes[i]);
		pgw_end(&w);
	}
	r->n_fakes = 0;
	relay_to_client(r, w.mem, w.len);
}

void
relay_answer_fakes(struct relay *r)
{
	struct tx_reply reply;

	/* In the middle of a message: its end will see to it. */
	if (r->server->left > 0)
		return;
	while (txstate_fake_due(&r->server->tx, &reply))
	{
		if (r->n_fakes == RELAY_FAKES)
			relay_send_fakes(r);
		r->fakes[r->n_fakes++] = reply.kind == 'P' ? '1' : '3';
		rewrite_answered(&r->rewrite, reply.tag);
	}
}

void
relay_pass_on(struct relay *r, const uint8_t **start, const uint8_t *end)
{
	size_t n = (size_t) (end - *start);

	if (n > 0 && r->n_fakes > 0)
		relay_send_fakes(r);
	relay_to_client(r, *start, n);
	*start = end;
}

/* ---- from the client ---- */

/* Who is to look at a client's message of a type. */
enum interest
{
	STICKY = 1,
	REWRITE = 2
};

static const uint8_t interests[256] = {
	['Q'] = STICKY | REWRITE, ['P'] = STICKY | REWRITE, ['B'] = STICKY | REWRITE,
	['E'] = STICKY,           ['D'] = REWRITE,          ['C'] = REWRITE,
};

/* A message that nobody has to change: fed, and passed on as far as it is there. */
static bool
pass(struct relay *r, const struct pgmsg *m, struct outgoing *out, const uint8_t *p, size_t *take,
	 uint32_t tag)
{
	if (rewrite_feed(&r->server->tx, m->type, TX_FORWARD, tag) != TX_OK)
		return false;
	if (m->type == 'P')
	{
		r->stats->client_parse_count++;
		r->stats->server_parse_count++;
	}
	else if (m->type == 'B')
		r->stats->bind_count++;
	r->client_left = m->total;
	outgoing_pass(out, p, *take);
	return true;
}

/*
 * One message whose header stands at p; n bytes are there. *take: how many of them are done with, 0
 * when it must be seen whole first.
 */
static enum relay_end
client_message(struct relay *r, const struct pgmsg *m, const uint8_t *p, size_t n,
			   struct outgoing *out, size_t *take)
{
	size_t there = n < m->total ? n : m->total;
	size_t body_taken = 0;
	enum rewrite_result result = REWRITE_PASS;
	const struct names *names = r->rewrite.on ? &r->rewrite.names : NULL;
	uint8_t interested = interests[m->type];
	uint32_t tag = 0;

	/* PostgreSQL 18 says it is idle after that, and fails the next query with an internal error. */
	if (m->type == 'Q' && r->server->tx.unsynced)
		r->server->spoiled = "a simple query stood in an extended batch";
	r->dropping = overlong_is(m, r->max_statement);
	if (r->dropping)
	{
		*take = there;
		r->client_left = m->total - (uint32_t) there;
		return overlong_put(&r->server->tx, m, out) ? RELAY_GO_ON : RELAY_CLIENT_BAD;
	}
	*take = 0;
	if (r->rewrite.on && (interested & REWRITE) != 0 &&
		rewrite_waits(&r->rewrite, r->server, m, there - PGMSG_HEADER))
	{
		r->held = true;
		return RELAY_GO_ON;
	}
	if ((interested & STICKY) != 0)
		switch (sticky_message(&r->sticky, r->server, names, m, there - PGMSG_HEADER, &tag))
		{
			case STICKY_PASS:
				break;
			case STICKY_MORE:
				return RELAY_GO_ON;
			case STICKY_REFUSE:
				*take = there;
				relay_refuse(r, m->type, out);
				return RELAY_GO_ON;
		}
	if (r->rewrite.on && (interested & REWRITE) != 0)
		result = rewrite_message(&r->rewrite, r->server, m, there - PGMSG_HEADER, out, &body_taken);
	*take = there;
	switch (result)
	{
		case REWRITE_PASS:
			if (!pass(r, m, out, p, take, tag))
				return RELAY_CLIENT_BAD;
			r->client_left -= (uint32_t) there;
			break;
		case REWRITE_DONE:
			outgoing_pass(out, m->body + body_taken, there - PGMSG_HEADER - body_taken);
			r->client_left = m->total - (uint32_t) there;
			break;
		case REWRITE_HIDDEN:
			break;
		case REWRITE_MORE:
			*take = 0;
			return RELAY_GO_ON;
		case REWRITE_BAD:
			return RELAY_CLIENT_BAD;
	}
	if (result != REWRITE_PASS && m->type == 'P')
		r->stats->client_parse_count++;
	else if (result != REWRITE_PASS && m->type == 'B')
		r->stats->bind_count++;
	if (txstate_fake_waits(&r->server->tx))
		relay_answer_fakes(r);
	return RELAY_GO_ON;
}

/* Frames what the client sent; *used: how much of it is done with. */
static enum relay_end
frame_client(struct relay *r, const uint8_t *p, size_t n, struct outgoing *out, uint32_t max_packet,
			 size_t *used)
{
	struct pgmsg m;
	enum relay_end end;
	size_t take;

	while (*used < n)
	{
		if (r->client_left > 0)
		{
			take = n - *used < r->client_left ? n - *used : r->client_left;
			if (!r->dropping)
				outgoing_pass(out, p + *used, take);
			r->client_left -= (uint32_t) take;
			if (sticky_streams(&r->sticky))
				sticky_stream_more(&r->sticky, r->server, p + *used, take, r->client_left == 0);
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
		if (m.type == 'Q' && r->no_simple)
			return RELAY_SIMPLE_FORBIDDEN;
		if (!pgmsg_frontend_type(m.type) || m.total > max_packet)
			return RELAY_CLIENT_BAD;
		end = client_message(r, &m, p + *used, n - *used, out, &take);
		if (end != RELAY_GO_ON || take == 0)
			return end;
		*used += take;
	}
	return RELAY_GO_ON;
}

/* Sends the batch and stops reading the client when the server does not keep up. */
static bool
send_batch(struct relay *r, struct outgoing *out)
{
	struct server *s = r->server;

	s->partial_in = r->client_left > 0 && !r->dropping;
	if (out->n > 0 && r->request_us == 0 && !txstate_quiet(&s->tx))
		relay_request_begins(r, clock_turn_us());
	if (!outgoing_flush(out))
		return false;
	if (conn_blocked(&s->conn) || r->held)
		conn_read_stop(r->client);
	return true;
}

/*
 * A message that must be whole and is too large for the read buffer gathers in `large`. True: the
 * bytes at hand belong to it, *used of them; it may be complete now.
 */
static bool
gather_large(struct relay *r, const uint8_t *p, size_t n, size_t *used)
{
	struct pgmsg m;
	size_t missing;

	if (buf_len(&r->large) == 0)
		return false;
	pgmsg_peek(buf_data(&r->large), buf_len(&r->large), &m);
	missing = m.total - buf_len(&r->large);
	*used = n < missing ? n : missing;
	buf_append(&r->large, p, *used);
	return true;
}

/* Works off a large message that is complete. */
static enum relay_end
work_off_large(struct relay *r, uint32_t max_packet)
{
	struct outgoing out;
	struct pgmsg m;
	size_t used = 0;
	enum relay_end end;

	pgmsg_peek(buf_data(&r->large), buf_len(&r->large), &m);
	if (!m.whole)
		return RELAY_GO_ON;
	outgoing_init(&out, &r->server->conn);
	end = frame_client(r, buf_data(&r->large), buf_len(&r->large), &out, max_packet, &used);
	rewrite_chunk_ends(&r->rewrite);
	if (!send_batch(r, &out))
		end = RELAY_SERVER_LOST;
	if (!r->held)
		buf_consume(&r->large, buf_len(&r->large));
	return end;
}

/* What is left of the bytes at hand begins a message that is not complete: kept until it is. */
static enum relay_end
keep_rest(struct relay *r, const uint8_t *p, size_t n)
{
	struct pgmsg m;

	/* Of a Bind only the names must be there. */
	if (r->held || pgmsg_peek(p, n, &m) != PGMSG_OK || m.total <= LARGE_FROM || m.type == 'B')
		conn_save(r->client, p, n);
	else if (m.total > LARGE_MAX)
		return RELAY_CLIENT_BAD;
	else
		buf_append(&r->large, p, n);
	return RELAY_GO_ON;
}

/* Nothing stands open, in neither direction. */
static bool
may_go(const struct relay *r)
{
	return r->server->left == 0 && r->client_left == 0 && buf_len(&r->large) == 0 &&
		   !conn_blocked(&r->server->conn) && buf_len(&r->server->conn.in) == 0 &&
		   txstate_releasable(&r->server->tx);
}

enum relay_end
relay_from_client(struct relay *r, const uint8_t *p, size_t n, const struct relay_prefix *prefix,
				  uint32_t max_packet)
{
	struct outgoing out;
	size_t used = 0;
	enum relay_end end = RELAY_GO_ON;

	r->held = false;
	if (gather_large(r, p, n, &used))
		end = work_off_large(r, max_packet);
	if (end != RELAY_GO_ON)
		return end;
	outgoing_init(&out, &r->server->conn);
	if (prefix != NULL && prefix->len > 0)
	{
		rewrite_feed(&r->server->tx, 'Q', TX_SWALLOW, 0);
		r->server->unnamed_of = 0; /* a simple query ends it */
		outgoing_pass(&out, prefix->bytes, prefix->len);
	}
	if (buf_len(&r->large) == 0)
		end = frame_client(r, p, n, &out, max_packet, &used);
	rewrite_chunk_ends(&r->rewrite);
	r->stats->received += used;
	if (end == RELAY_CLIENT_BAD)
	{
		/* What was framed before it is not sent either: the queue says it was, so the server is
		 * closed. */
		r->server->partial_in = true;
		return end;
	}
	if (!send_batch(r, &out))
		return RELAY_SERVER_LOST;
	/* Answers of ours that nothing of the server's will follow go out by themselves. */
	if (end == RELAY_GO_ON && r->n_fakes > 0 && txstate_quiet(&r->server->tx))
		relay_send_fakes(r);
	if (r->client_lost)
		return RELAY_CLIENT_LOST;
	if (end == RELAY_GO_ON && used == n && r->dropping && may_go(r))
		return RELAY_RELEASABLE; /* all had been answered before the end of what is dropped came */
	return end == RELAY_GO_ON ? keep_rest(r, p + used, n - used) : end;
}
