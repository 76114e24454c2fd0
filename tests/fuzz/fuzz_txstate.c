/*
 * fuzz_txstate.c - any types in any order, from both sides. The queue stays within its memory,
 * nonsense changes nothing, and "releasable" is never said while something is open.
 *
 * Input: '>' and '<' switch to the client and to the server; each other byte is a message type,
 * after 'Z' with its status behind it; '=' shrinks the queue.
 */
#include <stdlib.h>

#include "proto/txstate.h"

#define CHECK(cond)                                                                                \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
			abort();                                                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_state(const struct txstate *tx)
{
	CHECK(tx->count <= tx->cap && tx->head < tx->cap);
	CHECK(tx->count == 0 || tx->queue[tx->head].kind != 'c');
	CHECK(txstate_quiet(tx) == (tx->count == 0));
	if (tx->copy_in || tx->copy_out)
		CHECK(tx->count > 0);
	if (txstate_releasable(tx))
	{
		CHECK(txstate_quiet(tx) && tx->status == 'I' && !tx->copy_in && !tx->copy_out);
		CHECK(!tx->skipping && !tx->unsynced && !tx->doubt);
	}
}

static bool
same_state(const struct txstate *a, const struct txstate *b)
{
	return a->count == b->count && a->head == b->head && a->status == b->status &&
		   a->copy_in == b->copy_in && a->copy_out == b->copy_out && a->copy_both == b->copy_both &&
		   a->copy_ended == b->copy_ended && a->sync_lost == b->sync_lost &&
		   a->skipping == b->skipping && a->unsynced == b->unsynced && a->doubt == b->doubt;
}

static void
from_client(struct txstate *tx, uint8_t type, uint32_t tag)
{
	enum tx_action action = tag % 3 == 0 ? TX_SWALLOW : TX_FORWARD;
	uint32_t cap = tx->cap * 2;
	struct tx_request *mem;

	if (txstate_frontend(tx, type, action, tag) != TX_FULL)
		return;
	CHECK(txstate_full(tx));
	mem = malloc(cap * sizeof(*mem));
	CHECK(mem != NULL);
	free(txstate_grow(tx, mem, cap));
	CHECK(txstate_frontend(tx, type, action, tag) == TX_OK);
}

static void
from_server(struct txstate *tx, uint8_t type, const uint8_t *body, size_t n)
{
	struct txstate before = *tx;
	struct tx_reply r;

	if (txstate_backend(tx, type, body, n, &r) == TX_OK)
	{
		CHECK(!r.completes || r.kind != 0);
		CHECK(!r.query_done || type == 'Z');
		CHECK(!r.xact_done || (r.query_done && tx->status == 'I'));
		CHECK(tx->count <= before.count);
		return;
	}
	CHECK(same_state(&before, tx));
	CHECK(!r.completes && !r.query_done && r.kind == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool client = true;
	struct txstate tx;

	txstate_init(&tx);
	for (size_t i = 0; i < size; i++)
	{
		uint8_t type = data[i];

		if (type == '>' || type == '<')
			client = type == '>';
		else if (type == '=')
			free(txstate_shrink(&tx));
		else if (client)
			from_client(&tx, type, (uint32_t) i);
		else if (type == 'Z' && i + 1 < size)
		{
			from_server(&tx, type, &data[i + 1], 1);
			i++;
		}
		else
			from_server(&tx, type, NULL, 0);
		check_state(&tx);
	}
	if (tx.queue != tx.inline_queue)
		free(tx.queue);
	return 0;
}
