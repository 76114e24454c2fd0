/*
 * fuzz_pgmsg.c - frames a byte stream as the relay does, and reads each whole body as an error
 * report.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/pgmsg.h"

#define CHECK(cond)                                                                                \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
			abort();                                                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_as_error(const uint8_t *body, size_t n)
{
	struct pgerror e;

	pgmsg_error_fields(body, n, &e);
	CHECK(strlen(e.severity) <= n && strlen(e.sqlstate) <= n && strlen(e.message) <= n);
	CHECK(strlen(e.detail) <= n && strlen(e.hint) <= n);
}

/* Reads by a recipe that the body itself gives, until nothing is left. */
static void
read_fields(const uint8_t *body, size_t n)
{
	struct pgreader r;
	size_t left;

	pgr_init(&r, body, n);
	while ((left = pgr_left(&r)) > 0)
	{
		switch (pgr_u8(&r) % 4)
		{
			case 0:
				pgr_u16(&r);
				break;
			case 1:
				pgr_u32(&r);
				break;
			case 2:
				CHECK(strlen(pgr_cstr(&r)) < left);
				break;
			default:
				pgr_bytes(&r, pgr_u8(&r));
		}
		CHECK(pgr_left(&r) < left);
		CHECK(!r.bad || pgr_left(&r) == 0);
	}
}

/* A run is what message by message would have found. */
static void
run_like_messages(const uint8_t *data, size_t size)
{
	struct pgmsg m;
	size_t used = 0;

	while (pgmsg_peek(data + used, size - used, &m) == PGMSG_OK && m.whole && m.type == data[0])
		used += m.total;
	CHECK(size == 0 || pgmsg_run(data, size, data[0]) == used);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pgmsg m;
	size_t used = 0;

	run_like_messages(data, size);
	while (pgmsg_peek(data + used, size - used, &m) == PGMSG_OK)
	{
		CHECK(m.total >= PGMSG_HEADER && m.body_len == m.total - PGMSG_HEADER);
		CHECK(m.whole == (m.total <= size - used));
		CHECK(m.body == data + used + PGMSG_HEADER);
		if (!m.whole)
			break;
		read_as_error(m.body, m.body_len);
		read_fields(m.body, m.body_len);
		used += m.total;
	}
	return 0;
}
