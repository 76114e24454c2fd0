/*
 * serve_front.c - see serve_front.h.
 */
#include "core/serve_front.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/overlong.h"
#include "core/refuse.h"
#include "core/server.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/txstate.h"

/* True: the request whose header is m is one too many, and was answered so; *gone when there is
 * nobody left to answer. */
static bool
over_rate(struct session *s, const struct pgmsg *m, bool *gone)
{
	struct throttle_error error;
	char label[200];

	if (throttle_request(&s->throttle, &s->limits->now, s->shard->conf_serial, &s->relay.n_queries,
						 &error))
		return false;
	if (error.tell && s->shard->conf->log_pooler_errors)
		log_info("%s: %s; more of these are not logged for a while",
				 session_label(s, label, sizeof(label)), error.message);
	*gone = !refuse_request(s, m, &error.e);
	return true;
}

/* The same of a statement that is too long. */
static bool
over_length(struct session *s, const struct pgmsg *m, bool *gone)
{
	int64_t max = s->limits->now.max_statement_length;
	char text[OVERLONG_TEXT_MAX];
	struct pgw_error e;

	if (!overlong_is(m, max))
		return false;
	e = overlong_error(max, text);
	*gone = !refuse_request(s, m, &e);
	return true;
}

/* Drops what is there of the message under way. False: the session is gone. */
static bool
drop(struct session *s, const uint8_t **p, size_t *n)
{
	struct relay *r = &s->relay;
	size_t take = *n < r->client_left ? *n : r->client_left;

	r->client_left -= (uint32_t) take;
	*p += take;
	*n -= take;
	return r->client_left > 0 || refuse_message_over(s);
}

bool
serve_front_request(struct session *s, const uint8_t **p, size_t *n, struct pgmsg *m, bool *gone)
{
	struct relay *r = &s->relay;

	*gone = false;
	while (*n > 0)
	{
		if (r->client_left == 0)
		{
			enum pgmsg_result result = pgmsg_peek(*p, *n, m);

			if (result == PGMSG_NEED_MORE)
				return false;
			if (result == PGMSG_BAD || !pgmsg_frontend_type(m->type))
			{
				session_fatal(s, "08P01", "invalid message from client");
				*gone = true;
				return false;
			}
			if (m->type == 'X')
			{
				s->said_goodbye = true;
				session_end(s, NULL, "client close request");
				*gone = true;
				return false;
			}
			if (refuse_drops(s, m) || m->type == 'd' || m->type == 'c' || m->type == 'f' ||
				m->type == 'H')
				; /* dropped */
			else if (!over_length(s, m, gone) &&
					 !(s->limits->now.query_rates && over_rate(s, m, gone)))
				return true;
			if (*gone)
				return false;
			r->client_left = m->total;
		}
		if (!drop(s, p, n))
		{
			*gone = true;
			return false;
		}
	}
	return false;
}

/* Nothing is under way, in neither direction, and no batch is open: what comes next begins
 * something new, and a refusal stands in nobody's way. */
static bool
at_rest(const struct session *s)
{
	const struct relay *r = &s->relay;

	return txstate_releasable(&r->server->tx) && r->client_left == 0 && buf_len(&r->large) == 0 &&
		   r->server->left == 0;
}

bool
serve_front_rest(struct session *s, const uint8_t **p, size_t *n)
{
	struct relay *r = &s->relay;
	bool gone = false;

	if (*n == 0)
		return true; /* what the relay has held back */
	while (*n > 0 && (s->refusing || s->ready_due || (s->limits->now.query_rates && at_rest(s))))
	{
		struct pgmsg m;

		if (r->client_left == 0)
		{
			/* What is not a whole header, no message or a goodbye is the relay's. */
			if (pgmsg_peek(*p, *n, &m) != PGMSG_OK || !pgmsg_frontend_type(m.type) || m.type == 'X')
				return true;
			if (!refuse_drops(s, &m) && (!s->limits->now.query_rates || !over_rate(s, &m, &gone)))
				return true;
			if (gone)
				return false;
			r->client_left = m.total;
		}
		if (!drop(s, p, n))
			return false;
	}
	if (*n == 0)
		session_watch_time(s, clock_turn_us());
	return *n > 0;
}
