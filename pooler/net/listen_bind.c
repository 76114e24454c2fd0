/*
 * listen_bind.c - see listen_parts.h: from names to sockets that listen.
 */
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
#include "net/listen.h"
#include "net/listen_parts.h"
#include "net/sockopt.h"

/* What is being opened, and where the error line goes. */
struct report
{
	struct list *listeners;
	char *text;
	size_t cap;
};

static bool __attribute__((format(printf, 2, 3)))
fail(const struct report *report, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(report->text, report->cap, fmt, ap);
	va_end(ap);
	return false;
}

/* Takes over fd, which is bound to a. */
static struct listener *
add(const struct report *report, int fd, const struct peer_addr *a)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	l->fd = fd;
	l->addr = *a;
	list_append(report->listeners, &l->node);
	return l;
}

/* Two names of one address in the list are no error. */
static bool
have(const struct report *report, const struct peer_addr *a)
{
	list_foreach(n, tmp, report->listeners)
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
		if (have(report, &a))
		{
			opened++;
			continue;
		}
		fd = tcp_socket(&a, where);
		if (fd >= 0)
		{
			add(report, fd, &a);
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

	/* From here on listen_unbind() undoes it. */
	l = add(report, fd, &a);
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
	add(report, fd, &a);
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
listen_bind(struct list *listeners, const struct listen_where *where, char *error, size_t cap)
{
	const struct report report = {.listeners = listeners, .text = error, .cap = cap};

	if (!open_all(where, &report))
		return false;
	if (list_empty(listeners))
		return fail(&report, "nothing to listen on: neither an address nor a unix socket is set");
	return true;
}

void
listen_unbind(struct listener *l)
{
	struct stat st;

	/* A successor may have put its own socket there; that one stays. Unlinked first: a client that
	 * finds the path finds a listener. */
	if (l->path != NULL && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	close(l->fd);
	list_remove(&l->node);
	free(l->path);
	free(l);
}
