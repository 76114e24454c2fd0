/*
 * registry_walk.c - a walk over all pools that rests between two turns of its loop.
 *
 * Within one event whoever meets a pool may use it (core/registry_forget.c); for longer, it must be
 * kept from being taken out. That is all that resting does: it makes no user of the walk, so a pool
 * does not look used because somebody looks at it now and then.
 */
#include "core/registry.h"

void
registry_walk_on(struct registry *r, struct registry_walk *w)
{
	if (!w->begun)
		w->next = atomic_load(&r->pools);
	w->begun = true;
}

struct pool_entry *
registry_walk_next(struct registry *r, struct registry_walk *w)
{
	struct pool_entry *e = w->next;

	if (w->held)
	{
		/* It may go from here on, but not before this event has ended. */
		lock_acquire(&r->pools_lock);
		e->standing--;
		lock_release(&r->pools_lock);
		w->held = false;
	}
	else
		while (e != NULL && atomic_load(&e->leaving))
			e = atomic_load(&e->next);
	w->next = e == NULL ? NULL : atomic_load(&e->next);
	return e;
}

void
registry_walk_rest(struct registry *r, struct registry_walk *w)
{
	lock_acquire(&r->pools_lock);
	while (w->next != NULL && atomic_load(&w->next->leaving))
		w->next = atomic_load(&w->next->next);
	w->held = w->next != NULL;
	if (w->held)
		w->next->standing++;
	lock_release(&r->pools_lock);
}
