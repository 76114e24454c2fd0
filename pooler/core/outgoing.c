/*
 * outgoing.c - see outgoing.h.
 */
#include "core/outgoing.h"

#include <string.h>

#include "net/conn.h"

void
outgoing_init(struct outgoing *o, struct conn *to)
{
	o->to = to;
	o->n = 0;
	o->used = 0;
	o->failed = false;
}

bool
outgoing_flush(struct outgoing *o)
{
	if (o->n > 0 && !o->failed)
		o->failed = !conn_sendv(o->to, o->iov, o->n);
	o->n = 0;
	o->used = 0;
	return !o->failed;
}

void
outgoing_pass(struct outgoing *o, const void *p, size_t n)
{
	struct iovec *last = o->n > 0 ? &o->iov[o->n - 1] : NULL;

	if (n == 0)
		return;
	if (last != NULL && (const uint8_t *) last->iov_base + last->iov_len == p)
	{
		last->iov_len += n;
		return;
	}
	/* Behind what was put, little is put too: one piece is sent faster than two. */
	if (last != NULL && n <= OUTGOING_SMALL && n <= sizeof(o->scratch) - o->used &&
		(uint8_t *) last->iov_base + last->iov_len == o->scratch + o->used)
	{
		memcpy(o->scratch + o->used, p, n);
		o->used += n;
		last->iov_len += n;
		return;
	}
	if (o->n == OUTGOING_PARTS)
		outgoing_flush(o);
	o->iov[o->n++] = (struct iovec){.iov_base = (void *) p, .iov_len = n};
}

void
outgoing_put(struct outgoing *o, const void *p, size_t n)
{
	/* Not by outgoing_pass(), which would begin scratch anew under the copy. */
	if (n > sizeof(o->scratch) - o->used || o->n == OUTGOING_PARTS)
		outgoing_flush(o);
	memcpy(o->scratch + o->used, p, n);
	outgoing_pass(o, o->scratch + o->used, n);
	o->used += n;
}
