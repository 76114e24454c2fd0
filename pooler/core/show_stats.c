/*
 * show_stats.c - SHOW STATS and its relatives: each loop adds up its own counters by database, and
 * their sums are shown (P10).
 *
 * Averages are over the last whole stats_period. In a time's average the divisor is the number of
 * events; else it is the length of the period.
 */
#include "core/show_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/log.h"
#include "core/past.h"
#include "core/registry.h"
#include "core/rows.h"
#include "core/show_parts.h"
#include "core/session.h"
#include "core/stats.h"

#define TEXT_MAX 64

/* Counters of one database. */
struct db_stats
{
	UT_hash_handle hh;
	struct stats total;
	struct stats period;
	char database[]; /* its pools may be gone before it is shown */
};

static struct db_stats *
db_entry(struct db_stats **table, const char *database)
{
	size_t size = sizeof(struct db_stats) + strlen(database) + 1;
	struct db_stats *d;

	HASH_FIND_STR(*table, database, d);
	if (d == NULL)
	{
		d = aligned_alloc(STATS_ALIGN, (size + STATS_ALIGN - 1) / STATS_ALIGN * STATS_ALIGN);
		if (d == NULL)
			abort();
		memset(d, 0, sizeof(*d));
		strcpy(d->database, database);
		HASH_ADD_STR(*table, database, d);
	}
	return d;
}

static void
add_kept(struct db_stats **table, const char *database, const struct stats_kept *k)
{
	struct db_stats *d = db_entry(table, database);

	stats_add(&d->total, &k->now);
	stats_add(&d->period, &k->last_period);
}

static void
stats_work(struct gather_part *part)
{
	struct db_stats *table = NULL;

	registry_foreach_pool(e, part->shard->registry)
		add_kept(&table, e->pool.database, &e->local[part->shard->loop.index].stats);
	for (const struct past *p = part->shard->past; p != NULL; p = p->hh.next)
		add_kept(&table, p->database, &p->kept);
	part->result = table;
}

static struct db_stats *
merge_stats(struct gather *g)
{
	struct db_stats *all = NULL;

	for (int i = 0; i < g->n; i++)
	{
		struct db_stats *table = g->parts[i].result;
		struct db_stats *d;
		struct db_stats *next;

		HASH_ITER(hh, table, d, next)
		{
			struct db_stats *sum = db_entry(&all, d->database);

			stats_add(&sum->total, &d->total);
			stats_add(&sum->period, &d->period);
			HASH_DEL(table, d);
			free(d);
		}
	}
	return all;
}

/* Average i over the last period: events and bytes per second, times per event. */
static int64_t
average(const struct stats *period, int i, uint64_t length_us)
{
	uint64_t added = stats_get(period, i);
	uint64_t per = length_us;

	if (i == STATS_xact_time)
		return period->xact_count == 0 ? 0 : (int64_t) (added / period->xact_count);
	if (i == STATS_query_time)
		return period->query_count == 0 ? 0 : (int64_t) (added / period->query_count);
	return per == 0 ? 0 : (int64_t) ((double) added * 1e6 / (double) per);
}

/* The sums of all databases, which are written in turns. */
struct stats_rows
{
	bool totals;
	bool averages;
	uint64_t period_us;
	struct db_stats *left;
};

static void
stats_row(const struct stats_rows *rows, const struct db_stats *d, struct buf *out)
{
	struct row r;

	row_begin(&r);
	row_text(&r, d->database);
	for (int i = 0; rows->totals && i < STATS_OURS; i++)
		row_int(&r, (int64_t) stats_get(&d->total, i));
	for (int i = 0; rows->averages && i < STATS_OURS; i++)
		row_int(&r, average(&d->period, i, rows->period_us));
	for (int i = STATS_OURS; rows->totals && i < STATS_FIELDS; i++)
		row_int(&r, (int64_t) stats_get(&d->total, i));
	row_end(&r, out);
}

static bool
some_stats(struct show *show)
{
	struct stats_rows *rows = show->rest;

	for (int i = 0; i < SHOW_SLICE && rows->left != NULL; i++)
	{
		struct db_stats *d = rows->left;

		stats_row(rows, d, &show->answer);
		HASH_DEL(rows->left, d);
		free(d);
	}
	if (rows->left != NULL)
		return true;
	free(rows);
	return false;
}

static void
show_sums(struct gather *g, bool totals, bool averages)
{
	struct show *show = g->arg;
	struct stats_rows *rows = mem_zalloc(sizeof(*rows));

	rows->totals = totals;
	rows->averages = averages;
	rows->period_us = atomic_load(&g->registry->stats_period_us);
	rows->left = merge_stats(g);
	show->rest = rows;
	show_in_turns(show, some_stats);
}

static void
stats_finish(struct gather *g)
{
	show_sums(g, true, true);
}

static void
stats_totals_finish(struct gather *g)
{
	show_sums(g, true, false);
}

static void
stats_averages_finish(struct gather *g)
{
	show_sums(g, false, true);
}

/* In TOTALS PgBouncer calls some counters by other names than in STATS. */
static const char *
name_in_totals(int field)
{
	switch (field)
	{
		case STATS_received:
			return "client_bytes";
		case STATS_sent:
			return "server_bytes";
		case STATS_client_parse_count:
			return "ps_client_parse_count";
		case STATS_server_parse_count:
			return "ps_server_parse_count";
		case STATS_bind_count:
			return "ps_bind_count";
		default:
			return stats_name(field);
	}
}

static void
total_row(struct show *show, const char *prefix, int field, int64_t value)
{
	char name[TEXT_MAX];
	struct row r;

	snprintf(name, sizeof(name), "%s_%s", prefix, name_in_totals(field));
	row_begin(&r);
	row_text(&r, name);
	row_int(&r, value);
	row_end(&r, &show->answer);
}

static void
totals_finish(struct gather *g)
{
	struct show *show = g->arg;
	uint64_t length = atomic_load(&g->registry->stats_period_us);
	struct db_stats *all = merge_stats(g);
	struct db_stats sum = {0};
	struct db_stats *d;
	struct db_stats *next;

	HASH_ITER(hh, all, d, next)
	{
		stats_add(&sum.total, &d->total);
		stats_add(&sum.period, &d->period);
		HASH_DEL(all, d);
		free(d);
	}
	for (int i = 0; i < STATS_OURS; i++)
		total_row(show, "total", i, (int64_t) stats_get(&sum.total, i));
	for (int i = 0; i < STATS_OURS; i++)
		total_row(show, "avg", i, average(&sum.period, i, length));
	for (int i = STATS_OURS; i < STATS_FIELDS; i++)
		total_row(show, "total", i, (int64_t) stats_get(&sum.total, i));
	show_finish(show);
}

void
show_stats(struct show *show)
{
	show_gather(show, stats_work, stats_finish);
}

void
show_stats_totals(struct show *show)
{
	show_gather(show, stats_work, stats_totals_finish);
}

void
show_stats_averages(struct show *show)
{
	show_gather(show, stats_work, stats_averages_finish);
}

void
show_totals(struct show *show)
{
	show_gather(show, stats_work, totals_finish);
}
