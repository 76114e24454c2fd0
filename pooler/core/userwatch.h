/*
 * userwatch.h - tells when auth_file has changed on disk. Main thread.
 */
#ifndef PERFKIT_CORE_USERWATCH_H
#define PERFKIT_CORE_USERWATCH_H

struct ev_loop;

/* Watches path from now on, in place of the one before; NULL or "": none. changed is called when
 * the file has been written or replaced and then left alone for a moment. */
void userwatch_start(struct ev_loop *ev, const char *path, void (*changed)(void));
void userwatch_stop(void);

#endif
