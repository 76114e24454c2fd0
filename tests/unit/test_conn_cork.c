/*
 * test_conn_cork.c - messages that leave as one.
 */
#include "net/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "unit.h"

static void
unheard(struct conn *c, int revents)
{
	(void) c;
	(void) revents;
}

/* Several messages, one write: the peer sees nothing before, and a broken socket is told. */
static void
corked_messages_leave_as_one(void **state)
{
	struct loop loop;
	struct conn conn;
	struct conn *c = &conn;
	int fds[2];
	const struct iovec more[2] = {{(void *) "two ", 4}, {(void *) "three", 5}};
	char got[40];

	(void) state;
	assert_true(loop_init(&loop, 0, NULL));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	conn_open(c, &loop, fds[0], unheard);
	assert_true(conn_uncork(c)); /* does nothing */
	conn_cork(c);
	assert_true(conn_send(c, "one ", 4));
	assert_true(conn_sendv(c, more, 2));
	conn_read_stop(c); /* arming asks for no write meanwhile */
	conn_read_start(c);
	assert_int_equal(c->io.events & EV_WRITE, 0);
	assert_int_equal(recv(fds[1], got, sizeof(got), 0), -1);
	assert_true(conn_uncork(c));
	assert_false(conn_blocked(c));
	assert_int_equal(recv(fds[1], got, sizeof(got), 0), 13);
	assert_memory_equal(got, "one two three", 13);
	assert_true(conn_send(c, "at once", 7));
	assert_int_equal(recv(fds[1], got, sizeof(got), 0), 7);
	conn_cork(c);
	assert_true(conn_send(c, "lost", 4));
	close(fds[1]);
	assert_false(conn_uncork(c));
	conn_close(c);
	loop_fini(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(corked_messages_leave_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
