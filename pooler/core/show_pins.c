/*
 * show_pins.c - SHOW PINS: who keeps a server outside session pooling, and because of what
 * (core/sticky). Each loop looks at a slice of its clients in one turn.
 */
#include "core/show_pins.h"

#include "core/registry.h"
#include "core/rows.h"
#include "core/server.h"
#include "core/session.h"
#include "core/show_parts.h"

static void
pin_row(const struct session *s, struct buf *out)
{
	char reasons[STICKY_REASONS_MAX];
	struct row r;

	row_begin(&r);
	row_text(&r, s->database);
	row_text(&r, s->user);
	row_text(&r, s->addr);
	row_int(&r, s->port);
	row_int(&r, (int64_t) s->id);
	row_int(&r, s->relay.server->backend_pid);
	row_text(&r, sticky_reasons(&s->relay.sticky, reasons, sizeof(reasons)));
	row_time(&r, s->relay.sticky.pinned_wall_us);
	row_end(&r, out);
}

static void
pins_work(struct gather_part *part)
{
	walk_begin(&part->walk, &part->shard->walks, &part->shard->sessions);
	for (int i = 0; i < SHOW_SLICE; i++)
	{
		struct list *n = walk_next(&part->walk);
		const struct session *s;

		if (n == NULL)
			return;
		s = list_entry(n, struct session, node);
		if (s->relay.server != NULL && sticky_pinned(&s->relay.sticky))
			pin_row(s, &part->out);
	}
	part->again = true;
}

void
show_pins(struct show *show)
{
	show_gather(show, pins_work, show_gathered_rows);
}
