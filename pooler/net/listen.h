/*
 * listen.h - the listening sockets, and taking clients from them.
 *
 * The sockets are the main thread's: it opens, retires and closes them. Clients are taken by
 * whatever thread listen_accept() is called on; nobody has to be told when the sockets are gone.
 */
#ifndef PERFKIT_NET_LISTEN_H
#define PERFKIT_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/peer_addr.h"

#define LISTEN_RETIRE_S 0.5

struct loop;

/* What to listen on; strings as in the ini file. Read by listen_open() only. */
struct listen_where
{
	const char *addr;       /* comma-separated addresses or names, "*", or "" for no TCP */
	int port;               /* also in the name of the unix socket */
	const char *unix_dir;   /* "" for no unix socket; "@name" is an abstract one */
	int unix_mode;          /* permission bits */
	const char *unix_group; /* name or number; NULL or "": the process's own */
	int backlog;
	/* Sockets that the service manager has opened: n_ready descriptors from first_ready on. If
	 * there are any, they are what is listened on and the names above are not looked at. */
	int first_ready;
	int n_ready;
	bool reuse_port;      /* other processes may listen on the same TCP addresses */
	int64_t defer_accept; /* tcp_defer_accept, as in net/sockopt */
};

enum listen_result
{
	LISTEN_CLIENT,
	LISTEN_NONE,   /* no client waits */
	LISTEN_REFUSED /* one waits, but the kernel has no room for it; errno tells of what. It will
					* wait on, and listen_fd() stays readable: ask again after a rest */
};

/*
 * Opens all sockets; false with one line in error when any of them fails (none is left open then).
 * Names are looked up blocking: call it before a loop runs. A unix socket that nobody answers on is
 * replaced, one in use is not. One set of listeners a process.
 */
bool listen_open(const struct listen_where *where, char *error, size_t cap);

/* A descriptor that is readable as long as a client waits: for any loop to watch, never to be read.
 * Valid from listen_open() to listen_fini(), also when the sockets are closed. */
int listen_fd(void);

/* Any thread: takes one client from one of the sockets. *fd is the caller's, non-blocking and
 * close-on-exec. */
enum listen_result listen_accept(int *fd, struct peer_addr *peer);

/* All else is the main thread's. */

/* Closes; unix sockets are unlinked unless somebody replaced them. When it returns nobody gets a
 * client any more. Legal in every state. */
void listen_close(void);

/*
 * The same for one who goes while others listen on the same port (reuse_port). New clients are left
 * to them, and those whose connection is half made are still accepted, for LISTEN_RETIRE_S: else
 * they would see a reset connection. Where the kernel does not permit that (sockopt_drop_new) the
 * queue is emptied and the socket closed at once. Unix sockets stay open until listen_close().
 * Without reuse_port it is listen_close(). Those whom nobody has come round to when a socket closes
 * are given to take(fd, peer, arg), which owns fd; loop is the calling thread's.
 */
void listen_retire(struct loop *loop, void (*take)(int fd, const struct peer_addr *peer, void *arg),
				   void *arg);

/* During that time. */
bool listen_is_retiring(void);

/* A new tcp_defer_accept; with reuse_port nothing is ever put off. */
void listen_defer_accept(int64_t seconds);

/* When no loop watches any more. Closes what is open. */
void listen_fini(void);

#endif
