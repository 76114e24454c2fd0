/*
 * txstate.c - the queue of requests that a server still owes an answer to.
 *
 * The queue is a ring of requests, oldest at `head`. Frontend messages append, backend messages
 * look at the oldest entry only, so each costs O(1); the two events that look further, an error in
 * a pipeline (X2) and a CopyInResponse (X4), walk what they drop or the part in front of the
 * CopyDone.
 *
 * The rules X1 to X9 stand in the header.
 */
#include "proto/txstate.h"

#include <string.h>

#include "base/assert.h"

#define MARKER 'c'

/* -- the ring -------------------------------------------------------------- */

void
txstate_init(struct txstate *tx)
{
	*tx = (struct txstate){.queue = tx->inline_queue, .cap = TX_INLINE, .status = 'I'};
}

static struct tx_request *
at(const struct txstate *tx, uint32_t i)
{
	uint32_t left = tx->cap - tx->head;

	return &tx->queue[i < left ? tx->head + i : i - left];
}

static struct tx_request *
oldest(const struct txstate *tx)
{
	return tx->count > 0 ? at(tx, 0) : NULL;
}

static uint8_t
oldest_kind(const struct txstate *tx)
{
	return tx->count > 0 ? at(tx, 0)->kind : 0;
}

static inline void
push(struct txstate *tx, uint8_t kind, enum tx_action action, uint32_t tag)
{
	struct tx_request *r = at(tx, tx->count);

	r->kind = kind;
	r->action = (uint8_t) action;
	r->ends_batch = kind == 'S' && tx->unsynced;
	r->tag = tag;
	tx->count++;
}

static void
drop_oldest(struct txstate *tx)
{
	tx->head = tx->head + 1 < tx->cap ? tx->head + 1 : 0;
	tx->count--;
}

/* The oldest request is answered. A marker right behind it was for a COPY that it did not begin
 * (X8). */
static void
pop(struct txstate *tx)
{
	drop_oldest(tx);
	while (oldest_kind(tx) == MARKER)
		drop_oldest(tx);
}

bool
txstate_full(const struct txstate *tx)
{
	return tx->count == tx->cap;
}

struct tx_request *
txstate_grow(struct txstate *tx, struct tx_request *mem, uint32_t cap)
{
	struct tx_request *old = tx->queue != tx->inline_queue ? tx->queue : NULL;

	assert(cap > tx->cap);
	for (uint32_t i = 0; i < tx->count; i++)
		mem[i] = *at(tx, i);
	tx->queue = mem;
	tx->cap = cap;
	tx->head = 0;
	return old;
}

struct tx_request *
txstate_shrink(struct txstate *tx)
{
	struct tx_request *old = tx->queue;

	if (tx->count > 0 || old == tx->inline_queue)
		return NULL;
	tx->queue = tx->inline_queue;
	tx->cap = TX_INLINE;
	tx->head = 0;
	return old;
}

/* -- what the client sends ------------------------------------------------- */

/* True while the server reads CopyData and would throw a Sync away. */
static bool
sync_is_ignored(const struct txstate *tx)
{
	return tx->copy_in && !tx->copy_both && !tx->copy_ended;
}

static enum tx_verdict
feed_request(struct txstate *tx, uint8_t type, enum tx_action action, uint32_t tag)
{
	bool extended = type != 'Q' && type != 'F';

	if (action == TX_FAKE)
	{
		/* The server never hears of it: nothing of its state changes. */
		if (!tx->skipping && txstate_full(tx))
			return TX_FULL;
		if (!tx->skipping)
			push(tx, type, action, tag);
		return TX_OK;
	}

	if (!tx->skipping) /* X2 */
	{
		if (txstate_full(tx))
			return TX_FULL;
		push(tx, type, action, tag);
		tx->copy_ended = tx->copy_in; /* X4 */
	}
	if (extended)
		tx->unsynced = true; /* X9 */
	return TX_OK;
}

static enum tx_verdict
feed_sync(struct txstate *tx, enum tx_action action, uint32_t tag)
{
	if (sync_is_ignored(tx))
	{
		tx->sync_lost = true; /* X4 */
		return TX_OK;
	}
	if (txstate_full(tx))
		return TX_FULL;
	push(tx, 'S', action, tag);
	tx->skipping = false;
	tx->unsynced = false;
	return TX_OK;
}

static enum tx_verdict
feed_copy_end(struct txstate *tx)
{
	struct tx_request *newest;

	if (tx->copy_in && !tx->copy_ended)
	{
		tx->copy_ended = true;
		return TX_OK;
	}
	if (tx->count == 0)
		return TX_OK; /* X8 */
	newest = at(tx, tx->count - 1);
	if (newest->kind == MARKER)
	{
		newest->tag++;
		return TX_OK;
	}
	if (txstate_full(tx))
		return TX_FULL;
	push(tx, MARKER, TX_FORWARD, 1);
	return TX_OK;
}

enum tx_verdict
txstate_frontend(struct txstate *tx, uint8_t type, enum tx_action action, uint32_t tag)
{
	switch (type)
	{
		case 'Q':
		case 'F':
		case 'P':
		case 'B':
		case 'D':
		case 'E':
		case 'C':
			return feed_request(tx, type, action, tag);
		case 'S':
			return feed_sync(tx, action, tag);
		case 'H':
			if (!sync_is_ignored(tx)) /* X4 */
				tx->unsynced = true;  /* X9 */
			return TX_OK;
		case 'd':
			return TX_OK;
		case 'c':
		case 'f':
			return feed_copy_end(tx);
		default:
			return TX_NONSENSE;
	}
}

/* -- what the server sends ------------------------------------------------- */

static void
end_copy(struct txstate *tx)
{
	tx->copy_in = false;
	tx->copy_out = false;
	tx->copy_both = false;
	tx->copy_ended = false;
	tx->sync_lost = false;
}

/*
 * X4: takes the Syncs between the request that began the COPY (the oldest) and the client's
 * CopyDone out of the queue, and one CopyDone off the marker. What stands behind moves up. Another
 * request in front of the CopyDone ends the COPY too: the server fails before it reads that, or
 * dies of it.
 */
static void
drop_ignored_syncs(struct txstate *tx)
{
	uint32_t kept = 1;
	bool batch_reopened = false;

	for (uint32_t i = 1; i < tx->count; i++)
	{
		struct tx_request r = *at(tx, i);

		if (r.kind == 'S' && !tx->copy_ended)
		{
			tx->sync_lost = true;
			batch_reopened = batch_reopened || r.ends_batch;
			continue;
		}
		if (r.kind == MARKER && !tx->copy_ended && --r.tag == 0)
		{
			tx->copy_ended = true;
			continue;
		}
		tx->copy_ended = true;
		if (r.kind == 'S')
		{
			r.ends_batch = r.ends_batch || batch_reopened;
			batch_reopened = false;
		}
		*at(tx, kept++) = r;
	}
	tx->count = kept;
	tx->unsynced = tx->unsynced || batch_reopened; /* X9 */
}

/* A CopyDone that was fed before the CopyBothResponse: take it off its marker. */
static void
begin_copy_both(struct txstate *tx)
{
	struct tx_request *next = tx->count > 1 ? at(tx, 1) : NULL;

	tx->copy_both = true;
	if (next == NULL || next->kind != MARKER)
		return;
	tx->copy_ended = true;
	if (--next->tag > 0)
		return;
	for (uint32_t i = 2; i < tx->count; i++)
		*at(tx, i - 1) = *at(tx, i);
	tx->count--;
}

static bool
begin_copy(struct txstate *tx, uint8_t type)
{
	if (tx->copy_in || tx->copy_out)
		return false;
	tx->copy_in = type != 'H';
	tx->copy_out = type != 'G';
	if (type == 'G')
		drop_ignored_syncs(tx);
	if (type == 'W')
		begin_copy_both(tx);
	return true;
}

static void
complete(struct txstate *tx, struct tx_reply *out)
{
	out->completes = true;
	end_copy(tx); /* a COPY does not outlive its request */
	pop(tx);
}

static bool
on_ready(struct txstate *tx, char status, struct tx_reply *out)
{
	uint8_t kind = out->kind;
	bool due = kind == 'Q' || kind == 'F' || kind == 'S';

	if (status != 'I' && status != 'T' && status != 'E')
		return false;
	if (!due && !tx->doubt)
		return false;
	if (due)
		complete(tx, out);
	else
		tx->skipping = false; /* X5: the Sync in doubt was read after the error */
	tx->status = status;
	out->query_done = true;
	out->xact_done = status == 'I';
	return true;
}

/* These two are kept out of the way of the others, which come a thousand times as often. */
static __attribute__((noinline)) bool
on_error(struct txstate *tx, struct tx_reply *out)
{
	uint8_t kind = out->kind;

	if (tx->sync_lost)
		tx->doubt = true; /* X5 */
	end_copy(tx);
	if (kind == 0 || kind == 'Q' || kind == 'F' || kind == 'S')
		return true;                                /* X3, X7 */
	while (tx->count > 0 && oldest_kind(tx) != 'S') /* X2 */
		drop_oldest(tx);
	out->completes = true;
	tx->skipping = tx->count == 0;
	return true;
}

/* The messages that answer a request, those of COPY apart. */
enum answer
{
	PARSED = 1,
	BOUND = 1 << 1,
	CLOSED = 1 << 2,
	COLUMNS = 1 << 3, /* RowDescription */
	NO_DATA = 1 << 4,
	PARAMETERS = 1 << 5, /* ParameterDescription */
	ROW = 1 << 6,
	COMPLETE = 1 << 7,
	EMPTY = 1 << 8,
	SUSPENDED = 1 << 9,
	RESULT = 1 << 10 /* FunctionCallResponse */
};

static const uint16_t answers[256] = {
	['1'] = PARSED,  ['2'] = BOUND,      ['3'] = CLOSED, ['T'] = COLUMNS,
	['n'] = NO_DATA, ['t'] = PARAMETERS, ['D'] = ROW,    ['C'] = COMPLETE,
	['I'] = EMPTY,   ['s'] = SUSPENDED,  ['V'] = RESULT,
};

/* X1: which of them a request may get, and which of these are the last it gets. */
static const struct
{
	uint16_t part;
	uint16_t last;
} expected[128] = {
	['Q'] = {.part = COLUMNS | ROW | COMPLETE | EMPTY},
	['F'] = {.part = RESULT},
	['P'] = {.last = PARSED},
	['B'] = {.last = BOUND},
	['D'] = {.part = PARAMETERS, .last = COLUMNS | NO_DATA},
	['E'] = {.part = ROW, .last = COMPLETE | EMPTY | SUSPENDED},
	['C'] = {.last = CLOSED},
};

/* True while nothing but CopyData, CopyDone or the end of the COPY may come. */
static bool
only_copy_may_come(const struct txstate *tx)
{
	return tx->copy_out || (tx->copy_in && !tx->copy_both);
}

/* CopyInResponse and its like, CopyData, CopyDone. */
static __attribute__((noinline)) bool
on_copy(struct txstate *tx, uint8_t type, uint8_t kind)
{
	if (kind != 'Q' && kind != 'E')
		return false;
	if (type == 'G' || type == 'H' || type == 'W')
		return begin_copy(tx, type);
	if (type != 'd' && type != 'c')
		return false;
	if (!tx->copy_out)
		return tx->copy_both && type == 'd'; /* X10 */
	tx->copy_out = type == 'd';
	return true;
}

static bool
on_answer(struct txstate *tx, uint8_t type, struct tx_reply *out)
{
	uint8_t kind = out->kind;
	uint16_t answer = answers[type];

	if (answer == 0)
		return on_copy(tx, type, kind);
	if (tx->copy_in || tx->copy_out)
	{
		/* From CopyBoth a server that shuts down leaves without CopyDone. */
		if (answer == COMPLETE && (kind == 'Q' || kind == 'E'))
			end_copy(tx);
		if (only_copy_may_come(tx))
			return false;
	}
	if ((expected[kind].part & answer) != 0)
		return true;
	if ((expected[kind].last & answer) == 0)
		return false;
	complete(tx, out);
	return true;
}

enum tx_verdict
txstate_backend(struct txstate *tx, uint8_t type, const uint8_t *body, size_t n,
				struct tx_reply *out)
{
	const struct tx_request *request = oldest(tx);
	bool explained;

	*out = (struct tx_reply){.action = TX_FORWARD};
	if (type == 'N' || type == 'A' || type == 'S')
		return TX_OK; /* X6 */
	if (request != NULL)
	{
		out->action = (enum tx_action) request->action;
		out->kind = request->kind;
		out->tag = request->tag;
	}
	if (type == 'Z')
		explained = on_ready(tx, n == 1 ? (char) body[0] : '\0', out);
	else if (type == 'E')
		explained = on_error(tx, out);
	else
		explained = on_answer(tx, type, out);
	if (explained)
		return TX_OK;
	*out = (struct tx_reply){.action = TX_FORWARD};
	return TX_NONSENSE; /* X7 */
}

/* -- what the caller wants to know ----------------------------------------- */

/* Nothing stands open, whatever is in doubt. */
static bool
at_rest(const struct txstate *tx)
{
	bool copying = tx->copy_in || tx->copy_out;

	return tx->count == 0 && !copying && !tx->unsynced && !tx->skipping && tx->status == 'I';
}

bool
txstate_releasable(const struct txstate *tx)
{
	return !tx->doubt && at_rest(tx);
}

bool
txstate_doubtful(const struct txstate *tx)
{
	return tx->doubt && at_rest(tx);
}

bool
txstate_fake_due(struct txstate *tx, struct tx_reply *out)
{
	const struct tx_request *first = oldest(tx);

	if (first == NULL || first->action != TX_FAKE)
		return false;
	memset(out, 0, sizeof(*out));
	out->action = TX_FAKE;
	out->completes = true;
	out->kind = first->kind;
	out->tag = first->tag;
	pop(tx);
	return true;
}

const struct tx_request *
txstate_request(const struct txstate *tx, uint32_t i)
{
	return i < tx->count ? at(tx, i) : NULL;
}

uint32_t
txstate_before_sync(const struct txstate *tx)
{
	uint32_t i = 0;

	while (i < tx->count && at(tx, i)->kind != 'S')
		i++;
	return i;
}

bool
txstate_synced_since(const struct txstate *tx, uint32_t tag)
{
	bool synced = false;

	for (uint32_t i = tx->count; i > 0; i--)
	{
		const struct tx_request *request = txstate_request(tx, i - 1);

		if (request->tag == tag)
			return synced;
		synced = synced || request->kind == 'S';
	}
	return false;
}

bool
txstate_never_skipped(const struct txstate *tx, uint32_t tag)
{
	uint32_t i = 0;
	bool batch = tx->skipping; /* what stands there may be skipped */

	while (i < tx->count && at(tx, i)->tag != tag)
	{
		uint8_t kind = at(tx, i++)->kind;

		if (kind == 'S')
			batch = false;
		else if (kind != 'Q' && kind != 'F')
			batch = true;
	}
	return i < tx->count && !batch;
}

bool
txstate_status_unknown(const struct txstate *tx)
{
	for (uint32_t i = tx->count; i > 0; i--)
	{
		const struct tx_request *request = txstate_request(tx, i - 1);

		if (request->action == TX_FORWARD &&
			(request->kind == 'S' || request->kind == 'Q' || request->kind == 'F'))
			return true;
	}
	return false;
}

bool
txstate_may_skip(const struct txstate *tx)
{
	return tx->count > 0 && strchr("QFS", at(tx, tx->count - 1)->kind) == NULL;
}
