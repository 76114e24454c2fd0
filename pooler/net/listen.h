/*
 * listen.h - listening sockets on the main loop.
 *
 * An accepted descriptor is handed on before a byte is read. When the process is out of descriptors
 * accepting rests for a moment instead of spinning.
 */
#ifndef PERFKIT_NET_LISTEN_H
#define PERFKIT_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/peer_addr.h"

#define LISTEN_RETIRE_S 0.5

struct loop;

/* fd is non-blocking and close-on-exec; the callee owns it. May suspend or close the listeners. */
typedef void (*listen_accept_cb)(int fd, const struct peer_addr *peer, void *arg);

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

/*
 * Opens all sockets; false with one line in error when any of them fails (none is left open then).
 * Names are looked up blocking: call it before the loop runs. A unix socket that nobody answers on
 * is replaced, one in use is not. One set of listeners a process.
 */
bool listen_open(struct loop *loop, const struct listen_where *where, listen_accept_cb cb,
				 void *arg, char *error, size_t cap);

/* Stops accepting and closes; unix sockets are unlinked unless somebody replaced them. Legal in
 * every state. */
void listen_close(void);

/*
 * The same for one who goes while others listen on the same port (reuse_port). New clients are left
 * to them, and those whose connection is half made are still accepted, for LISTEN_RETIRE_S: else
 * they would see a reset connection. Where the kernel does not permit that (sockopt_drop_new) the
 * queue is emptied and the socket closed at once. Unix sockets stay open until listen_close().
 * Without reuse_port it is listen_close().
 */
void listen_retire(void);

/* During that time. */
bool listen_is_retiring(void);

/* A new tcp_defer_accept; with reuse_port nothing is ever put off. */
void listen_defer_accept(int64_t seconds);

/* Pauses and resumes accepting without closing; clients queue in the kernel meanwhile. */
void listen_suspend(bool suspended);

#endif
