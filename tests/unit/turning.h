/*
 * turning.h - a test's own loop: turned until a condition holds, never longer than a deadline.
 *
 * Also small sockets to talk to: everything on loopback or in a temporary directory, ports chosen
 * by the kernel.
 */
#ifndef PERFKIT_TEST_TURNING_H
#define PERFKIT_TEST_TURNING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"

#define DEADLINE_S 30.0

static inline void
deadline_passed(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	*(bool *) w->data = true;
}

/* Turns the loop until met(arg); fails the test when the deadline comes first. */
static inline void
turn_until(struct loop *l, bool (*met)(const void *arg), const void *arg, const char *what)
{
	bool late = false;
	ev_timer deadline;

	ev_now_update(l->ev);
	ev_timer_init(&deadline, deadline_passed, DEADLINE_S, 0.);
	deadline.data = &late;
	ev_timer_start(l->ev, &deadline);
	while (!met(arg) && !late)
		ev_run(l->ev, EVRUN_ONCE);
	ev_timer_stop(l->ev, &deadline);
	if (late)
		fail_msg("waited in vain for: %s", what);
}

/* One turn that does not wait. */
static inline void
turn_once(struct loop *l)
{
	ev_run(l->ev, EVRUN_NOWAIT);
}

static inline bool
is_true(const void *arg)
{
	return *(const bool *) arg;
}

/* The same descriptor, as accept4() would have given it. */
static inline int
nonblocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
	assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
	return fd;
}

/* A TCP socket bound to an address and a port of the kernel's choice; it listens when backlog >= 0.
 */
static inline int
tcp_bound(const char *address, int *port, int backlog)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t) *port)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, address, &sin.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *) &sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) &sin, &len), 0);
	*port = ntohs(sin.sin_port);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

#endif
