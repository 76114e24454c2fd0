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
	} columns[] = {{"name", 25}, {"items", 20}, {"last", 25}};

	(void) state;
	buf_init(&out);
	rows_head(&out, "name #items  last");
	m = next_message(&out, &at);
	assert_int_equal(m.type, 'T');
	pgr_init(&r, m.body, m.body_len);
	assert_int_equal(pgr_u16(&r), 3);
	for (size_t i = 0; i < 3; i++)
	{
		assert_string_equal(pgr_cstr(&r), columns[i].name);
		pgr_u32(&r);
		pgr_u16(&r);
		assert_int_equal(pgr_u32(&r), columns[i].oid);
		pgr_bytes(&r, 8);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head_names_and_types),
		cmocka_unit_test(test_row_values),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
