/*
 * background.h - a process goes into the background and its starter learns whether it got there.
 *
 *     starter ── background_start() ──fork──> service, in a session of its own
 *        │  waits                                │  opens sockets, files … may fail and exit(1)
 *        │ <────────── background_ready() ───────┤
 *     exits 0                                 goes on, without a terminal
 *
 * Until it is ready the service writes to the starter's stderr; when it ends before, the starter
 * ends with its exit code.
 */
#ifndef PERFKIT_BASE_BACKGROUND_H
#define PERFKIT_BASE_BACKGROUND_H

#include <stdbool.h>

/* Returns in the service only; false with errno set, in the starter, when there can be none. Before
 * any thread. */
bool background_start(void);

/* Lets the starter go and leaves its terminal. Does nothing without a background_start(). */
void background_ready(void);

#endif
