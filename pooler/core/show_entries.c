/*
 * show_entries.c - SHOW POOLS, DATABASES and USERS: what pools and the configuration know by
 * themselves. There may be thousands of each, so they are written in turns of the loop.
 */
#include "core/show_entries.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/registry.h"
#include "core/rows.h"
#include "core/session.h"
#include "core/show_parts.h"

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

static bool
some_pools(struct show *show)
{
	const struct shard *shard = show->session->shard;
	uint64_t now = clock_now_us();
	struct pool_entry *e;

	registry_walk_on(shard->registry, &show->pools);
	for (int i = 0; i < SHOW_SLICE; i++)
	{
		e = registry_walk_next(shard->registry, &show->pools);
		if (e == NULL)
			return false;
		if (!e->pool.replication)
			pool_row(shard->conf, e, now, &show->answer);
	}
	registry_walk_rest(shard->registry, &show->pools);
	return true;
}

void
show_pools(struct show *show)
{
	show_in_turns(show, some_pools);
}

/* db is the entry that stands for the name: its own, or "*". Its pool_mode is shown if it has one.
 */
static void
database_row(struct registry *reg, const struct conf *conf, const char *name,
			 const struct conf_database *db, struct buf *out)
{
	struct conf_limits limits;
	int64_t servers;
	int64_t clients;
	struct row r;

	registry_quota_counts(reg, QUOTA_DATABASE, name, &servers, &clients);
	conf_limits(conf, db, NULL, &limits);
	row_begin(&r);
	row_text(&r, name);
	row_text(&r, db->host);
	row_int(&r, db->port);
	row_text(&r, db->dbname != NULL ? db->dbname : name);
	row_text(&r, db->user);
	row_int(&r, limits.pool_size);
	row_int(&r, limits.min_pool_size);
	row_int(&r, limits.reserve_pool_size);
	row_int(&r, (int64_t) (limits.server_lifetime_us / 1000000));
	row_text(&r, db->pool_mode == POOL_MODE_UNSET ? NULL : pool_mode_name(db->pool_mode));
	row_text(&r, balance(db));
	row_int(&r, limits.max_db_connections);
	row_int(&r, servers);
	row_int(&r, limits.max_db_client_connections);
	row_int(&r, clients);
	row_int(&r, registry_is_paused(reg, name));
	row_int(&r, registry_is_disabled(reg, name));
	row_int(&r, limits.max_client_waiting);
	row_int(&r, limits.max_statement_length);
	row_end(&r, out);
}

/* The console counts as a database, as in PgBouncer. */
static void
console_row(const struct conf *conf, struct registry *reg, struct buf *out)
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
		row_int(&r, i == 3 ? atomic_load(&reg->n_consoles) : 0);
	row_end(&r, out);
}

/* Those that clients have made of "*": their names, each with its zero byte. */
static struct buf *
autodb_names(struct registry *reg)
{
	struct buf *names = mem_alloc(sizeof(*names));

	buf_init(names);
	registry_database_names(reg, names);
	return names;
}

static void
autodb_row(struct registry *reg, const struct conf *conf, struct buf *names, struct buf *out)
{
	const char *name = (const char *) buf_data(names);
	const struct conf_database *db = conf_find_database(conf, name);

	if (db != NULL && strcmp(db->name, "*") == 0)
		database_row(reg, conf, name, db, out);
	buf_consume(names, strlen(name) + 1);
}

static void
drop_names(struct show *show)
{
	if (show->rest != NULL)
		buf_fini(show->rest);
	free(show->rest);
	show->rest = NULL;
}

/* Those of the configuration, those made of "*", the console. */
static bool
some_databases(struct show *show)
{
	const struct conf *conf = show->session->shard->conf;
	struct registry *reg = show->session->shard->registry;
	int left = SHOW_SLICE;

	if (show_is_new(show))
	{
		drop_names(show);
		show->at = 0;
	}
	for (; show->at < conf->n_databases && left > 0; show->at++, left--)
		database_row(reg, conf, conf->databases[show->at].name, &conf->databases[show->at],
					 &show->answer);
	if (left == 0)
		return true;
	if (show->rest == NULL)
		show->rest = autodb_names(reg);
	for (; buf_len(show->rest) > 0 && left > 0; left--)
		autodb_row(reg, conf, show->rest, &show->answer);
	if (left == 0)
		return true;
	drop_names(show);
	console_row(conf, reg, &show->answer);
	return false;
}

void
show_databases(struct show *show)
{
	show_in_turns(show, some_databases);
}

/* "" where it is not given, as in PgBouncer. */
static void
given_int(struct row *r, int64_t value)
{
	if (value < 0)
		row_text(r, "");
	else
		row_int(r, value);
}

/* Sizes and mode as the entry of [users] says; limits as they are in force. */
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
	given_int(&r, u->pool_size);
	given_int(&r, u->reserve_pool_size);
	row_text(&r, u->pool_mode == POOL_MODE_UNSET ? NULL : pool_mode_name(u->pool_mode));
	row_int(&r, limits.max_user_connections);
	row_int(&r, servers);
	row_int(&r, limits.max_user_client_connections);
	row_int(&r, clients);
	row_int(&r, limits.max_client_waiting);
	row_int(&r, limits.max_statement_length);
	row_end(&r, out);
}

static bool
some_users(struct show *show)
{
	const struct conf *conf = show->session->shard->conf;

	if (show_is_new(show))
		show->at = 0;
	for (int i = 0; i < SHOW_SLICE && show->at < conf->n_users; i++)
		user_row(show->session->shard->registry, conf, &conf->users[show->at++], &show->answer);
	return show->at < conf->n_users;
}

void
show_users(struct show *show)
{
	show_in_turns(show, some_users);
}
