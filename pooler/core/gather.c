/*
 * gather.c - see gather.h.
 */
#include "core/gather.h"

#include <stdlib.h>

#include "base/log.h"

static void
finished(struct mail *mail)
{
	struct gather *g = list_entry(mail, struct gather, mail);

	g->finish(g);
	for (int i = 0; i < g->n; i++)
		buf_fini(&g->parts[i].out);
	free(g);
}

static void
arrived(struct mail *mail)
{
	struct gather_part *part = list_entry(mail, struct gather_part, mail);
	struct gather *g = part->gather;

	part->again = false;
	g->work(part);
	if (part->again)
	{
		loop_post(&part->shard->loop, &part->mail, arrived);
		return;
	}
	if (atomic_fetch_sub(&g->pending, 1) == 1)
		loop_post(g->origin, &g->mail, finished);
}

void
gather_start(struct registry *r, struct loop *origin, void (*work)(struct gather_part *),
			 void (*finish)(struct gather *), void *arg)
{
	int n = r->n_shards;
	struct gather *g = mem_zalloc(sizeof(*g) + (size_t) n * sizeof(g->parts[0]));

	g->registry = r;
	g->origin = origin;
	g->work = work;
	g->finish = finish;
	g->arg = arg;
	g->n = n;
	atomic_store(&g->pending, n);
	mail_init(&g->mail);
	for (int i = 0; i < n; i++)
	{
		struct gather_part *part = &g->parts[i];

		mail_init(&part->mail);
		part->gather = g;
		part->shard = &r->shards[i];
		buf_init(&part->out);
		walk_init(&part->walk);
	}
	/* The last part to arrive may free everything: nothing of g is read after the last post. */
	for (int i = 0; i < n; i++)
		loop_post(&r->shards[i].loop, &g->parts[i].mail, arrived);
}
