/*
 * buf.h - a growable byte queue for what is partial or blocked.
 *
 * Bytes enter at the end and leave at the front. Memory is held only while there is something to
 * hold: a buf that was emptied gives its memory back, so that an idle connection costs none.
 * Out of memory ends the process (base/log.h log_oom): a pooler that cannot queue eight kilobytes
 * cannot serve.
 */
#ifndef PERFKIT_BASE_BUF_H
#define PERFKIT_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf
{
	uint8_t *mem; /* owned; NULL when empty and released */
	size_t cap;   /* bytes allocated */
	size_t start; /* first unread byte */
	size_t end;   /* one past the last unread byte */
};

void buf_init(struct buf *b);
void buf_fini(struct buf *b);

static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->start;
}

static inline const uint8_t *
buf_data(const struct buf *b)
{
	return b->mem + b->start;
}

/* Appends a copy of n bytes, which must not lie in this buf. */
void buf_append(struct buf *b, const void *p, size_t n);

/*
 * Room for n more bytes at the end, to be written by the caller and announced with buf_commit().
 * The pointer and those of buf_data() live until the next call on the buf. A commit of nothing
 * gives the memory of an empty buf back.
 */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

/* Drops all behind the first n bytes (n <= buf_len). */
static inline void
buf_cut(struct buf *b, size_t n)
{
	b->end = b->start + n;
}

/* Drops n bytes at the front (n <= buf_len); gives the memory back when nothing is left. */
void buf_consume(struct buf *b, size_t n);

#endif
