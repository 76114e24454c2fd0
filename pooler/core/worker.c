/*
 * worker.c - see worker.h.
 *
 * Stopping goes in three rounds through all loops, so that mail of one round has arrived before the
 * next begins: sessions are ended; servers, logins and cancels are closed; the loops stop.
 */
#include "core/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/abandon.h"
#include "core/auth.h"
#include "core/cancel.h"
#include "core/gather.h"
#include "core/lookup.h"
#include "core/past.h"
#include "core/peers.h"
#include "core/registry.h"
#include "core/server.h"
#include "core/server_login.h"
#include "core/session.h"
#include "net/resolve.h"
#include "proto/pgwrite.h"

static void *
body(void *arg)
{
	struct shard *s = arg;

	loop_run(&s->loop);
	lookup_fini(s);
	past_clear(&s->past);
	resolve_fini(&s->loop);
	auth_thread_fini();
	return NULL;
}

bool
worker_start_all(struct registry *r)
{
	sigset_t all;
	sigset_t before;
	bool ok = true;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (int i = 0; ok && i < r->n_shards; i++)
		ok = pthread_create(&r->shards[i].loop.thread, NULL, body, &r->shards[i]) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ok;
}

void
worker_join_all(struct registry *r)
{
	for (int i = 0; i < r->n_shards; i++)
		pthread_join(r->shards[i].loop.thread, NULL);
}

static void
end_sessions(struct gather_part *part)
{
	struct list *n;

	while ((n = list_first(&part->shard->sessions)) != NULL)
		session_fatal(list_entry(n, struct session, node), "57P01", "the pooler is shutting down");
}

static void
close_servers(struct gather_part *part)
{
	struct shard *s = part->shard;
	struct list *n;

	end_sessions(part); /* those whom another loop had just accepted for this one */
	server_login_abandon_all(s);
	abandon_close_all(s, "", "shutting down");
	registry_foreach_pool(e, s->registry)
	{
		ev_timer_stop(s->loop.ev, &e->local[s->loop.index].reap);
		ev_timer_stop(s->loop.ev, &e->local[s->loop.index].retry);
		ev_timer_stop(s->loop.ev, &e->local[s->loop.index].reserve);
		server_trim(s, &e->pool, true);
	}
	list_foreach(pos, next, &s->servers)
	{
		struct server *server = list_entry(pos, struct server, node);

		if (!server->closed)
			server_close(server, "shutting down", true);
	}
	/* What is left is held by a cancel. */
	cancel_abandon_all(s);
	peers_abandon_all(s);
	while ((n = list_first(&s->servers)) != NULL)
		server_unlist(list_entry(n, struct server, node));
}

static void
stop_loop(struct gather_part *part)
{
	loop_stop(&part->shard->loop);
}

static void
loops_stopped(struct gather *g)
{
	void (*done)(struct registry *) = (void (*)(struct registry *)) g->arg;

	done(g->registry);
}

static void
servers_closed(struct gather *g)
{
	gather_start(g->registry, g->origin, stop_loop, loops_stopped, g->arg);
}

static void
sessions_ended(struct gather *g)
{
	gather_start(g->registry, g->origin, close_servers, servers_closed, g->arg);
}

void
worker_stop_all(struct registry *r, void (*done)(struct registry *r))
{
	atomic_store(&r->shutting_down, true);
	atomic_store(&r->serving_arrived, false);
	registry_pause(r, "");
	gather_start(r, &r->main_loop, end_sessions, sessions_ended, (void *) done);
}
