/*
 * backlog.c - see backlog.h.
 */
#include "core/backlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static size_t
size_of(size_t len)
{
	return sizeof(struct backlog_batch) + len + 1;
}

static struct backlog_batch *
oldest(const struct backlog *b)
{
	struct list *n = list_first(&b->batches);

	return n == NULL ? NULL : list_entry(n, struct backlog_batch, node);
}

static void
take_out(struct backlog *b, struct backlog_batch *batch)
{
	list_remove(&batch->node);
	b->bytes -= size_of(batch->len);
	b->pending -= batch->rows;
	free(batch);
}

/* Until so many bytes more have room. */
static void
make_room(struct backlog *b, size_t more)
{
	list_foreach(n, next, &b->batches)
	{
		struct backlog_batch *batch = list_entry(n, struct backlog_batch, node);

		if (b->bytes + more <= b->limit)
			return;
		if (batch == b->sent)
			continue;
		b->dropped += batch->rows;
		take_out(b, batch);
	}
}

void
backlog_init(struct backlog *b, size_t limit)
{
	*b = (struct backlog){.limit = limit};
	list_init(&b->batches);
}

void
backlog_fini(struct backlog *b)
{
	b->sent = NULL;
	backlog_drop_all(b);
}

void
backlog_limit(struct backlog *b, size_t limit)
{
	b->limit = limit;
	make_room(b, 0);
}

bool
backlog_put(struct backlog *b, const char *text, size_t len, uint64_t rows, uint64_t taken_us)
{
	struct backlog_batch *batch;

	if (size_of(len) <= b->limit)
		make_room(b, size_of(len));
	/* Not even alone, or not beside the one that is being sent. */
	if (size_of(len) > b->limit || b->bytes + size_of(len) > b->limit)
	{
		b->dropped += rows;
		return false;
	}
	batch = mem_alloc(size_of(len));
	list_init(&batch->node);
	batch->number = ++b->last;
	batch->taken_us = taken_us;
	batch->rows = rows;
	batch->len = len;
	memcpy(batch->text, text, len);
	batch->text[len] = '\0';
	list_append(&b->batches, &batch->node);
	b->bytes += size_of(len);
	b->pending += rows;
	return true;
}

struct backlog_batch *
backlog_send(struct backlog *b)
{
	assert(b->sent == NULL);
	b->sent = oldest(b);
	return b->sent;
}

void
backlog_sent(struct backlog *b, uint64_t rows)
{
	struct backlog_batch *batch = b->sent;

	if (batch == NULL)
		return;
	b->sent = NULL;
	if (rows > batch->rows)
		rows = batch->rows;
	b->written += rows;
	b->dropped += batch->rows - rows;
	take_out(b, batch);
}

void
backlog_again(struct backlog *b)
{
	b->sent = NULL;
	make_room(b, 0);
}

void
backlog_drop_all(struct backlog *b)
{
	list_foreach(n, next, &b->batches)
	{
		struct backlog_batch *batch = list_entry(n, struct backlog_batch, node);

		if (batch == b->sent)
			continue;
		b->dropped += batch->rows;
		take_out(b, batch);
	}
}
