/*
 * health.c - see health.h.
 *
 * A pool is away when its last login found no server, none is left from before, and that is news:
 * somebody waits for one, or the back-off is not over. Later nothing is known, and that counts as
 * well: a load balancer that sends nobody any more would never let us find out. A server that
 * refuses a login is there.
 */
#include "core/health.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "core/escape.h"
#include "core/registry.h"

#define REASONS_MAX 20 /* the others are counted */

struct look
{
	struct buf reasons; /* the inside of a JSON array */
	int n_reasons;
	int64_t pools;
	int64_t clients_waiting;
	int64_t servers; /* logged in */
	int64_t away;    /* pools */
};

static const char *const names[] = {
	[HEALTH_DRAINING] = "draining",
	[HEALTH_PAUSED] = "paused",
	[HEALTH_NO_SERVER] = "no server",
	[HEALTH_OK] = "ok",
};

const char *
health_name(enum health_status status)
{
	return names[status];
}

static void __attribute__((format(printf, 2, 3))) reason(struct look *l, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (l->n_reasons++ >= REASONS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	escape_none(&l->reasons, l->n_reasons > 1 ? ", \"" : "\"");
	escape_json(&l->reasons, text);
	escape_none(&l->reasons, "\"");
}

static void
look_at_pools(struct registry *r, struct look *l)
{
	uint64_t now = clock_now_us();

	registry_foreach_pool(e, r)
	{
		struct pool_counts c;
		int64_t logging_in;

		pool_counts(&e->pool, &c);
		logging_in = c.by_state[MEMBER_LOGIN];
		l->pools++;
		l->clients_waiting += c.waiters;
		l->servers += c.total - logging_in;
		if (!c.away || c.total > logging_in ||
			(c.waiters == 0 && logging_in == 0 && now >= c.backoff_until_us))
			continue;
		l->away++;
		reason(l, "no server of %s/%s can be reached; clients waiting: %lld", e->pool.database,
			   e->pool.user, (long long) c.waiters);
	}
}

static void
look_at_databases(struct registry *r, struct look *l)
{
	const struct conf *conf = r->conf;
	bool all_paused = atomic_load(&r->paused_all);

	for (size_t i = 0; i < conf->n_databases; i++)
	{
		const char *name = conf->databases[i].name;

		if (!all_paused && registry_is_paused(r, name))
			reason(l, "database %s is paused", name);
		if (registry_is_disabled(r, name))
			reason(l, "database %s is disabled", name);
	}
}

static enum health_status
judge(struct registry *r, struct look *l)
{
	enum health_status status = HEALTH_OK;

	if (l->away > 0 && l->servers == 0)
		status = HEALTH_NO_SERVER;
	if (atomic_load(&r->suspended))
	{
		status = HEALTH_PAUSED;
		reason(l, "everything is suspended");
	}
	if (atomic_load(&r->paused_all))
	{
		status = HEALTH_PAUSED;
		reason(l, "everything is paused");
	}
	if (atomic_load(&r->shutting_down))
	{
		status = HEALTH_DRAINING;
		reason(l, "the pooler is shutting down");
	}
	return status;
}

static void
put_json(struct registry *r, const struct look *l, enum health_status status, struct buf *json)
{
	char text[512];
	int left_out = l->n_reasons > REASONS_MAX ? l->n_reasons - REASONS_MAX : 0;

	snprintf(text, sizeof(text), "{\"status\": \"%s\", \"reasons\": [", names[status]);
	escape_none(json, text);
	buf_append(json, buf_data(&l->reasons), buf_len(&l->reasons));
	snprintf(text, sizeof(text),
			 "], \"more_reasons\": %d, \"clients\": %lld, \"max_clients\": %lld, "
			 "\"clients_waiting\": %lld, \"servers\": %lld, \"pools\": %lld, "
			 "\"pools_without_server\": %lld, \"uptime_seconds\": %.0f}\n",
			 left_out, (long long) atomic_load(&r->n_clients), (long long) r->conf->max_client_conn,
			 (long long) l->clients_waiting, (long long) l->servers, (long long) l->pools,
			 (long long) l->away, (double) (clock_now_us() - r->started_us) / 1e6);
	escape_none(json, text);
}

enum health_status
health_look(struct registry *r, struct buf *json)
{
	struct look l = {0};
	enum health_status status;

	buf_init(&l.reasons);
	look_at_pools(r, &l);
	if (json != NULL)
		look_at_databases(r, &l);
	status = judge(r, &l);
	if (json != NULL)
		put_json(r, &l, status, json);
	buf_fini(&l.reasons);
	return status;
}
