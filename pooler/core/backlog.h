/*
 * backlog.h - measurements on their way to the database, while it is away too: one batch a period,
 * oldest first, in so many bytes of memory and no more.
 *
 * Where there is no room the oldest give way, and their rows are counted. The one that is being
 * sent stays until it is known what has become of it, so that a row is counted once: written or
 * dropped. Pure but for memory.
 */
#ifndef PERFKIT_CORE_BACKLOG_H
#define PERFKIT_CORE_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct backlog_batch
{
	struct list node;
	uint64_t number;   /* rising from 1; some may be missing */
	uint64_t taken_us; /* by clock_now_us() */
	uint64_t rows;
	size_t len;
	char text[]; /* JSON, terminated */
};

struct backlog
{
	struct list batches;        /* oldest first */
	struct backlog_batch *sent; /* the oldest, while its fate is open; else NULL */
	size_t bytes;               /* all of them, with what they are kept in */
	size_t limit;               /* of bytes */
	uint64_t pending;           /* rows in them */
	uint64_t written;           /* rows since the start, and the next too */
	uint64_t dropped;
	uint64_t last; /* number */
};

void backlog_init(struct backlog *b, size_t limit);
void backlog_fini(struct backlog *b);

/* A new limit; what is beyond it gives way. */
void backlog_limit(struct backlog *b, size_t limit);

/* Takes a copy. False: it is larger than the limit and dropped itself. */
bool backlog_put(struct backlog *b, const char *text, size_t len, uint64_t rows, uint64_t taken_us);

/* The oldest, which is sent now; NULL: there is none. */
struct backlog_batch *backlog_send(struct backlog *b);

/* What has become of it: the database has so many of its rows, and the others are lost … */
void backlog_sent(struct backlog *b, uint64_t rows);

/* … or it must be sent again. Nothing happens where none is sent. */
void backlog_again(struct backlog *b);

/* All go, and are counted. */
void backlog_drop_all(struct backlog *b);

#endif
