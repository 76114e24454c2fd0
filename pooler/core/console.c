/*
 * console.c - see console.h.
 */
#include "core/console.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct console *
console_new(bool admin)
{
	struct console *c = mem_zalloc(sizeof(*c));

	list_init(&c->items);
	c->admin = admin;
	return c;
}

void
console_free(struct console *c)
{
	if (c == NULL)
		return;
	list_foreach(n, next, &c->items) console_drop(c, list_entry(n, struct console_item, node));
	free(c);
}

struct console_item *
console_find(struct console *c, enum console_kind kind, const char *name)
{
	list_foreach(n, next, &c->items)
	{
		struct console_item *item = list_entry(n, struct console_item, node);

		if (item->kind == kind && strcmp(item->name, name) == 0)
			return item;
	}
	return NULL;
}

struct console_item *
console_add(struct console *c, enum console_kind kind, const char *name, const char *text)
{
	struct console_item *item = console_find(c, kind, name);

	if (name[0] == '\0')
		console_drop(c, item);
	else if (item != NULL)
		return NULL;
	if (c->n == CONSOLE_ITEMS_MAX)
		return NULL;
	item = mem_zalloc(sizeof(*item));
	item->kind = kind;
	item->name = mem_strdup(name);
	item->text = mem_strdup(text);
	buf_init(&item->rest);
	list_append(&c->items, &item->node);
	c->n++;
	return item;
}

void
console_drop(struct console *c, struct console_item *item)
{
	if (item == NULL)
		return;
	if (c->running == item)
		c->running = NULL;
	list_remove(&item->node);
	c->n--;
	buf_fini(&item->rest);
	free(item->name);
	free(item->text);
	free(item);
}

void
console_drop_portals(struct console *c)
{
	list_foreach(n, next, &c->items)
	{
		struct console_item *item = list_entry(n, struct console_item, node);

		if (item->kind == CONSOLE_PORTAL)
			console_drop(c, item);
	}
}
