/*
 * undo.h - what a client's statement messages have changed and an error may yet take back.
 *
 * Names are given and servers are told of statements when the messages go out, long before
 * PostgreSQL has said yes. Each such change is noted here with the serial number of the request
 * that decides about it; notes stand in the order of their requests. An answer makes the oldest
 * ones final, an error takes some back, newest first.
 */
#ifndef PERFKIT_CORE_UNDO_H
#define PERFKIT_CORE_UNDO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct names;
struct statement;
struct stmt_cache;

enum undo_kind
{
	UNDO_NAMED,     /* a name was given; undo: forget it */
	UNDO_UNNAMED,   /* a name was taken away; undo: give it back */
	UNDO_CACHED,    /* the server was told a statement; undo: it does not know it */
	UNDO_EVICTED,   /* the server was told to forget one; undo: it still knows it */
	UNDO_DUPLICATE, /* nothing to undo, but an error's text to put right */
	UNDO_SENT,      /* nothing to undo, but the text must live until it is sent */
	UNDO_DEALLOCATE /* nothing to undo: both go when the command tag comes */
};

struct undo
{
	struct list node; /* oldest first */
	uint32_t serial;
	enum undo_kind kind;
	struct statement *statement; /* used by it */
	char name[];                 /* the client's; "" where none is concerned */
};

/* Notes a change down, as the newest. */
void undo_note(struct list *notes, uint32_t serial, enum undo_kind kind, struct statement *s,
			   const char *name);

/* The oldest one, or NULL. */
struct undo *undo_oldest(const struct list *notes);

/* The request with this serial number was answered: its changes stand. */
void undo_answered(struct list *notes, uint32_t serial);

/* Takes back `newest` (NULL: nothing) and all that are older. */
void undo_back_from(struct list *notes, struct undo *newest, struct names *names,
					struct stmt_cache *known);

/* Makes all changes again, after names and cache have been cleared in front of them. */
void undo_redo(const struct list *notes, struct names *names, struct stmt_cache *known);

/* The newest note of this kind about this statement and name, or NULL. */
const struct undo *undo_find(const struct list *notes, enum undo_kind kind,
							 const struct statement *s, const char *name);

/* The newest note that gives this name or takes it away, or NULL. */
const struct undo *undo_find_name(const struct list *notes, const char *name);

/* Forgets all notes. */
void undo_clear(struct list *notes);

#endif
