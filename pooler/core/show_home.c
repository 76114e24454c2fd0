/*
 * show_home.c - see show_home.h.
 */
#include "core/show_home.h"

#include "core/home_view.h"
#include "core/rows.h"
#include "core/show_parts.h"

/* Of something that has happened. */
static void
moment(struct row *r, uint64_t wall_us)
{
	if (wall_us != 0)
		row_time(r, wall_us);
	else
		row_text(r, NULL);
}

void
show_performance_log(struct show *show)
{
	struct home_view v;
	struct row r;

	home_view_read(&v);
	row_begin(&r);
	row_text(&r, v.state);
	moment(&r, v.since_wall_us);
	row_int(&r, (int64_t) v.written);
	row_int(&r, (int64_t) v.pending);
	row_int(&r, (int64_t) v.dropped);
	row_int(&r, (int64_t) v.bytes);
	moment(&r, v.written_wall_us);
	row_text(&r, v.error[0] != '\0' ? v.error : NULL);
	moment(&r, v.error_wall_us);
	row_end(&r, &show->answer);
	show_finish(show);
}
