/*
 * dial.h - connecting to host and port or to a unix socket, without blocking the loop.
 *
 * Names are looked up by net/resolve, addresses are tried in turn: one that does not answer for
 * DIAL_TRY_S gives way to the next, the last one has no limit. The caller keeps the handle, sets it
 * NULL in the first line of its callback, and may cancel at any time. The time limit of the whole
 * is the caller's.
 */
#ifndef PERFKIT_NET_DIAL_H
#define PERFKIT_NET_DIAL_H

#include <stddef.h>

#define DIAL_TRY_S 2.0 /* seconds */

struct loop;
struct dial;

/*
 * Connected: fd >= 0 (the callee owns it; non-blocking, close-on-exec, TCP_NODELAY set). Failed: fd
 * < 0 and error is one line that names host and cause, valid within the callback. The handle is
 * gone after it.
 */
typedef void (*dial_cb)(void *arg, int fd, const char *error);

/* host: name, address, "/dir" or "@abstract" (then the socket is .s.PGSQL.<port>). Never calls back
 * from within. */
struct dial *dial_start(struct loop *loop, const char *host, int port, dial_cb cb, void *arg);

/* Cancels and frees; the callback will not run. *d may be NULL and is NULL afterwards. */
void dial_cancel(struct dial **d);

#endif
