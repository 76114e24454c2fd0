/*
 * test_conn.c - one end of a socketpair is the conn, the other is the peer in the test's hand.
 */
#include "net/conn.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "turning.h"

/* What a test's callback saw. */
struct seen
{
	struct conn conn; /* first: the callback casts */
	int calls;
	bool readable;
	bool writable;
};

struct fixture
{
	struct loop loop;
	struct seen seen;
	int peer; /* -1 when the test closed it */
};

static void
note(struct conn *c, int revents)
{
	struct seen *s = (struct seen *) c;

	s->calls++;
	s->readable = s->readable || (revents & EV_READ) != 0;
	s->writable = s->writable || (revents & EV_WRITE) != 0;
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	if (f == NULL || !loop_init(&f->loop, 0, NULL) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return -1;
	f->peer = fds[1];
	fcntl(f->peer, F_SETFL, O_NONBLOCK);
	conn_open(&f->seen.conn, &f->loop, nonblocking(fds[0]), note);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	conn_close(&f->seen.conn);
	conn_close(&f->seen.conn);
	if (f->peer >= 0)
		close(f->peer);
	loop_fini(&f->loop);
	free(f);
	return 0;
}

static void
peer_sends(const struct fixture *f, const char *text)
{
	assert_int_equal(send(f->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}

static void
wait_readable(struct fixture *f)
{
	f->seen.readable = false;
	turn_until(&f->loop, is_true, &f->seen.readable, "a readable conn");
}

static void
assert_recv(struct conn *c, const char *expected, uint8_t **data, size_t *n)
{
	assert_int_equal(conn_recv(c, data, n), CONN_OK);
	assert_int_equal(*n, strlen(expected));
	assert_memory_equal(*data, expected, *n);
}

static void
a_new_conn_reads(void **state)
{
	struct fixture *f = *state;
	uint8_t *data;
	size_t n;

	assert_int_equal(conn_recv(&f->seen.conn, &data, &n), CONN_AGAIN);
	peer_sends(f, "hello");
	wait_readable(f);
	assert_recv(&f->seen.conn, "hello", &data, &n);
	assert_int_equal(conn_recv(&f->seen.conn, &data, &n), CONN_AGAIN);
}

static void
saved_bytes_come_back_in_front(void **state)
{
	struct fixture *f = *state;
	struct conn *c = &f->seen.conn;
	uint8_t *data;
	size_t n;

	peer_sends(f, "whole|par");
	wait_readable(f);
	assert_recv(c, "whole|par", &data, &n);
	conn_save(c, data + 6, 3);

	peer_sends(f, "tial|an");
	wait_readable(f);
	assert_recv(c, "partial|an", &data, &n);
	conn_save(c, data + 8, 2);

	/* Without reading, and only once. */
	assert_true(conn_saved(c, &data, &n));
	assert_int_equal(n, 2);
	assert_memory_equal(data, "an", 2);
	assert_false(conn_saved(c, &data, &n));
	assert_null(c->in.mem);
}

static void
what_was_saved_outlives_an_empty_read(void **state)
{
	struct fixture *f = *state;
	struct conn *c = &f->seen.conn;
	uint8_t *data;
	size_t n;

	peer_sends(f, "abc");
	wait_readable(f);
	assert_recv(c, "abc", &data, &n);
	conn_save(c, data, n);
	assert_int_equal(conn_recv(c, &data, &n), CONN_AGAIN);
	peer_sends(f, "def");
	wait_readable(f);
	assert_recv(c, "abcdef", &data, &n);
}

static void
the_largest_saved_piece_fits(void **state)
{
	struct fixture *f = *state;
	struct conn *c = &f->seen.conn;
	uint8_t *big = malloc(LOOP_READ_SLACK);
	uint8_t *data;
	size_t n;

	assert_non_null(big);
	for (size_t i = 0; i < LOOP_READ_SLACK; i++)
		big[i] = (uint8_t) (i * 7);
	conn_save(c, big, LOOP_READ_SLACK);
	peer_sends(f, "!");
	wait_readable(f);
	assert_int_equal(conn_recv(c, &data, &n), CONN_OK);
	assert_int_equal(n, LOOP_READ_SLACK + 1);
	assert_memory_equal(data, big, LOOP_READ_SLACK);
	assert_int_equal(data[LOOP_READ_SLACK], '!');
	free(big);
}

/* ---- output ---- */

/* Byte i of the stream that fill() and drain() agree on. */
static uint8_t
stream_byte(size_t i)
{
	return (uint8_t) (i * 31 + i / 251);
}

/* Sends until the kernel takes no more, in parts of three; returns the bytes handed over. */
static size_t
fill(struct conn *c)
{
	uint8_t part[3][5000];
	size_t total = 0;

	while (!conn_blocked(c))
	{
		struct iovec iov[3];

		for (int p = 0; p < 3; p++)
		{
			/* Parts of unequal length, one of them empty now and then. */
			iov[p].iov_base = part[p];
			iov[p].iov_len = (total + (size_t) p * 1237) % sizeof(part[p]);
			if (iov[p].iov_len % 10 == 0)
				iov[p].iov_len = 0;
			for (size_t i = 0; i < iov[p].iov_len; i++)
				part[p][i] = stream_byte(total++);
		}
		if (iov[0].iov_len + iov[1].iov_len + iov[2].iov_len == 0)
		{
			part[0][0] = stream_byte(total++);
			iov[0].iov_len = 1;
		}
		assert_true(conn_sendv(c, iov, 3));
	}
	return total;
}

struct drain
{
	struct fixture *f;
	size_t got;
	size_t total;
	int wrong;
};

/* The peer reads what is there; true when it has everything. */
static bool
drained(const void *arg)
{
	struct drain *d = *(struct drain *const *) arg;
	uint8_t buffer[4096];
	ssize_t n;

	while ((n = recv(d->f->peer, buffer, sizeof(buffer), 0)) > 0)
		for (ssize_t i = 0; i < n; i++)
			d->wrong += buffer[i] != stream_byte(d->got++);
	return d->got == d->total;
}

static void
blocked_output_flushes_in_order(void **state)
{
	struct fixture *f = *state;
	struct conn *c = &f->seen.conn;
	struct drain d = {.f = f};
	struct drain *arg = &d;

	d.total = fill(c);
	assert_true(conn_blocked(c));
	f->seen.writable = false;
	turn_once(&f->loop);
	assert_false(f->seen.writable); /* the peer has read nothing yet */

	turn_until(&f->loop, drained, &arg, "all bytes at the peer");
	assert_int_equal(d.wrong, 0);
	turn_until(&f->loop, is_true, &f->seen.writable, "the word that output is free again");
	assert_false(conn_blocked(c));
	assert_null(c->out.mem);

	/* The write watcher is gone: nothing more is reported. */
	f->seen.calls = 0;
	for (int i = 0; i < 3; i++)
		turn_once(&f->loop);
	assert_int_equal(f->seen.calls, 0);
}

static void
send_after_a_blocked_send_keeps_the_order(void **state)
{
	struct fixture *f = *state;
	struct conn *c = &f->seen.conn;
	struct drain d = {.f = f};
	struct drain *arg = &d;
	uint8_t next;

	d.total = fill(c);
	/* Room in the kernel again, but older bytes still wait: the new one must go behind them. */
	(void) drained(&arg);
	next = stream_byte(d.total++);
	assert_true(conn_send(c, &next, 1));
	turn_until(&f->loop, drained, &arg, "all bytes at the peer");
	assert_int_equal(d.wrong, 0);
}

static void
sending_nothing_is_no_error(void **state)
{
	struct fixture *f = *state;

	assert_true(conn_send(&f->seen.conn, "", 0));
	assert_false(conn_blocked(&f->seen.conn));
}

/* ---- ends ---- */

static void
end_of_file_comes_after_the_last_bytes(void **state)
{
	struct fixture *f = *state;
	uint8_t *data;
	size_t n;

	peer_sends(f, "bye");
	close(f->peer);
	f->peer = -1;
	wait_readable(f);
	assert_recv(&f->seen.conn, "bye", &data, &n);
	wait_readable(f);
	assert_int_equal(conn_recv(&f->seen.conn, &data, &n), CONN_EOF);
}

static void
sending_to_a_peer_that_left_fails(void **state)
{
	struct fixture *f = *state;

	close(f->peer);
	f->peer = -1;
	assert_false(conn_send(&f->seen.conn, "x", 1));
}

static void
a_peer_that_leaves_while_output_waits_is_reported(void **state)
{
	struct fixture *f = *state;
	struct conn *c = &f->seen.conn;
	uint8_t *data;
	size_t n;
	enum conn_io io;

	(void) fill(c);
	close(f->peer);
	f->peer = -1;
	wait_readable(f);
	assert_false(conn_blocked(c));
	io = conn_recv(c, &data, &n);
	assert_true(io == CONN_EOF || io == CONN_ERROR);
}

/* ---- back-pressure ---- */

static void
a_stopped_conn_does_not_read(void **state)
{
	struct fixture *f = *state;
	struct conn *c = &f->seen.conn;
	uint8_t *data;
	size_t n;

	conn_read_stop(c);
	conn_read_stop(c);
	peer_sends(f, "later");
	for (int i = 0; i < 3; i++)
		turn_once(&f->loop);
	assert_int_equal(f->seen.calls, 0);
	conn_read_start(c);
	wait_readable(f);
	assert_recv(c, "later", &data, &n);
}

static void
a_stopped_conn_still_flushes(void **state)
{
	struct fixture *f = *state;
	struct conn *c = &f->seen.conn;
	struct drain d = {.f = f};
	struct drain *arg = &d;

	conn_read_stop(c);
	d.total = fill(c);
	peer_sends(f, "unread");
	turn_until(&f->loop, drained, &arg, "all bytes at the peer");
	turn_until(&f->loop, is_true, &f->seen.writable, "the word that output is free again");
	assert_false(f->seen.readable);
	assert_int_equal(d.wrong, 0);
}

/* ---- closing ---- */

static void
close_in_the_callback(struct conn *c, int revents)
{
	note(c, revents);
	conn_close(c);
}

static void
a_callback_may_close(void **state)
{
	struct fixture *f = *state;
	char byte;

	f->seen.conn.on_event = close_in_the_callback;
	peer_sends(f, "x");
	wait_readable(f);
	assert_int_equal(f->seen.conn.fd, -1);
	for (int i = 0; i < 3; i++)
		turn_once(&f->loop);
	assert_int_equal(f->seen.calls, 1);
	/* Unread bytes make it a reset on TCP; a unix socket says the same. */
	assert_true(recv(f->peer, &byte, 1, 0) <= 0);
}

/* On TCP, closing over unread bytes is a reset, and a reset may overtake the last message. */
static void
a_last_message_survives_unread_bytes(void **state)
{
	struct fixture *f = *state;
	int port = 0;
	int server = tcp_bound("127.0.0.1", &port, 1);
	int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sin = {0};
	socklen_t len = sizeof(sin);
	char text[16];
	struct seen other = {0};

	assert_int_equal(getsockname(server, (struct sockaddr *) &sin, &len), 0);
	assert_int_equal(connect(peer, (struct sockaddr *) &sin, sizeof(sin)), 0);
	conn_open(&other.conn, &f->loop, nonblocking(accept(server, NULL, NULL)), note);
	assert_int_equal(send(peer, "never read", 10, 0), 10);
	turn_until(&f->loop, is_true, &other.readable, "bytes that nobody reads");

	assert_true(conn_send(&other.conn, "farewell", 8));
	conn_linger(&other.conn);
	conn_close(&other.conn);
	assert_int_equal(recv(peer, text, sizeof(text), 0), 8);
	assert_memory_equal(text, "farewell", 8);
	assert_int_equal(recv(peer, text, sizeof(text), 0), 0); /* an end, not a reset */
	close(peer);
	close(server);
}

static void
a_conn_that_was_never_opened_closes(void **state)
{
	struct conn c;

	(void) state;
	conn_init(&c);
	conn_linger(&c);
	conn_close(&c);
	assert_int_equal(c.fd, -1);
}

/*
 * ---- moving between two loops ----
 *
 * The conn echoes what it reads, on whichever loop it is. After each echo it leaves that loop and
 * goes to the other by mail, as servers do. The peer, in the test's thread, plays ball with it:
 * each round needs a wake-up on the right loop.
 */

#define MOVES 400

struct traveller
{
	struct conn conn; /* first: the callback casts */
	struct mail mail;
	struct loop loops[2];
	pthread_t threads[2];
	struct mail stop[2];
	int at;           /* belongs to the loop that has the conn */
	int moves;        /* the same */
	atomic_int wrong; /* callbacks on a thread that does not own the conn, failed calls */
};

static void
arrive(struct mail *m)
{
	struct traveller *t = list_entry(m, struct traveller, mail);

	t->at = !t->at;
	t->moves++;
	conn_move(&t->conn, &t->loops[t->at]);
}

static void
echo_and_leave(struct conn *c, int revents)
{
	struct traveller *t = (struct traveller *) c;
	uint8_t *data;
	size_t n;
	enum conn_io io;

	(void) revents;
	if (!pthread_equal(pthread_self(), t->threads[t->at]))
		atomic_fetch_add(&t->wrong, 1);
	io = conn_recv(c, &data, &n);
	if (io == CONN_AGAIN)
		return; /* the one wake-up that libev's epoll may owe a moved descriptor */
	if (io != CONN_OK)
	{
		conn_read_stop(c); /* the peer has gone: the test is over */
		return;
	}
	if (!conn_send(c, data, n))
		atomic_fetch_add(&t->wrong, 1);
	conn_leave(c);
	loop_post(&t->loops[!t->at], &t->mail, arrive);
}

static void *
run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void
open_here(struct mail *m)
{
	struct traveller *t = list_entry(m, struct traveller, mail);

	conn_open(&t->conn, &t->loops[0], nonblocking(t->conn.fd), echo_and_leave);
}

static void
stop_first(struct mail *m)
{
	loop_stop(&list_entry(m, struct traveller, stop[0])->loops[0]);
}

static void
stop_second(struct mail *m)
{
	loop_stop(&list_entry(m, struct traveller, stop[1])->loops[1]);
}

static void
a_conn_moves_between_the_loops_of_two_threads(void **state)
{
	static struct traveller t;
	struct timeval limit = {.tv_sec = (time_t) DEADLINE_S};
	int fds[2];

	(void) state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	conn_init(&t.conn);
	t.conn.fd = fds[0];
	mail_init(&t.mail);
	for (int i = 0; i < 2; i++)
	{
		mail_init(&t.stop[i]);
		assert_true(loop_init(&t.loops[i], i, NULL));
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t.threads[i], NULL, run_loop, &t.loops[i]), 0);
	loop_post(&t.loops[0], &t.mail, open_here);

	for (int i = 0; i < MOVES; i++)
	{
		char sent = (char) i;
		char back;

		assert_int_equal(send(fds[1], &sent, 1, MSG_NOSIGNAL), 1);
		assert_int_equal(recv(fds[1], &back, 1, 0), 1);
		assert_int_equal(back, sent);
	}

	loop_post(&t.loops[0], &t.stop[0], stop_first);
	loop_post(&t.loops[1], &t.stop[1], stop_second);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(t.threads[i], NULL), 0);
	assert_int_equal(t.wrong, 0);
	/* The last move may have been under way when the loops stopped. */
	assert_in_range(t.moves, MOVES - 1, MOVES);

	conn_close(&t.conn);
	close(fds[1]);
	for (int i = 0; i < 2; i++)
		loop_fini(&t.loops[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_conn_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(saved_bytes_come_back_in_front, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_saved_outlives_an_empty_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest_saved_piece_fits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(blocked_output_flushes_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(send_after_a_blocked_send_keeps_the_order, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(sending_nothing_is_no_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(end_of_file_comes_after_the_last_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sending_to_a_peer_that_left_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_peer_that_leaves_while_output_waits_is_reported, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(a_stopped_conn_does_not_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stopped_conn_still_flushes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_callback_may_close, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_last_message_survives_unread_bytes, set_up, tear_down),
		cmocka_unit_test(a_conn_that_was_never_opened_closes),
		cmocka_unit_test(a_conn_moves_between_the_loops_of_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
