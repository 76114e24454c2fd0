/*
 * buf.c - growable byte queue.
 *
 * Unread bytes lie in [start, end) of one allocation. When the end is full they are moved to the
 * front if that frees at least half of the memory, else the memory doubles: either way a byte is
 * moved a bounded number of times on average. When the last byte leaves, the memory goes too.
 */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"

#define BUF_MIN_CAP 256

void
buf_init(struct buf *b)
{
	*b = (struct buf){0};
}

void
buf_fini(struct buf *b)
{
	free(b->mem);
	buf_init(b);
}

/* A capacity of at least `need`, by doubling; needs beyond the address space end in mem_realloc().
 */
static size_t
next_cap(size_t cap, size_t need)
{
	if (cap < BUF_MIN_CAP)
		cap = BUF_MIN_CAP;
	while (cap < need && cap <= SIZE_MAX / 2)
		cap *= 2;
	return cap < need ? need : cap;
}

static void
move_to_front(struct buf *b)
{
	size_t len = buf_len(b);

	memmove(b->mem, b->mem + b->start, len);
	b->start = 0;
	b->end = len;
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b);

	if (n > SIZE_MAX - b->end)
		mem_realloc(NULL, SIZE_MAX); /* ends the process: no memory is that large */
	if (b->mem != NULL)
	{
		if (n <= b->cap - b->end)
			return b->mem + b->end;
		if (b->start >= b->cap / 2 && n <= b->cap - len)
		{
			move_to_front(b);
			return b->mem + b->end;
		}
	}
	b->cap = next_cap(b->cap, b->end + n);
	b->mem = mem_realloc(b->mem, b->cap);
	return b->mem + b->end;
}

void
buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->end);
	b->end += n;
	if (buf_len(b) == 0)
		buf_fini(b);
}

void
buf_append(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_reserve(b, n), p, n);
	b->end += n;
}

void
buf_consume(struct buf *b, size_t n)
{
	assert(n <= buf_len(b));
	b->start += n;
	if (buf_len(b) == 0)
		buf_fini(b);
}
