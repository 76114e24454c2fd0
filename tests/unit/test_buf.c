/*
 * test_buf.c - bytes leave in the order they came, and no memory is held without bytes.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static void
an_empty_buf_holds_no_memory(void **state)
{
	struct buf b;

	(void) state;
	buf_init(&b);
	assert_null(b.mem);
	buf_append(&b, "", 0);
	assert_null(b.mem);
	buf_append(&b, "abc", 3);
	assert_non_null(b.mem);
	buf_consume(&b, 3);
	assert_null(b.mem);
	assert_int_equal(b.cap, 0);
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
	buf_fini(&b);
}

static void
bytes_leave_in_order(void **state)
{
	struct buf b;

	(void) state;
	buf_init(&b);
	buf_append(&b, "hello ", 6);
	buf_append(&b, "world", 5);
	assert_int_equal(buf_len(&b), 11);
	assert_memory_equal(buf_data(&b), "hello world", 11);
	buf_consume(&b, 6);
	assert_int_equal(buf_len(&b), 5);
	assert_memory_equal(buf_data(&b), "world", 5);
	buf_consume(&b, 0);
	assert_int_equal(buf_len(&b), 5);
	buf_fini(&b);
	assert_null(b.mem);
}

static void
reserve_and_commit_append_in_place(void **state)
{
	struct buf b;
	uint8_t *room;

	(void) state;
	buf_init(&b);
	room = buf_reserve(&b, 100);
	memset(room, 'x', 100);
	buf_commit(&b, 10);
	assert_int_equal(buf_len(&b), 10);
	assert_memory_equal(buf_data(&b), "xxxxxxxxxx", 10);
	buf_fini(&b);
}

static void
a_commit_of_nothing_gives_the_memory_back(void **state)
{
	struct buf b;

	(void) state;
	buf_init(&b);
	assert_non_null(buf_reserve(&b, 100));
	buf_commit(&b, 0);
	assert_null(b.mem);
}

static void
a_steady_stream_does_not_grow(void **state)
{
	uint8_t chunk[100];
	struct buf b;

	(void) state;
	memset(chunk, 'y', sizeof(chunk));
	buf_init(&b);
	buf_append(&b, chunk, sizeof(chunk));
	for (int i = 0; i < 10000; i++)
	{
		buf_append(&b, chunk, sizeof(chunk));
		buf_consume(&b, sizeof(chunk));
	}
	assert_int_equal(buf_len(&b), sizeof(chunk));
	assert_in_range(b.cap, sizeof(chunk), 1024);
	buf_fini(&b);
}

/* A numbered byte stream through random appends, reservations and consumptions. */
static void
a_random_stream_arrives_whole(void **state)
{
	uint8_t chunk[3000];
	uint64_t random = 88172645463325252u;
	uint32_t written = 0;
	uint32_t read = 0;
	struct buf b;

	(void) state;
	buf_init(&b);
	for (int step = 0; step < 20000; step++)
	{
		size_t n;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		n = (size_t) (random >> 20) % sizeof(chunk);
		for (size_t i = 0; i < n; i++)
			chunk[i] = (uint8_t) ((written + i) * 31);
		if (random % 4 == 0)
		{
			buf_append(&b, chunk, n);
			written += n;
		}
		else if (random % 4 == 1)
		{
			memcpy(buf_reserve(&b, n), chunk, n);
			buf_commit(&b, n);
			written += n;
		}
		else
		{
			n = n < buf_len(&b) ? n : buf_len(&b);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(buf_data(&b)[i], (uint8_t) ((read + i) * 31));
			buf_consume(&b, n);
			read += n;
		}
		assert_int_equal(buf_len(&b), written - read);
		assert_true((b.mem == NULL) == (buf_len(&b) == 0));
	}
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_buf_holds_no_memory),
		cmocka_unit_test(bytes_leave_in_order),
		cmocka_unit_test(reserve_and_commit_append_in_place),
		cmocka_unit_test(a_commit_of_nothing_gives_the_memory_back),
		cmocka_unit_test(a_steady_stream_does_not_grow),
		cmocka_unit_test(a_random_stream_arrives_whole),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
