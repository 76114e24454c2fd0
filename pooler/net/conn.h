/*
 * conn.h - one non-blocking stream socket on one loop. Knows nothing of PostgreSQL.
 *
 * The read watcher stays armed; sends go out at once and only what the kernel refuses is copied
 * into `out`, with the write watcher armed until that is gone. `in` holds the beginning of a
 * message whose rest has not come. Both are empty (and own no memory) on an idle connection.
 *
 * With TLS (conn_secure) all of this holds as well: `in` and `out` are what the owner sees, the
 * socket carries records (net/tls.h).
 *
 * A conn is born and closed on its loop. conn_move() takes it to another loop; it is called on the
 * new loop's thread after the old one has called conn_leave().
 */
#ifndef PERFKIT_NET_CONN_H
#define PERFKIT_NET_CONN_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"

struct handshake;
struct loop;
struct tls;

struct conn
{
	int fd; /* -1 when closed */
	struct loop *loop;
	ev_io io;
	struct buf in;
	struct buf out;
	struct tls *tls;             /* NULL: plain; owned */
	struct handshake *handshake; /* while it lasts (conn_secure.c) */
	bool reading;                /* the owner wants to read … */
	bool held;                   /* … but must not: conn_hold() */
	bool corked;                 /* what is sent waits in `out` for conn_uncork() */
	bool starved; /* TLS cannot read before it has written: only that is waited for */
	/* Called for readable and writable alike; `out` has been flushed before a writable event is
	 * reported. */
	void (*on_event)(struct conn *c, int revents);
};

enum conn_io
{
	CONN_OK,
	CONN_AGAIN, /* recv: nothing there now */
	CONN_EOF,   /* recv: the peer closed in good order */
	CONN_ERROR  /* broken; errno tells */
};

/* Takes over fd, which is non-blocking and close-on-exec (accept4, socket), and starts reading. */
void conn_open(struct conn *c, struct loop *loop, int fd, void (*on_event)(struct conn *, int));

/* Stops the watcher, closes the socket, frees the buffers. Legal in every state, also twice. */
void conn_close(struct conn *c);

/*
 * Before a close that follows a last message: takes in what the peer has sent already, since
 * closing over unread bytes resets the connection and the peer might never see the message.
 * Bounded, does not wait.
 */
void conn_linger(struct conn *c);

/* A closed conn that conn_close() may be called on. */
void conn_init(struct conn *c);

/*
 * Reads once. The bytes saved in `in` are moved in front of the new ones: *data points to saved +
 * new bytes in the loop's read buffer, *n is their number, valid until the next read on this loop.
 * What the caller does not use up it must give back with conn_save().
 */
enum conn_io conn_recv(struct conn *c, uint8_t **data, size_t *n);

/* Gives back what was saved, without reading: false when nothing was. Same life time as above. */
bool conn_saved(struct conn *c, uint8_t **data, size_t *n);

/* Keeps the unused end of what conn_recv() gave; never more than LOOP_READ_SLACK. */
void conn_save(struct conn *c, const uint8_t *p, size_t n);

/* Sends all of iov (at most IOV_MAX parts); what does not go now is queued. False when the socket
 * is broken. */
bool conn_sendv(struct conn *c, const struct iovec *iov, int n);
bool conn_send(struct conn *c, const void *p, size_t n);

/* Between the two what is sent only waits, so that several messages leave as one. Not over a turn
 * of the loop. False when the socket is broken; uncorking what is not corked does nothing. */
void conn_cork(struct conn *c);
bool conn_uncork(struct conn *c);

/* True while queued output waits for the peer: stop producing more. */
static inline bool
conn_blocked(const struct conn *c)
{
	return buf_len(&c->out) > 0;
}

/*
 * From here on the socket carries TLS; tls was made for its descriptor and is the conn's, also when
 * the handshake fails. Nothing may wait in `out`, and nothing may have been read beyond what both
 * sides said in clear: the caller has made sure, since such bytes would come from whoever sits in
 * between. on_event does not hear of the handshake. secured is called when it is over, never from
 * within: with NULL, or with one line that tells why it failed; then the conn is only good to be
 * closed. It may be closed at any time, and secured is not called then.
 *
 * Handshakes cost a million times what a read costs, so a loop does a single step of one a turn.
 */
void conn_secure(struct conn *c, struct tls *tls, void (*secured)(struct conn *, const char *));

/* Takes over everything that from has, on the same loop; from is closed then, without a word. */
void conn_take(struct conn *c, struct conn *from, void (*on_event)(struct conn *, int));

/* Turns reading off and on (back-pressure). Cheap when nothing changes. */
void conn_read_stop(struct conn *c);
void conn_read_start(struct conn *c);

/* Nothing is read while it is held, whatever else is asked for; what is queued still goes out. */
void conn_hold(struct conn *c, bool hold);

/* Moving between loops: leave on the old thread, then move on the new one. */
void conn_leave(struct conn *c);
void conn_move(struct conn *c, struct loop *loop);

#endif
