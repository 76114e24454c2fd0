/*
 * show_sessions.c - SHOW CLIENTS, SERVERS, SOCKETS and ACTIVE_SOCKETS: each loop writes the rows of
 * what it owns, a slice at a time. A server that is given back or taken meanwhile may be seen twice
 * or not at all, as it may be between two loops. The connections of auth_query are among the
 * servers.
 */
#include "core/show_sessions.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "core/lookup.h"
#include "core/registry.h"
#include "core/replicate.h"
#include "core/rows.h"
#include "core/server.h"
#include "core/session.h"
#include "core/show_parts.h"
#include "net/peer_addr.h"
#include "net/tls.h"

#define TEXT_MAX 64
#define SLICE 100 /* clients or servers looked at in one turn of a loop */

enum view
{
	CLIENTS, /* and SERVERS */
	SOCKETS,
	ACTIVE_SOCKETS
};

static void
row_pointer(struct row *r, const void *p)
{
	char text[TEXT_MAX];

	if (p == NULL)
	{
		row_text(r, "");
		return;
	}
	snprintf(text, sizeof(text), "0x%" PRIxPTR, (uintptr_t) p);
	row_text(r, text);
}

static void
row_local_addr(struct row *r, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[PEER_ADDR_TEXT_MAX] = "";
	int port = 0;

	if (getsockname(fd, (struct sockaddr *) &ss, &len) == 0)
		peer_addr_text(&ss, host, sizeof(host), &port);
	row_text(r, host);
	row_int(r, port);
}

/* The version and the cipher; empty without TLS. */
static void
row_tls(struct row *r, const struct conn *c)
{
	char text[TLS_DESCRIPTION_MAX] = "";

	if (c->tls != NULL)
		tls_describe(c->tls, text, sizeof(text));
	row_text(r, text);
}

/* What stands in the buffers of a connection. left: bytes of the message under way that are still
 * to come from it. */
static void
row_buffers(struct row *r, const struct conn *c, uint32_t left)
{
	row_int(r, (int64_t) c->in.end);
	row_int(r, (int64_t) c->in.start);
	row_int(r, left);
	row_int(r, (int64_t) c->out.start);
	row_int(r, (int64_t) buf_len(&c->out));
	row_int(r, (int64_t) buf_len(&c->in));
	row_int(r, (int64_t) buf_len(&c->out));
}

/* In SOCKETS the states are those of PgBouncer's lists. */
static const char *
client_state(const struct session *s, enum view view)
{
	if (view == CLIENTS)
		return session_state_name(s);
	switch (s->state)
	{
		case SESSION_GREETING:
			return "cl_login";
		case SESSION_LOGIN_WAIT:
		case SESSION_WAITING:
			return "cl_waiting";
		default:
			return "cl_active";
	}
}

static void
client_row(const struct session *s, uint64_t now, enum view view, struct buf *out)
{
	bool waits = s->state == SESSION_WAITING || s->state == SESSION_LOGIN_WAIT;
	uint64_t wait = waits ? now - s->waiter.since_us : 0;
	const char *app = s->params.value[PARAM_APPLICATION_NAME];
	char pins[STICKY_REASONS_MAX];
	struct row r;

	row_begin(&r);
	row_text(&r, "C");
	row_text(&r, s->user != NULL ? s->user : "(nouser)");
	row_text(&r, s->database != NULL ? s->database : "(nodb)");
	row_text(&r, replicate_name(s->replicate));
	row_text(&r, client_state(s, view));
	row_text(&r, s->addr);
	row_int(&r, s->port);
	row_local_addr(&r, s->conn.fd);
	row_time(&r, s->connected_wall_us);
	row_time(&r, s->request_wall_us);
	row_int(&r, (int64_t) (wait / 1000000));
	row_int(&r, (int64_t) (wait % 1000000));
	row_int(&r, 0);
	row_pointer(&r, s);
	row_pointer(&r, s->relay.server);
	row_int(&r, 0);
	row_tls(&r, &s->conn);
	row_text(&r, app != NULL ? app : "");
	row_int(&r, (int64_t) names_count(&s->relay.rewrite.names));
	row_int(&r, (int64_t) s->id);
	if (view == CLIENTS)
		row_text(&r, sticky_reasons(&s->relay.sticky, pins, sizeof(pins)));
	else
		row_buffers(&r, &s->conn, s->relay.client_left);
	row_end(&r, out);
}

static const char *
member_state_name(enum member_state state)
{
	static const char *const names[MEMBER_STATES] = {
		[MEMBER_LOGIN] = "new",
		[MEMBER_IDLE] = "idle",
		[MEMBER_ACTIVE] = "active",
		[MEMBER_RESETTING] = "tested",
		[MEMBER_TESTED] = "tested",
		[MEMBER_CANCELLING] = "being_canceled",
		[MEMBER_DRAINING] = "being_canceled",
		[MEMBER_CLOSING] = "closing",
		[MEMBER_GONE] = "closing",
	};

	return names[state];
}

static void
server_row(const struct server *s, enum view view, struct buf *out)
{
	const struct pool *p = s->member.pool;
	const char *state = member_state_name(s->member.state);
	char in_list[TEXT_MAX];
	const char *app = s->params.value[PARAM_APPLICATION_NAME];
	struct row r;

	row_begin(&r);
	row_text(&r, "S");
	row_text(&r, p->user);
	row_text(&r, p->database);
	row_text(&r, s->replication != NULL ? s->replication : "none");
	snprintf(in_list, sizeof(in_list), "sv_%s", state);
	row_text(&r, view == CLIENTS ? state : in_list);
	row_text(&r, s->host[0] == '/' || s->host[0] == '@' ? "unix" : s->host);
	row_int(&r, s->port);
	row_local_addr(&r, s->conn.fd);
	row_time(&r, s->connected_wall_us);
	row_time(&r, s->request_wall_us);
	row_int(&r, 0);
	row_int(&r, 0);
	row_int(&r, s->closed || s->member.generation != atomic_load(&p->generation));
	row_pointer(&r, s);
	row_pointer(&r, s->member.state == MEMBER_ACTIVE ? s->link : NULL);
	row_int(&r, s->backend_pid);
	row_tls(&r, &s->conn);
	row_text(&r, app != NULL ? app : "");
	row_int(&r, (int64_t) stmt_cache_count(&s->statements));
	row_int(&r, (int64_t) s->id);
	if (view != CLIENTS)
		row_buffers(&r, &s->conn, s->left);
	row_end(&r, out);
}

/* A connection of auth_query: outside the pools, and yet a server connection of auth_user's. */
static void
lookup_row(void *arg, const struct lookup_line_view *v)
{
	struct row r;

	row_begin(&r);
	row_text(&r, "S");
	row_text(&r, v->as);
	row_text(&r, v->database);
	row_text(&r, "none");
	row_text(&r, v->state);
	row_text(&r, v->host[0] == '/' || v->host[0] == '@' ? "unix" : v->host);
	row_int(&r, v->port);
	row_local_addr(&r, v->conn->fd);
	row_time(&r, v->connected_wall_us);
	row_time(&r, v->asked_wall_us);
	row_int(&r, 0);
	row_int(&r, 0);
	row_int(&r, 0);
	row_pointer(&r, v->line);
	row_pointer(&r, NULL);
	row_int(&r, v->backend_pid);
	row_tls(&r, v->conn);
	row_text(&r, v->application);
	row_int(&r, 0);
	row_int(&r, (int64_t) v->id);
	row_end(&r, arg);
}

/* ---- by and by: true with *left at 0 while there may be more ---- */

static bool
some_clients(struct gather_part *part, enum view view, int *left)
{
	uint64_t now = clock_now_us();

	walk_begin(&part->walk, &part->shard->walks, &part->shard->sessions);
	for (; *left > 0; (*left)--)
	{
		struct list *n = walk_next(&part->walk);
		const struct session *s;

		if (n == NULL)
			return false;
		s = list_entry(n, struct session, node);
		if (view == ACTIVE_SOCKETS && (s->state == SESSION_IDLE || s->state == SESSION_GREETING))
			continue;
		if (s->state != SESSION_GREETING || view == SOCKETS)
			client_row(s, now, view, &part->out);
	}
	return true;
}

/* Those that this loop owns. */
static bool
some_in_use(struct gather_part *part, enum view view, int *left)
{
	walk_begin(&part->walk, &part->shard->walks, &part->shard->servers);
	for (; *left > 0; (*left)--)
	{
		struct list *n = walk_next(&part->walk);

		if (n == NULL)
			return false;
		server_row(list_entry(n, struct server, node), view, &part->out);
	}
	return true;
}

struct sight
{
	struct buf *out;
	enum view view;
};

static void
idle_row(void *arg, const struct pool_member *m)
{
	const struct sight *sight = arg;

	server_row(list_entry(m, const struct server, member), sight->view, sight->out);
}

/* Idle with this loop as their home: they are nobody's as long as the pool is locked. A pool counts
 * like a server. */
static bool
some_idle(struct gather_part *part, enum view view, int *left)
{
	struct sight sight = {.out = &part->out, .view = view};
	struct registry *r = part->shard->registry;
	int here = part->shard->loop.index;
	struct pool_entry *unfinished = NULL;

	registry_walk_on(r, &part->pools);
	for (; unfinished == NULL && *left > 0; (*left)--)
	{
		struct pool_entry *e = registry_walk_next(r, &part->pools);

		if (e == NULL)
			return false;
		if (pool_some_idle(&e->pool, here, &part->walk, left, idle_row, &sight))
			unfinished = part->pools.next = e;
	}
	registry_walk_rest(r, &part->pools);
	/* Its last server has gone, and so will it, before it could be kept. */
	if (unfinished != NULL && part->pools.next != unfinished)
		pool_end_walk(&unfinished->pool, &part->walk);
	return true;
}

/* ---- one after the other ---- */

enum stage
{
	STAGE_CLIENTS,
	STAGE_IN_USE,
	STAGE_IDLE,
	STAGE_LOOKUPS
};

/* One turn's look at what belongs to this loop. */
static void
look(struct gather_part *part, enum view view, enum stage last)
{
	int left = SLICE;

	for (; !part->again && part->stage <= (int) last; part->stage += !part->again)
		switch ((enum stage) part->stage)
		{
			case STAGE_CLIENTS:
				part->again = some_clients(part, view, &left);
				break;
			case STAGE_IN_USE:
				part->again = some_in_use(part, view, &left);
				break;
			case STAGE_IDLE:
				part->again = some_idle(part, view, &left);
				break;
			case STAGE_LOOKUPS:
				lookup_each_line(part->shard, lookup_row, &part->out);
				break;
		}
}

static void
clients_work(struct gather_part *part)
{
	look(part, CLIENTS, STAGE_CLIENTS);
}

static void
servers_work(struct gather_part *part)
{
	if (part->stage == STAGE_CLIENTS)
		part->stage = STAGE_IN_USE;
	look(part, CLIENTS, STAGE_LOOKUPS);
}

static void
sockets_work(struct gather_part *part)
{
	look(part, SOCKETS, STAGE_IDLE);
}

static void
active_sockets_work(struct gather_part *part)
{
	look(part, ACTIVE_SOCKETS, STAGE_IN_USE);
}

void
show_clients(struct show *show)
{
	show_gather(show, clients_work, show_gathered_rows);
}

void
show_servers(struct show *show)
{
	show_gather(show, servers_work, show_gathered_rows);
}

void
show_sockets(struct show *show)
{
	show_gather(show, sockets_work, show_gathered_rows);
}

void
show_active_sockets(struct show *show)
{
	show_gather(show, active_sockets_work, show_gathered_rows);
}
