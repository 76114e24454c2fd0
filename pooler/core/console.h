/*
 * console.h - what the console remembers of one client of its: prepared statements and portals of
 * the extended protocol.
 *
 * A statement is a command's text without parameters. A portal is a statement that is to be run,
 * and, once it has run, the rest of its rows. Names are PostgreSQL's: "" is the unnamed one, which
 * is replaced without a word.
 */
#ifndef PERFKIT_CORE_CONSOLE_H
#define PERFKIT_CORE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "core/rows.h"

#define CONSOLE_ITEMS_MAX 1000 /* statements and portals of a client */

enum console_kind
{
	CONSOLE_STATEMENT = 'S', /* as in Describe and Close */
	CONSOLE_PORTAL = 'P'
};

struct console_item
{
	struct list node; /* console->items */
	enum console_kind kind;
	char *name;                  /* owned */
	char *text;                  /* owned */
	struct rows_formats formats; /* portal: of its columns */
	bool done;                   /* portal: it has run; what is left of it: */
	struct buf rest;             /* DataRow and CommandComplete messages */
};

struct console
{
	struct list items;
	int n;
	struct console_item *running; /* the portal whose Execute is under way; NULL: none */
	int64_t max_rows;             /* of that Execute; 0: all */
	bool extended; /* the message that is worked off is one of the extended protocol */
	bool skipping; /* after an error, up to Sync */
	bool admin;    /* may change things */
};

struct console *console_new(bool admin);
void console_free(struct console *c); /* NULL does nothing */

/* NULL: there is none of this name. */
struct console_item *console_find(struct console *c, enum console_kind kind, const char *name);

/* A new one, in place of an unnamed one that is there. NULL: the name is taken, or
 * CONSOLE_ITEMS_MAX are there. */
struct console_item *console_add(struct console *c, enum console_kind kind, const char *name,
								 const char *text);

void console_drop(struct console *c, struct console_item *item); /* NULL does nothing */

/* The transaction is over. */
void console_drop_portals(struct console *c);

#endif
