/*
 * outgoing.h - one batch on its way to a server: pieces of the client's own bytes and what was put
 * between them, sent in one write.
 *
 * The pieces are only pointed at, so a batch is flushed before the callback that read them returns.
 */
#ifndef PERFKIT_CORE_OUTGOING_H
#define PERFKIT_CORE_OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct conn;

#define OUTGOING_PARTS 64
#define OUTGOING_SCRATCH 4096
#define OUTGOING_SMALL 1024 /* bytes of a batch that is copied into one piece */

struct outgoing
{
	struct conn *to;
	struct iovec iov[OUTGOING_PARTS];
	int n;
	size_t used; /* of scratch */
	bool failed; /* the socket is broken */
	uint8_t scratch[OUTGOING_SCRATCH];
};

void outgoing_init(struct outgoing *o, struct conn *to);

/* The beginning of another piece. */
void outgoing_piece(struct outgoing *o, const void *p, size_t n);

/* Bytes that live until the flush. */
static inline void
outgoing_pass(struct outgoing *o, const void *p, size_t n)
{
	struct iovec *last = o->n > 0 ? &o->iov[o->n - 1] : NULL;

	if (last != NULL && (const uint8_t *) last->iov_base + last->iov_len == p)
		last->iov_len += n;
	else if (n > 0)
		outgoing_piece(o, p, n);
}

/* Bytes that are copied; at most OUTGOING_SCRATCH of them. */
void outgoing_put(struct outgoing *o, const void *p, size_t n);

/* Sends all; false when the socket is broken. */
bool outgoing_flush(struct outgoing *o);

#endif
