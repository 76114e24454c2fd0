/*
 * listen.c - see listen.h. How a socket comes to listen: listen_bind.c.
 *
 *     sockets -> one epoll set -> the loop that watches it -> listen_accept()
 *
 * The loop that accepts is not the one that opens and closes, and a watcher is touched by its own
 * thread only (P1). So no watcher looks at a listening socket: it looks at an epoll set of them,
 * which is one descriptor for ever, and which the kernel lets any thread take a socket out of. A
 * set that is empty is never readable.
 *
 * L1  A socket stands in the set if and only if clients may be taken from it. It is taken out
 * before it is closed, also because closing does not take out what the service manager holds too.
 * L2  `lock` is held from asking the set to accepting: a socket that the set has named cannot be
 * closed meanwhile, and its number cannot have become another's.
 */
#include "net/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "net/listen_parts.h"
#include "net/loop.h"
#include "net/sockopt.h"

#define QUEUE_MOST 4096 /* clients that one socket still gives when it closes */

static struct
{
	int set; /* of epoll; -1 before the first listen_open() */
	struct lock lock;
	/* The main thread's own. */
	struct list listeners;
	bool open;
	bool reuse_port;
	bool retiring;
	struct loop *loop; /* of `retire` */
	ev_timer retire;   /* runs while retiring */
	void (*take)(int fd, const struct peer_addr *peer, void *arg);
	void *arg;
} listening = {.set = -1};

/* ---- accepting ---- */

/* The client is gone again, or Linux hands up an error of its connection: accept(2). Of the next
 * one that says nothing. */
static bool
is_clients_own(int error)
{
	switch (error)
	{
		case EINTR:
		case ECONNABORTED:
		case EPROTO:
		case EPERM:
		case ENETDOWN:
		case ENETUNREACH:
		case EHOSTDOWN:
		case EHOSTUNREACH:
		case ENONET:
		case ENOPROTOOPT:
		case EOPNOTSUPP:
		case ETIMEDOUT:
			return true;
		default:
			return false;
	}
}

static int
accept_from(const struct listener *l, struct peer_addr *peer)
{
	peer->len = sizeof(peer->ss);
	return accept4(l->fd, (struct sockaddr *) &peer->ss, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

enum listen_result
listen_accept(int *fd, struct peer_addr *peer)
{
	struct epoll_event ready;
	int cause = EAGAIN;

	*fd = -1;
	lock_acquire(&listening.lock);
	if (epoll_wait(listening.set, &ready, 1, 0) == 1)
	{
		*fd = accept_from(ready.data.ptr, peer);
		cause = errno;
	}
	lock_release(&listening.lock);
	if (*fd >= 0)
		return LISTEN_CLIENT;
	if (cause == EAGAIN || cause == EWOULDBLOCK || is_clients_own(cause))
		return LISTEN_NONE;
	errno = cause;
	return LISTEN_REFUSED;
}

/* ---- opening and closing ---- */

/* L1; false with errno set. */
static bool
put_in(struct listener *l)
{
	struct epoll_event ready = {.events = EPOLLIN, .data.ptr = l};

	return epoll_ctl(listening.set, EPOLL_CTL_ADD, l->fd, &ready) == 0;
}

/* L1: from here on it is the main thread's alone. */
static void
take_out(struct listener *l)
{
	lock_acquire(&listening.lock);
	(void) epoll_ctl(listening.set, EPOLL_CTL_DEL, l->fd, NULL);
	lock_release(&listening.lock);
}

static bool
open_set(void)
{
	if (listening.set >= 0)
		return true;
	listening.set = epoll_create1(EPOLL_CLOEXEC);
	if (listening.set < 0)
		return false;
	lock_init(&listening.lock);
	return true;
}

static bool
put_in_all(void)
{
	list_foreach(n, next, &listening.listeners)
	{
		if (!put_in(list_entry(n, struct listener, node)))
			return false;
	}
	return true;
}

bool
listen_open(const struct listen_where *where, char *error, size_t cap)
{
	listen_close();
	if (!open_set())
	{
		snprintf(error, cap, "cannot listen: %s", strerror(errno));
		return false;
	}
	list_init(&listening.listeners);
	listening.open = true;
	listening.reuse_port = where->reuse_port;
	if (!listen_bind(&listening.listeners, where, error, cap))
	{
		listen_close();
		return false;
	}
	if (!put_in_all())
	{
		snprintf(error, cap, "cannot listen: %s", strerror(errno));
		listen_close();
		return false;
	}
	return true;
}

int
listen_fd(void)
{
	return listening.set;
}

void
listen_close(void)
{
	if (!listening.open)
		return;
	list_foreach(n, next, &listening.listeners)
	{
		struct listener *l = list_entry(n, struct listener, node);

		take_out(l);
		listen_unbind(l);
	}
	if (listening.retiring)
		ev_timer_stop(listening.loop->ev, &listening.retire);
	listening.retiring = false;
	listening.open = false;
}

void
listen_fini(void)
{
	listen_close();
	if (listening.set < 0)
		return;
	close(listening.set);
	listening.set = -1;
	lock_fini(&listening.lock);
}

/* ---- retiring ---- */

/* Whether others may listen where it does. */
static bool
is_shared(const struct listener *l)
{
	return listening.reuse_port && l->addr.ss.ss_family != AF_UNIX;
}

/* Closes it when all who wait in its queue have been taken. */
static void
retire(struct listener *l)
{
	take_out(l);
	for (int i = 0; i < QUEUE_MOST; i++)
	{
		struct peer_addr peer;
		int fd = accept_from(l, &peer);

		if (fd >= 0)
			listening.take(fd, &peer, listening.arg);
		else if (!is_clients_own(errno))
			break;
	}
	listen_unbind(l);
}

static void
retire_over(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
	listening.retiring = false;
	list_foreach(n, next, &listening.listeners)
	{
		struct listener *l = list_entry(n, struct listener, node);

		if (is_shared(l))
			retire(l);
	}
}

void
listen_retire(struct loop *loop, void (*take)(int fd, const struct peer_addr *peer, void *arg),
			  void *arg)
{
	if (!listening.open || !listening.reuse_port)
	{
		listen_close();
		return;
	}
	listening.retiring = true;
	listening.loop = loop;
	listening.take = take;
	listening.arg = arg;
	ev_timer_init(&listening.retire, retire_over, LISTEN_RETIRE_S, 0.);
	ev_timer_start(loop->ev, &listening.retire);
	list_foreach(n, next, &listening.listeners)
	{
		struct listener *l = list_entry(n, struct listener, node);

		if (!is_shared(l) || sockopt_drop_new(l->fd))
			continue;
		log_info("listener: new connections cannot be left to others (%s): one that is being made "
				 "at this moment may be reset",
				 strerror(errno));
		retire(l);
	}
}

bool
listen_is_retiring(void)
{
	return listening.retiring;
}

void
listen_defer_accept(int64_t seconds)
{
	if (!listening.open || listening.reuse_port)
		return;
	list_foreach(n, next, &listening.listeners)
		sockopt_defer_accept(list_entry(n, struct listener, node)->fd, seconds);
}
