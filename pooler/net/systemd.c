/*
 * systemd.c - see systemd.h. A manager that does not listen is no error: what is said is said for
 * its sake alone, and never waited for.
 */
#include "net/systemd.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"

#define FIRST_SOCKET 3
#define SOCKETS_MAX 1000

static struct
{
	struct sockaddr_un manager;
	socklen_t manager_len; /* 0: nobody wants to know */
	int n_sockets;
	bool reloading;
} systemd;

static void
find_manager(const char *path)
{
	size_t len;

	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(systemd.manager.sun_path))
		return;
	systemd.manager.sun_family = AF_UNIX;
	memcpy(systemd.manager.sun_path, path, len + 1);
	if (path[0] == '@')
		systemd.manager.sun_path[0] = '\0'; /* abstract: its length counts, not a terminator */
	systemd.manager_len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len);
}

static void
find_sockets(const char *pid, const char *count)
{
	int64_t n;

	if (pid == NULL || count == NULL || !str_to_int64(pid, getpid(), getpid(), &n) ||
		!str_to_int64(count, 1, SOCKETS_MAX, &n))
		return;
	for (int fd = FIRST_SOCKET; fd < FIRST_SOCKET + n; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	systemd.n_sockets = (int) n;
}

void
systemd_start(void)
{
	find_manager(getenv("NOTIFY_SOCKET"));
	find_sockets(getenv("LISTEN_PID"), getenv("LISTEN_FDS"));
	unsetenv("NOTIFY_SOCKET");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

int
systemd_sockets(int *first)
{
	*first = FIRST_SOCKET;
	return systemd.n_sockets;
}

static void
notify(const char *text)
{
	int fd;

	if (systemd.manager_len == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *) &systemd.manager,
			   systemd.manager_len) < 0)
		log_debug("service manager: %m");
	close(fd);
}

void
systemd_ready(void)
{
	char text[64];

	/* -d: the process that was started is not the one that serves. */
	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d", (int) getpid());
	notify(text);
}

void
systemd_reloading(void)
{
	struct timespec now;
	char text[80];

	/* Type=notify-reload wants the time, to tell this reload from an older one. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
			 (long long) now.tv_sec * 1000000 + now.tv_nsec / 1000);
	notify(text);
	systemd.reloading = true;
}

void
systemd_reloaded(void)
{
	if (systemd.reloading)
		notify("READY=1");
	systemd.reloading = false;
}

void
systemd_stopping(void)
{
	notify("STOPPING=1");
}
