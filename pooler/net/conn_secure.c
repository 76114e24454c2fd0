/*
 * conn_secure.c - the part of conn that carries TLS: the handshake, and records instead of bytes.
 *
 * The handshake takes the place of the owner's on_event. An event only enlists the conn in its
 * loop's queue and stops its watcher; the queue is worked off a step a turn by a timer that fires
 * at once, so that between two steps the loop looks at everybody else.
 *
 *     conn_secure -> waits for the socket -> enlisted -> step --WANT_READ, WANT_WRITE--> waits
 *                                                          +--done, failed--> secured()
 *
 * H1  A conn is in the queue if and only if handshake->node is linked; its watcher is stopped then.
 * H2  c->handshake is NULL before secured() is called.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "net/conn.h"
#include "net/conn_parts.h"
#include "net/loop.h"
#include "net/tls.h"

struct handshake
{
	struct list node; /* H1 */
	struct conn *conn;
	void (*on_event)(struct conn *, int); /* the owner's, for afterwards */
	void (*secured)(struct conn *, const char *);
};

/* ---- the handshake ---- */

static void
over(struct conn *c, const char *error)
{
	struct handshake *h = c->handshake;
	void (*secured)(struct conn *, const char *) = h->secured;

	c->on_event = h->on_event;
	c->handshake = NULL;
	free(h);
	conn_read_start(c);
	secured(c, error);
}

static void
step(struct conn *c)
{
	switch (tls_handshake(c->tls))
	{
		case TLS_DONE:
			over(c, NULL);
			break;
		case TLS_WANT_READ:
			conn_read_start(c);
			break;
		case TLS_WANT_WRITE:
			c->starved = true;
			conn_read_start(c);
			break;
		case TLS_EOF:
			over(c, "the connection was closed during the TLS handshake");
			break;
		case TLS_BROKEN:
			over(c, tls_error());
			break;
	}
}

static void
turn(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct loop *l = w->data;
	struct handshake *h = list_entry(list_pop(&l->handshakes), struct handshake, node);

	(void) revents;
	list_init(&h->node);
	if (!list_empty(&l->handshakes))
	{
		ev_timer_set(w, 0., 0.);
		ev_timer_start(ev, w);
	}
	step(h->conn);
}

static void
enlist(struct conn *c)
{
	struct loop *l = c->loop;

	if (list_empty(&l->handshakes))
	{
		ev_timer_init(&l->handshake_turn, turn, 0., 0.);
		l->handshake_turn.data = l;
		ev_timer_start(l->ev, &l->handshake_turn);
	}
	list_append(&l->handshakes, &c->handshake->node);
	conn_read_stop(c);
}

static void
ready(struct conn *c, int revents)
{
	(void) revents;
	enlist(c);
}

void
conn_secure(struct conn *c, struct tls *tls, void (*secured)(struct conn *, const char *))
{
	struct handshake *h = mem_zalloc(sizeof(*h));

	list_init(&h->node);
	h->conn = c;
	h->on_event = c->on_event;
	h->secured = secured;
	c->tls = tls;
	c->handshake = h;
	c->on_event = ready;
	/* Who speaks first has no event to wait for; for the other side one step more does no harm. */
	enlist(c);
}

/* ---- records ---- */

/*
 * Several records at once while they are so long that more is likely behind them: a try that finds
 * nothing costs a system call.
 */
ssize_t
conn_secure_recv(struct conn *c, uint8_t *p)
{
	size_t got = 0;
	size_t n;
	enum tls_io io;

	do
	{
		io = tls_read(c->tls, p + got, LOOP_READ_SIZE - got, &n);
		got += n;
	} while (io == TLS_DONE && n >= TLS_RECORD_MAX / 2 && LOOP_READ_SIZE - got >= TLS_RECORD_MAX);

	if (io == TLS_WANT_WRITE)
	{
		c->starved = true;
		conn_arm(c);
	}
	if (got > 0)
	{
		/* What came before the end is handed out first. The end will be told again, but perhaps not
		 * by the socket: all of it may have been read. */
		if (io == TLS_EOF || io == TLS_BROKEN)
			ev_feed_event(c->loop->ev, &c->io, EV_READ);
		return (ssize_t) got;
	}
	switch (io)
	{
		case TLS_EOF:
			return 0;
		case TLS_BROKEN:
			log_debug("TLS: %s", tls_error());
			errno = ECONNRESET;
			return -1;
		default:
			errno = EAGAIN;
			return -1;
	}
}

/* A place in what is to be sent. */
struct place
{
	const struct iovec *iov;
	int n;      /* parts left */
	size_t off; /* in the first of them */
};

static void
advance(struct place *at, size_t n)
{
	at->off += n;
	while (at->n > 0 && at->off >= at->iov->iov_len)
	{
		at->off -= at->iov->iov_len;
		at->iov++;
		at->n--;
	}
}

/* Bytes for one record: short parts are gathered, so that a batch leaves in one piece; what fills a
 * record by itself stays where it is. */
static const uint8_t *
next_record(struct place at, uint8_t scratch[TLS_RECORD_MAX], size_t *len)
{
	const uint8_t *first = (const uint8_t *) at.iov->iov_base + at.off;

	*len = at.iov->iov_len - at.off;
	if (at.n == 1 || *len >= TLS_RECORD_MAX)
		return first;
	*len = 0;
	while (at.n > 0 && *len < TLS_RECORD_MAX)
	{
		size_t room = TLS_RECORD_MAX - *len;
		size_t take = at.iov->iov_len - at.off;

		if (take > room)
			take = room;
		memcpy(scratch + *len, (const uint8_t *) at.iov->iov_base + at.off, take);
		*len += take;
		advance(&at, take);
	}
	return scratch;
}

ssize_t
conn_secure_send(struct conn *c, const struct iovec *iov, int n)
{
	uint8_t scratch[TLS_RECORD_MAX];
	struct place at = {iov, n, 0};
	size_t sent = 0;

	if (c->handshake != NULL)
	{
		errno = EPIPE; /* nobody can be told anything yet */
		return -1;
	}
	advance(&at, 0);
	while (at.n > 0)
	{
		size_t len;
		size_t written;
		const uint8_t *p = next_record(at, scratch, &len);
		enum tls_io io = tls_write(c->tls, p, len, &written);

		if (io == TLS_WANT_WRITE)
			break;
		if (io != TLS_DONE)
		{
			/* WANT_READ would be a renegotiation, which is turned off. */
			log_debug("TLS: %s", tls_error());
			errno = EPIPE;
			return -1;
		}
		sent += written;
		advance(&at, written);
	}
	if (sent > 0 || at.n == 0)
		return (ssize_t) sent;
	errno = EAGAIN;
	return -1;
}

/* ---- the end ---- */

void
conn_secure_bye(struct conn *c)
{
	/* Half a record has gone: nothing can stand behind it. */
	if (c->handshake == NULL && !conn_blocked(c))
		tls_bye(c->tls);
}

void
conn_secure_end(struct conn *c)
{
	struct handshake *h = c->handshake;

	if (h != NULL)
	{
		list_remove(&h->node);
		if (list_empty(&c->loop->handshakes))
			ev_timer_stop(c->loop->ev, &c->loop->handshake_turn);
		free(h);
		c->handshake = NULL;
	}
	conn_secure_bye(c);
	tls_free(c->tls);
	c->tls = NULL;
}
