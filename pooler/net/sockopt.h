/*
 * sockopt.h - what the settings tcp_* ask of a socket.
 */
#ifndef PERFKIT_NET_SOCKOPT_H
#define PERFKIT_NET_SOCKOPT_H

#include <stdbool.h>
#include <stdint.h>

struct conf;

/*
 * TCP_NODELAY, buffers, keep-alive and the time limit of unacknowledged data, for a connected
 * socket of a client or a server; of a unix socket (local) the buffers alone. What the kernel does
 * not grant is left as it is: none of it decides whether the connection works.
 */
void sockopt_tune(int fd, bool local, const struct conf *conf);

/* Whether it is a unix socket, for who does not know. */
bool sockopt_is_local(int fd);

/* tcp_defer_accept as in the file (1: the usual time), for a listening socket; nothing on a unix
 * socket. 0 turns it off again. */
void sockopt_defer_accept(int fd, int64_t seconds);

/*
 * From now on a listening socket gets no new connection: the first packet of each is dropped, and
 * the client's kernel sends it again a second later. Those that are half open still complete. False
 * where the kernel cannot do that.
 */
bool sockopt_drop_new(int fd);

#endif
