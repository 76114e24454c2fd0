/*
 * list.h - intrusive doubly linked list.
 *
 * The head is a node that links to itself when the list is empty, so insertion and removal have no
 * branches and removal needs no head. An object embeds one node per list it may stand in; a node
 * that stands in no list links to itself too (list_init), which list_linked() tells.
 *
 * Not thread-safe: whoever owns the list holds whatever lock it lies under.
 */
#ifndef PERFKIT_BASE_LIST_H
#define PERFKIT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list
{
	struct list *prev;
	struct list *next;
};

/* The object that embeds `node` as its field `field`. */
#define list_entry(node, type, field) ((type *) (void *) ((char *) (node) -offsetof(type, field)))

/* Walks oldest first; the body may remove `pos` itself, nothing else. */
#define list_foreach(pos, tmp, head)                                                               \
	for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head);                         \
		 pos = tmp, tmp = pos->next)

static inline void
list_init(struct list *n)
{
	n->prev = n;
	n->next = n;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

/* True while a node stands in some list. */
static inline bool
list_linked(const struct list *n)
{
	return n->next != n;
}

static inline void
list_insert_between(struct list *n, struct list *prev, struct list *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

static inline void
list_append(struct list *head, struct list *n)
{
	list_insert_between(n, head->prev, head);
}

static inline void
list_prepend(struct list *head, struct list *n)
{
	list_insert_between(n, head, head->next);
}

/* Removing a node that stands in no list does nothing. */
static inline void
list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* The first node, or NULL. */
static inline struct list *
list_first(const struct list *head)
{
	return list_empty(head) ? NULL : head->next;
}

/* The last node, or NULL. */
static inline struct list *
list_last(const struct list *head)
{
	return list_empty(head) ? NULL : head->prev;
}

/* Takes the first node out and returns it, or NULL. */
static inline struct list *
list_pop(struct list *head)
{
	struct list *n = list_first(head);

	if (n != NULL)
		list_remove(n);
	return n;
}

#endif
