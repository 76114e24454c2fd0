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

/* A small batch in one piece: copying it costs less than having the kernel gather it. */
static bool
send_gathered(const struct outgoing *o)
{
	uint8_t mem[OUTGOING_SMALL];
	size_t n = 0;

	for (int i = 0; i < o->n; i++)
	{
		memcpy(mem + n, o->iov[i].iov_base, o->iov[i].iov_len);
		n += o->iov[i].iov_len;
	}
	return conn_send(o->to, mem, n);
}

static bool
is_small(const struct outgoing *o)
{
	size_t n = 0;

	for (int i = 0; i < o->n && n <= OUTGOING_SMALL; i++)
		n += o->iov[i].iov_len;
	return n <= OUTGOING_SMALL;
}

bool
outgoing_flush(struct outgoing *o)
{
	if (o->n > 0 && !o->failed)
		o->failed = !(o->n > 1 && is_small(o) ? send_gathered(o) : conn_sendv(o->to, o->iov, o->n));
	o->n = 0;
	o->used = 0;
	return !o->failed;
}

void
outgoing_piece(struct outgoing *o, const void *p, size_t n)
{
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
