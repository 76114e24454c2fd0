/*
 * relay_server.c - the way of the server's bytes: see relay.h.
 *
 * Every message is framed and fed to txstate, but rows behind a row, of which only the lengths are
 * looked at. Whole messages are needed of Z (one byte that decides), S (both sides remember it), C
 * (what it says may end prepared statements) and E (as far as it is of a sane size); nothing else
 * waits for its end.
 */
#include "core/relay_parts.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "core/meter.h"
#include "core/overlong.h"
#include "core/params.h"
#include "core/relay.h"
#include "core/relay_sticky.h"
#include "core/server.h"
#include "core/stats.h"
#include "net/conn.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/txstate.h"

#define TAG_MAX 128 /* longest CommandComplete that we read */

static bool
must_be_whole(const struct relay *r, const struct pgmsg *m)
{
	if (m->type == 'D')
		return m->total <= TAG_MAX && relay_probes(r);
	return m->type == 'Z' || m->type == 'S' || (m->type == 'C' && m->total <= TAG_MAX) ||
		   (m->type == 'E' && m->total <= SERVER_MESSAGE_MAX);
}

/* A request has been answered by ReadyForQuery. */
static void
count(struct relay *r, const struct tx_reply *reply)
{
	uint64_t now = clock_turn_us();
	uint64_t took = 0;
	int bucket = 0;

	r->stats->query_count++;
	r->n_queries++;
	if (r->request_us != 0)
	{
		took = now - r->request_us;
		bucket = meter_bucket(took);
		r->stats->query_time += took;
		meter_count(r->meter, METER_QUERY, bucket);
	}
	r->request_us = txstate_quiet(&r->server->tx) ? 0 : now;
	r->cancel_sent = false;
	r->cancelled = NULL;
	if (!reply->xact_done)
		return;
	r->stats->xact_count++;
	if (r->xact_us != 0)
	{
		uint64_t xact = now - r->xact_us;

		/* Most transactions are one query. */
		r->stats->xact_time += xact;
		meter_count(r->meter, METER_XACT, xact == took ? bucket : meter_bucket(xact));
	}
	r->xact_us = r->request_us;
}

/* An answer that the client does not see. After a refused setting it sees nothing more: what
 * follows was done under the wrong settings. */
static void
swallowed(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply)
{
	struct pgerror e;

	if (relay_probe_answer(r, m, reply))
		return;
	if (m->type == 'E' && m->whole && pgmsg_error_fields(m->body, m->body_len, &e) == PGMSG_OK)
	{
		r->server->state_doubt = true;
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

/* The answer to a cancel of ours has words of its own. */
static bool
replace_cancel(struct relay *r, const struct pgmsg *m, struct pgwriter *text)
{
	struct pgerror e;

	if (r->cancelled == NULL || m->type != 'E' || !m->whole ||
		pgmsg_error_fields(m->body, m->body_len, &e) != PGMSG_OK ||
		strcmp(e.sqlstate, r->cancelled->sqlstate) != 0)
		return false;
	pgw_error(text, r->cancelled);
	r->cancelled = NULL;
	return true;
}

/* So has the answer to what was sent in place of an overlong statement. */
static bool
replace_refused(const struct relay *r, struct pgwriter *w)
{
	char text[OVERLONG_TEXT_MAX];
	const struct pgw_error e = overlong_error(r->max_statement, text);

	pgw_error(w, &e);
	return true;
}

/* What a message of the server's means for the session. */
static void
heard(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply, bool hidden)
{
	if (hidden)
		swallowed(r, m, reply);
	else if (sticky_waits(&r->sticky))
		relay_follow_state(r, m, reply);
	if (!hidden && reply->query_done)
		count(r, reply);
}

/* The client is sent this error, of which n bytes are there: of a very long one the beginning,
 * where its SQLSTATE stands. */
static void
count_error(struct relay *r, const uint8_t *p, size_t n)
{
	struct pgerror e;

	pgmsg_error_fields(p + PGMSG_HEADER, n - PGMSG_HEADER, &e);
	meter_error(r->meter, e.sqlstate);
}

/*
 * With nothing outstanding the server says that it ends. Nobody else gets it; and a client that
 * would not have had it any more a moment later hears nothing of it.
 */
static enum relay_end
farewell(struct relay *r, const struct pgmsg *m, const uint8_t *p, size_t n, const uint8_t **start)
{
	struct server *s = r->server;
	struct tx_reply reply;

	if (txstate_backend(&s->tx, m->type, m->body, m->body_len, &reply) != TX_OK)
		return RELAY_SERVER_BAD;
	s->spoiled = "PostgreSQL has ended it";
	s->left_swallow = r->shared && txstate_releasable(&s->tx) && !sticky_pinned(&r->sticky);
	if (s->left_swallow)
		relay_pass_on(r, start, p);
	else if (m->type == 'E')
		count_error(r, p, n < m->total ? n : m->total);
	return RELAY_GO_ON;
}

/* An ErrorResponse, which may have to be told in other words. Apart from the others, since they are
 * what happens all the time. */
static __attribute__((noinline)) enum relay_end
error_message(struct relay *r, const struct pgmsg *m, const uint8_t *p, size_t n,
			  const uint8_t **start)
{
	struct server *s = r->server;
	struct tx_reply reply;
	uint8_t mem[SERVER_MESSAGE_MAX + 512];
	struct pgwriter renamed;
	bool refused = overlong_answered(&s->tx, m);
	bool rename;
	bool hidden;

	pgw_init(&renamed, mem, sizeof(mem));
	rename = rewrite_error(&r->rewrite, s, m, &renamed);
	if (txstate_backend(&s->tx, m->type, m->body, m->body_len, &reply) != TX_OK)
		return RELAY_SERVER_BAD;
	/* An error in a Parse that was put in front is the client's to know. */
	hidden = reply.action == TX_SWALLOW && reply.kind == 'Q';
	rename = rename || (refused && replace_refused(r, &renamed)) ||
			 relay_replace_refused(r, m, &reply, &renamed) ||
			 (!hidden && replace_cancel(r, m, &renamed));
	s->left_swallow = hidden || rename;
	if (!hidden)
		count_error(r, rename ? renamed.mem : p,
					rename         ? renamed.len
					: n < m->total ? n
								   : m->total);
	if (s->left_swallow)
		relay_pass_on(r, start, p);
	if (rename)
	{
		relay_send_fakes(r);
		relay_to_client(r, renamed.mem, renamed.len);
	}
	if (reply.completes)
		rewrite_answered(&r->rewrite, reply.tag);
	heard(r, m, &reply, hidden);
	return RELAY_GO_ON;
}

/*
 * One message whose header stands at p, n bytes are there; hidden ones are cut out of what goes to
 * the client, which begins at *start.
 */
static enum relay_end
server_message(struct relay *r, const struct pgmsg *m, const uint8_t *p, size_t n,
			   const uint8_t **start)
{
	struct server *s = r->server;
	struct tx_reply reply;
	bool hidden;

	if (txstate_quiet(&s->tx) && (m->type == 'E' || pgmsg_is_farewell(m)))
		return farewell(r, m, p, n, start);
	if (m->type == 'E')
		return error_message(r, m, p, n, start);
	if (txstate_backend(&s->tx, m->type, m->body, m->body_len, &reply) != TX_OK)
		return RELAY_SERVER_BAD;
	if (m->type == 'S' && !parameter(r, m))
		return RELAY_SERVER_BAD;
	hidden = reply.action == TX_SWALLOW;
	if (m->type == 'C' && rewrite_command_tag(&r->rewrite, s, m, reply.tag))
		hidden = true;
	s->left_swallow = hidden;
	if (hidden)
		relay_pass_on(r, start, p);
	if (reply.completes)
		rewrite_answered(&r->rewrite, reply.tag);
	/* Most messages mean nothing. */
	if (hidden || reply.query_done || sticky_waits(&r->sticky))
		heard(r, m, &reply, hidden);
	return RELAY_GO_ON;
}

/* Up to here the server's bytes are done with; a message has ended there if nothing of it is left.
 * Our own answers whose turn has come stand between it and what follows. */
static void
reached(struct relay *r, const uint8_t *end, const uint8_t **start)
{
	struct server *s = r->server;

	if (s->left_swallow)
		*start = end;
	if (s->left > 0 || !txstate_fake_waits(&s->tx))
		return;
	relay_pass_on(r, start, end);
	relay_answer_fakes(r);
}

/* The rest of a message whose beginning came with an earlier read. */
static size_t
rest_of_message(struct relay *r, const uint8_t *p, size_t n, const uint8_t **start)
{
	struct server *s = r->server;
	size_t take = n < s->left ? n : s->left;

	s->left -= (uint32_t) take;
	if (take > 0)
		reached(r, p + take, start);
	return take;
}

static enum relay_end
frame_server(struct relay *r, const uint8_t *p, size_t n, const uint8_t **start, size_t *used)
{
	struct server *s = r->server;
	struct pgmsg m;
	enum relay_end end;

	*used = rest_of_message(r, p, n, start);
	while (*used < n)
	{
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
		if (!m.whole && must_be_whole(r, &m))
			return m.total <= SERVER_MESSAGE_MAX ? RELAY_GO_ON : RELAY_SERVER_BAD;
		end = server_message(r, &m, p + *used, n - *used, start);
		if (end != RELAY_GO_ON)
			return end;
		/* Rows change nothing, so those behind the first need no more than their lengths. */
		if (m.whole && !s->left_swallow && (m.type == 'D' || m.type == 'd'))
			*used += pgmsg_run(p + *used, n - *used, m.type);
		else if (m.whole)
			*used += m.total;
		else
		{
			s->left = m.total - (uint32_t) (n - *used);
			*used = n;
		}
		reached(r, p + *used, start);
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

	relay_pass_on(r, &start, p + used);
	if (end != RELAY_GO_ON)
		return end;
	conn_save(&s->conn, p + used, n - used);
	if (r->n_fakes > 0 && txstate_quiet(&s->tx))
		relay_send_fakes(r);
	if (r->client_lost)
		return RELAY_CLIENT_LOST;
	if (r->refused_setting)
		return RELAY_SETTING_REFUSED;
	if (conn_blocked(r->client))
		conn_read_stop(&s->conn);
	if (used < n || s->left > 0 || r->client_left > 0 || buf_len(&r->large) > 0 ||
		conn_blocked(&s->conn))
		return RELAY_GO_ON;
	if (txstate_releasable(&s->tx))
		return RELAY_RELEASABLE;
	return txstate_doubtful(&s->tx) ? RELAY_DOUBTFUL : RELAY_GO_ON;
}
