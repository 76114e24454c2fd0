/*
 * serve_front.c - see serve_front.h.
 */
#include "core/serve_front.h"

#include "core/overlong.h"
#include "core/refuse.h"
#include "core/relay.h"
#include "core/session.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

bool
serve_front(struct session *s, const uint8_t **p, size_t *n, struct pgmsg *m, bool *gone)
{
	struct relay *r = &s->relay;
	char text[OVERLONG_TEXT_MAX];

	*gone = true;
	while (*n > 0)
	{
		size_t take;

		if (r->client_left == 0)
		{
			enum pgmsg_result result = pgmsg_peek(*p, *n, m);

			if (result == PGMSG_NEED_MORE)
				break;
			if (result == PGMSG_BAD || !pgmsg_frontend_type(m->type))
			{
				session_fatal(s, "08P01", "invalid message from client");
				return false;
			}
			if (m->type == 'X')
			{
				s->said_goodbye = true;
				session_end(s, NULL, "client close request");
				return false;
			}
			if (refuse_drops(s, m) || m->type == 'd' || m->type == 'c' || m->type == 'f' ||
				m->type == 'H')
				; /* dropped */
			else if (overlong_is(m, s->limits->now.max_statement_length))
			{
				const struct pgw_error e =
					overlong_error(s->limits->now.max_statement_length, text);

				if (!refuse_request(s, m, &e))
					return false;
			}
			else
				return true;
			r->client_left = m->total;
		}
		take = *n < r->client_left ? *n : r->client_left;
		r->client_left -= (uint32_t) take;
		*p += take;
		*n -= take;
		if (r->client_left == 0 && !refuse_message_over(s))
			return false;
	}
	*gone = false;
	return false;
}
