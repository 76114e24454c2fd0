/*
 * show.c - see show.h.
 *
 * Here: the dispatch by the table in commands.def, and what pools and the configuration know by
 * themselves. What belongs to loops is gathered in show_sessions.c and show_stats.c.
 */
#include "core/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "core/registry.h"
#include "core/rows.h"
#include "core/session.h"
#include "core/show_hosts.h"
#include "core/show_parts.h"
#include "core/show_pins.h"
#include "core/show_sessions.h"
#include "core/show_stats.h"
#include "net/dns.h"
#include "proto/pgwrite.h"

#ifndef PERFKIT_VERSION
#define PERFKIT_VERSION "0.1.0"
#endif
#define COMPATIBLE_VERSION "PgBouncer 1.26.0"

static void
show_version(struct show *show)
{
	struct row r;

	rows_head(&show->answer, "version");
	row_begin(&r);
	row_text(&r, COMPATIBLE_VERSION " (perfkit-pooler " PERFKIT_VERSION ")");
	row_end(&r, &show->answer);
	show_finish(show);
}

static void
show_config(struct show *show)
{
	struct conf_row c;
	struct row r;

	rows_head(&show->answer, "key value default changeable");
	for (int i = 0; conf_row(show->session->shard->conf, i, &c); i++)
	{
		row_begin(&r);
		row_text(&r, c.key);
		row_text(&r, c.is_null ? NULL : c.value);
		row_text(&r, c.default_value);
		row_text(&r, c.changeable ? "yes" : "no");
		row_end(&r, &show->answer);
	}
	show_finish(show);
}

static const char *
balance(const struct conf_database *db)
{
	if (db == NULL || db->host == NULL || strchr(db->host, ',') == NULL)
		return NULL; /* there is nothing to balance */
	return db->load_balance_hosts == 0 ? "disable" : "round-robin";
}

/* With those of the pool beside it whose servers replicate: a pool is one row to whoever reads them
 * by name. */
static void
whole_counts(struct pool *p, struct pool_counts *c)
{
	struct pool *beside = atomic_load(&p->beside);
	struct pool_counts more;

	pool_counts(p, c);
	if (beside == NULL)
		return;
	pool_counts(beside, &more);
	for (int i = 0; i < MEMBER_STATES; i++)
		c->by_state[i] += more.by_state[i];
	c->waiters += more.waiters;
	c->sessions += more.sessions;
	if (c->oldest_wait_us == 0 ||
		(more.oldest_wait_us != 0 && more.oldest_wait_us < c->oldest_wait_us))
		c->oldest_wait_us = more.oldest_wait_us;
}

static void
pool_row(const struct conf *conf, struct pool_entry *e, uint64_t now, struct buf *out)
{
	const struct conf_database *db = conf_find_database(conf, e->pool.database);
	struct conf_limits limits = {.pool_mode = POOL_SESSION};
	struct pool_counts c;
	uint64_t wait;
	struct row r;

	whole_counts(&e->pool, &c);
	if (db != NULL)
		conf_limits(conf, db, e->pool.user, &limits);
	wait = c.oldest_wait_us != 0 && now > c.oldest_wait_us ? now - c.oldest_wait_us : 0;
	row_begin(&r);
	row_text(&r, e->pool.database);
	row_text(&r, e->pool.user);
	row_int(&r, c.sessions - c.waiters);
	row_int(&r, c.waiters);
	row_int(&r, 0);
	row_int(&r, 0);
	row_int(&r, c.by_state[MEMBER_ACTIVE]);
	row_int(&r, 0);
	row_int(&r, c.by_state[MEMBER_CANCELLING] + c.by_state[MEMBER_DRAINING]);
	row_int(&r, c.by_state[MEMBER_IDLE]);
	row_int(&r, 0);
	row_int(&r, c.by_state[MEMBER_TESTED] + c.by_state[MEMBER_RESETTING]);
	row_int(&r, c.by_state[MEMBER_LOGIN]);
	row_int(&r, (int64_t) (wait / 1000000));
	row_int(&r, (int64_t) (wait % 1000000));
	row_text(&r, pool_mode_name(limits.pool_mode));
	row_text(&r, balance(db));
	row_end(&r, out);
}

static void
show_pools(struct show *show)
{
	uint64_t now = clock_now_us();

	rows_head(&show->answer,
			  "database user #cl_active #cl_waiting #cl_active_cancel_req #cl_waiting_cancel_req "
			  "#sv_active #sv_active_cancel #sv_being_canceled #sv_idle #sv_used #sv_tested "
			  "#sv_login #maxwait #maxwait_us pool_mode load_balance_hosts");
	registry_foreach_pool(e, show->session->shard->registry) if (!e->pool.replication)
		pool_row(show->session->shard->conf, e, now, &show->answer);
	show_finish(show);
}

static bool
is_paused(struct registry *r, const char *database)
{
	struct pool_counts c;
	bool paused = atomic_load(&r->paused_all);

	registry_foreach_pool(e, r)
	{
		if (paused || strcmp(e->pool.database, database) != 0)
			continue;
		pool_counts(&e->pool, &c);
		paused = c.paused;
	}
	return paused;
}

static void
database_row(struct registry *reg, const struct conf *conf, const struct conf_database *db,
			 struct buf *out)
{
	struct conf_limits limits;
	int64_t servers;
	int64_t clients;
	struct row r;

	registry_quota_counts(reg, QUOTA_DATABASE, db->name, &servers, &clients);
	conf_limits(conf, db, NULL, &limits);
	row_begin(&r);
	row_text(&r, db->name);
	row_text(&r, db->host);
	row_int(&r, db->port);
	row_text(&r, db->dbname != NULL ? db->dbname : db->name);
	row_text(&r, db->user);
	row_int(&r, limits.pool_size);
	row_int(&r, limits.min_pool_size);
	row_int(&r, limits.reserve_pool_size);
	row_int(&r, (int64_t) (limits.server_lifetime_us / 1000000));
	row_text(&r, pool_mode_name(limits.pool_mode));
	row_text(&r, balance(db));
	row_int(&r, limits.max_db_connections);
	row_int(&r, servers);
	row_int(&r, limits.max_db_client_connections);
	row_int(&r, clients);
	row_int(&r, is_paused(reg, db->name));
	row_int(&r, 0);
	row_int(&r, limits.max_client_waiting);
	row_int(&r, limits.max_statement_length);
	row_end(&r, out);
}

/* The console counts as a database, as in PgBouncer. */
static void
console_row(const struct conf *conf, struct buf *out)
{
	struct row r;

	row_begin(&r);
	row_text(&r, "pgbouncer");
	row_text(&r, NULL);
	row_int(&r, conf->listen_port);
	row_text(&r, "pgbouncer");
	row_text(&r, "pgbouncer");
	row_int(&r, 2);
	row_int(&r, 0);
	row_int(&r, 0);
	row_int(&r, (int64_t) (conf->server_lifetime_us / 1000000));
	row_text(&r, pool_mode_name(POOL_STATEMENT));
	row_text(&r, NULL);
	for (int i = 0; i < 8; i++)
		row_int(&r, 0);
	row_end(&r, out);
}

static void
show_databases(struct show *show)
{
	const struct conf *conf = show->session->shard->conf;

	rows_head(&show->answer,
			  "name host #port database force_user #pool_size #min_pool_size #reserve_pool_size "
			  "#server_lifetime pool_mode load_balance_hosts #max_connections "
			  "#current_connections #max_client_connections #current_client_connections #paused "
			  "#disabled #max_client_waiting #max_statement_length");
	for (size_t i = 0; i < conf->n_databases; i++)
		database_row(show->session->shard->registry, conf, &conf->databases[i], &show->answer);
	console_row(conf, &show->answer);
	show_finish(show);
}

/* Sizes and mode as the entry of [users] says (0, NULL: nothing); limits as they are in force. */
static void
user_row(struct registry *reg, const struct conf *conf, const struct conf_user *u, struct buf *out)
{
	struct conf_limits limits;
	int64_t servers;
	int64_t clients;
	struct row r;

	registry_quota_counts(reg, QUOTA_USER, u->name, &servers, &clients);
	conf_limits(conf, NULL, u->name, &limits);
	row_begin(&r);
	row_text(&r, u->name);
	row_int(&r, u->pool_size < 0 ? 0 : u->pool_size);
	row_int(&r, u->reserve_pool_size < 0 ? 0 : u->reserve_pool_size);
	row_text(&r, u->pool_mode == POOL_MODE_UNSET ? NULL : pool_mode_name(u->pool_mode));
	row_int(&r, limits.max_user_connections);
	row_int(&r, servers);
	row_int(&r, limits.max_user_client_connections);
	row_int(&r, clients);
	row_int(&r, limits.max_client_waiting);
	row_int(&r, limits.max_statement_length);
	row_end(&r, out);
}

static void
show_users(struct show *show)
{
	const struct conf *conf = show->session->shard->conf;

	rows_head(&show->answer,
			  "name #pool_size #reserve_pool_size pool_mode #max_user_connections "
			  "#current_connections #max_user_client_connections #current_client_connections "
			  "#max_client_waiting #max_statement_length");
	for (size_t i = 0; i < conf->n_users; i++)
		user_row(show->session->shard->registry, conf, &conf->users[i], &show->answer);
	show_finish(show);
}

static void
show_dns_hosts(struct show *show)
{
	rows_head(&show->answer, "hostname #ttl addrs");
	show_hosts_dns(&show->answer);
	show_finish(show);
}

static void
show_peers(struct show *show)
{
	rows_head(&show->answer, "#peer_id host #port #pool_size");
	show_hosts_peers(show->session->shard->conf, &show->answer);
	show_finish(show);
}

static void
show_peer_pools(struct show *show)
{
	rows_head(&show->answer, "#peer_id #cl_active_cancel_req #cl_waiting_cancel_req "
							 "#sv_active_cancel #sv_login");
	show_hosts_peer_pools(show->session->shard->conf, &show->answer);
	show_finish(show);
}

static void
item(struct show *show, const char *name, int64_t n)
{
	struct row r;

	row_begin(&r);
	row_text(&r, name);
	row_int(&r, n);
	row_end(&r, &show->answer);
}

static void
lists_work(struct gather_part *part)
{
	list_foreach(n, next, &part->shard->sessions)
	{
		const struct session *s = list_entry(n, struct session, node);

		part->count[s->state == SESSION_GREETING ? 1 : 0]++;
	}
}

static void
lists_finish(struct gather *g)
{
	struct show *show = g->arg;
	const struct conf *conf = show->session->shard->conf;
	int64_t pools = 0;
	int64_t idle = 0;
	int64_t used = 0;
	int64_t clients[2] = {0, 0};
	struct pool_counts c;

	registry_foreach_pool(e, g->registry)
	{
		pool_counts(&e->pool, &c);
		pools += !e->pool.replication;
		idle += c.by_state[MEMBER_IDLE];
		used += c.total - c.by_state[MEMBER_IDLE];
	}
	for (int i = 0; i < g->n; i++)
		for (int k = 0; k < 2; k++)
			clients[k] += g->parts[i].count[k];
	rows_head(&show->answer, "list #items");
	item(show, "databases", (int64_t) conf->n_databases + 1); /* and the console */
	item(show, "users", (int64_t) conf->n_users);
	item(show, "peers", (int64_t) conf->n_peers);
	item(show, "pools", pools);
	item(show, "peer_pools", (int64_t) conf->n_peers);
	item(show, "free_clients", 0);
	item(show, "used_clients", clients[0]);
	item(show, "login_clients", clients[1]);
	item(show, "free_servers", idle);
	item(show, "used_servers", used);
	item(show, "dns_names", dns_count());
	item(show, "dns_zones", 0);
	item(show, "dns_queries", 0);
	item(show, "dns_pending", 0);
	show_finish(show);
}

static void
show_lists(struct show *show)
{
	show_gather(show, lists_work, lists_finish);
}

static void
state(struct show *show, const char *key, const char *value)
{
	struct row r;

	row_begin(&r);
	row_text(&r, key);
	row_text(&r, value);
	row_end(&r, &show->answer);
}

static void
show_state(struct show *show)
{
	bool paused = atomic_load(&show->session->shard->registry->paused_all);
	char broken[32];

	snprintf(broken, sizeof(broken), "%llu", (unsigned long long) invariant_failures());
	rows_head(&show->answer, "key value");
	state(show, "active", paused ? "no" : "yes");
	state(show, "paused", paused ? "yes" : "no");
	state(show, "suspended", "no");
	state(show, "broken_invariants", broken);
	show_finish(show);
}

/* PgBouncer answers HELP with a notice, and so do its users' tools expect. */
static void
show_help(struct show *show)
{
	static const char text[] = "Console usage"
#define SHOW(name, privilege, fn, help) "\n\tSHOW " name " -- " help
#define ORDER(name, privilege, kind, args, help) "\n\t" name " " args " -- " help
#include "core/commands.def"
		;
	const struct pgw_error notice = {
		.severity = "NOTICE", .sqlstate = "00000", .message = "Console usage", .detail = text};
	uint8_t mem[8192];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_notice(&w, &notice);
	buf_append(&show->answer, w.mem, w.len);
	show_finish(show);
}

bool
show_run(struct session *s, const char *what, show_done done)
{
	static const struct
	{
		const char *name;
		void (*run)(struct show *show);
	} table[] = {
#define SHOW(name, privilege, fn, help) {name, fn},
#include "core/commands.def"
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		struct show *show;

		if (!str_equal_nocase(what, table[i].name))
			continue;
		show = mem_zalloc(sizeof(*show));
		show->session = s;
		show->done = done;
		buf_init(&show->answer);
		table[i].run(show);
		return true;
	}
	return false;
}
