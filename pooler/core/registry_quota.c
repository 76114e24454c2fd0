/*
 * registry_quota.c - the quotas of databases and users, by name. They are found at login and set by
 * a reload; what pools do with them is in core/quota and core/pool_login.c. Pools with a seat and
 * clients hold them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
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

/* pools_lock is held. */
static struct quota *
hold(struct registry *r, const struct conf *conf, enum quota_kind kind, const char *name)
{
	struct quota *q;

	HASH_FIND_STR(r->quotas[kind], name, q);
	if (q == NULL)
	{
		q = mem_zalloc(sizeof(*q));
		quota_init(q, kind, name);
		atomic_store(&q->limit, limit_of(conf, q));
		HASH_ADD_KEYPTR(hh, r->quotas[kind], q->name, strlen(q->name), q);
	}
	q->holders++;
	return q;
}

struct quota *
registry_quota(struct registry *r, const struct conf *conf, enum quota_kind kind, const char *name)
{
	struct quota *q;

	lock_acquire(&r->pools_lock);
	q = hold(r, conf, kind, name);
	lock_release(&r->pools_lock);
	return q;
}

void
registry_quota_leave(struct registry *r, struct quota **quota)
{
	struct quota *q = *quota;
	bool last;

	*quota = NULL;
	if (q == NULL)
		return;
	lock_acquire(&r->pools_lock);
	last = --q->holders == 0;
	if (last)
		HASH_DEL(r->quotas[q->kind], q);
	lock_release(&r->pools_lock);
	if (!last)
		return;
	quota_fini(q);
	free(q);
}

void
registry_seat(struct registry *r, const struct conf *conf, struct pool *p)
{
	struct quota *const quotas[QUOTA_KINDS] = {
		[QUOTA_DATABASE] = hold(r, conf, QUOTA_DATABASE, p->database),
		[QUOTA_USER] = hold(r, conf, QUOTA_USER, p->user),
		[QUOTA_LOGINS] = &r->logins,
	};

	for (int i = 0; i < QUOTA_KINDS; i++)
	{
		quotas[i]->pools++;
		quota_join(quotas[i], &p->seat[i], p);
	}
}

void
registry_unseat(struct registry *r, struct pool *p)
{
	for (int i = 0; i < QUOTA_LOGINS; i++)
		registry_quota_leave(r, &p->seat[i].quota);
}

void
registry_quota_counts(struct registry *r, enum quota_kind kind, const char *name, int64_t *servers,
					  int64_t *clients)
{
	struct quota *q;

	lock_acquire(&r->pools_lock);
	HASH_FIND_STR(r->quotas[kind], name, q);
	*servers = q == NULL ? 0 : atomic_load(&q->used);
	*clients = q == NULL ? 0 : atomic_load(&q->clients);
	lock_release(&r->pools_lock);
}

void
registry_database_names(struct registry *r, struct buf *out)
{
	lock_acquire(&r->pools_lock);
	for (struct quota *q = r->quotas[QUOTA_DATABASE]; q != NULL; q = q->hh.next)
		if (q->pools > 0)
			buf_append(out, q->name, strlen(q->name) + 1);
	lock_release(&r->pools_lock);
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
