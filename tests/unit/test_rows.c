/*
 * test_rows.c - result sets of the console, byte by byte and at their limits.
 */
#include "core/rows.h"

#include <stdio.h>
#include <string.h>

#include "proto/pgmsg.h"
#include "unit.h"

/* The next message of a buffer. */
static struct pgmsg
next_message(const struct buf *b, size_t *at)
{
	struct pgmsg m;

	assert_int_equal(pgmsg_peek(buf_data(b) + *at, buf_len(b) - *at, &m), PGMSG_OK);
	assert_true(m.whole);
	*at += m.total;
	return m;
}

static void
test_head_names_and_types(void **state)
{
	struct buf out;
	struct pgmsg m;
	struct pgreader r;
	size_t at = 0;
	static const struct
	{
		const char *name;
		uint32_t oid;
		uint16_t size;
	} columns[] = {{"name", 25, 0xffff},
				   {"items", 23, 4},
				   {"bytes", 20, 8},
				   {"sum", 1700, 0xffff},
				   {"last", 25, 0xffff}};

	(void) state;
	buf_init(&out);
	rows_head(&out, "name #items  ##bytes ~sum last");
	m = next_message(&out, &at);
	assert_int_equal(m.type, 'T');
	pgr_init(&r, m.body, m.body_len);
	assert_int_equal(pgr_u16(&r), 5);
	for (size_t i = 0; i < 5; i++)
	{
		assert_string_equal(pgr_cstr(&r), columns[i].name);
		pgr_u32(&r);
		pgr_u16(&r);
		assert_int_equal(pgr_u32(&r), columns[i].oid);
		assert_int_equal(pgr_u16(&r), columns[i].size);
		pgr_bytes(&r, 6);
	}
	assert_false(r.bad);
	assert_int_equal(pgr_left(&r), 0);
	assert_int_equal(at, buf_len(&out));
	buf_fini(&out);
}

static void
test_row_values(void **state)
{
	static const char expected[] = "\0\5"
								   "\0\0\0\3abc"
								   "\377\377\377\377"
								   "\0\0\0\0"
								   "\0\0\0\024-9223372036854775808"
								   "\0\0\0\0010";
	struct buf out;
	struct row row;
	struct pgmsg m;
	size_t at = 0;
	char value[] = "abc";

	(void) state;
	buf_init(&out);
	row_begin(&row);
	row_text(&row, value);
	value[0] = 'x'; /* values are copied */
	row_text(&row, NULL);
	row_text(&row, "");
	row_int(&row, INT64_MIN);
	row_int(&row, 0);
	row_end(&row, &out);
	rows_complete(&out, "SHOW");
	m = next_message(&out, &at);
	assert_int_equal(m.type, 'D');
	assert_int_equal(m.body_len, sizeof(expected) - 1);
	assert_memory_equal(m.body, expected, sizeof(expected) - 1);
	m = next_message(&out, &at);
	assert_int_equal(m.type, 'C');
	assert_string_equal((const char *) m.body, "SHOW");
	assert_int_equal(at, buf_len(&out));
	buf_fini(&out);
}

/* More or longer values than there is room for: the row stays a row. */
static void
test_limits(void **state)
{
	static char longest[ROWS_TEXT_MAX * 2];
	struct buf out;
	struct row row;
	struct pgmsg m;
	struct pgreader r;
	size_t at = 0;

	(void) state;
	memset(longest, 'y', sizeof(longest) - 1);
	buf_init(&out);
	for (size_t len = ROWS_TEXT_MAX - 3; len < ROWS_TEXT_MAX + 3; len++)
	{
		row_begin(&row);
		row_text(&row, longest + sizeof(longest) - 1 - len);
		for (int i = 0; i < ROWS_MAX_COLUMNS + 5; i++)
			row_int(&row, i);
		row_end(&row, &out);
		m = next_message(&out, &at);
		pgr_init(&r, m.body, m.body_len);
		assert_int_equal(pgr_u16(&r), ROWS_MAX_COLUMNS);
		assert_int_equal(pgr_u32(&r), len < ROWS_TEXT_MAX - 1 ? len : ROWS_TEXT_MAX - 1);
	}
	assert_int_equal(at, buf_len(&out));
	buf_fini(&out);
}

/* All numbers in binary; the name stays text. */
static void
test_binary(void **state)
{
	static const struct
	{
		int64_t value;
		const char *expected; /* int4, int8, numeric */
		size_t len;
	} rows[] = {
		{0,
		 "\0\0\0\0\0\0\0\0\0\0\0\0"
		 "\0\0\0\0\0\0\0\0",
		 20},
		{7,
		 "\0\0\0\7\0\0\0\0\0\0\0\7"
		 "\0\1\0\0\0\0\0\0\0\7",
		 22},
		{-3,
		 "\377\377\377\375\377\377\377\377\377\377\377\375"
		 "\0\1\0\0\100\0\0\0\0\3",
		 22},
		{20000,
		 "\0\0\116\40\0\0\0\0\0\0\116\40"
		 "\0\2\0\1\0\0\0\0\0\2\0\0",
		 24},
		{5000000000,
		 "\177\377\377\377\0\0\0\1\52\5\362\0"
		 "\0\3\0\2\0\0\0\0\0\62\0\0\0\0",
		 26},
	};
	const struct rows_formats binary = {.n = 1, .binary = {true}};
	static const char columns[] = "name #a ##b ~c";

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		struct buf in;
		struct buf out;
		struct row row;
		struct pgmsg m;
		struct pgreader r;
		uint8_t got[64];
		size_t n = 0;
		size_t at = 0;

		buf_init(&in);
		buf_init(&out);
		row_begin(&row);
		row_text(&row, "n");
		for (int k = 0; k < 3; k++)
			row_int(&row, rows[i].value);
		row_end(&row, &in);
		rows_convert(buf_data(&in), buf_len(&in), columns, &binary, &out);
		m = next_message(&out, &at);
		pgr_init(&r, m.body, m.body_len);
		assert_int_equal(pgr_u16(&r), 4);
		assert_int_equal(pgr_u32(&r), 1);
		assert_int_equal(pgr_u8(&r), 'n');
		for (int k = 0; k < 3; k++)
		{
			uint32_t len = pgr_u32(&r);

			memcpy(got + n, pgr_bytes(&r, len), len);
			n += len;
		}
		assert_int_equal(pgr_left(&r), 0);
		assert_int_equal(n, rows[i].len);
		assert_memory_equal(got, rows[i].expected, n);
		buf_fini(&in);
		buf_fini(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_names_and_types),
		cmocka_unit_test(test_row_values),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_binary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
