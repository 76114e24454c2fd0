/*
 * test_txstate_model.c - random pipelines against a small naive model of PostgreSQL.
 *
 * The model reads the client's messages one by one, as PostgreSQL does, and decides by dice whether
 * each succeeds, fails or begins a COPY. Both directions are queues, so what is fed and what is
 * answered run apart. After every step:
 *
 *     safety    txstate says "releasable" only if the model is idle, has nothing left to read that
 * it would not ignore, has no answer under way and no open batch or transaction; exactness the
 * other way round too, once both queues are empty; replies   each answer is attributed to the
 * request that the model was answering.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "proto/txstate.h"

#define SCENARIOS 30000
#define STEPS 80
#define QUEUE_MAX 2048

struct from_client
{
	uint8_t type;
	uint32_t id;
};

struct from_server
{
	uint8_t type;
	uint8_t status;
	bool asynchronous;
	bool lost_sync; /* the end of a COPY that threw a Sync away */
	uint32_t id;    /* of the request it answers */
};

struct model
{
	uint64_t random;
	struct txstate tx;

	struct from_client requests[QUEUE_MAX];
	size_t n_requests;
	size_t n_read;
	struct from_server answers[QUEUE_MAX];
	size_t n_answers;
	size_t n_delivered;
	uint32_t next_id;

	/* PostgreSQL */
	char status;
	bool skipping;
	bool batch_open; /* an extended message was read that no Sync has followed */
	bool flush_seen; /* a Flush was, which leaves nothing open: txstate may hold on or not */
	uint8_t copying; /* 'Q' or 'E' while it reads CopyData, else 0 */
	uint32_t copying_id;
	bool copy_lost_sync;
};

static uint64_t
dice(struct model *m, uint64_t sides)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (m->random >> 11) % sides;
}

/* -- PostgreSQL -------------------------------------------------------------- */

static void
answer(struct model *m, uint8_t type, uint32_t id)
{
	static const uint8_t asynchronous[] = {'N', 'A', 'S'};

	assert_true(m->n_answers + 2 < QUEUE_MAX);
	if (dice(m, 12) == 0)
		m->answers[m->n_answers++] =
			(struct from_server){.type = asynchronous[dice(m, 3)], .asynchronous = true};
	m->answers[m->n_answers++] =
		(struct from_server){.type = type, .status = (uint8_t) m->status, .id = id};
}

static void
raise_error(struct model *m, uint32_t id)
{
	answer(m, 'E', id);
	if (m->status == 'T')
		m->status = 'E';
	m->answers[m->n_answers - 1].lost_sync = m->copying != 0 && m->copy_lost_sync;
	m->copying = 0;
}

/* Whether nothing but CopyData, Sync and Flush is on its way up to the CopyDone. */
static bool
copy_would_be_legal(const struct model *m)
{
	for (size_t i = m->n_read; i < m->n_requests; i++)
	{
		uint8_t type = m->requests[i].type;

		if (type == 'c' || type == 'f')
			return true;
		if (type != 'd' && type != 'S' && type != 'H')
			return false;
	}
	return true;
}

static bool
begin_copy_in(struct model *m, uint8_t kind, uint32_t id)
{
	if (!copy_would_be_legal(m))
		return false;
	answer(m, 'G', id);
	m->copying = kind;
	m->copying_id = id;
	m->copy_lost_sync = false;
	return true;
}

static void
rows(struct model *m, uint32_t id)
{
	for (uint64_t i = dice(m, 3); i > 0; i--)
		answer(m, 'D', id);
}

static void
copy_out(struct model *m, uint32_t id)
{
	answer(m, 'H', id);
	for (uint64_t i = dice(m, 3); i > 0; i--)
		answer(m, 'd', id);
	answer(m, 'c', id);
	answer(m, 'C', id);
}

/* The statements of a simple query from the next one on; stops in front of a COPY's data. */
static void
run_statements(struct model *m, uint32_t id)
{
	do
	{
		switch (dice(m, 9))
		{
			case 0:
				raise_error(m, id);
				goto ready;
			case 1:
			case 2:
				if (begin_copy_in(m, 'Q', id))
					return;
				answer(m, 'I', id);
				break;
			case 3:
				copy_out(m, id);
				break;
			case 4:
				m->status = m->status == 'I' ? 'T' : 'I';
				answer(m, 'C', id);
				break;
			case 5:
				answer(m, 'I', id);
				break;
			default:
				answer(m, 'T', id);
				rows(m, id);
				answer(m, 'C', id);
		}
	} while (dice(m, 3) == 0);
ready:
	answer(m, 'Z', id);
}

static void
run_execute(struct model *m, uint32_t id)
{
	switch (dice(m, 6))
	{
		case 0:
		case 1:
			if (begin_copy_in(m, 'E', id))
				return;
			answer(m, 'I', id);
			break;
		case 2:
			copy_out(m, id);
			break;
		case 3:
			rows(m, id);
			answer(m, 's', id);
			break;
		default:
			rows(m, id);
			answer(m, 'C', id);
	}
}

static void
run_extended(struct model *m, uint8_t type, uint32_t id)
{
	m->batch_open = true;
	if (dice(m, 7) == 0)
	{
		raise_error(m, id);
		m->skipping = true;
		return;
	}
	switch (type)
	{
		case 'P':
			answer(m, '1', id);
			break;
		case 'B':
			answer(m, '2', id);
			break;
		case 'D':
			if (dice(m, 2) == 0)
				answer(m, 't', id);
			answer(m, dice(m, 2) == 0 ? 'T' : 'n', id);
			break;
		case 'C':
			answer(m, '3', id);
			break;
		default:
			run_execute(m, id);
	}
}

/* CopyGetData(): what the server does with a message while it reads a COPY's data. */
static void
run_copying(struct model *m, uint8_t type)
{
	uint8_t kind = m->copying;
	uint32_t id = m->copying_id;

	if (type == 'S')
		m->copy_lost_sync = true;
	if (type == 'S' || type == 'H' || (type == 'd' && dice(m, 6) > 0))
		return;
	if (type == 'c' && dice(m, 8) > 0)
	{
		m->copying = 0;
		answer(m, 'C', id);
		if (kind == 'Q' && dice(m, 3) == 0)
			run_statements(m, id);
		else if (kind == 'Q')
			answer(m, 'Z', id);
		return;
	}
	raise_error(m, id);
	if (kind == 'Q')
		answer(m, 'Z', id);
	else
		m->skipping = true;
}

static void
server_reads(struct model *m)
{
	struct from_client r = m->requests[m->n_read++];

	if (r.type == 'H')
		m->flush_seen = true;
	if (m->copying != 0)
	{
		run_copying(m, r.type);
		return;
	}
	if (r.type == 'S')
	{
		if (m->batch_open && !m->skipping && dice(m, 10) == 0)
			raise_error(m, r.id); /* a deferred constraint */
		m->skipping = false;
		m->batch_open = false;
		m->flush_seen = false;
		answer(m, 'Z', r.id);
		return;
	}
	if (m->skipping || strchr("Hdcf", r.type) != NULL)
		return;
	if (r.type == 'Q')
		run_statements(m, r.id);
	else if (r.type == 'F')
	{
		if (dice(m, 4) == 0)
			raise_error(m, r.id);
		else
			answer(m, 'V', r.id);
		answer(m, 'Z', r.id);
	}
	else
		run_extended(m, r.type, r.id);
}

/* -- the client, and the pooler between them --------------------------------- */

static enum tx_action
action_of(uint32_t id)
{
	return id % 5 == 0 ? TX_SWALLOW : TX_FORWARD;
}

static void
client_sends(struct model *m, uint8_t type)
{
	uint32_t id = m->next_id++;

	if (txstate_frontend(&m->tx, type, action_of(id), id) == TX_FULL)
	{
		uint32_t cap = m->tx.cap * 2;

		free(txstate_grow(&m->tx, malloc(cap * sizeof(struct tx_request)), cap));
		assert_int_equal(txstate_frontend(&m->tx, type, action_of(id), id), TX_OK);
	}
	assert_true(m->n_requests < QUEUE_MAX);
	m->requests[m->n_requests++] = (struct from_client){type, id};
}

static void
client_sends_something(struct model *m)
{
	/* while the server copies, a request would end the connection */
	const char *types = m->copying != 0 ? "dddccfSH" : "QQFPPBBDEEEECSSSSHdcdc";

	client_sends(m, (uint8_t) types[dice(m, strlen(types))]);
}

/* Returns false when txstate closes the server, which only doubt justifies. */
static bool
deliver(struct model *m)
{
	struct from_server a = m->answers[m->n_delivered++];
	struct tx_reply r;
	enum tx_verdict verdict = txstate_backend(&m->tx, a.type, &a.status, 1, &r);

	if (a.lost_sync)
		assert_true(m->tx.doubt);
	if (m->tx.doubt && (verdict != TX_OK || (r.query_done && txstate_quiet(&m->tx))))
		return false;
	assert_int_equal(verdict, TX_OK);
	if (a.asynchronous)
	{
		assert_int_equal(r.action, TX_FORWARD);
		assert_false(r.completes);
		return true;
	}
	assert_int_equal(r.query_done, a.type == 'Z');
	assert_int_equal(r.xact_done, a.type == 'Z' && a.status == 'I');
	if (!m->tx.doubt)
	{
		assert_int_equal(r.tag, a.id);
		assert_int_equal(r.action, action_of(a.id));
	}
	return true;
}

static bool
rest_will_be_ignored(const struct model *m)
{
	for (size_t i = m->n_read; i < m->n_requests; i++)
		if (strchr("dcfH", m->requests[i].type) == NULL)
			return false;
	return true;
}

static bool
all_delivered(const struct model *m)
{
	for (size_t i = m->n_delivered; i < m->n_answers; i++)
		if (!m->answers[i].asynchronous)
			return false;
	return true;
}

static void
check(const struct model *m)
{
	bool idle = m->copying == 0 && !m->skipping && !m->batch_open && m->status == 'I' &&
				!m->tx.doubt && rest_will_be_ignored(m) && all_delivered(m);

	if (txstate_releasable(&m->tx))
		assert_true(idle);
	if (idle && !m->flush_seen && m->n_read == m->n_requests)
		assert_true(txstate_releasable(&m->tx));
	if (m->tx.doubt)
		assert_false(txstate_releasable(&m->tx));
}

/* Returns false when the server was closed in doubt. */
static bool
settle(struct model *m)
{
	for (;;)
	{
		if (m->n_read < m->n_requests)
			server_reads(m);
		else if (m->n_delivered == m->n_answers)
			return true;
		while (m->n_delivered < m->n_answers)
			if (!deliver(m))
				return false;
		check(m);
	}
}

/* A polite end: whatever is open is ended, then every server must be releasable again. */
static void
finish(struct model *m)
{
	for (int tries = 0; !txstate_releasable(&m->tx) && !m->tx.doubt; tries++)
	{
		assert_true(tries < 1000);
		if (m->copying != 0)
			client_sends(m, 'c');
		else
			client_sends(m, m->batch_open || m->flush_seen || dice(m, 2) == 0 ? 'S' : 'Q');
		if (!settle(m))
			return;
	}
}

static void
run_scenario(struct model *m)
{
	for (int step = 0; step < STEPS; step++)
	{
		uint64_t what = dice(m, 3);

		if (what == 0)
			client_sends_something(m);
		else if (what == 1 && m->n_read < m->n_requests)
			server_reads(m);
		else if (what == 2 && m->n_delivered < m->n_answers && !deliver(m))
			return;
		check(m);
	}
	if (settle(m))
		finish(m);
}

static void
random_pipelines_agree_with_the_model(void **state)
{
	struct model *m = malloc(sizeof(*m));
	unsigned in_doubt = 0;

	(void) state;
	assert_non_null(m);
	for (uint64_t seed = 1; seed <= SCENARIOS; seed++)
	{
		*m = (struct model){.random = seed * 0x9e3779b97f4a7c15u, .status = 'I', .next_id = 1};
		txstate_init(&m->tx);
		run_scenario(m);
		in_doubt += m->tx.doubt;
		if (m->tx.queue != m->tx.inline_queue)
			free(m->tx.queue);
	}
	/* the dice must have reached the rare cases, and not only them */
	assert_in_range(in_doubt, SCENARIOS / 1000, SCENARIOS / 2);
	free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_pipelines_agree_with_the_model)};

	return cmocka_run_group_tests_name("txstate_model", tests, NULL, NULL);
}
