/*
 * operate_work.c - see operate_work.h.
 */
#include "core/operate_work.h"

#include "core/abandon.h"
#include "core/gather.h"
#include "core/order.h"
#include "core/registry.h"
#include "core/serve_close.h"
#include "core/server.h"
#include "core/session.h"

void
operate_trim_work(struct gather_part *part)
{
	/* Pools that were made while the snapshots changed hands have the old limits on some loops. */
	registry_adopt(part->shard, part->shard->conf, part->shard->encryption);
	if (part->shard->loop.index == 0)
		registry_add_kept(part->shard->registry, part->shard->conf);
	registry_foreach_pool(e, part->shard->registry)
	{
		struct pool_counts c;

		pool_counts(&e->pool, &c);
		server_trim(part->shard, &e->pool, c.paused);
		/* What new limits allow, any loop can do. */
		if (part->shard->loop.index == 0)
			server_want(part->shard, &e->pool);
	}
	serve_close_stale(part->shard);
}

/* ---- KILL ---- */

/* Those that no session and no core/abandon has: being reset, tested, or kept by a cancel. */
static void
close_servers(struct shard *shard, const char *database)
{
	list_foreach(n, next, &shard->servers)
	{
		struct server *s = list_entry(n, struct server, node);

		if (s->link == NULL && !s->closed && s->member.state != MEMBER_ACTIVE &&
			registry_matches(s->member.pool, database))
			server_close(s, "killed on the console", true);
	}
}

void
operate_kill_work(struct gather_part *part)
{
	const struct order *o = part->gather->arg;
	struct shard *shard = part->shard;

	list_foreach(n, next, &shard->sessions)
	{
		struct session *s = list_entry(n, struct session, node);

		if (s->pool != NULL && registry_matches(s->pool, o->name))
			session_fatal(s, "57P01", "database removed");
	}
	abandon_close_all(shard, o->name, "killed on the console");
	close_servers(shard, o->name);
	registry_foreach_pool(e, shard->registry) if (registry_matches(&e->pool, o->name))
		server_trim(shard, &e->pool, true);
}

void
operate_kill_client_work(struct gather_part *part)
{
	const struct order *o = part->gather->arg;

	list_foreach(n, next, &part->shard->sessions)
	{
		struct session *s = list_entry(n, struct session, node);

		if (o->pointer != 0 ? (uintptr_t) s != o->pointer : s->id != o->client)
			continue;
		part->count[0]++;
		session_fatal(s, "57P01", "admin forced disconnect");
		return;
	}
}

/* ---- SUSPEND ---- */

/* It is held by a SUSPEND: not one that only logs in, and not the console, where RESUME comes from.
 */
static bool
is_held(const struct session *s)
{
	return s->state != SESSION_GREETING && s->state != SESSION_CONSOLE;
}

static void
hold_all(struct shard *shard, bool hold)
{
	shard->suspended = hold;
	list_foreach(n, next, &shard->sessions)
	{
		struct session *s = list_entry(n, struct session, node);

		if (!is_held(s))
			continue;
		conn_hold(&s->conn, hold);
		if (s->relay.server != NULL)
			conn_hold(&s->relay.server->conn, hold);
	}
}

void
operate_suspend_work(struct gather_part *part)
{
	hold_all(part->shard, true);
}

void
operate_wake_work(struct gather_part *part)
{
	hold_all(part->shard, false);
}

static bool
has_output(const struct session *s)
{
	return is_held(s) && (conn_blocked(&s->conn) ||
						  (s->relay.server != NULL && conn_blocked(&s->relay.server->conn)));
}

void
operate_count_blocked_work(struct gather_part *part)
{
	list_foreach(n, next, &part->shard->sessions) part->count[0] +=
		has_output(list_entry(n, struct session, node));
}

void
operate_end_blocked_work(struct gather_part *part)
{
	list_foreach(n, next, &part->shard->sessions)
	{
		struct session *s = list_entry(n, struct session, node);

		if (has_output(s))
			session_fatal(s, "57P01", "suspend_timeout");
	}
}
