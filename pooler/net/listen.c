/*
 * listen.c - see listen.h.
 *
 *     listen_open -> one struct listener a socket -> readable -> accept_burst() -> cb(fd)
 *
 * A turn of the loop accepts at most ACCEPT_BURST clients a socket, so that signals and
 * housekeeping on the same loop get their share. Two things stop accepting without closing: the
 * owner (listen_suspend) and a rest of REST_S after the kernel refused a descriptor, which would
 * otherwise leave the socket readable for ever and the loop spinning.
 *
 * L1  Watchers run if and only if neither `suspended` nor `resting` (apply()).
 * L2  The callback may call listen_suspend() and listen_close(): nothing of a listener is touched
 * after it unless `generation` is unchanged and accepting still wanted.
 *
 * Everything here belongs to the thread of the main loop.
 */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "net/loop.h"
#include "net/sockopt.h"

#define ACCEPT_BURST 64
#define REST_S 0.1
#define REST_LOG_S 10.0 /* being out of descriptors is said at most this often */

/* One listening socket. */
struct listener
{
	struct list node;
	ev_io io;
	struct peer_addr addr;
	char *path; /* of a unix socket in the file system, else NULL */
	dev_t dev;  /* what path named when it was bound */
	ino_t ino;
};

/* Where the error line of listen_open() goes. */
struct report
{
	char *text;
	size_t cap;
};

static struct
{
	struct loop *loop; /* NULL: closed */
	listen_accept_cb cb;
	void *arg;
	struct list listeners;
	ev_timer rest;
	ev_timer retire; /* runs while retiring */
	bool reuse_port;
	bool suspended;
	bool resting;
	ev_tstamp rest_logged;
	unsigned generation; /* counts listen_close() */
} listening;

static bool __attribute__((format(printf, 2, 3)))
fail(const struct report *report, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(report->text, report->cap, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- accepting ---- */

static bool
accepting(void)
{
	return listening.loop != NULL && !listening.suspended && !listening.resting;
}

/* Brings the watchers in line with what is wanted (L1). */
static void
apply(void)
{
	bool on = accepting();

	list_foreach(n, tmp, &listening.listeners)
	{
		struct listener *l = list_entry(n, struct listener, node);

		if (on)
			ev_io_start(listening.loop->ev, &l->io);
		else
			ev_io_stop(listening.loop->ev, &l->io);
	}
}

static void
rest_over(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
	listening.resting = false;
	apply();
}

static void
rest(int cause)
{
	struct ev_loop *ev = listening.loop->ev;

	if (listening.rest_logged == 0 || ev_now(ev) - listening.rest_logged >= REST_LOG_S)
	{
		listening.rest_logged = ev_now(ev);
		log_error("listener: cannot accept a client: %s; new clients wait", strerror(cause));
	}
	listening.resting = true;
	ev_timer_set(&listening.rest, REST_S, 0.);
	ev_timer_start(ev, &listening.rest);
	apply();
}

/* True when the next client may be tried at once; false ends the burst. */
static bool
go_on_after(int error)
{
	switch (error)
	{
		case EAGAIN:
#if EWOULDBLOCK != EAGAIN
		case EWOULDBLOCK:
#endif
			return false;

		/* The client is gone again, or Linux hands up an error of its connection: accept(2). */
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
			rest(error);
			return false;
	}
}

static void
accept_burst(struct ev_loop *ev, ev_io *w, int revents)
{
	unsigned generation = listening.generation;
	int listen_fd = w->fd;

	(void) ev;
	(void) revents;
	for (int i = 0; i < ACCEPT_BURST; i++)
	{
		struct peer_addr peer = {.len = sizeof(peer.ss)};
		int fd = accept4(listen_fd, (struct sockaddr *) &peer.ss, &peer.len,
						 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			listening.cb(fd, &peer, listening.arg);
		else if (!go_on_after(errno))
			return;
		if (generation != listening.generation || !accepting()) /* L2 */
			return;
	}
}

/* ---- opening ---- */

static void retire_over(struct ev_loop *ev, ev_timer *w, int revents);

/* Takes over fd, which is bound to a. The watcher starts when all sockets are open. */
static struct listener *
add(int fd, const struct peer_addr *a)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	l->addr = *a;
	ev_io_init(&l->io, accept_burst, fd, EV_READ);
	list_append(&listening.listeners, &l->node);
	return l;
}

/* Two names of one address in the list are no error. */
static bool
have(const struct peer_addr *a)
{
	list_foreach(n, tmp, &listening.listeners)
	{
		const struct listener *l = list_entry(n, struct listener, node);

		if (l->addr.len == a->len && memcmp(&l->addr.ss, &a->ss, a->len) == 0)
			return true;
	}
	return false;
}

/* A socket that listens on a TCP address, or -1 with errno set. */
static int
tcp_socket(const struct peer_addr *a, const struct listen_where *where)
{
	int on = 1;
	int cause;
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		goto err_close_fd;
	if (where->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		goto err_close_fd;
	/* Else "*" could not have one socket for each family. */
	if (a->ss.ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		goto err_close_fd;
	if (bind(fd, (const struct sockaddr *) &a->ss, a->len) < 0 || listen(fd, where->backlog) < 0)
		goto err_close_fd;
	/* A connection that is put off would be lost when the process retires (listen_retire). */
	if (!where->reuse_port)
		sockopt_defer_accept(fd, where->defer_accept);
	return fd;

err_close_fd:
	cause = errno;
	close(fd);
	errno = cause;
	return -1;
}

/*
 * Opens every address of one item of the list. A name (and "*") may stand for an address family
 * this machine does not have: that one is left out as long as another works. An address in use is
 * always an error.
 */
static bool
open_tcp(const char *item, const struct listen_where *where, const struct report *report)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
							 .ai_socktype = SOCK_STREAM,
							 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char port[12];
	int opened = 0;
	int cause = 0;
	int rc;

	snprintf(port, sizeof(port), "%d", where->port);
	rc = getaddrinfo(strcmp(item, "*") == 0 ? NULL : item, port, &hints, &found);
	if (rc != 0)
		return fail(report, "cannot listen on \"%s\": %s", item, gai_strerror(rc));

	for (struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next)
	{
		struct peer_addr a = {.len = ai->ai_addrlen};
		int fd;

		memcpy(&a.ss, ai->ai_addr, ai->ai_addrlen);
		if (have(&a))
		{
			opened++;
			continue;
		}
		fd = tcp_socket(&a, where);
		if (fd >= 0)
		{
			add(fd, &a);
			opened++;
			continue;
		}
		cause = errno;
		if (cause != EAFNOSUPPORT && cause != EADDRNOTAVAIL)
		{
			opened = 0;
			break;
		}
	}
	freeaddrinfo(found);
	if (opened == 0)
		return fail(report, "cannot listen on %s port %d: %s", item, where->port, strerror(cause));
	return true;
}

static bool
open_tcp_list(const struct listen_where *where, const struct report *report)
{
	char *copy = mem_strdup(where->addr);
	char *rest_of_list = NULL;
	bool ok = true;

	for (char *item = strtok_r(copy, ",", &rest_of_list); ok && item != NULL;
		 item = strtok_r(NULL, ",", &rest_of_list))
	{
		item = str_trim(item);
		if (*item != '\0')
			ok = open_tcp(item, where, report);
	}
	free(copy);
	return ok;
}

/*
 * Removes what a process that died left behind. Only a socket that refuses connections is stale:
 * one that answers, or whose queue is full, has a living owner, and any other kind of file is not
 * ours to delete.
 */
static bool
clear_stale(const struct peer_addr *a, const char *path, const struct report *report)
{
	struct stat st;
	int fd;
	int cause = 0;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || fail(report, "cannot listen on %s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fail(report, "cannot listen on %s: it exists and is not a socket", path);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(report, "cannot listen on %s: %s", path, strerror(errno));
	if (connect(fd, (const struct sockaddr *) &a->ss, a->len) < 0)
		cause = errno;
	close(fd);
	if (cause == 0 || cause == EAGAIN || cause == EINPROGRESS)
		return fail(report, "cannot listen on %s: another process listens there", path);
	if (cause != ECONNREFUSED && cause != ENOENT)
		return fail(report, "cannot listen on %s: %s", path, strerror(cause));
	if (unlink(path) < 0 && errno != ENOENT)
		return fail(report, "cannot remove stale socket %s: %s", path, strerror(errno));
	return true;
}

/* Owner group and mode; nobody can connect yet, since the socket does not listen before this is
 * done. */
static bool
set_access(const char *path, const struct listen_where *where, const struct report *report)
{
	if (where->unix_group != NULL && *where->unix_group != '\0')
	{
		struct group *gr = getgrnam(where->unix_group);
		int64_t gid;

		if (gr != NULL)
			gid = gr->gr_gid;
		else if (!str_to_int64(where->unix_group, 0, UINT32_MAX - 1, &gid))
			return fail(report, "cannot listen on %s: no such group: %s", path, where->unix_group);
		if (chown(path, (uid_t) -1, (gid_t) gid) < 0)
			return fail(report, "cannot give %s to group %s: %s", path, where->unix_group,
						strerror(errno));
	}
	if (chmod(path, (mode_t) where->unix_mode) < 0)
		return fail(report, "cannot set the mode of %s: %s", path, strerror(errno));
	return true;
}

static bool
open_unix(const struct listen_where *where, const struct report *report)
{
	struct peer_addr a;
	struct listener *l;
	struct stat st;
	char name[sizeof(((struct sockaddr_un *) 0)->sun_path)];
	bool abstract = where->unix_dir[0] == '@';
	int fd;

	if (!peer_addr_unix(&a, where->unix_dir, where->port))
		return fail(report, "cannot listen on a unix socket in %s: the path is too long",
					where->unix_dir);
	snprintf(name, sizeof(name), "%s/.s.PGSQL.%d", where->unix_dir, where->port);
	if (!abstract && !clear_stale(&a, name, report))
		return false;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(report, "cannot listen on %s: %s", name, strerror(errno));
	if (bind(fd, (const struct sockaddr *) &a.ss, a.len) < 0)
	{
		fail(report, "cannot listen on %s: %s", name, strerror(errno));
		close(fd);
		return false;
	}

	/* From here on listen_close() undoes it. */
	l = add(fd, &a);
	if (!abstract)
	{
		l->path = mem_strdup(name);
		if (lstat(name, &st) == 0)
		{
			l->dev = st.st_dev;
			l->ino = st.st_ino;
		}
		if (!set_access(name, where, report))
			return false;
	}
	if (listen(fd, where->backlog) < 0)
		return fail(report, "cannot listen on %s: %s", name, strerror(errno));
	return true;
}

/* One of the service manager's: bound, and not ours to remove. */
static bool
open_ready(int fd, const struct report *report)
{
	struct peer_addr a = {.len = sizeof(a.ss)};
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens ||
		getsockname(fd, (struct sockaddr *) &a.ss, &a.len) < 0)
		return fail(report, "descriptor %d of the service manager is not a listening socket", fd);
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return fail(report, "descriptor %d of the service manager: %s", fd, strerror(errno));
	add(fd, &a);
	return true;
}

static bool
open_all(const struct listen_where *where, const struct report *report)
{
	for (int i = 0; i < where->n_ready; i++)
		if (!open_ready(where->first_ready + i, report))
			return false;
	if (where->n_ready > 0)
		return true;
	return open_tcp_list(where, report) && (where->unix_dir[0] == '\0' || open_unix(where, report));
}

bool
listen_open(struct loop *loop, const struct listen_where *where, listen_accept_cb cb, void *arg,
			char *error, size_t cap)
{
	struct report report = {.text = error, .cap = cap};

	listen_close();
	listening.loop = loop;
	listening.cb = cb;
	listening.arg = arg;
	listening.suspended = false;
	listening.resting = false;
	listening.rest_logged = 0;
	list_init(&listening.listeners);
	listening.reuse_port = where->reuse_port;
	ev_timer_init(&listening.rest, rest_over, REST_S, 0.);
	ev_timer_init(&listening.retire, retire_over, LISTEN_RETIRE_S, 0.);

	if (!open_all(where, &report))
	{
		listen_close();
		return false;
	}
	if (list_empty(&listening.listeners))
	{
		listen_close();
		return fail(&report, "nothing to listen on: neither an address nor a unix socket is set");
	}
	apply();
	return true;
}

static void
listener_free(struct listener *l)
{
	struct stat st;

	ev_io_stop(listening.loop->ev, &l->io);
	/* A successor may have put its own socket there; that one stays. Unlinked first: a client that
	 * finds the path finds a listener. */
	if (l->path != NULL && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	close(l->io.fd);
	list_remove(&l->node);
	free(l->path);
	free(l);
}

void
listen_close(void)
{
	if (listening.loop == NULL)
		return;
	list_foreach(n, tmp, &listening.listeners) listener_free(list_entry(n, struct listener, node));
	ev_timer_stop(listening.loop->ev, &listening.rest);
	ev_timer_stop(listening.loop->ev, &listening.retire);
	listening.loop = NULL;
	listening.generation++;
}

/* Whether others may listen where it does. */
static bool
is_shared(const struct listener *l)
{
	return listening.reuse_port && l->addr.ss.ss_family != AF_UNIX;
}

/* This thread may not have come round to those who are in the queue; false: all is closed (L2). */
static bool
accept_rest(struct listener *l)
{
	accept_burst(listening.loop->ev, &l->io, EV_READ);
	if (listening.loop == NULL)
		return false;
	listener_free(l);
	return true;
}

static void
retire_over(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
	list_foreach(n, tmp, &listening.listeners)
	{
		struct listener *l = list_entry(n, struct listener, node);

		if (is_shared(l) && !accept_rest(l))
			return;
	}
}

void
listen_retire(void)
{
	if (listening.loop == NULL)
		return;
	if (!listening.reuse_port)
	{
		listen_close();
		return;
	}
	ev_timer_start(listening.loop->ev, &listening.retire);
	list_foreach(n, tmp, &listening.listeners)
	{
		struct listener *l = list_entry(n, struct listener, node);

		if (!is_shared(l) || sockopt_drop_new(l->io.fd))
			continue;
		log_info("listener: new connections cannot be left to others (%s): one that is being made "
				 "at this moment may be reset",
				 strerror(errno));
		if (!accept_rest(l))
			return;
	}
}

bool
listen_is_retiring(void)
{
	return listening.loop != NULL && ev_is_active(&listening.retire);
}

void
listen_defer_accept(int64_t seconds)
{
	if (listening.loop == NULL || listening.reuse_port)
		return;
	list_foreach(n, tmp, &listening.listeners)
		sockopt_defer_accept(list_entry(n, struct listener, node)->io.fd, seconds);
}

void
listen_suspend(bool suspended)
{
	if (listening.loop == NULL)
		return;
	listening.suspended = suspended;
	apply();
}
