/*
 * conn.c - see conn.h.
 *
 * One libev watcher serves both directions: its mask is READ while the owner reads, plus WRITE
 * while `out` is not empty. Changing the mask is a system call at the next turn of the loop, so it
 * happens only when a peer is slower than the other.
 */
#include "net/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/conn_parts.h"
#include "net/loop.h"

/*
 * recv() and send() where a query passes. The C library's are points of cancellation, which in a
 * process with threads costs as much as a lock, twice for each call; no thread is cancelled here.
 * Builds with sanitizers keep the library's, whose arguments these check.
 */
#if defined(SYS_recvfrom) && defined(SYS_sendto) && !defined(PERFKIT_DEBUG)
static ssize_t
receive(int fd, void *p, size_t n)
{
	return syscall(SYS_recvfrom, fd, p, n, 0, NULL, NULL);
}

static ssize_t
transmit(int fd, const void *p, size_t n)
{
	return syscall(SYS_sendto, fd, p, n, MSG_NOSIGNAL, NULL, 0);
}
#else
static ssize_t
receive(int fd, void *p, size_t n)
{
	return recv(fd, p, n, 0);
}

static ssize_t
transmit(int fd, const void *p, size_t n)
{
	return send(fd, p, n, MSG_NOSIGNAL);
}
#endif

void
conn_arm(struct conn *c)
{
	int events =
		(c->reading && !c->held ? EV_READ : 0) | (conn_blocked(c) && !c->corked ? EV_WRITE : 0);
	bool active = ev_is_active(&c->io);

	if (c->starved)
		events = EV_WRITE;
	if (active && (c->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	if (active)
		ev_io_stop(c->loop->ev, &c->io);
	if (events == 0)
		return;
	if ((c->io.events & (EV_READ | EV_WRITE)) != events)
		ev_io_set(&c->io, c->fd, events);
	ev_io_start(c->loop->ev, &c->io);
}

/* As send() and sendmsg() would: -1 with errno, EAGAIN among them. */
static ssize_t
send_now(struct conn *c, const void *p, size_t n)
{
	const struct iovec iov = {(void *) p, n};

	return c->tls != NULL ? conn_secure_send(c, &iov, 1) : transmit(c->fd, p, n);
}

static ssize_t
sendv_now(struct conn *c, const struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *) iov, .msg_iovlen = (size_t) n};

	return c->tls != NULL ? conn_secure_send(c, iov, n) : sendmsg(c->fd, &msg, MSG_NOSIGNAL);
}

/* Writes what is queued; false when the socket is broken. */
static bool
flush(struct conn *c)
{
	while (conn_blocked(c))
	{
		ssize_t n = send_now(c, buf_data(&c->out), buf_len(&c->out));

		if (n > 0)
			buf_consume(&c->out, (size_t) n);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return true;
		else if (errno != EINTR)
			return false;
	}
	return true;
}

static void
event(struct ev_loop *ev, ev_io *w, int revents)
{
	struct conn *c = w->data;

	(void) ev;
	if ((revents & EV_WRITE) != 0)
	{
		if (c->starved)
		{
			c->starved = false;
			revents |= EV_READ;
		}
		if (!flush(c))
		{
			/* The reader finds out why: a broken socket is readable. Nothing more can be sent. */
			buf_consume(&c->out, buf_len(&c->out));
			revents |= EV_READ;
		}
		conn_arm(c);
		if (conn_blocked(c))
			revents &= ~EV_WRITE;
	}
	if (revents != 0)
		c->on_event(c, revents);
}

void
conn_init(struct conn *c)
{
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	buf_init(&c->in);
	buf_init(&c->out);
	loop_io_init(&c->io, event, -1, 0);
	c->io.data = c;
}

void
conn_open(struct conn *c, struct loop *loop, int fd, void (*on_event)(struct conn *, int))
{
	conn_init(c);
	c->fd = fd;
	c->loop = loop;
	c->on_event = on_event;
	c->reading = true;
	conn_arm(c);
}

void
conn_close(struct conn *c)
{
	if (c->fd < 0)
		return;
	if (ev_is_active(&c->io))
		ev_io_stop(c->loop->ev, &c->io);
	/* A pending event of a watcher that lives in freed memory would be fatal. */
	ev_clear_pending(c->loop->ev, &c->io);
	if (c->tls != NULL)
		conn_secure_end(c);
	close(c->fd);
	c->fd = -1;
	buf_fini(&c->in);
	buf_fini(&c->out);
}

void
conn_linger(struct conn *c)
{
	if (c->fd < 0)
		return;
	if (c->tls != NULL)
		conn_secure_bye(c);
	shutdown(c->fd, SHUT_WR);
	for (int i = 0; i < 4; i++)
		if (recv(c->fd, c->loop->read_buffer, LOOP_READ_SIZE, MSG_DONTWAIT) <= 0)
			return;
}

enum conn_io
conn_recv(struct conn *c, uint8_t **data, size_t *n)
{
	uint8_t *start = c->loop->read_buffer + LOOP_READ_SLACK;
	size_t saved = buf_len(&c->in);
	ssize_t got;

	do
		got = c->tls != NULL ? conn_secure_recv(c, start) : receive(c->fd, start, LOOP_READ_SIZE);
	while (got < 0 && errno == EINTR);
	if (got == 0)
		return CONN_EOF;
	if (got < 0)
		return (errno == EAGAIN || errno == EWOULDBLOCK) ? CONN_AGAIN : CONN_ERROR;

	if (saved == 0 || !conn_saved(c, data, n))
	{
		*data = start;
		*n = 0;
	}
	*n += (size_t) got;
	return CONN_OK;
}

bool
conn_saved(struct conn *c, uint8_t **data, size_t *n)
{
	size_t saved = buf_len(&c->in);

	if (saved == 0)
		return false;
	*data = c->loop->read_buffer + LOOP_READ_SLACK - saved;
	*n = saved;
	memcpy(*data, buf_data(&c->in), saved);
	buf_consume(&c->in, saved);
	return true;
}

void
conn_save(struct conn *c, const uint8_t *p, size_t n)
{
	if (n > 0)
		buf_append(&c->in, p, n);
}

/* What did not go now waits for the peer. */
static void
queue(struct conn *c, const void *p, size_t n)
{
	buf_append(&c->out, p, n);
	conn_arm(c);
}

bool
conn_sendv(struct conn *c, const struct iovec *iov, int n)
{
	ssize_t sent = 0;

	if (n == 1)
		return conn_send(c, iov[0].iov_base, iov[0].iov_len);
	if (!conn_blocked(c) && !c->corked)
	{
		do
			sent = sendv_now(c, iov, n);
		while (sent < 0 && errno == EINTR);
		if (sent < 0)
		{
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				return false;
			sent = 0;
		}
	}
	for (int i = 0; i < n; i++)
	{
		size_t len = iov[i].iov_len;

		if ((size_t) sent >= len)
		{
			sent -= (ssize_t) len;
			continue;
		}
		queue(c, (const uint8_t *) iov[i].iov_base + sent, len - (size_t) sent);
		sent = 0;
	}
	return true;
}

bool
conn_send(struct conn *c, const void *p, size_t n)
{
	ssize_t sent = 0;

	if (n == 0)
		return true;
	if (!conn_blocked(c) && !c->corked)
	{
		do
			sent = send_now(c, p, n);
		while (sent < 0 && errno == EINTR);
		if (sent == (ssize_t) n)
			return true;
		if (sent < 0)
		{
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				return false;
			sent = 0;
		}
	}
	queue(c, (const uint8_t *) p + sent, n - (size_t) sent);
	return true;
}

void
conn_cork(struct conn *c)
{
	c->corked = true;
}

bool
conn_uncork(struct conn *c)
{
	if (!c->corked)
		return true;
	c->corked = false;
	if (!flush(c))
		return false;
	conn_arm(c);
	return true;
}

void
conn_read_stop(struct conn *c)
{
	if (!c->reading)
		return;
	c->reading = false;
	conn_arm(c);
}

void
conn_read_start(struct conn *c)
{
	if (c->reading)
		return;
	c->reading = true;
	conn_arm(c);
}

void
conn_hold(struct conn *c, bool hold)
{
	if (c->held == hold)
		return;
	c->held = hold;
	if (c->fd >= 0)
		conn_arm(c);
}

void
conn_take(struct conn *c, struct conn *from, void (*on_event)(struct conn *, int))
{
	conn_leave(from);
	conn_init(c);
	c->fd = from->fd;
	c->loop = from->loop;
	c->tls = from->tls;
	c->in = from->in;
	c->out = from->out;
	c->starved = from->starved;
	c->on_event = on_event;
	c->reading = true;
	conn_init(from);
	conn_arm(c);
}

void
conn_leave(struct conn *c)
{
	if (ev_is_active(&c->io))
		ev_io_stop(c->loop->ev, &c->io);
	ev_clear_pending(c->loop->ev, &c->io);
}

void
conn_move(struct conn *c, struct loop *loop)
{
	if (c->loop != loop)
	{
		c->loop = loop;
		/* Another loop's epoll set does not know this descriptor: force the registration. */
		ev_io_set(&c->io, c->fd, EV_READ);
	}
	conn_arm(c);
}
