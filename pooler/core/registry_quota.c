/*
 * registry_quota.c - the quotas of databases and users, by name. They are found at login and set by
 * a reload; what pools do with them is in core/quota and core/pool_login.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "core/quota.h"
#include "core/registry.h"

/* Server connections that the snapshot allows a database or user; 0: no limit. */
static int64_t
limit_of(const struct conf *conf, const struct quota *q)
{
	struct conf_limits limits;

	if (q->kind == QUOTA_LOGINS)
		return conf->max_server_logins;
	if (q->kind == QUOTA_USER)
	{
		conf_limits(conf, NULL, q->name, &limits);
		return limits.max_user_connections;
	}
	conf_limits(conf, conf_find_database(conf, q->name), NULL, &limits);
	return limits.max_db_connections;
}

void
registry_init_quotas(struct registry *r, const struct conf *conf)
{
	quota_init(&r->logins, QUOTA_LOGINS, "");
	atomic_store(&r->logins.limit, limit_of(conf, &r->logins));
}

void
registry_free_quotas(struct registry *r)
{
	for (int kind = 0; kind < QUOTA_LOGINS; kind++)
	{
		struct quota *q = r->quotas[kind];

		/* Clearing frees the table alone; the entries stay chained. */
		HASH_CLEAR(hh, r->quotas[kind]);
		while (q != NULL)
		{
			struct quota *next = q->hh.next;

			quota_fini(q);
			free(q);
			q = next;
		}
	}
	quota_fini(&r->logins);
}

struct quota *
registry_quota(struct registry *r, const struct conf *conf, enum quota_kind kind, const char *name)
{
	struct quota *q;

	lock_acquire(&r->pools_lock);
	HASH_FIND_STR(r->quotas[kind], name, q);
	if (q == NULL)
	{
		q = mem_zalloc(sizeof(*q));
		quota_init(q, kind, name);
		atomic_store(&q->limit, limit_of(conf, q));
		HASH_ADD_KEYPTR(hh, r->quotas[kind], q->name, strlen(q->name), q);
	}
	lock_release(&r->pools_lock);
	return q;
}

void
registry_quota_counts(struct registry *r, enum quota_kind kind, const char *name, int64_t *servers,
					  int64_t *clients)
{
	struct quota *q;

	lock_acquire(&r->pools_lock);
	HASH_FIND_STR(r->quotas[kind], name, q);
	lock_release(&r->pools_lock);
	*servers = q == NULL ? 0 : atomic_load(&q->used);
	*clients = q == NULL ? 0 : atomic_load(&q->clients);
}

void
registry_set_quotas(struct registry *r, const struct conf *conf)
{
	atomic_store(&r->logins.limit, limit_of(conf, &r->logins));
	lock_acquire(&r->pools_lock);
	for (int kind = 0; kind < QUOTA_LOGINS; kind++)
		for (struct quota *q = r->quotas[kind]; q != NULL; q = q->hh.next)
			atomic_store(&q->limit, limit_of(conf, q));
	lock_release(&r->pools_lock);
}
