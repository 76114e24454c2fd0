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
#include "core/lookup.h"
#include "core/registry.h"
#include "core/rows.h"
#include "core/session.h"
#include "core/show_entries.h"
#include "core/show_home.h"
#include "core/show_hosts.h"
#include "core/show_mem.h"
#include "core/show_numbers.h"
#include "core/show_parts.h"
#include "core/show_pins.h"
#include "core/show_rates.h"
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

	for (int i = 0; conf_row(show->session->shard->conf, i, &c); i++)
	{
		row_begin(&r);
		row_text(&r, c.key);
		row_text(&r, c.is_null ? NULL : c.value);
		row_text(&r, c.default_is_null ? NULL : c.default_value);
		row_text(&r, c.changeable ? "yes" : "no");
		row_end(&r, &show->answer);
	}
	show_finish(show);
}

static void
show_dns_hosts(struct show *show)
{
	show_hosts_dns(&show->answer);
	show_finish(show);
}

static void
show_peers(struct show *show)
{
	show_hosts_peers(show->session->shard->conf, &show->answer);
	show_finish(show);
}

static void
show_peer_pools(struct show *show)
{
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
count_line(void *arg, const struct lookup_line_view *v)
{
	struct gather_part *part = arg;

	part->count[v->idle ? 2 : 3]++;
}

/* Counts: clients, clients that log in, connections of auth_query that are idle, and used ones. */
static void
lists_work(struct gather_part *part)
{
	walk_begin(&part->walk, &part->shard->walks, &part->shard->sessions);
	for (int i = 0; i < SHOW_SLICE; i++)
	{
		struct list *n = walk_next(&part->walk);

		if (n == NULL)
		{
			lookup_each_line(part->shard, count_line, part);
			return;
		}
		part->count[list_entry(n, struct session, node)->state == SESSION_GREETING ? 1 : 0]++;
	}
	part->again = true;
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
		pools += !e->pool.replication && !e->leaving;
		idle += c.by_state[MEMBER_IDLE];
		used += c.total - c.by_state[MEMBER_IDLE];
	}
	for (int i = 0; i < g->n; i++)
	{
		for (int k = 0; k < 2; k++)
			clients[k] += g->parts[i].count[k];
		idle += g->parts[i].count[2];
		used += g->parts[i].count[3];
	}
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
	bool suspended = atomic_load(&show->session->shard->registry->suspended);
	char broken[32];

	snprintf(broken, sizeof(broken), "%llu", (unsigned long long) invariant_failures());
	state(show, "active", paused || suspended ? "no" : "yes");
	state(show, "paused", paused ? "yes" : "no");
	state(show, "suspended", suspended ? "yes" : "no");
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

/* Others have the columns, and there is never anything to show. */
static void
nothing(struct show *show)
{
	show_finish(show);
}

#define show_dns_zones nothing
#define show_fds nothing

#define COLUMNS(fn, names) static const char fn##_columns[] = names;
#include "core/columns.def"

struct show_row
{
	const char *name;
	void (*run)(struct show *show);
	const char *columns;
};

static const struct show_row table[] = {
#define SHOW(name, privilege, fn, help) {name, fn, fn##_columns},
#include "core/commands.def"
};

/* What drivers ask of every server when they connect. */
static const char *const fakes[][2] = {
	{"client_encoding", "UTF-8"},
	{"datestyle", "ISO"},
	{"standard_conforming_strings", "on"},
	{"timezone", "GMT"},
	{"default_transaction_isolation", "read committed"},
};

static const struct show_row *
find_show(const char *what)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (str_equal_nocase(what, table[i].name))
			return &table[i];
	return NULL;
}

static const char *const *
find_fake(const char *what)
{
	for (size_t i = 0; i < sizeof(fakes) / sizeof(fakes[0]); i++)
		if (str_equal_nocase(what, fakes[i][0]))
			return fakes[i];
	return NULL;
}

const char *
show_columns(const char *what)
{
	const struct show_row *row = find_show(what);
	const char *const *fake = find_fake(what);

	return row != NULL ? row->columns : fake != NULL ? fake[0] : NULL;
}

bool
show_run(struct session *s, const char *what, show_done done)
{
	const struct show_row *row = find_show(what);
	const char *const *fake = find_fake(what);
	struct show *show;
	struct row r;

	if (row == NULL && fake == NULL)
		return false;
	show = mem_zalloc(sizeof(*show));
	show->session = s;
	show->done = done;
	buf_init(&show->answer);
	if (show_columns(what)[0] != '\0')
		rows_head(&show->answer, show_columns(what));
	if (row != NULL)
	{
		row->run(show);
		return true;
	}
	row_begin(&r);
	row_text(&r, fake[1]);
	row_end(&r, &show->answer);
	show_finish(show);
	return true;
}
