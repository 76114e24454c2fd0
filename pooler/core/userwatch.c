/*
 * userwatch.c - see userwatch.h.
 *
 * The file is looked at by its times to the nanosecond: ev_stat compares seconds, and a password
 * that is changed twice in one would stay as it was after the first. Who writes the file in place
 * is seen while it is half written, so two looks must agree.
 */
#include "core/userwatch.h"

#include <ev.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

#define LOOK_S 0.25

static struct
{
	struct ev_loop *ev; /* NULL: nothing is watched */
	char *path;
	ev_timer look;
	struct stat last; /* as of the last look at which the file was there */
	bool touched;     /* it had changed then */
	void (*changed)(void);
} watch;

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
		   same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

static void
look(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct stat now;

	(void) ev;
	(void) w;
	(void) revents;
	/* Gone for a moment, while it is replaced, or for good: nothing to read. */
	if (stat(watch.path, &now) != 0)
		return;
	if (!same_file(&now, &watch.last))
	{
		watch.last = now;
		watch.touched = true;
	}
	else if (watch.touched)
	{
		watch.touched = false;
		watch.changed();
	}
}

void
userwatch_stop(void)
{
	if (watch.ev == NULL)
		return;
	ev_timer_stop(watch.ev, &watch.look);
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
	watch.touched = false;
	memset(&watch.last, 0, sizeof(watch.last));
	(void) stat(watch.path, &watch.last);
	ev_timer_init(&watch.look, look, LOOK_S, LOOK_S);
	ev_timer_start(ev, &watch.look);
}
