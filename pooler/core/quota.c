/*
 * quota.c - see quota.h.
 *
 * Every counter is sequentially consistent: Q2 rests on "used falls, then n_blocked is read" here
 * against "n_blocked rises, then used is read" there.
 */
#include "core/quota.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/*
 * Two busy pools that share too few places change places this often, whatever their queues: each
 * change costs a login, so it must be rare against that, and short against a client's patience.
 */
#define QUOTA_TURN_US 100000

void
quota_init(struct quota *q, enum quota_kind kind, const char *name)
{
	memset(q, 0, sizeof(*q));
	q->kind = kind;
	q->name = mem_strdup(name);
	lock_init(&q->lock);
	list_init(&q->waiting);
}

void
quota_fini(struct quota *q)
{
	lock_fini(&q->lock);
	free(q->name);
}

void
quota_join(struct quota *q, struct quota_seat *seat, struct pool *pool)
{
	struct quota_seat *first;

	seat->quota = q;
	seat->pool = pool;
	list_init(&seat->node);
	first = atomic_load(&q->seats);
	do
		atomic_store(&seat->next, first);
	while (!atomic_compare_exchange_weak(&q->seats, &first, seat));
}

void
quota_leave(struct quota_seat *seat)
{
	struct quota *q = seat->quota;
	struct quota_seat *next = atomic_load(&seat->next);
	struct quota_seat *first = seat;

	if (!atomic_compare_exchange_strong(&q->seats, &first, next))
	{
		/* Others only come in at the front. */
		while (atomic_load(&first->next) != seat)
			first = atomic_load(&first->next);
		atomic_store(&first->next, next);
	}
	lock_acquire(&q->lock);
	list_remove(&seat->node);
	lock_release(&q->lock);
}

bool
quota_has_room(const struct quota *q)
{
	int64_t limit = q == NULL ? 0 : atomic_load(&q->limit);

	return limit == 0 || atomic_load(&q->used) < limit;
}

bool
quota_take(struct quota *q)
{
	int64_t limit;
	int64_t used;

	if (q == NULL)
		return true;
	limit = atomic_load(&q->limit);
	used = atomic_load(&q->used);
	do
	{
		if (limit > 0 && used >= limit)
			return false;
	} while (!atomic_compare_exchange_weak(&q->used, &used, used + 1));
	return true;
}

void
quota_give(struct quota *q)
{
	if (q != NULL)
		atomic_fetch_sub(&q->used, 1);
}

bool
quota_over(const struct quota *q)
{
	int64_t limit = q == NULL ? 0 : atomic_load(&q->limit);

	return limit > 0 && atomic_load(&q->used) > limit;
}

void
quota_block(struct quota *q)
{
	atomic_fetch_add(&q->n_blocked, 1);
}

void
quota_unblock(struct quota *q)
{
	atomic_fetch_sub(&q->n_blocked, 1);
}

bool
quota_wanted(const struct quota *q, bool asker_blocked)
{
	return q != NULL && atomic_load(&q->n_blocked) > (asker_blocked ? 1 : 0);
}

bool
quota_hand_over(struct quota *q, uint64_t now_us)
{
	uint64_t last = atomic_load(&q->handed_us);

	return now_us >= last + QUOTA_TURN_US &&
		   atomic_compare_exchange_strong(&q->handed_us, &last, now_us);
}

bool
quota_enlist(struct quota_seat *seat)
{
	struct quota *q = seat->quota;
	bool fresh;

	lock_acquire(&q->lock);
	fresh = !list_linked(&seat->node);
	if (fresh)
		list_append(&q->waiting, &seat->node);
	lock_release(&q->lock);
	return fresh;
}

struct quota_seat *
quota_pop(struct quota *q)
{
	struct list *n;

	lock_acquire(&q->lock);
	n = list_pop(&q->waiting);
	lock_release(&q->lock);
	return n == NULL ? NULL : list_entry(n, struct quota_seat, node);
}

bool
quota_take_client(struct quota *q, int64_t limit)
{
	if (atomic_fetch_add(&q->clients, 1) < limit || limit == 0)
		return true;
	atomic_fetch_sub(&q->clients, 1);
	return false;
}

void
quota_give_client(struct quota *q)
{
	atomic_fetch_sub(&q->clients, 1);
}
