/*
 * walk.h - a walk over a list of one loop that goes on in a later turn, while the list changes.
 *
 * Whoever takes a node out of the list says so first (walk_leaving()), and every walk that stands
 * before it steps over it. Nodes that are appended meanwhile are met, unless the walk is at the
 * end.
 */
#ifndef PERFKIT_CORE_WALK_H
#define PERFKIT_CORE_WALK_H

#include <stdbool.h>

#include "base/list.h"

struct walk
{
	struct list node; /* among the walks under way */
	struct list *head;
	struct list *next; /* head: at the end */
};

static inline void
walk_init(struct walk *w)
{
	list_init(&w->node);
	w->head = NULL;
}

/* False: it has begun before, and goes on where it was. */
static inline bool
walk_begin(struct walk *w, struct list *walks, struct list *head)
{
	if (w->head != NULL)
		return false;
	w->head = head;
	w->next = head->next;
	list_append(walks, &w->node);
	return true;
}

/* Nobody goes on with it; it may begin anew. */
static inline void
walk_end(struct walk *w)
{
	list_remove(&w->node);
	w->head = NULL;
}

/* The next node, or NULL: the walk is over, and may begin anew. */
static inline struct list *
walk_next(struct walk *w)
{
	struct list *n = w->next;

	if (n == w->head)
	{
		walk_end(w);
		return NULL;
	}
	w->next = n->next;
	return n;
}

/* Nothing stands in walks most of the time. */
static inline void
walk_leaving(struct list *walks, const struct list *n)
{
	list_foreach(pos, next, walks)
	{
		struct walk *w = list_entry(pos, struct walk, node);

		if (w->next == n)
			w->next = n->next;
	}
}

#endif
