/*
 * syslog.c - see syslog.h.
 *
 * One datagram a line, "<priority>ident[pid]: line", as the daemon of a machine takes it from its
 * own processes (RFC 3164 section 4.1 without time and host, which the daemon adds).
 *
 * Threads: none waits for another. There is one descriptor for all, exchanged under the same number
 * like the log file's, so that a line under way never meets a closed one; a daemon that was
 * restarted is connected to anew by the line that finds out. Where lines go and what stands in
 * front of them is never changed but replaced; what was replaced stays, since a line may be reading
 * it.
 */
#include "net/syslog.h"

#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"

#define IDENT_MAX 64

struct target
{
	struct target *before; /* the one that this replaced */
	struct sockaddr_un daemon;
	int facility;
	char ident[IDENT_MAX];
};

static _Atomic(struct target *) current;
static _Atomic(int) line_fd = -1; /* -1: none yet */

static const int severities[] = {
	[LOG_LEVEL_ERROR] = LOG_ERR,
	[LOG_LEVEL_WARNING] = LOG_WARNING,
	[LOG_LEVEL_INFO] = LOG_INFO,
	[LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

/* Connects the descriptor that all threads use, which is made when there is none. */
static bool
connect_daemon(const struct target *t)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int before = -1;
	bool ok;
	int cause;

	if (fd < 0)
		return false;
	ok = connect(fd, (const struct sockaddr *) &t->daemon, sizeof(t->daemon)) == 0;
	cause = errno;
	/* Whoever has made one first is overtaken under its number. */
	if (!atomic_compare_exchange_strong(&line_fd, &before, fd))
	{
		dup3(fd, before, O_CLOEXEC);
		close(fd);
	}
	errno = cause;
	return ok;
}

static void
send_line(enum log_level level, const char *line, size_t len)
{
	const struct target *t = atomic_load(&current);
	char head[IDENT_MAX + 32];
	struct iovec iov[2] = {{.iov_base = head}, {.iov_base = (void *) line, .iov_len = len}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};

	iov[0].iov_len =
		(size_t) snprintf(head, sizeof(head), "<%d>%s[%d]: ", t->facility | severities[level],
						  t->ident, (int) getpid());
	if (sendmsg(atomic_load(&line_fd), &message, MSG_NOSIGNAL) >= 0 || errno == EAGAIN)
		return;
	if (connect_daemon(t))
		sendmsg(atomic_load(&line_fd), &message, MSG_NOSIGNAL);
}

static bool
is_target(const struct target *t, const char *path, int facility, const char *ident)
{
	return t != NULL && strcmp(t->daemon.sun_path, path) == 0 && t->facility == facility &&
		   strncmp(t->ident, ident, sizeof(t->ident) - 1) == 0;
}

bool
syslog_start(const char *path, int facility, const char *ident)
{
	struct target *t = atomic_load(&current);
	bool ok;

	if (path == NULL)
		path = _PATH_LOG;
	if (!is_target(t, path, facility, ident))
	{
		t = mem_zalloc(sizeof(*t));
		t->before = atomic_load(&current);
		t->daemon.sun_family = AF_UNIX;
		str_copy(t->daemon.sun_path, sizeof(t->daemon.sun_path), path);
		t->facility = facility;
		str_copy(t->ident, sizeof(t->ident), ident);
		atomic_store(&current, t);
	}
	ok = connect_daemon(t);
	log_set_sink(send_line);
	return ok;
}

void
syslog_stop(void)
{
	log_set_sink(NULL);
}
