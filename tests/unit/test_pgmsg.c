/*
 * test_pgmsg.c - framing at every cut, and readers that never leave their body.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "proto/pgmsg.h"

static void
a_header_needs_five_bytes(void **state)
{
	static const uint8_t bytes[] = {'Q', 0, 0, 0, 6, 'x', '\0'};
	struct pgmsg m;

	(void) state;
	for (size_t n = 0; n < PGMSG_HEADER; n++)
		assert_int_equal(pgmsg_peek(bytes, n, &m), PGMSG_NEED_MORE);
	for (size_t n = PGMSG_HEADER; n <= sizeof(bytes); n++)
	{
		assert_int_equal(pgmsg_peek(bytes, n, &m), PGMSG_OK);
		assert_int_equal(m.type, 'Q');
		assert_int_equal(m.total, 7);
		assert_int_equal(m.body_len, 2);
		assert_ptr_equal(m.body, bytes + 5);
		assert_int_equal(m.whole, n == sizeof(bytes));
	}
}

static void
lengths_at_the_limits(void **state)
{
	static const struct
	{
		uint8_t bytes[5];
		enum pgmsg_result result;
		uint32_t total;
	} rows[] = {
		{{'S', 0, 0, 0, 0}, PGMSG_BAD, 0},
		{{'S', 0, 0, 0, 3}, PGMSG_BAD, 0},
		{{'S', 0, 0, 0, 4}, PGMSG_OK, 5},
		{{'d', 0x3f, 0xff, 0xff, 0xff}, PGMSG_OK, 0x40000000},
		{{'d', 0x7f, 0xff, 0xff, 0xff}, PGMSG_OK, 0x80000000},
		{{'d', 0x80, 0, 0, 0}, PGMSG_BAD, 0},
		{{'d', 0xff, 0xff, 0xff, 0xff}, PGMSG_BAD, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		struct pgmsg m = {0};

		assert_int_equal(pgmsg_peek(rows[i].bytes, 5, &m), rows[i].result);
		if (rows[i].result != PGMSG_OK)
			continue;
		assert_int_equal(m.total, rows[i].total);
		assert_int_equal(m.body_len, rows[i].total - 5);
		assert_int_equal(m.whole, rows[i].total == 5);
	}
}

/* Cut at every byte: only whole messages of the one type, up to the first of another. */
static void
a_run_ends_where_its_messages_do(void **state)
{
	static const uint8_t bytes[] = {'D', 0, 0, 0, 4, 'D', 0, 0, 0, 6, 'D', 'D', 'C', 0, 0, 0, 4};

	(void) state;
	for (size_t n = 0; n <= sizeof(bytes); n++)
	{
		uint8_t *copy = malloc(n > 0 ? n : 1);

		memcpy(copy, bytes, n);
		assert_int_equal(pgmsg_run(copy, n, 'D'), n < 5 ? 0 : n < 12 ? 5 : 12);
		assert_int_equal(pgmsg_run(copy, n, 'C'), 0);
		free(copy);
	}
	assert_int_equal(pgmsg_run((const uint8_t *) "D\0\0\0\3", 5, 'D'), 0);
	assert_int_equal(pgmsg_run((const uint8_t *) "D\377\377\377\377", 5, 'D'), 0);
}

static void
types_by_direction(void **state)
{
	static const char frontend[] = "QPBDECSHFdcfXp";
	static const char backend[] = "RKvZTDCIsnt123ENASGHWdcV";

	(void) state;
	for (int type = 0; type < 256; type++)
	{
		assert_int_equal(pgmsg_frontend_type((uint8_t) type),
						 type != 0 && strchr(frontend, type) != NULL);
		assert_int_equal(pgmsg_backend_type((uint8_t) type),
						 type != 0 && strchr(backend, type) != NULL);
	}
}

static void
a_reader_reads_what_is_there(void **state)
{
	static const uint8_t body[] = {7, 0x12, 0x34, 0xde, 0xad, 0xbe, 0xef, 'h', 'i', 0, 0, 1, 2, 3};
	struct pgreader r;

	(void) state;
	pgr_init(&r, body, sizeof(body));
	assert_int_equal(pgr_u8(&r), 7);
	assert_int_equal(pgr_u16(&r), 0x1234);
	assert_int_equal(pgr_u32(&r), 0xdeadbeef);
	assert_string_equal(pgr_cstr(&r), "hi");
	assert_string_equal(pgr_cstr(&r), "");
	assert_int_equal(pgr_left(&r), 3);
	assert_ptr_equal(pgr_bytes(&r, 3), body + 11);
	assert_non_null(pgr_bytes(&r, 0));
	assert_int_equal(pgr_left(&r), 0);
	assert_false(r.bad);
}

/* Each read on a body too short for it: nothing, and nothing ever after. */
static void
a_reader_past_the_end_stays_bad(void **state)
{
	static const uint8_t body[] = {'a', 'b', 'c'};
	struct pgreader r;

	(void) state;
	for (int kind = 0; kind < 5; kind++)
	{
		pgr_init(&r, body, kind == 0 ? 0 : kind == 1 ? 1 : 3);
		if (kind == 0)
			assert_int_equal(pgr_u8(&r), 0);
		else if (kind == 1)
			assert_int_equal(pgr_u16(&r), 0);
		else if (kind == 2)
			assert_int_equal(pgr_u32(&r), 0);
		else if (kind == 3)
			assert_string_equal(pgr_cstr(&r), "");
		else
			assert_null(pgr_bytes(&r, SIZE_MAX));
		assert_true(r.bad);
		assert_int_equal(pgr_left(&r), 0);
		assert_int_equal(pgr_u8(&r), 0);
		assert_string_equal(pgr_cstr(&r), "");
		assert_null(pgr_bytes(&r, 0));
	}
}

#define ERROR_BODY "SFEHLER\0VERROR\0C42601\0Msyntax error\0P7\0Dwhat\0Hhow\0Fscan.l\0"

static void
error_fields_are_found(void **state)
{
	struct pgerror e;

	(void) state;
	assert_int_equal(pgmsg_error_fields((const uint8_t *) ERROR_BODY, sizeof(ERROR_BODY), &e),
					 PGMSG_OK);
	assert_string_equal(e.severity, "ERROR");
	assert_string_equal(e.sqlstate, "42601");
	assert_string_equal(e.message, "syntax error");
	assert_string_equal(e.detail, "what");
	assert_string_equal(e.hint, "how");
}

static void
absent_error_fields_are_empty(void **state)
{
	struct pgerror e;

	(void) state;
	assert_int_equal(pgmsg_error_fields((const uint8_t *) "SFATAL\0", 8, &e), PGMSG_OK);
	assert_string_equal(e.severity, "FATAL");
	assert_string_equal(e.sqlstate, "");
	assert_string_equal(e.message, "");
	assert_string_equal(e.detail, "");
	assert_string_equal(e.hint, "");
	assert_int_equal(pgmsg_error_fields((const uint8_t *) "", 1, &e), PGMSG_OK);
	assert_string_equal(e.severity, "");
}

/* Every truncation lies in memory of exactly its size, so that a sanitizer sees a read behind it.
 */
static void
truncated_error_fields_are_bad(void **state)
{
	struct pgerror e;

	(void) state;
	for (size_t n = 0; n < sizeof(ERROR_BODY); n++)
	{
		uint8_t *body = malloc(n > 0 ? n : 1);

		memcpy(body, ERROR_BODY, n);
		assert_int_equal(pgmsg_error_fields(body, n, &e), PGMSG_BAD);
		assert_true(strlen(e.severity) + strlen(e.sqlstate) + strlen(e.message) < n + 1);
		free(body);
	}
	assert_int_equal(pgmsg_error_fields((const uint8_t *) "SX\0\0y", 5, &e), PGMSG_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_needs_five_bytes),
		cmocka_unit_test(lengths_at_the_limits),
		cmocka_unit_test(a_run_ends_where_its_messages_do),
		cmocka_unit_test(types_by_direction),
		cmocka_unit_test(a_reader_reads_what_is_there),
		cmocka_unit_test(a_reader_past_the_end_stays_bad),
		cmocka_unit_test(error_fields_are_found),
		cmocka_unit_test(absent_error_fields_are_empty),
		cmocka_unit_test(truncated_error_fields_are_bad),
	};

	return cmocka_run_group_tests_name("pgmsg", tests, NULL, NULL);
}
