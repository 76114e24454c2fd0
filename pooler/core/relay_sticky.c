/*
 * relay_sticky.c - see relay_sticky.h.
 */
#include "core/relay_sticky.h"

#include "core/outgoing.h"
#include "core/relay.h"
#include "core/server.h"
#include "net/conn.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/txstate.h"

void
relay_refuse(struct relay *r, uint8_t type, struct outgoing *out)
{
	uint8_t mem[128];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	sticky_refuse(type, &w);
	outgoing_put(out, w.mem, w.len);
	rewrite_feed(&r->server->tx, type, TX_FORWARD, STICKY_TAG_REFUSED);
}

bool
relay_probes(const struct relay *r)
{
	return r->sticky.asked != 0 && r->server->tx.count > 0 &&
		   txstate_request(&r->server->tx, 0)->tag == STICKY_TAG_PROBE;
}

void
relay_follow_state(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply)
{
	if (m->type == 'C' && m->whole)
		sticky_complete(&r->sticky, r->server, m, reply->tag);
	else if (m->type == 'E')
		sticky_error(&r->sticky);
	else if (reply->query_done)
		sticky_ready(&r->sticky, r->server);
}

bool
relay_replace_refused(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply,
					  struct pgwriter *text)
{
	if (m->type != 'E' || reply->tag != STICKY_TAG_REFUSED)
		return false;
	pgw_error(text, r->sticky.refusal);
	return true;
}

bool
relay_keeps_server(struct relay *r)
{
	uint8_t mem[2048];
	struct pgwriter probe;

	pgw_init(&probe, mem, sizeof(mem));
	switch (sticky_hold(&r->sticky, r->server, &probe))
	{
		case STICKY_FREE:
			return false;
		case STICKY_HELD:
			return true;
		case STICKY_PROBED:
			break;
	}
	rewrite_feed(&r->server->tx, 'Q', TX_SWALLOW, STICKY_TAG_PROBE);
	r->server->unnamed_of = 0;
	/* Whether it is lost will be seen by the next read. */
	conn_send(&r->server->conn, probe.mem, probe.len);
	return true;
}


bool
relay_probe_answer(struct relay *r, const struct pgmsg *m, const struct tx_reply *reply)
{
	if (reply->tag != STICKY_TAG_PROBE)
		return false;
	if (m->type == 'D' && m->whole)
		sticky_probed(&r->sticky, m);
	else if (reply->query_done)
		sticky_probe_done(&r->sticky);
	return true;
}
