/*
 * housekeep.c - see housekeep.h.
 *
 * Reload: the new snapshot is loaded here; when it is in order every loop adopts it by mail, and
 * only after all have done so is the old one freed (P9). A file with a mistake changes nothing.
 * When auth_file changes by itself, the other files are taken as they were read.
 *
 * Pause: pools are marked, every loop closes its idle servers, and what comes back is closed as
 * well. The order is answered when no server is left. That is looked at every WATCH_S seconds, only
 * while somebody waits for it. A RESUME that overtakes it answers it too.
 *
 * Shutdown: at once; or a pause of everything first (WAIT_FOR_SERVERS, INT); or no new clients
 * until the last has left (WAIT_FOR_CLIENTS, TERM). A second signal does not wait.
 */
#include "core/housekeep.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "core/encryption.h"
#include "core/gather.h"
#include "core/moved.h"
#include "core/order.h"
#include "core/registry.h"
#include "core/retire.h"
#include "core/server.h"
#include "core/userwatch.h"
#include "core/worker.h"
#include "net/dns.h"
#include "net/listen.h"

#define WATCH_S 0.01

enum shutdown_wait
{
	SHUTDOWN_NO,
	SHUTDOWN_SERVERS,
	SHUTDOWN_CLIENTS,
	SHUTDOWN_NOW
};

static struct
{
	struct registry *registry;
	ev_signal signals[6];
	ev_timer watch; /* runs while a pause or a shutdown waits */
	ev_timer stats;
	struct list waiting;  /* orders that wait: PAUSE, and RELOAD behind a RELOAD */
	struct order *reload; /* the one under way; NULL with reloading: a signal's */
	bool reloading;
	bool users_changed; /* auth_file, while another reload was under way */
	const struct conf *next_conf;
	struct encryption *next_encryption; /* of it */
	uint64_t period_started_us;
	enum shutdown_wait shutdown;
} hk;

static void carry_out(struct order *o);
static void reload_users(void);

/* ---- answers ---- */

static void
answer(struct order *o, const char *error)
{
	if (o == NULL)
		return;
	if (error != NULL)
	{
		o->failed = true;
		str_copy(o->text, sizeof(o->text), error);
	}
	loop_post(o->from, &o->mail, o->answer);
}

/* ---- reload ---- */

static void
apply_log_settings(const struct conf *conf)
{
	log_set_level(conf->verbose > 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (!log_open_file(conf->logfile))
		log_error("logfile \"%s\" cannot be opened; the old one is kept", conf->logfile);
}

static void
wake_todo(const struct pool_todo *todo)
{
	if (todo->wake != NULL)
		todo->wake->wake(todo->wake);
}

static void
report_restart(const char *key, void *arg)
{
	(void) arg;
	log_warning("reload: the new value of \"%s\" needs a restart", key);
}

static void
trim_work(struct gather_part *part)
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
}

static void
trim_done(struct gather *g)
{
	(void) g;
}

static void
trim_all(void)
{
	gather_start(hk.registry, &hk.registry->main_loop, trim_work, trim_done, NULL);
}

static void
adopt_work(struct gather_part *part)
{
	registry_adopt(part->shard, hk.next_conf, hk.next_encryption);
}

/* The oldest RELOAD that came while another one was under way. */
static void
next_reload(void)
{
	list_foreach(n, next, &hk.waiting)
	{
		struct order *o = list_entry(n, struct order, node);

		if (o->kind != ORDER_RELOAD)
			continue;
		list_remove(n);
		carry_out(o);
		return;
	}
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Whether servers of a database would be made in the same way under both configurations. */
static bool
same_target(const struct conf_database *a, const struct conf_database *b)
{
	return a != NULL && b != NULL && same_text(a->host, b->host) && a->port == b->port &&
		   same_text(a->dbname, b->dbname) && same_text(a->user, b->user) &&
		   same_text(a->password, b->password) && same_text(a->connect_query, b->connect_query) &&
		   same_text(a->client_encoding, b->client_encoding) &&
		   same_text(a->datestyle, b->datestyle) && same_text(a->timezone, b->timezone) &&
		   same_text(a->application_name, b->application_name);
}

/* A pool follows the new configuration: its limits, and new servers where the old ones lead
 * elsewhere. */
static void
update_pool(struct pool_entry *e, const struct conf *old, const struct conf *new, bool same_tls)
{
	const struct conf_database *db = conf_find_database(new, e->pool.database);
	struct conf_limits limits;
	struct pool_limits pool_limits;
	struct pool_todo todo;

	if (!same_tls || !same_target(conf_find_database(old, e->pool.database), db))
		pool_retire(&e->pool);
	if (db != NULL)
	{
		conf_limits(new, db, e->pool.user, &limits);
		registry_pool_limits(new, &limits, &pool_limits);
		if (e->pool.replication)
			pool_limits.min = 0; /* core/server_own: nothing is kept there */
	}
	else
	{
		/* It keeps its limits until its last session has left, but no servers of its own accord.
		 * Only this thread writes them. */
		pool_limits = e->pool.limits;
		pool_limits.min = 0;
	}
	pool_set_limits(&e->pool, &pool_limits, &todo);
	wake_todo(&todo);
}

static void
adopted(struct gather *g)
{
	struct registry *r = g->registry;
	const struct conf *old = r->conf;
	struct encryption *old_encryption = r->encryption;
	bool same_tls = encryption_same_servers(old_encryption, hk.next_encryption);
	struct order *o = hk.reload;

	r->conf = hk.next_conf;
	r->encryption = hk.next_encryption;
	registry_set_quotas(r, r->conf);
	registry_foreach_pool(e, r) update_pool(e, old, r->conf, same_tls);
	trim_all();
	apply_log_settings(r->conf);
	listen_defer_accept(r->conf->tcp_defer_accept);
	dns_limits(r->conf->dns_max_ttl_us, r->conf->dns_nxdomain_ttl_us);
	conf_restart_needed(old, r->conf, report_restart, NULL);
	conf_free((struct conf *) old);
	if (old_encryption != r->encryption)
		encryption_free(old_encryption);
	userwatch_start(r->main_loop.ev, r->conf->auth_file, reload_users);
	log_info("configuration reloaded from %s", r->conf->path);
	hk.reloading = false;
	hk.reload = NULL;
	answer(o, NULL);
	next_reload();
	if (hk.users_changed && !hk.reloading)
		reload_users();
}

/* auth_file has changed by itself: all else stays as it was read. */
static void
reload_users(void)
{
	struct conf_error error;

	hk.users_changed = hk.reloading;
	if (hk.reloading)
		return;
	hk.next_conf = conf_load_users(hk.registry->conf, &error);
	if (hk.next_conf == NULL)
	{
		log_error("auth_file has changed and is not taken over: %s", error.text);
		return;
	}
	log_info("auth_file has changed");
	hk.next_encryption = hk.registry->encryption;
	hk.reloading = true;
	hk.reload = NULL;
	gather_start(hk.registry, &hk.registry->main_loop, adopt_work, adopted, NULL);
}

static void
reload(struct order *o)
{
	struct conf_error error;

	if (hk.reloading)
	{
		if (o != NULL)
			list_append(&hk.waiting, &o->node);
		return;
	}
	hk.next_conf = conf_load(hk.registry->conf->path, true, &error);
	hk.next_encryption = hk.next_conf == NULL ? NULL : encryption_new(hk.next_conf, &error);
	if (hk.next_encryption == NULL)
	{
		conf_free((struct conf *) hk.next_conf);
		log_error("reload failed, the old configuration stays in force: %s", error.text);
		answer(o, error.text);
		next_reload();
		return;
	}
	hk.reloading = true;
	hk.reload = o;
	gather_start(hk.registry, &hk.registry->main_loop, adopt_work, adopted, NULL);
}

/* ---- pause and shutdown ---- */

static bool
matches(const struct pool_entry *e, const char *database)
{
	return database[0] == '\0' || strcmp(e->pool.database, database) == 0;
}

/* No server connection is left in the pools concerned. */
static bool
drained(const char *database)
{
	registry_foreach_pool(e, hk.registry)
	{
		struct pool_counts c;

		if (!matches(e, database))
			continue;
		pool_counts(&e->pool, &c);
		if (c.total > 0)
			return false;
	}
	return true;
}

static void
keep_watching(void)
{
	if (!ev_is_active(&hk.watch))
		ev_timer_start(hk.registry->main_loop.ev, &hk.watch);
}

static void
stopped(struct registry *r)
{
	loop_stop(&r->main_loop);
}

static void
stop_now(void)
{
	if (hk.shutdown == SHUTDOWN_NOW)
		return;
	hk.shutdown = SHUTDOWN_NOW;
	log_info("shutting down");
	listen_close();
	ev_timer_stop(hk.registry->main_loop.ev, &hk.watch);
	worker_stop_all(hk.registry, stopped);
}

static void
pause_pools(const char *database)
{
	registry_pause(hk.registry, database);
	trim_all();
}

static void
start_shutdown(enum shutdown_wait wait)
{
	if (wait == SHUTDOWN_NOW || hk.shutdown != SHUTDOWN_NO)
	{
		stop_now();
		return;
	}
	hk.shutdown = wait;
	if (wait == SHUTDOWN_CLIENTS)
		retire_start(hk.registry);
	else
	{
		atomic_store(&hk.registry->shutting_down, true);
		listen_close();
	}
	log_info("shutting down when %s",
			 wait == SHUTDOWN_SERVERS ? "no server is in use" : "the last client has left");
	if (wait == SHUTDOWN_SERVERS)
		pause_pools("");
	keep_watching();
}

static void
watch_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	bool more = false;

	(void) revents;
	list_foreach(n, next, &hk.waiting)
	{
		struct order *o = list_entry(n, struct order, node);

		if (o->kind != ORDER_PAUSE)
			continue;
		if (drained(o->database))
		{
			list_remove(n);
			answer(o, NULL);
		}
		else
			more = true;
	}
	if ((hk.shutdown == SHUTDOWN_SERVERS && drained("")) ||
		(hk.shutdown == SHUTDOWN_CLIENTS && retire_done(hk.registry)))
	{
		stop_now();
		return;
	}
	if (!more && hk.shutdown == SHUTDOWN_NO)
		ev_timer_stop(ev, w);
}

static bool
known_database(const char *database)
{
	return database[0] == '\0' || conf_find_database(hk.registry->conf, database) != NULL;
}

static void
pause_order(struct order *o)
{
	char text[120];

	if (!known_database(o->database))
	{
		snprintf(text, sizeof(text), "no such database: %s", o->database);
		answer(o, text);
		return;
	}
	if (o->database[0] == '\0' && atomic_load(&hk.registry->paused_all))
	{
		answer(o, "already suspended/paused");
		return;
	}
	pause_pools(o->database);
	list_append(&hk.waiting, &o->node);
	keep_watching();
}

static void
resume_order(struct order *o)
{
	bool any = registry_resume(hk.registry, o->database, wake_todo);

	trim_all(); /* min_pool_size */
	list_foreach(n, next, &hk.waiting)
	{
		struct order *p = list_entry(n, struct order, node);

		if (p->kind != ORDER_PAUSE ||
			(o->database[0] != '\0' && strcmp(p->database, o->database) != 0))
			continue;
		list_remove(n);
		answer(p, "PAUSE was ended by RESUME before all servers were free");
	}
	answer(o, any ? NULL : "pooler is not paused/suspended");
}

/* ---- orders and signals ---- */

static void
carry_out(struct order *o)
{
	switch (o->kind)
	{
		case ORDER_RELOAD:
			reload(o);
			break;
		case ORDER_PAUSE:
			pause_order(o);
			break;
		case ORDER_RESUME:
			resume_order(o);
			break;
		case ORDER_SHUTDOWN:
			answer(o, NULL);
			start_shutdown(SHUTDOWN_NOW);
			break;
		case ORDER_SHUTDOWN_WAIT_FOR_SERVERS:
			answer(o, NULL);
			start_shutdown(SHUTDOWN_SERVERS);
			break;
		case ORDER_SHUTDOWN_WAIT_FOR_CLIENTS:
			answer(o, NULL);
			start_shutdown(SHUTDOWN_CLIENTS);
			break;
	}
}

static void
order_arrived(struct mail *mail)
{
	carry_out(list_entry(mail, struct order, mail));
}

static void
signal_event(struct ev_loop *ev, ev_signal *w, int revents)
{
	(void) ev;
	(void) revents;
	log_info("got signal %d (%s)", w->signum, strsignal(w->signum));
	switch (w->signum)
	{
		case SIGHUP:
			reload(NULL);
			break;
		case SIGINT:
			start_shutdown(SHUTDOWN_SERVERS);
			break;
		case SIGTERM:
			start_shutdown(SHUTDOWN_CLIENTS);
			break;
		case SIGQUIT:
			start_shutdown(SHUTDOWN_NOW);
			break;
		case SIGUSR1:
			pause_pools("");
			break;
		case SIGUSR2:
			registry_resume(hk.registry, "", wake_todo);
			trim_all(); /* min_pool_size */
			break;
		default:
			break;
	}
}

/* ---- statistics ---- */

static void
period_work(struct gather_part *part)
{
	registry_foreach_pool(e, part->shard->registry)
	{
		struct pool_local *l = &e->local[part->shard->loop.index];

		for (int i = 0; i < STATS_FIELDS; i++)
		{
			uint64_t now = ((uint64_t *) &l->stats)[i];

			((uint64_t *) &l->last_period)[i] = now - ((uint64_t *) &l->at_period)[i];
			((uint64_t *) &l->at_period)[i] = now;
		}
		part->count[0] += (int64_t) l->last_period.xact_count;
		part->count[1] += (int64_t) l->last_period.query_count;
		part->count[2] += (int64_t) l->last_period.query_time;
		part->count[3] += (int64_t) l->last_period.wait_time;
	}
}

static void
period_done(struct gather *g)
{
	uint64_t now = clock_now_us();
	uint64_t length = now - hk.period_started_us;
	int64_t sum[4] = {0};

	for (int i = 0; i < g->n; i++)
		for (int k = 0; k < 4; k++)
			sum[k] += g->parts[i].count[k];
	atomic_store(&hk.registry->stats_period_us, length);
	hk.period_started_us = now;
	if (hk.registry->conf->log_stats && length > 0)
		log_info("stats: %.0f xacts/s, %.0f queries/s, query %.0f us, wait %.0f us on average",
				 (double) sum[0] * 1e6 / (double) length, (double) sum[1] * 1e6 / (double) length,
				 sum[1] > 0 ? (double) sum[2] / (double) sum[1] : 0.,
				 sum[1] > 0 ? (double) sum[3] / (double) sum[1] : 0.);
}

static void
stats_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	double period = (double) hk.registry->conf->stats_period_us / 1e6;

	(void) revents;
	gather_start(hk.registry, &hk.registry->main_loop, period_work, period_done, NULL);
	ev_timer_set(w, period > 0 ? period : 60., 0.);
	ev_timer_start(ev, w);
}

void
housekeep_start(struct registry *r)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2};
	struct ev_loop *ev = r->main_loop.ev;
	double period = (double) r->conf->stats_period_us / 1e6;

	hk.registry = r;
	list_init(&hk.waiting);
	hk.period_started_us = clock_now_us();
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
	{
		ev_signal_init(&hk.signals[i], signal_event, signals[i]);
		ev_signal_start(ev, &hk.signals[i]);
	}
	ev_timer_init(&hk.watch, watch_event, WATCH_S, WATCH_S);
	ev_timer_init(&hk.stats, stats_event, period > 0 ? period : 60., 0.);
	ev_timer_start(ev, &hk.stats);
	r->take_order = order_arrived;
	dns_limits(r->conf->dns_max_ttl_us, r->conf->dns_nxdomain_ttl_us);
	moved_start(r);
	userwatch_start(ev, r->conf->auth_file, reload_users);
	trim_all(); /* min_pool_size */
}

void
housekeep_stop(void)
{
	struct ev_loop *ev = hk.registry->main_loop.ev;

	for (size_t i = 0; i < sizeof(hk.signals) / sizeof(hk.signals[0]); i++)
		ev_signal_stop(ev, &hk.signals[i]);
	ev_timer_stop(ev, &hk.watch);
	ev_timer_stop(ev, &hk.stats);
	userwatch_stop();
}
