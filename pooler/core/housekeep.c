/*
 * housekeep.c - see housekeep.h.
 *
 * Reload: the new snapshot is loaded here; when it is in order every loop adopts it by mail, and
 * only after all have done so is the old one freed (P9). A file with a mistake changes nothing.
 * When auth_file changes by itself, the other files are taken as they were read.
 *
 * SET: the same with the files as they were read, and one more setting. What is set so lasts until
 * the next RELOAD.
 *
 * What is done to pools and clients is in core/operate.
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
#include "core/descriptors.h"
#include "core/encryption.h"
#include "core/forget.h"
#include "core/gather.h"
#include "core/home.h"
#include "core/logging.h"
#include "core/moved.h"
#include "core/operate.h"
#include "core/order.h"
#include "core/period.h"
#include "core/registry.h"
#include "core/scrape.h"
#include "core/userwatch.h"
#include "net/systemd.h"
#include "net/dns.h"
#include "net/listen.h"

static struct
{
	struct registry *registry;
	ev_signal signals[6];
	struct list waiting;  /* RELOAD and SET behind another one */
	struct order *reload; /* the one under way; NULL with reloading: a signal's */
	bool reloading;
	bool signalled;     /* a signal's reload, while another one was under way */
	bool users_changed; /* auth_file, likewise */
	struct conf *next_conf;
	struct encryption *next_encryption; /* of it */
} hk;

static void carry_out(struct order *o);
static void reload_users(void);

/* ---- reload ---- */

static void
apply_log_settings(const struct conf *conf)
{
	if (!logging_apply(conf))
		log_error("logfile \"%s\" cannot be opened; the old one is kept", conf->logfile);
}

static void
wake_todo(const struct pool_todo *todo)
{
	if (todo->wake != NULL)
		todo->wake->wake(todo->wake);
}

/* arg: the RELOAD that is told, or NULL. */
static void
report_restart(const char *key, void *arg)
{
	struct order *o = arg;
	size_t n;

	log_warning("reload: the new value of \"%s\" needs a restart", key);
	if (o == NULL)
		return;
	n = strlen(o->notice);
	snprintf(o->notice + n, sizeof(o->notice) - n, "%s%s", n > 0 ? ", " : "needs a restart: ", key);
}

static void
adopt_work(struct gather_part *part)
{
	registry_adopt(part->shard, hk.next_conf, hk.next_encryption);
}

static void reload(struct order *o);

/* The oldest RELOAD or SET that came while another one was under way; then what a signal asked for.
 */
static void
next_reload(void)
{
	struct list *n = list_pop(&hk.waiting);

	if (n != NULL)
		carry_out(list_entry(n, struct order, node));
	else if (hk.signalled)
	{
		hk.signalled = false;
		reload(NULL);
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
	registry_foreach_pool(e, r)
	{
		/* What is about to be freed must want no server any more. */
		if (!atomic_load(&e->leaving))
			update_pool(e, old, r->conf, same_tls);
	}
	forget_start(r);
	operate_trim();
	apply_log_settings(r->conf);
	descriptors_raise(r->conf, r->n_shards);
	listen_defer_accept(r->conf->tcp_defer_accept);
	dns_limits(r->conf->dns_max_ttl_us, r->conf->dns_nxdomain_ttl_us);
	home_adopt(r->conf);
	scrape_reload();
	conf_free((struct conf *) old);
	if (old_encryption != r->encryption)
		encryption_free(old_encryption);
	userwatch_start(r->main_loop.ev, r->conf->auth_file, reload_users);
	if (o != NULL && o->kind == ORDER_SET)
		log_info("setting \"%s\" changed on the console", o->name);
	else
		log_info("configuration reloaded from %s", r->conf->path);
	systemd_reloaded();
	hk.reloading = false;
	hk.reload = NULL;
	order_done(o);
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
	conf_keep_in_force(hk.next_conf, hk.registry->conf, NULL, NULL);
	log_info("auth_file has changed");
	hk.next_encryption = hk.registry->encryption;
	hk.reloading = true;
	hk.reload = NULL;
	gather_start(hk.registry, &hk.registry->main_loop, adopt_work, adopted, NULL);
}

/* Nothing has changed: the order is answered. */
static void
reload_failed(struct order *o, const struct conf_error *error)
{
	conf_free(hk.next_conf);
	if (o != NULL && o->kind == ORDER_SET)
	{
		str_copy(o->detail, sizeof(o->detail), error->text);
		order_failed(o, "22023", "SET failed");
	}
	else
	{
		apply_log_settings(hk.registry->conf); /* whoever rotates logs sends HUP */
		log_error("reload failed, the old configuration stays in force: %s", error->text);
		systemd_reloaded();
		order_failed(o, "55000", "%s", error->text);
	}
	next_reload();
}

/* o: a RELOAD or a SET; NULL: a signal's reload. */
static void
reload(struct order *o)
{
	const struct conf *old = hk.registry->conf;
	bool is_set = o != NULL && o->kind == ORDER_SET;
	struct conf_error error;

	if (hk.reloading)
	{
		if (o != NULL)
			list_append(&hk.waiting, &o->node);
		else
			hk.signalled = true;
		return;
	}
	if (!is_set)
		systemd_reloading();
	hk.next_conf = is_set ? conf_load_set(old, o->name, o->value, &error)
						  : conf_load(old->conffile, true, &error);
	hk.next_encryption = hk.next_conf == NULL ? NULL : encryption_new(hk.next_conf, &error);
	if (hk.next_encryption == NULL)
	{
		reload_failed(o, &error);
		return;
	}
	conf_keep_in_force(hk.next_conf, old, is_set ? NULL : report_restart, o);
	hk.reloading = true;
	hk.reload = o;
	gather_start(hk.registry, &hk.registry->main_loop, adopt_work, adopted, NULL);
}

/* ---- orders and signals ---- */

static void
carry_out(struct order *o)
{
	if (o->kind == ORDER_RELOAD || o->kind == ORDER_SET)
		reload(o);
	else
		operate_order(o);
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
			operate_shutdown(OPERATE_WAIT_FOR_SERVERS);
			break;
		case SIGTERM:
			operate_shutdown(OPERATE_WAIT_FOR_CLIENTS);
			break;
		case SIGQUIT:
			operate_shutdown(OPERATE_AT_ONCE);
			break;
		case SIGUSR1:
			operate_pause();
			break;
		case SIGUSR2:
			operate_resume();
			break;
		default:
			break;
	}
}

/* ---- life ---- */

void
housekeep_start(struct registry *r)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2};
	struct ev_loop *ev = r->main_loop.ev;

	hk.registry = r;
	list_init(&hk.waiting);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
	{
		ev_signal_init(&hk.signals[i], signal_event, signals[i]);
		ev_signal_start(ev, &hk.signals[i]);
	}
	operate_start(r);
	home_start(r);
	period_start(r);
	r->take_order = order_arrived;
	dns_limits(r->conf->dns_max_ttl_us, r->conf->dns_nxdomain_ttl_us);
	moved_start(r);
	userwatch_start(ev, r->conf->auth_file, reload_users);
	forget_start(r);
	scrape_start(r);
	operate_trim(); /* min_pool_size */
}

void
housekeep_stop(void)
{
	struct ev_loop *ev = hk.registry->main_loop.ev;

	for (size_t i = 0; i < sizeof(hk.signals) / sizeof(hk.signals[0]); i++)
		ev_signal_stop(ev, &hk.signals[i]);
	period_stop();
	scrape_stop();
	forget_stop(hk.registry);
	userwatch_stop();
	operate_stop();
}
