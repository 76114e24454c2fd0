/*
 * show_parts.c - see show_parts.h.
 */
#include "core/show_parts.h"

#include <stdlib.h>

#include "core/registry.h"
#include "core/rows.h"
#include "core/session.h"

void
show_finish(struct show *show)
{
	rows_complete(&show->answer, "SHOW");
	show->done(show->session, &show->answer);
	buf_fini(&show->answer);
	free(show);
}

static void
turn(struct mail *mail)
{
	struct show *show = list_entry(mail, struct show, mail);

	if (show->step(show))
		loop_post(&show->session->shard->loop, mail, turn);
	else
		show_finish(show);
}

void
show_in_turns(struct show *show, bool (*step)(struct show *show))
{
	mail_init(&show->mail);
	show->step = step;
	show->head = buf_len(&show->answer);
	turn(&show->mail);
}

bool
show_is_new(struct show *show)
{
	uint32_t serial = show->session->shard->conf_serial;

	/* Counted from 1 here: 0 is before the first call. */
	if (show->serial == serial + 1)
		return false;
	show->serial = serial + 1;
	buf_cut(&show->answer, show->head);
	return true;
}

void
show_gathered_rows(struct gather *g)
{
	struct show *show = g->arg;

	for (int i = 0; i < g->n; i++)
		if (buf_len(&g->parts[i].out) > 0)
			buf_append(&show->answer, buf_data(&g->parts[i].out), buf_len(&g->parts[i].out));
	show_finish(show);
}

void
show_gather(struct show *show, void (*work)(struct gather_part *), void (*finish)(struct gather *))
{
	struct shard *shard = show->session->shard;

	gather_start(shard->registry, &shard->loop, work, finish, show);
}
