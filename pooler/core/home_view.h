/*
 * home_view.h - what SHOW PERFORMANCE_LOG tells of core/home: written by the main thread, read by
 * any.
 */
#ifndef PERFKIT_CORE_HOME_VIEW_H
#define PERFKIT_CORE_HOME_VIEW_H

#include <stdint.h>

struct backlog;

struct home_view
{
	const char *state;      /* off, connecting (for the first time), away, connected */
	uint64_t since_wall_us; /* 0: from the start */
	uint64_t written;       /* rows since the start, and the next two too */
	uint64_t pending;
	uint64_t dropped;
	uint64_t bytes;           /* of the pending ones, in memory */
	uint64_t written_wall_us; /* the last; 0: none yet */
	char error[256];          /* the last; "": none yet */
	uint64_t error_wall_us;
};

/* Any thread. */
void home_view_read(struct home_view *out);

/* From now on; the name is static. */
void home_view_state(const char *name);
void home_view_backlog(const struct backlog *b);

/* Now. */
void home_view_error(const char *error);
void home_view_written(void);

#endif
