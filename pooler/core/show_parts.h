/*
 * show_parts.h - what the files behind SHOW share.
 */
#ifndef PERFKIT_CORE_SHOW_PARTS_H
#define PERFKIT_CORE_SHOW_PARTS_H

#include "base/buf.h"
#include "core/gather.h"

struct session;

typedef void (*show_done)(struct session *s, struct buf *answer);

/* One SHOW under way; its session is kept alive by session->busy. */
struct show
{
	struct session *session;
	show_done done;
	struct buf answer;
};

/* Completes the answer, hands it over and frees the show. */
void show_finish(struct show *show);

/* A finish: the rows that every loop left in its part. */
void show_gathered_rows(struct gather *g);

/* Runs work on every loop, then finish, whose g->arg is the show. */
void show_gather(struct show *show, void (*work)(struct gather_part *),
				 void (*finish)(struct gather *));

#endif
