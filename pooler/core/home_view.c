/*
 * home_view.c - see home_view.h.
 */
#include "core/home_view.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/str.h"
#include "core/backlog.h"

static struct lock view_lock = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static struct home_view view; /* view_lock */

void
home_view_state(const char *name)
{
	uint64_t now = clock_wall_us();

	lock_acquire(&view_lock);
	view.state = name;
	view.since_wall_us = now;
	lock_release(&view_lock);
}

void
home_view_backlog(const struct backlog *b)
{
	lock_acquire(&view_lock);
	view.written = b->written;
	view.pending = b->pending;
	view.dropped = b->dropped;
	view.bytes = b->bytes;
	lock_release(&view_lock);
}

void
home_view_error(const char *error)
{
	uint64_t now = clock_wall_us();

	lock_acquire(&view_lock);
	str_copy(view.error, sizeof(view.error), error);
	view.error_wall_us = now;
	lock_release(&view_lock);
}

void
home_view_written(void)
{
	uint64_t now = clock_wall_us();

	lock_acquire(&view_lock);
	view.written_wall_us = now;
	lock_release(&view_lock);
}

void
home_view_read(struct home_view *out)
{
	lock_acquire(&view_lock);
	*out = view;
	lock_release(&view_lock);
	if (out->state == NULL)
		out->state = "off";
}
