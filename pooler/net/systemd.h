/*
 * systemd.h - the two things a service manager and a service say to each other: "I am ready" and
 * "here are your sockets".
 *
 * Both are a few lines of a protocol that systemd promises to keep and invites others to speak
 * (sd_notify(3), sd_listen_fds(3), "Interface Portability and Stability"), so no library is linked
 * for them. Other managers speak it too.
 */
#ifndef PERFKIT_NET_SYSTEMD_H
#define PERFKIT_NET_SYSTEMD_H

#include <stdbool.h>

/* Reads and removes NOTIFY_SOCKET, LISTEN_FDS and LISTEN_PID of the environment. Once, at start and
 * before any thread; without it nobody is told anything. */
void systemd_start(void);

/* How many sockets were handed over: descriptors *first, *first + 1 … */
int systemd_sockets(int *first);

void systemd_ready(void);
void systemd_reloading(void);
/* Ready again, if a reload was announced. */
void systemd_reloaded(void);
void systemd_stopping(void);

#endif
