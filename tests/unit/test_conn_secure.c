/*
 * test_conn_secure.c - two conns of one loop with TLS between them: handshakes that succeed, fail
 * and are broken off, and bytes that go through whole however they are cut.
 */
#include "net/conn.h"

#include "tls_pair.h"

#define BIG (3 * 1024 * 1024 + 5)

/* Receives on c, as its owner would, until n bytes are there; they must count up from start. */
struct eater
{
	struct conn *c;
	size_t got;
	size_t want;
	enum conn_io last;
};

static bool
has_eaten(const void *arg)
{
	struct eater *e = (struct eater *) arg;
	uint8_t *p;
	size_t n;

	e->last = conn_recv(e->c, &p, &n);
	if (e->last == CONN_OK)
		for (size_t i = 0; i < n; i++, e->got++)
			if (p[i] != (uint8_t) (e->got * 7))
				fail_msg("byte %zu is wrong", e->got);
	return e->got >= e->want || e->last == CONN_EOF || e->last == CONN_ERROR;
}

static void
eat(struct tls_pair *p, struct conn *c, size_t n)
{
	struct eater e = {.c = c, .want = n};

	turn_until(&p->loop, has_eaten, &e, "bytes of the other side");
	assert_int_equal(e.got, n);
}

static uint8_t *
counting(size_t n)
{
	uint8_t *mem = malloc(n);

	assert_non_null(mem);
	for (size_t i = 0; i < n; i++)
		mem[i] = (uint8_t) (i * 7);
	return mem;
}

static void
both_sides_hear_each_other(void **state)
{
	struct tls_pair *p = *state;
	uint8_t *bytes = counting(100);
	char text[TLS_DESCRIPTION_MAX];

	tls_pair_join(p, TLS_HOST);
	assert_string_equal(p->server.error, "");
	assert_string_equal(p->client.error, "");
	assert_false(p->server.events || p->client.events);
	tls_describe(p->server.conn.tls, text, sizeof(text));
	assert_memory_equal(text, "TLSv1.3/TLS_", 12);
	assert_true(tls_agreed_on_protocol(p->server.conn.tls));
	assert_true(tls_agreed_on_protocol(p->client.conn.tls));
	assert_true(conn_send(&p->client.conn, bytes, 100));
	eat(p, &p->server.conn, 100);
	assert_true(conn_send(&p->server.conn, bytes, 100));
	eat(p, &p->client.conn, 100);
	free(bytes);
}

static void
a_batch_of_many_parts_arrives_in_order(void **state)
{
	struct tls_pair *p = *state;
	static const size_t sizes[] = {1, 0, 5, 16383, 3, 16384, 16385, 40000, 0, 7, 100000};
	struct iovec iov[11];
	size_t total = 0;
	uint8_t *bytes = counting(200000);

	tls_pair_join(p, TLS_HOST);
	for (int i = 0; i < 11; i++)
	{
		iov[i] = (struct iovec){bytes + total, sizes[i]};
		total += sizes[i];
	}
	assert_true(conn_sendv(&p->client.conn, iov, 11));
	eat(p, &p->server.conn, total);
	free(bytes);
}

/* The kernel takes only some of it: the rest is queued, record by record, and nothing is lost or
 * doubled although the queue moves while OpenSSL has a record half sent. */
static void
what_the_kernel_refuses_follows(void **state)
{
	struct tls_pair *p = *state;
	uint8_t *bytes = counting(BIG);
	size_t sent = 0;

	tls_pair_join(p, TLS_HOST);
	while (sent < BIG)
	{
		size_t n = BIG - sent < 50021 ? BIG - sent : 50021;

		assert_true(conn_send(&p->server.conn, bytes + sent, n));
		sent += n;
	}
	assert_true(conn_blocked(&p->server.conn));
	eat(p, &p->client.conn, BIG);
	assert_false(conn_blocked(&p->server.conn));
	free(bytes);
}

static struct eater *at_table;

static void
eat_event(struct conn *c, int revents)
{
	(void) c;
	(void) revents;
	has_eaten(at_table);
}

static bool
has_ended(const void *arg)
{
	return ((const struct eater *) arg)->last == CONN_EOF;
}

static void
the_end_is_told_behind_the_last_bytes(void **state)
{
	struct tls_pair *p = *state;
	uint8_t *bytes = counting(TLS_RECORD_MAX);
	struct eater e = {.c = &p->client.conn};

	tls_pair_join(p, TLS_HOST);
	assert_true(conn_send(&p->server.conn, bytes, TLS_RECORD_MAX));
	tls_bye(p->server.conn.tls); /* the socket stays open, so the kernel has no end to tell of */
	at_table = &e;
	p->client.conn.on_event = eat_event;
	turn_until(&p->loop, has_ended, &e, "the end");
	assert_int_equal(e.got, TLS_RECORD_MAX);
	free(bytes);
}

static void
an_end_without_goodbye_is_an_end(void **state)
{
	struct tls_pair *p = *state;
	struct eater e = {.c = &p->client.conn, .want = SIZE_MAX};

	tls_pair_join(p, TLS_HOST);
	assert_int_equal(shutdown(p->server.conn.fd, SHUT_WR), 0);
	turn_until(&p->loop, has_eaten, &e, "the end");
	assert_int_equal(e.last, CONN_EOF);
}

static void
the_wrong_host_is_refused(void **state)
{
	struct tls_pair *p = *state;

	tls_pair_join(p, "other.test");
	assert_string_equal(p->client.error, "hostname mismatch");
	assert_string_not_equal(p->server.error, "");
}

/* What is in clear where a handshake should be. */
static void
nonsense_is_no_handshake(void **state)
{
	struct tls_pair *p = *state;

	assert_true(conn_send(&p->client.conn, "Q\0\0\0\6x\0 and so on", 18));
	conn_secure(&p->server.conn, tls_new(p->accepts, p->server.conn.fd, NULL), tls_end_secured);
	turn_until(&p->loop, is_true, &p->server.over, "the handshake to fail");
	assert_string_not_equal(p->server.error, "");
	assert_false(conn_send(&p->server.conn, "too late", 8));
}

static void
nothing_is_sent_before_the_end_of_the_handshake(void **state)
{
	struct tls_pair *p = *state;

	tls_pair_begin(p, TLS_HOST);
	assert_false(conn_send(&p->server.conn, "FATAL", 5));
}

/* At each turn of a handshake one side goes away: neither crashes, the other is told. */
static void
a_handshake_may_be_broken_off(void **state)
{
	struct tls_pair *p = *state;

	for (int turns = 0; turns < 12; turns++)
	{
		struct tls_end server = {0};
		struct tls_end client = {0};
		int fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		conn_open(&server.conn, &p->loop, nonblocking(fds[0]), tls_end_event);
		conn_open(&client.conn, &p->loop, nonblocking(fds[1]), tls_end_event);
		conn_secure(&server.conn, tls_new(p->accepts, fds[0], NULL), tls_end_secured);
		conn_secure(&client.conn, tls_new(p->connects, fds[1], TLS_HOST), tls_end_secured);
		for (int i = 0; i < turns; i++)
			turn_once(&p->loop);
		conn_close(turns % 2 == 0 ? &server.conn : &client.conn);
		if (turns % 2 == 0)
			turn_until(&p->loop, is_true, &client.over, "the client to be told");
		else
			turn_until(&p->loop, is_true, &server.over, "the server to be told");
		conn_close(&server.conn);
		conn_close(&client.conn);
		assert_true(list_empty(&p->loop.handshakes));
	}
}

static int
length(const struct list *head)
{
	int n = 0;

	for (const struct list *l = head->next; l != head; l = l->next)
		n++;
	return n;
}

/* Whatever the burst, the loop does one step and then looks at its other sockets. */
static void
a_turn_takes_one_step(void **state)
{
	struct tls_pair *p = *state;
	struct tls_end ends[5] = {0};
	int fds[2];

	for (int i = 0; i < 5; i++)
	{
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		conn_open(&ends[i].conn, &p->loop, nonblocking(fds[0]), tls_end_event);
		conn_secure(&ends[i].conn, tls_new(p->accepts, fds[0], NULL), tls_end_secured);
		close(fds[1]);
	}
	for (int i = 5; i > 0; i--)
	{
		assert_int_equal(length(&p->loop.handshakes), i);
		turn_once(&p->loop);
	}
	for (int i = 0; i < 5; i++)
	{
		turn_until(&p->loop, is_true, &ends[i].over, "each to be told");
		conn_close(&ends[i].conn);
	}
}

static void
a_conn_is_taken_over_with_its_tls(void **state)
{
	struct tls_pair *p = *state;
	struct tls_end heir = {0};
	uint8_t *bytes = counting(1000);

	tls_pair_join(p, TLS_HOST);
	conn_take(&heir.conn, &p->server.conn, tls_end_event);
	assert_int_equal(p->server.conn.fd, -1);
	conn_close(&p->server.conn);
	assert_true(conn_send(&heir.conn, bytes, 1000));
	eat(p, &p->client.conn, 1000);
	assert_true(conn_send(&p->client.conn, bytes, 1000));
	turn_until(&p->loop, is_true, &heir.events, "the heir to hear");
	eat(p, &heir.conn, 1000);
	conn_close(&heir.conn);
	free(bytes);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tls_pair_set_up, tls_pair_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_sides_hear_each_other),
		TEST(a_batch_of_many_parts_arrives_in_order),
		TEST(what_the_kernel_refuses_follows),
		TEST(the_end_is_told_behind_the_last_bytes),
		TEST(an_end_without_goodbye_is_an_end),
		TEST(the_wrong_host_is_refused),
		TEST(nonsense_is_no_handshake),
		TEST(nothing_is_sent_before_the_end_of_the_handshake),
		TEST(a_handshake_may_be_broken_off),
		TEST(a_turn_takes_one_step),
		TEST(a_conn_is_taken_over_with_its_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
