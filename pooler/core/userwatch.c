/*
 * userwatch.c - see userwatch.h.
 *
 * libev hears of changes from the kernel, and looks by itself each LOOK_S where the kernel does not
 * tell (network file systems). Who writes the file in place is seen while it is half written: the
 * file must have been left alone for SETTLE_S.
 */
#include "core/userwatch.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define LOOK_S 1.0
#define SETTLE_S 0.1

static struct
{
	struct ev_loop *ev; /* NULL: nothing is watched */
	char *path;         /* libev keeps the pointer */
	ev_stat file;
	ev_timer settle;
	void (*changed)(void);
} watch;

static void
settled(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
	watch.changed();
}

static void
touched(struct ev_loop *ev, ev_stat *w, int revents)
{
	(void) revents;
	/* Gone for a moment, while it is replaced, or for good: nothing to read. */
	if (w->attr.st_nlink == 0)
		return;
	ev_timer_stop(ev, &watch.settle);
	ev_timer_set(&watch.settle, SETTLE_S, 0.);
	ev_timer_start(ev, &watch.settle);
}

void
userwatch_stop(void)
{
	if (watch.ev == NULL)
		return;
	ev_stat_stop(watch.ev, &watch.file);
	ev_timer_stop(watch.ev, &watch.settle);
	free(watch.path);
	watch.path = NULL;
	watch.ev = NULL;
}

void
userwatch_start(struct ev_loop *ev, const char *path, void (*changed)(void))
{
	if (path == NULL || path[0] == '\0')
	{
		userwatch_stop();
		return;
	}
	watch.changed = changed;
	if (watch.ev == ev && strcmp(watch.path, path) == 0)
		return;
	userwatch_stop();
	watch.ev = ev;
	watch.path = mem_strdup(path);
	ev_timer_init(&watch.settle, settled, 0., 0.);
	ev_stat_init(&watch.file, touched, watch.path, LOOK_S);
	ev_stat_start(ev, &watch.file);
}
