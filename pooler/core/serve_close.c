/*
 * serve_close.c - see serve_close.h.
 */
#include "core/serve_close.h"

#include "conf/conf.h"
#include "core/registry.h"
#include "core/server.h"
#include "core/session.h"

bool
serve_close_due(const struct session *s)
{
	const struct server *server = s->relay.server;

	return s->mode == POOL_SESSION && s->replicate == NULL && s->shard->conf->server_fast_close &&
		   server->member.generation != pool_generation(server->member.pool) &&
		   txstate_releasable(&server->tx) && server->left == 0 && !server->partial_in;
}

void
serve_close(struct session *s)
{
	session_fatal(s, "57P01", "database configuration changed");
}

void
serve_close_stale(struct shard *shard)
{
	if (!shard->conf->server_fast_close)
		return;
	list_foreach(n, next, &shard->sessions)
	{
		struct session *s = list_entry(n, struct session, node);

		if (s->state == SESSION_ACTIVE && serve_close_due(s))
			serve_close(s);
	}
}
