/*
 * gather.h - one piece of work on every loop, and one finish when all have done it.
 *
 * The work runs on each loop's own thread and leaves what it found in its part; the finish runs on
 * the loop that asked. This is how SHOW looks at what belongs to other threads (P10) and how a new
 * configuration reaches them (P9).
 */
#ifndef PERFKIT_CORE_GATHER_H
#define PERFKIT_CORE_GATHER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "core/registry.h"
#include "core/walk.h"
#include "net/loop.h"

struct gather;

struct gather_part
{
	struct mail mail;
	struct gather *gather;
	struct shard *shard;
	struct buf out; /* freed after the finish */
	void *result;   /* the work's to fill and the finish's to free */
	int64_t count[4];
	/* The work's, where it rests. */
	struct walk walk;
	struct registry_walk pools;
	int stage;
	bool again; /* set by the work: call it once more in a later turn of the loop */
};

struct gather
{
	struct registry *registry;
	struct loop *origin;
	struct mail mail;
	_Atomic int pending;
	void (*work)(struct gather_part *part);
	void (*finish)(struct gather *g);
	void *arg;
	int n;
	struct gather_part parts[];
};

/* The work is called once on each loop, and once more for each time that it has set part->again: so
 * that much of it holds up nobody who is served there. origin is the calling thread's loop. finish
 * is called once, never from within. */
void gather_start(struct registry *r, struct loop *origin, void (*work)(struct gather_part *),
				  void (*finish)(struct gather *), void *arg);

#endif
