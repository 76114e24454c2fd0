/*
 * server_check.c - server_check_query: whether a connection that was idle for long still leads
 * anywhere, asked before a session gets it.
 *
 * The server is owned and TESTED meanwhile; what it answers is taken in as in every other state
 * without a session (server.c), and its end ends the check too.
 */
#include "core/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/registry.h"
#include "proto/pgwrite.h"

#define NO_LIMIT_US 15000000 /* somebody waits, also where server_connect_timeout is 0 */
#define EMPTY "<empty>"      /* how an empty query is written in the file */

bool
server_check_due(const struct server *s, const struct conf *conf, uint64_t now_us)
{
	return conf->server_check_query[0] != '\0' && s->conn.fd >= 0 &&
		   now_us >= s->member.idle_since_us + conf->server_check_delay_us;
}

static void
timed_out(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	server_close(w->data, "server_check_query is not answered", false);
}

static bool
ask(struct server *s, const char *sql)
{
	size_t cap = strlen(sql) + 16;
	uint8_t *mem = mem_alloc(cap);
	struct pgwriter w;
	bool ok;

	pgw_init(&w, mem, cap);
	pgw_query(&w, sql);
	txstate_frontend(&s->tx, 'Q', TX_SWALLOW, 0);
	s->unnamed_of = 0; /* a simple query ends it */
	ok = conn_send(&s->conn, w.mem, w.len);
	free(mem);
	return ok;
}

void
server_check_start(struct server *s, struct shard *shard, void (*done)(void *arg, bool alive),
				   void *arg)
{
	const struct conf *conf = shard->conf;
	const char *sql = conf->server_check_query;
	uint64_t limit = conf->server_connect_timeout_us;

	server_look_after(s, shard);
	s->checked = done;
	s->checked_arg = arg;
	ev_timer_init(&s->reset_timer, timed_out, 0., 0.);
	s->reset_timer.data = s;
	loop_after(&shard->loop, &s->reset_timer, limit > 0 ? limit : NO_LIMIT_US);
	if (!ask(s, strcmp(sql, EMPTY) == 0 ? "" : sql))
		server_close(s, "lost before server_check_query", false);
}

void
server_check_forget(struct server *s)
{
	s->checked = NULL;
}

void
server_check_over(struct server *s)
{
	void (*done)(void *, bool) = s->checked;

	s->checked = NULL;
	ev_timer_stop(s->shard->loop.ev, &s->reset_timer);
	server_unlist(s);
	pool_member_state(&s->member, MEMBER_ACTIVE);
	done(s->checked_arg, true);
}
