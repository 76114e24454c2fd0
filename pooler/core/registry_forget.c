/*
 * registry_forget.c - the end of a pool that nobody uses; when, is core/forget's to say.
 *
 * Nobody counts those who meet a pool by a walk over all pools or over the seats of a quota. They
 * are through with it when their event has ended, so it goes in three steps with a mail to every
 * loop between them: it is not found by name any more; it is not met any more; it is freed. What
 * they do to it meanwhile changes nothing: a pool without sessions that keeps no server wants none.
 */
#include "core/registry.h"

#include <stdlib.h>

#include "base/assert.h"

bool
registry_take_out(struct registry *r, struct pool_entry *e, uint64_t uses)
{
	bool out;

	lock_acquire(&r->pools_lock);
	/* Whoever came and left meanwhile has left no server behind: `held` rose before `users` fell.
	 */
	out = e->users == 0 && e->standing == 0 && e->uses == uses && pool_at_rest(&e->pool);
	if (out)
	{
		HASH_DEL(r->by_name, e);
		for (int i = 0; i < QUOTA_KINDS; i++)
			e->pool.seat[i].quota->pools--;
		e->last_of_database = e->pool.seat[QUOTA_DATABASE].quota->pools == 0;
		e->leaving = true;
	}
	lock_release(&r->pools_lock);
	return out;
}

static void
drop_beside(struct pool_entry *e)
{
	struct pool *mine = &e->pool;

	/* There may be a newer one by now. */
	if (e->ordinary == NULL)
		return;
	atomic_compare_exchange_strong(&e->ordinary->pool.beside, &mine, NULL);
	registry_leave(&e->ordinary->pool);
	e->ordinary = NULL;
}

void
registry_drop(struct registry *r, struct pool_entry *e)
{
	_Atomic(struct pool_entry *) *at = &r->pools;

	lock_acquire(&r->pools_lock);
	while (atomic_load(at) != e)
		at = &atomic_load(at)->next;
	atomic_store(at, atomic_load(&e->next));
	drop_beside(e);
	lock_release(&r->pools_lock);
	for (int i = 0; i < QUOTA_KINDS; i++)
		quota_leave(&e->pool.seat[i]);
	e->next_left = r->left;
	r->left = e;
}

void
registry_free_left(struct registry *r)
{
	struct pool_entry *e;

	while ((e = r->left) != NULL)
	{
		r->left = e->next_left;
		registry_unseat(r, &e->pool);
		welcome_box_fini(&e->welcome);
		pool_fini(&e->pool);
		credentials_fini(&e->credentials);
		for (int i = 0; i < r->n_shards; i++)
			meter_fini(&e->local[i].meter);
		free(e->local);
		free(e->name);
		free(e);
	}
}
