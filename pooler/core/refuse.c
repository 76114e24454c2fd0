/*
 * refuse.c - see refuse.h.
 */
#include "core/refuse.h"

#include <string.h>

#include "core/session.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

static bool
say(struct session *s, const struct pgwriter *w)
{
	s->relay.stats->sent += w->len;
	if (!w->overflow && conn_send(&s->conn, w->mem, w->len))
		return true;
	session_end(s, NULL, "client connection lost");
	return false;
}

/* What ends with this message. */
static void
take_note(struct session *s, uint8_t type)
{
	s->ready_due = type == 'S' || (!s->refusing && (type == 'Q' || type == 'F'));
	s->refusing = !s->ready_due;
}

bool
refuse_request(struct session *s, const struct pgmsg *m, const struct pgw_error *e)
{
	uint8_t mem[1024];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_error(&w, e);
	meter_error(s->relay.meter, e->sqlstate);
	take_note(s, m->type);
	return say(s, &w);
}

bool
refuse_drops(struct session *s, const struct pgmsg *m)
{
	if (!s->refusing)
		return false;
	take_note(s, m->type);
	return true;
}

bool
refuse_message_over(struct session *s)
{
	uint8_t mem[8];
	struct pgwriter w;

	if (!s->ready_due)
		return true;
	s->ready_due = false;
	pgw_init(&w, mem, sizeof(mem));
	pgw_ready(&w, 'I');
	return say(s, &w);
}

const struct pgw_error *
refuse_full_queue(void)
{
	static const struct pgw_error e = {
		.severity = "ERROR",
		.sqlstate = "53300",
		.message = "too many clients wait for a server connection (max_client_waiting)",
		.hint = "Try again later.",
	};

	return &e;
}

void
refuse_session(struct session *s)
{
	struct pgw_error e = {.severity = "FATAL"};
	char sqlstate[6];
	char text[POOL_ERROR_MAX];

	pool_refusal(s->pool, sqlstate, text);
	e.sqlstate = sqlstate;
	e.message = text;
	session_end(s, &e, "server refused the login");
}
