/*
 * show_parts.h - what the files behind SHOW share.
 */
#ifndef PERFKIT_CORE_SHOW_PARTS_H
#define PERFKIT_CORE_SHOW_PARTS_H

#include "base/buf.h"
#include "core/gather.h"

struct session;

typedef void (*show_done)(struct session *s, struct buf *answer);

#define SHOW_SLICE 100 /* rows written, or clients looked at, in one turn of a loop */

/* One SHOW under way; its session is kept alive by session->busy. */
struct show
{
	struct session *session;
	show_done done;
	struct buf answer;
	/* Of one that goes on in turns: */
	struct mail mail;
	bool (*step)(struct show *show);
	size_t head;     /* bytes of the answer before the first row */
	size_t at;       /* the step's own, like all below; 0 and NULL at first */
	void *rest;      /* of its own making, and to be freed by its last step */
	uint32_t serial; /* of the configuration: show_is_new() */
	struct registry_walk pools;
};

/* Calls step, once at once and then once in each turn of the session's loop, as long as it returns
 * true: there is more. Then the answer is complete. */
void show_in_turns(struct show *show, bool (*step)(struct show *show));

/* For a step that counts entries of the configuration: true at its first call, and when there is
 * another configuration than before; then the rows written so far are gone and it begins anew. */
bool show_is_new(struct show *show);

/* Completes the answer, hands it over and frees the show. */
void show_finish(struct show *show);

/* A finish: the rows that every loop left in its part. */
void show_gathered_rows(struct gather *g);

/* Runs work on every loop, then finish, whose g->arg is the show. */
void show_gather(struct show *show, void (*work)(struct gather_part *),
				 void (*finish)(struct gather *));

#endif
