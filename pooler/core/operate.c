/*
 * operate.c - see operate.h. What is done to the sessions and servers of one loop: operate_work.c.
 *
 * Pause: pools are marked, every loop closes its idle servers, and what comes back is closed as
 * well. The order is answered when no server is left. A RESUME that overtakes it answers it too.
 *
 * Kill: a pause, then every loop ends the sessions and servers concerned.
 *
 * Reconnect: the servers that are there become stale, idle ones are closed by every loop, the
 * others when they are free (or, with server_fast_close, when their transaction ends). WAIT_CLOSE
 * waits until none is left.
 *
 * Suspend: every loop stops reading from clients that are logged in and from their servers. The
 * order is answered when nothing is left to be sent to them, or after suspend_timeout, when those
 * who do not take it are ended.
 *
 * What is waited for is looked at every WATCH_S seconds, only while somebody waits. An order waits
 * in one list, oldest first; its session lives until it is answered, and no other thread knows it.
 */
#include "core/operate.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/admin.h"
#include "core/gather.h"
#include "core/home.h"
#include "core/operate_work.h"
#include "core/order.h"
#include "core/period.h"
#include "core/registry.h"
#include "core/retire.h"
#include "core/scrape.h"
#include "core/worker.h"
#include "net/listen.h"
#include "net/systemd.h"

#define WATCH_S 0.01

static struct
{
	struct registry *registry;
	ev_timer watch;      /* runs while an order or a shutdown waits */
	struct list waiting; /* PAUSE, WAIT_CLOSE, SUSPEND */
	bool counting;       /* a look at what is still to be sent is under way */
	enum operate_shutdown shutdown;
} op;

/* ---- by mail to all loops ---- */

static void
nothing_left_to_do(struct gather *g)
{
	(void) g;
}

static void
order_carried_out(struct gather *g)
{
	order_done(g->arg);
}

static void
on_all_loops(void (*work)(struct gather_part *), void (*finish)(struct gather *), void *arg)
{
	gather_start(op.registry, &op.registry->main_loop, work, finish, arg);
}

void
operate_trim(void)
{
	on_all_loops(operate_trim_work, nothing_left_to_do, NULL);
}

static void
wake_todo(const struct pool_todo *todo)
{
	if (todo->wake != NULL)
		todo->wake->wake(todo->wake);
}

/* ---- waiting ---- */

/* Of the pools concerned: servers at all, or stale ones. */
static int64_t
servers_left(const char *database, bool stale)
{
	int64_t n = 0;

	registry_foreach_pool(e, op.registry)
	{
		struct pool_counts c;

		if (!registry_matches(&e->pool, database))
			continue;
		pool_counts(&e->pool, &c);
		n += stale ? c.stale : c.total;
	}
	return n;
}

static void
keep_watching(void)
{
	if (!ev_is_active(&op.watch))
		ev_timer_start(op.registry->main_loop.ev, &op.watch);
}

static void
wait_for(struct order *o)
{
	list_append(&op.waiting, &o->node);
	keep_watching();
}

/* The SUSPEND that waits, or NULL. */
static struct order *
waiting_suspend(void)
{
	list_foreach(n, next, &op.waiting) if (list_entry(n, struct order, node)->kind ==
										   ORDER_SUSPEND) return list_entry(n, struct order, node);
	return NULL;
}

static void
counted(struct gather *g)
{
	struct order *o = waiting_suspend();
	int64_t blocked = 0;

	op.counting = false;
	for (int i = 0; i < g->n; i++)
		blocked += g->parts[i].count[0];
	/* A RESUME may have overtaken it. */
	if (o == NULL || (blocked > 0 && clock_now_us() < o->deadline_us))
		return;
	list_remove(&o->node);
	if (blocked > 0)
		on_all_loops(operate_end_blocked_work, order_carried_out, o);
	else
		order_done(o);
}

static bool
complete(const struct order *o)
{
	switch (o->kind)
	{
		case ORDER_PAUSE:
			return servers_left(o->name, false) == 0;
		case ORDER_WAIT_CLOSE:
			return servers_left(o->name, true) == 0;
		default:
			return false; /* SUSPEND: counted() */
	}
}

static void
stopped(struct registry *r)
{
	loop_stop(&r->main_loop);
}

static void
stop_now(void)
{
	if (op.shutdown == OPERATE_AT_ONCE)
		return;
	op.shutdown = OPERATE_AT_ONCE;
	systemd_stopping();
	log_info("shutting down");
	listen_close();
	home_stop();
	scrape_stop();
	ev_timer_stop(op.registry->main_loop.ev, &op.watch);
	worker_stop_all(op.registry, stopped);
}

/* What has been measured since the last period is written first, as far as that can be done. */
static void
stop_with_numbers(void)
{
	if (!home_is_on())
	{
		stop_now();
		return;
	}
	op.shutdown = OPERATE_LAST_PERIOD;
	home_finish(stop_now);
	period_last();
}

static void
watch_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) revents;
	list_foreach(n, next, &op.waiting)
	{
		struct order *o = list_entry(n, struct order, node);

		if (!complete(o))
			continue;
		list_remove(n);
		order_done(o);
	}
	if (waiting_suspend() != NULL && !op.counting)
	{
		op.counting = true;
		on_all_loops(operate_count_blocked_work, counted, NULL);
	}
	if ((op.shutdown == OPERATE_WAIT_FOR_SERVERS && servers_left("", false) == 0) ||
		(op.shutdown == OPERATE_WAIT_FOR_CLIENTS && retire_done(op.registry)))
	{
		stop_with_numbers();
		return;
	}
	if (list_empty(&op.waiting) && op.shutdown == OPERATE_NOT)
		ev_timer_stop(ev, w);
}

/* ---- the orders ---- */

static void
pause_pools(const char *database)
{
	registry_pause(op.registry, database);
	operate_trim();
}

static void
pause_order(struct order *o)
{
	if (atomic_load(&op.registry->suspended))
		order_failed(o, "55000", "already suspended");
	else if (atomic_load(&op.registry->paused_all))
		order_failed(o, "55000", "already paused");
	else
	{
		pause_pools(o->name);
		wait_for(o);
	}
}

/* They will not come to what they wait for any more. */
static void
overtake(const struct order *resume)
{
	list_foreach(n, next, &op.waiting)
	{
		struct order *o = list_entry(n, struct order, node);

		if (o->kind == ORDER_WAIT_CLOSE ||
			(resume->name[0] != '\0' && strcmp(o->name, resume->name) != 0))
			continue;
		list_remove(n);
		order_failed(o, "55000", "%s was ended by RESUME before it was complete",
					 o->kind == ORDER_PAUSE ? "PAUSE" : "SUSPEND");
	}
}

static void
wake_up(void)
{
	if (atomic_exchange(&op.registry->suspended, false))
		on_all_loops(operate_wake_work, nothing_left_to_do, NULL);
}

static void
resume_order(struct order *o)
{
	bool was_suspended = o->name[0] == '\0' && atomic_load(&op.registry->suspended);
	bool was_paused = registry_resume(op.registry, o->name, wake_todo);

	if (was_suspended)
		wake_up();
	operate_trim(); /* min_pool_size */
	overtake(o);
	if (was_paused || was_suspended)
		order_done(o);
	else if (o->name[0] == '\0')
		order_failed(o, "55000", "pooler is not paused");
	else
		order_failed(o, "55000", "database %s is not paused", o->name);
}

static void
suspend_order(struct order *o)
{
	if (atomic_load(&op.registry->suspended))
		order_failed(o, "55000", "already suspended");
	else if (atomic_load(&op.registry->paused_all))
		order_failed(o, "55000", "already paused");
	else if (registry_any_paused(op.registry))
		order_failed(o, "55000", "cannot suspend with paused databases");
	else
	{
		atomic_store(&op.registry->suspended, true);
		o->deadline_us = clock_now_us() + op.registry->conf->suspend_timeout_us;
		on_all_loops(operate_suspend_work, nothing_left_to_do, NULL);
		wait_for(o);
	}
}

static void
reconnect_order(struct order *o)
{
	registry_foreach_pool(e, op.registry) if (registry_matches(&e->pool, o->name))
		pool_retire(&e->pool);
	operate_trim();
	order_done(o);
}

static void
kill_order(struct order *o)
{
	registry_pause(op.registry, o->name);
	on_all_loops(operate_kill_work, order_carried_out, o);
}

static void
client_killed(struct gather *g)
{
	int64_t found = 0;

	for (int i = 0; i < g->n; i++)
		found += g->parts[i].count[0];
	if (found > 0)
		order_done(g->arg);
	else
		order_failed(g->arg, "42704", "client not found");
}

static void
disable_order(struct order *o)
{
	registry_disable(op.registry, o->name, o->kind == ORDER_DISABLE);
	order_done(o);
}

static void
shutdown_order(struct order *o, enum operate_shutdown how)
{
	order_done(o);
	operate_shutdown(how);
}

/* ---- what they may be given for ---- */

/* What PgBouncer says to an order for the console's own database. */
static const char *
verb_of(enum order_kind kind)
{
	switch (kind)
	{
		case ORDER_DISABLE:
			return "disable";
		case ORDER_ENABLE:
			return "enable";
		case ORDER_KILL:
			return "kill";
		case ORDER_PAUSE:
			return "pause";
		case ORDER_RECONNECT:
			return "reconnect";
		case ORDER_WAIT_CLOSE:
			return "wait in";
		default:
			return NULL;
	}
}

/* False: the order has been answered. */
static bool
names_a_database(struct order *o)
{
	const char *verb = verb_of(o->kind);

	if (verb == NULL && o->kind != ORDER_RESUME)
		return true;
	if (o->name[0] == '\0' && (o->kind == ORDER_DISABLE || o->kind == ORDER_ENABLE))
		order_failed(o, "42601", "a database is required");
	else if (o->name[0] == '\0')
		return true;
	else if (verb != NULL && admin_is_console(op.registry->conf, o->name))
		order_failed(o, "55000", "cannot %s admin db: %s", verb, o->name);
	else if (admin_is_console(op.registry->conf, o->name))
		order_failed(o, "55000", "database %s is not paused", o->name);
	else if (conf_find_database(op.registry->conf, o->name) == NULL)
		order_failed(o, "3D000", "no such database: %s", o->name);
	else
		return true;
	return false;
}

void
operate_order(struct order *o)
{
	if (!names_a_database(o))
		return;
	switch (o->kind)
	{
		case ORDER_DISABLE:
		case ORDER_ENABLE:
			disable_order(o);
			break;
		case ORDER_KILL:
			kill_order(o);
			break;
		case ORDER_KILL_CLIENT:
			on_all_loops(operate_kill_client_work, client_killed, o);
			break;
		case ORDER_PAUSE:
			pause_order(o);
			break;
		case ORDER_RECONNECT:
			reconnect_order(o);
			break;
		case ORDER_RESUME:
			resume_order(o);
			break;
		case ORDER_SHUTDOWN:
			shutdown_order(o, OPERATE_AT_ONCE);
			break;
		case ORDER_SHUTDOWN_WAIT_FOR_SERVERS:
			shutdown_order(o, OPERATE_WAIT_FOR_SERVERS);
			break;
		case ORDER_SHUTDOWN_WAIT_FOR_CLIENTS:
			shutdown_order(o, OPERATE_WAIT_FOR_CLIENTS);
			break;
		case ORDER_SUSPEND:
			suspend_order(o);
			break;
		case ORDER_WAIT_CLOSE:
			wait_for(o);
			break;
		case ORDER_RELOAD:
		case ORDER_SET:
			break; /* core/housekeep */
	}
}

/* ---- signals, start and end ---- */

void
operate_pause(void)
{
	pause_pools("");
}

void
operate_resume(void)
{
	registry_resume(op.registry, "", wake_todo);
	wake_up();
	operate_trim(); /* min_pool_size */
}

void
operate_shutdown(enum operate_shutdown how)
{
	if (how == OPERATE_AT_ONCE || op.shutdown != OPERATE_NOT)
	{
		stop_now();
		return;
	}
	op.shutdown = how;
	systemd_stopping();
	if (how == OPERATE_WAIT_FOR_CLIENTS)
		retire_start(op.registry);
	else
	{
		atomic_store(&op.registry->shutting_down, true);
		listen_close();
	}
	log_info("shutting down when %s",
			 how == OPERATE_WAIT_FOR_SERVERS ? "no server is in use" : "the last client has left");
	if (how == OPERATE_WAIT_FOR_SERVERS)
		pause_pools("");
	home_retire();
	keep_watching();
}

void
operate_start(struct registry *r)
{
	op.registry = r;
	list_init(&op.waiting);
	ev_timer_init(&op.watch, watch_event, WATCH_S, WATCH_S);
}

void
operate_stop(void)
{
	ev_timer_stop(op.registry->main_loop.ev, &op.watch);
}
