/*
 * loop.h - one event loop, its mailbox and its read buffer.
 *
 * Every worker thread runs one loop; the main thread runs one more for signals and
 * housekeeping. Nothing of a loop is touched by another thread but its mailbox (P1): loop_post() is
 * the one call into a foreign loop. Mail is a node that the sender embeds in its own object, so
 * posting allocates nothing and cannot fail; one node may be under way once at a time.
 *
 * libev: made with EVBACKEND_EPOLL, which does not forget a descriptor when its watcher stops. That
 * is what makes restarting a watcher on the same loop free, and why ev_io_set() must come before
 * each start on another loop.
 */
#ifndef PERFKIT_NET_LOOP_H
#define PERFKIT_NET_LOOP_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/lock.h"

#define LOOP_READ_SIZE 262144                /* bytes one recv() may bring */
#define LOOP_READ_SLACK (2 * LOOP_READ_SIZE) /* room in front of it for what a conn had saved */

struct mail
{
	struct list node; /* linked while under way */
	void (*deliver)(struct mail *mail);
};

struct loop
{
	struct ev_loop *ev;
	int index;            /* 0 … n-1 of the worker loops, -1 the main thread's */
	void *owner;          /* core's per-loop state */
	void *resolver;       /* net/resolve's c-ares channel; NULL until the first look-up */
	uint8_t *read_buffer; /* LOOP_READ_SLACK + LOOP_READ_SIZE; valid within one callback */
	pthread_t thread;
	ev_async wake;
	struct lock mail_lock;
	struct list mailbox;     /* mail_lock */
	struct list handshakes;  /* of net/conn_secure: whose next step is due … */
	ev_timer handshake_turn; /* … one each time this fires */
	bool interrupted;        /* the last wait was, and has brought no sockets */
	bool asking_again;       /* … which are being asked for now */
};

bool loop_init(struct loop *l, int index, void *owner);
void loop_fini(struct loop *l);

/* Runs until loop_stop() is called from a callback of this loop. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/*
 * Starts a timer of this loop to fire once so long after now, running or not: after the real now,
 * which the loop's own idea may be far behind when much is going on. It is never early, and as late
 * as epoll is (one millisecond) when the loop is free.
 */
void loop_after(struct loop *l, ev_timer *w, uint64_t after_us);

/*
 * What a loop learns from sockets and by mail comes before what its clock says: after a pause of
 * the whole process (a busy machine, a virtual one that was moved) an answer may lie there whose
 * limit has passed meanwhile. Timers have libev's usual priority, 0.
 */
#define LOOP_IO_PRIORITY 1

static inline void
loop_io_init(ev_io *w, void (*cb)(struct ev_loop *, ev_io *, int), int fd, int events)
{
	ev_io_init(w, cb, fd, events);
	ev_set_priority(w, LOOP_IO_PRIORITY);
}

/* Any thread: mail->deliver(mail) runs on the loop's thread, in the order of posting. */
void loop_post(struct loop *l, struct mail *mail, void (*deliver)(struct mail *mail));

/* True while the mail is on its way. Only meaningful to its sender or receiver. */
static inline bool
mail_under_way(const struct mail *m)
{
	return m->node.next != &m->node;
}

static inline void
mail_init(struct mail *m)
{
	list_init(&m->node);
	m->deliver = NULL;
}

#endif
