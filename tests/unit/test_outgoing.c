/*
 * test_outgoing.c - pieces arrive in order and whole, however many there are.
 */
#include "core/outgoing.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/conn.h"
#include "turning.h"

struct fixture
{
	struct loop loop;
	struct conn conn;
	int peer;
	struct buf expected;
};

static void
no_event(struct conn *c, int revents)
{
	(void) c;
	(void) revents;
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	if (f == NULL || !loop_init(&f->loop, 0, NULL) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return -1;
	f->peer = fds[1];
	conn_open(&f->conn, &f->loop, nonblocking(fds[0]), no_event);
	buf_init(&f->expected);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	conn_close(&f->conn);
	if (f->peer >= 0)
		close(f->peer);
	buf_fini(&f->expected);
	loop_fini(&f->loop);
	free(f);
	return 0;
}

/* All that was expected has come, and no more. */
static void
assert_came(struct fixture *f)
{
	size_t done = 0;
	uint8_t mem[4096];

	while (done < buf_len(&f->expected))
	{
		ssize_t n = recv(f->peer, mem, sizeof(mem), MSG_DONTWAIT);

		if (n < 0)
		{
			assert_true(conn_blocked(&f->conn));
			turn_once(&f->loop);
			continue;
		}
		assert_in_range(n, 1, buf_len(&f->expected) - done);
		assert_memory_equal(mem, buf_data(&f->expected) + done, (size_t) n);
		done += (size_t) n;
	}
	assert_false(conn_blocked(&f->conn));
	assert_int_equal(recv(f->peer, mem, 1, MSG_DONTWAIT), -1);
	buf_consume(&f->expected, buf_len(&f->expected));
}

static void
neighbours_become_one_piece(void **state)
{
	struct fixture *f = *state;
	struct outgoing o;
	char text[] = "abcdef";

	outgoing_init(&o, &f->conn);
	assert_true(outgoing_flush(&o));
	outgoing_pass(&o, text, 2);
	outgoing_pass(&o, text + 2, 0);
	outgoing_pass(&o, text + 2, 2);
	assert_int_equal(o.n, 1);
	outgoing_put(&o, "XY", 2);
	outgoing_put(&o, "Z", 1);
	assert_int_equal(o.n, 2);
	outgoing_pass(&o, text + 4, 2);
	assert_int_equal(o.n, 3);
	assert_true(outgoing_flush(&o));
	buf_append(&f->expected, "abcdXYZef", 9);
	assert_came(f);
}

/* Up to a size such a batch leaves as one piece; all of it leaves in order on either side of that.
 */
static void
around_the_size_of_a_small_batch(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[OUTGOING_SMALL + 2];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t) (i % 251);
	for (size_t n = OUTGOING_SMALL - 2; n <= OUTGOING_SMALL + 2; n++)
	{
		struct outgoing o;

		outgoing_init(&o, &f->conn);
		outgoing_pass(&o, bytes, 500);
		outgoing_put(&o, bytes + 500, 100);
		outgoing_pass(&o, bytes + 600, n - 600);
		assert_int_equal(o.n, 3);
		assert_true(outgoing_flush(&o));
		buf_append(&f->expected, bytes, n);
		assert_came(f);
	}
}

/* Of every size, passed and copied in turn, so that pieces and scratch run out at different times.
 */
static void
more_than_fits(void **state)
{
	struct fixture *f = *state;

	for (size_t size = 1; size <= OUTGOING_SCRATCH; size = size * 5 / 3 + 1)
	{
		uint8_t *passed = malloc(size);
		struct outgoing o;

		assert_non_null(passed);
		outgoing_init(&o, &f->conn);
		for (int i = 0; i < 5 * OUTGOING_PARTS; i++)
		{
			uint8_t *copied = malloc(size);

			assert_non_null(copied);
			memset(passed, 'p', size);
			memset(copied, i % 251, size);
			outgoing_put(&o, copied, size);
			buf_append(&f->expected, copied, size);
			free(copied);
			if (i % 3 == 0)
				continue;
			outgoing_pass(&o, passed, size);
			buf_append(&f->expected, passed, size);
		}
		assert_true(outgoing_flush(&o));
		assert_came(f);
		free(passed);
	}
}

/* Small copies behind one that stood far back in scratch when the pieces ran out. */
static void
what_waits_is_not_overwritten(void **state)
{
	struct fixture *f = *state;
	char sea[2 * OUTGOING_PARTS];
	struct outgoing o;

	memset(sea, 's', sizeof(sea));
	outgoing_init(&o, &f->conn);
	for (int i = 0; i < 4 * OUTGOING_PARTS; i++)
	{
		uint8_t bytes[40];

		memset(bytes, i % 251, sizeof(bytes));
		outgoing_put(&o, bytes, sizeof(bytes));
		buf_append(&f->expected, bytes, sizeof(bytes));
		if (i % (OUTGOING_PARTS / 2) == 5)
			continue;
		outgoing_pass(&o, sea + 2 * (i % OUTGOING_PARTS), 1);
		buf_append(&f->expected, "s", 1);
	}
	assert_true(outgoing_flush(&o));
	assert_came(f);
}

static void
a_broken_socket_is_told(void **state)
{
	struct fixture *f = *state;
	struct outgoing o;

	close(f->peer);
	f->peer = -1;
	outgoing_init(&o, &f->conn);
	outgoing_put(&o, "x", 1);
	assert_false(outgoing_flush(&o));
	outgoing_put(&o, "y", 1);
	assert_false(outgoing_flush(&o));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(neighbours_become_one_piece, set_up, tear_down),
		cmocka_unit_test_setup_teardown(around_the_size_of_a_small_batch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(more_than_fits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_waits_is_not_overwritten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_broken_socket_is_told, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
