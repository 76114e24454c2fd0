/*
 * dial.c - see dial.h.
 *
 *     dial_start --name--> RESOLVING --addresses--> CONNECTING --writable, no error--> callback(fd)
 *          |                   |                     |    ^ |
 *          +--address, unix----|---------------------+    | +--refused, too slow: the next address
 *                              |                     RETRYING (unix socket whose queue is full)
 *                              +--none--> FAILED <--none left
 *                                            +--a turn of the loop later--> callback(-1, error)
 *
 * D1  The callback runs from a watcher of this dial, never from within dial_start(), and after it
 * nothing of the dial is used but to free it. D2  `fd` is open if and only if the state is
 * CONNECTING, `resolve` set if and only if it is RESOLVING.
 */
#include "net/dial.h"

#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/loop.h"
#include "net/outage.h"
#include "net/peer_addr.h"
#include "net/resolve.h"

#define DIAL_RETRY_S 0.02
#define DIAL_ERROR_MAX 512
#define DIAL_REST_US                                                                               \
	15000000 /* an address of a name that does not answer is tried last for so long */

enum dial_state
{
	DIAL_RESOLVING,
	DIAL_CONNECTING,
	DIAL_RETRYING,
	DIAL_FAILED
};

struct dial
{
	enum dial_state state;
	struct loop *loop;
	dial_cb cb;
	void *arg;
	char *host; /* as given */
	int port;
	bool by_name;            /* errors name the address too */
	struct resolve *resolve; /* D2 */
	struct peer_addr addr[DNS_MAX_ADDRS];
	int n_addrs;
	int next; /* index of the address being tried */
	int fd;   /* D2; else -1 */
	ev_io io;
	ev_timer timer; /* by state: the try's limit, the next attempt, the failure's delivery */
	char error[DIAL_ERROR_MAX];
	size_t error_len;
};

/* ---- endings ---- */

static void
dial_free(struct dial *d)
{
	struct ev_loop *ev = d->loop->ev;

	resolve_cancel(&d->resolve);
	ev_timer_stop(ev, &d->timer);
	ev_io_stop(ev, &d->io);
	if (d->fd >= 0)
		close(d->fd);
	free(d->host);
	free(d);
}

void
dial_cancel(struct dial **handle)
{
	struct dial *d = *handle;

	*handle = NULL;
	if (d != NULL)
		dial_free(d);
}

/* Adds to the error line; what does not fit is cut. */
static void __attribute__((format(printf, 2, 3))) say(struct dial *d, const char *fmt, ...)
{
	size_t room = sizeof(d->error) - d->error_len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(d->error + d->error_len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		d->error_len += (size_t) n < room ? (size_t) n : room - 1;
}

static void
set_timer(struct dial *d, double after_s)
{
	ev_timer_stop(d->loop->ev, &d->timer);
	ev_timer_set(&d->timer, after_s, 0.);
	ev_timer_start(d->loop->ev, &d->timer);
}

/* The error line stands; it is delivered by the next turn of the loop (D1). */
static void
fail_later(struct dial *d)
{
	d->state = DIAL_FAILED;
	set_timer(d, 0.);
}

static void
succeed(struct dial *d)
{
	int fd = d->fd;
	dial_cb cb = d->cb;
	void *arg = d->arg;

	/* Stopped before the descriptor is somebody else's. */
	ev_io_stop(d->loop->ev, &d->io);
	d->fd = -1;
	dial_free(d);
	cb(arg, fd, NULL);
}

/* ---- one address ---- */

static void
set_nodelay(int fd, int family)
{
	int on = 1;

	/* Without it requests wait for the acknowledgement of the one before; that is slow, not wrong,
	 * so no error. */
	if (family != AF_UNIX)
		(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/*
 * A port of the ephemeral range on which nobody listens may be given to the connecting socket
 * itself, which TCP then connects to itself (RFC 9293 3.5, simultaneous open). It would hold the
 * port against the server that wants to start there.
 */
static bool
is_connected_to_itself(int fd, const struct peer_addr *peer)
{
	struct peer_addr self = {.len = sizeof(self.ss)};
	char self_text[PEER_ADDR_TEXT_MAX];
	char peer_text[PEER_ADDR_TEXT_MAX];
	int self_port;
	int peer_port;

	if (peer->ss.ss_family == AF_UNIX ||
		getsockname(fd, (struct sockaddr *) &self.ss, &self.len) < 0)
		return false;
	peer_addr_text(&self.ss, self_text, sizeof(self_text), &self_port);
	peer_addr_text(&peer->ss, peer_text, sizeof(peer_text), &peer_port);
	return self_port == peer_port && strcmp(self_text, peer_text) == 0;
}

static void on_ready(struct ev_loop *ev, ev_io *w, int revents);

/*
 * Begins to connect to the current address. False when that failed at once, with errno set; true
 * when a watcher will tell: a connection that stands at once is reported as writable too, so there
 * is one way to success.
 */
static bool
begin(struct dial *d)
{
	const struct peer_addr *a = &d->addr[d->next];
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int cause = 0;

	if (fd < 0)
		return false;
	set_nodelay(fd, a->ss.ss_family);
	if (connect(fd, (const struct sockaddr *) &a->ss, a->len) < 0)
		cause = errno;

	/* unix(7) has no connection under way: a full queue is EAGAIN, and nothing tells when there is
	 * room. */
	if (cause == EAGAIN && a->ss.ss_family == AF_UNIX)
	{
		close(fd);
		d->state = DIAL_RETRYING;
		set_timer(d, DIAL_RETRY_S);
		return true;
	}
	/* Interrupted, it goes on by itself: connect(2). */
	if (cause != 0 && cause != EINPROGRESS && cause != EINTR)
	{
		close(fd);
		errno = cause;
		return false;
	}

	d->state = DIAL_CONNECTING;
	d->fd = fd;
	loop_io_init(&d->io, on_ready, fd, EV_WRITE);
	d->io.data = d;
	ev_io_start(d->loop->ev, &d->io);
	if (d->next + 1 < d->n_addrs)
		set_timer(d, DIAL_TRY_S);
	return true;
}

/* Notes why the current address did not work and goes on to the one after it. */
static void
give_up_address(struct dial *d, const char *cause)
{
	const struct peer_addr *a = &d->addr[d->next];

	ev_timer_stop(d->loop->ev, &d->timer);
	ev_io_stop(d->loop->ev, &d->io);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;

	say(d, d->next == 0 ? ": " : "; ");
	if (d->by_name)
	{
		char text[PEER_ADDR_TEXT_MAX];
		int port;

		peer_addr_text(&a->ss, text, sizeof(text), &port);
		say(d, "%s: ", text);
		outage_note(text, d->port, clock_now_us() + DIAL_REST_US);
	}
	say(d, "%s", cause);
	d->next++;
}

/* Tries addresses until one is under way; FAILED when there is none left. */
static void
try_addresses(struct dial *d)
{
	while (d->next < d->n_addrs)
	{
		if (begin(d))
			return;
		give_up_address(d, strerror(errno));
	}
	fail_later(d);
}

static void
on_ready(struct ev_loop *ev, ev_io *w, int revents)
{
	struct dial *d = w->data;
	int cause = 0;
	socklen_t len = sizeof(cause);

	(void) ev;
	(void) revents;
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &cause, &len) < 0)
		cause = errno;
	if (cause == 0 && is_connected_to_itself(d->fd, &d->addr[d->next]))
		cause = ECONNREFUSED;
	if (cause == 0)
	{
		succeed(d);
		return;
	}
	give_up_address(d, strerror(cause));
	try_addresses(d);
}

/* ---- watching ---- */

static void
on_timer(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct dial *d = w->data;

	(void) ev;
	(void) revents;
	switch (d->state)
	{
		case DIAL_CONNECTING:
			give_up_address(d, "no answer");
			try_addresses(d);
			return;

		case DIAL_RETRYING:
			try_addresses(d);
			return;

		case DIAL_FAILED:
			d->cb(d->arg, -1, d->error);
			dial_free(d);
			return;

		case DIAL_RESOLVING:
			return; /* no timer in this state */
	}
}

static void
on_resolved(void *arg, const struct dns_answer *result)
{
	struct dial *d = arg;

	d->resolve = NULL;
	if (result->n == 0)
	{
		say(d, "cannot resolve %s: %s", d->host, result->error);
		fail_later(d);
		return;
	}
	d->n_addrs = result->n;
	memcpy(d->addr, result->addr, (size_t) result->n * sizeof(result->addr[0]));
	say(d, "cannot connect to %s port %d", d->host, d->port);
	try_addresses(d);
}

static void
start_unix(struct dial *d)
{
	if (!peer_addr_unix(&d->addr[0], d->host, d->port))
	{
		say(d, "cannot connect to a unix socket in %s: the path is too long", d->host);
		fail_later(d);
		return;
	}
	d->n_addrs = 1;
	say(d, "cannot connect to %s/.s.PGSQL.%d", d->host, d->port);
	try_addresses(d);
}

static void
start_name(struct dial *d)
{
	d->state = DIAL_RESOLVING;
	d->by_name = true;
	d->resolve = resolve_start(d->loop, d->host, d->port, on_resolved, d);
	if (d->resolve == NULL)
	{
		say(d, "cannot resolve %s: the resolver cannot be started", d->host);
		fail_later(d);
	}
}

struct dial *
dial_start(struct loop *loop, const char *host, int port, dial_cb cb, void *arg)
{
	struct dial *d = mem_zalloc(sizeof(*d));

	d->loop = loop;
	d->cb = cb;
	d->arg = arg;
	d->host = mem_strdup(host);
	d->port = port;
	d->fd = -1;
	loop_io_init(&d->io, on_ready, -1, 0);
	ev_init(&d->timer, on_timer);
	d->timer.data = d;

	if (host[0] == '/' || host[0] == '@')
		start_unix(d);
	else if (peer_addr_literal(&d->addr[0], host, port))
	{
		d->n_addrs = 1;
		say(d, "cannot connect to %s port %d", host, port);
		try_addresses(d);
	}
	else
		start_name(d);
	return d;
}
