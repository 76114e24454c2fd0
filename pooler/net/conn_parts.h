/*
 * conn_parts.h - what conn.c and conn_secure.c share.
 */
#ifndef PERFKIT_NET_CONN_PARTS_H
#define PERFKIT_NET_CONN_PARTS_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct conn;

/* Brings the watcher's mask in line with what is wanted. */
void conn_arm(struct conn *c);

/* recv() of LOOP_READ_SIZE bytes and sendmsg() of a conn with TLS, with their results and errno. */
ssize_t conn_secure_recv(struct conn *c, uint8_t *p);
ssize_t conn_secure_send(struct conn *c, const struct iovec *iov, int n);

/* close_notify, where it can be said. */
void conn_secure_bye(struct conn *c);

/* Before the socket is closed. */
void conn_secure_end(struct conn *c);

#endif
