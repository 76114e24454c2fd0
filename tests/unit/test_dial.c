/*
 * test_dial.c - every way a dial can end, and cancelling it at every stage.
 */
#include "net/dial.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "fake_dns.h"
#include "net/peer_addr.h"
#include "turning.h"

struct fixture
{
	struct loop loop;
	struct fake_dns dns;
	struct dial *dial;
	bool done;
	int fd; /* what the callback got */
	char error[600];
	char dir[32]; /* for unix sockets */
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL || !loop_init(&f->loop, 0, NULL))
		return -1;
	f->fd = -1;
	strcpy(f->dir, "/tmp/test_dial.XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	fake_dns_start(&f->dns, &f->loop);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	dial_cancel(&f->dial);
	if (f->fd >= 0)
		close(f->fd);
	resolve_fini(&f->loop);
	fake_dns_stop(&f->dns);
	loop_fini(&f->loop);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void
note(void *arg, int fd, const char *error)
{
	struct fixture *f = arg;

	f->dial = NULL;
	assert_false(f->done); /* once */
	f->done = true;
	f->fd = fd;
	f->error[0] = '\0';
	if (error != NULL)
		snprintf(f->error, sizeof(f->error), "%s", error);
}

static void
start(struct fixture *f, const char *host, int port)
{
	f->done = false;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->dial = dial_start(&f->loop, host, port, note, f);
	assert_non_null(f->dial);
	assert_false(f->done); /* never from within */
}

static void
dial(struct fixture *f, const char *host, int port)
{
	start(f, host, port);
	turn_until(&f->loop, is_true, &f->done, host);
}

static void
assert_connected(const struct fixture *f)
{
	struct peer_addr peer = {.len = sizeof(peer.ss)};

	assert_string_equal(f->error, "");
	assert_true(f->fd >= 0);
	assert_int_equal(getpeername(f->fd, (struct sockaddr *) &peer.ss, &peer.len), 0);
	assert_true(fcntl(f->fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(f->fd, F_GETFD) & FD_CLOEXEC);
}

/* Failed with one line that contains both words. */
static void
assert_failed(const struct fixture *f, const char *host, const char *cause)
{
	assert_int_equal(f->fd, -1);
	if (strstr(f->error, host) == NULL || strstr(f->error, cause) == NULL ||
		strchr(f->error, '\n') != NULL)
		fail_msg("expected %s and %s in: %s", host, cause, f->error);
}

/* A unix socket listening where dial looks for it. */
static int
unix_listener(const char *dir, int port, int backlog)
{
	struct peer_addr a;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(peer_addr_unix(&a, dir, port));
	assert_int_equal(bind(fd, (struct sockaddr *) &a.ss, a.len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void
unlink_unix(const char *dir, int port)
{
	struct peer_addr a;

	assert_true(peer_addr_unix(&a, dir, port));
	assert_int_equal(unlink(((struct sockaddr_un *) &a.ss)->sun_path), 0);
}

/* ---- TCP ---- */

static void
an_address_is_connected(void **state)
{
	struct fixture *f = *state;
	int port = 0;
	int server = tcp_bound("127.0.0.1", &port, 5);
	int on = 0;
	socklen_t len = sizeof(on);

	dial(f, "127.0.0.1", port);
	assert_connected(f);
	assert_int_equal(getsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
	assert_true(on);
	assert_int_equal(f->dns.questions, 0);
	close(server);
}

static void
a_refused_port_is_named(void **state)
{
	struct fixture *f = *state;
	int port = 0;
	int taken = tcp_bound("127.0.0.1", &port, -1); /* bound, not listening: nobody else gets it */
	char text[32];

	dial(f, "127.0.0.1", port);
	snprintf(text, sizeof(text), "127.0.0.1 port %d", port);
	assert_failed(f, text, "refused");
	close(taken);
}

static void
localhost_is_found_by_name(void **state)
{
	struct fixture *f = *state;
	int port = 0;
	int server = tcp_bound("127.0.0.1", &port, 5);

	dial(f, "localhost", port);
	assert_connected(f);
	close(server);
}

static void
an_unknown_name_is_named(void **state)
{
	struct fixture *f = *state;

	dial(f, "nobody.example", 5432);
	assert_failed(f, "nobody.example", "resolve");
}

static void
all_addresses_are_tried(void **state)
{
	struct fixture *f = *state;
	int port = 0;
	int server = tcp_bound("127.0.0.7", &port, 5);

	/* Whatever their order, one of four answers. */
	dial(f, "127.0.0.5.127.0.0.6.127.0.0.7.127.0.0.8.test", port);
	assert_connected(f);
	close(server);
}

static void
all_causes_are_told(void **state)
{
	struct fixture *f = *state;
	int port = 0;
	int taken = tcp_bound("127.0.0.5", &port, -1);

	dial(f, "127.0.0.5.127.0.0.6.test", port);
	assert_failed(f, "127.0.0.5: Connection refused", "127.0.0.6: Connection refused");
	close(taken);
}

/* A listener whose queue is full: Linux then drops what knocks. */
static int
deaf_listener(const char *address, int *port, int *callers, int n)
{
	int server = tcp_bound(address, port, 0);
	struct sockaddr_in sin = {0};
	socklen_t len = sizeof(sin);

	assert_int_equal(getsockname(server, (struct sockaddr *) &sin, &len), 0);
	for (int i = 0; i < n; i++)
	{
		callers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(callers[i] >= 0);
		(void) connect(callers[i], (struct sockaddr *) &sin, sizeof(sin));
	}
	return server;
}

static void
an_address_that_does_not_answer_gives_way(void **state)
{
	struct fixture *f = *state;
	int callers[4];
	int port = 0;
	int deaf = deaf_listener("127.0.0.5", &port, callers, 4);
	int server = tcp_bound("127.0.0.6", &port, 5);

	dial(f, "127.0.0.5.127.0.0.6.test", port);
	assert_connected(f);
	for (int i = 0; i < 4; i++)
		close(callers[i]);
	close(deaf);
	close(server);
}

/* ---- unix sockets ---- */

static void
a_unix_socket_is_connected(void **state)
{
	struct fixture *f = *state;
	int server = unix_listener(f->dir, 6000, 5);

	dial(f, f->dir, 6000);
	assert_connected(f);
	close(server);

	/* Nobody listens on it any more. */
	dial(f, f->dir, 6000);
	assert_failed(f, f->dir, "refused");
	unlink_unix(f->dir, 6000);
	dial(f, f->dir, 6000);
	assert_failed(f, "/.s.PGSQL.6000", "No such file");
}

static void
an_abstract_socket_is_connected(void **state)
{
	struct fixture *f = *state;
	char name[64];
	int server;

	snprintf(name, sizeof(name), "@test_dial-%d", (int) getpid());
	server = unix_listener(name, 6000, 5);
	dial(f, name, 6000);
	assert_connected(f);
	close(server);
	dial(f, name, 6000);
	assert_failed(f, name, "refused");
}

static void
a_path_that_is_too_long_is_refused(void **state)
{
	struct fixture *f = *state;
	char dir[200];

	memset(dir, 'x', sizeof(dir) - 1);
	dir[0] = '/';
	dir[sizeof(dir) - 1] = '\0';
	dial(f, dir, 5432);
	assert_failed(f, "/xxx", "too long");
}

static void
a_full_unix_queue_is_waited_for(void **state)
{
	struct fixture *f = *state;
	int server = unix_listener(f->dir, 6000, 0);
	int first;

	dial(f, f->dir, 6000);
	assert_connected(f);
	first = f->fd;
	f->fd = -1;

	/* The queue holds one; the second waits until it is accepted. */
	start(f, f->dir, 6000);
	for (int i = 0; i < 3; i++)
		turn_once(&f->loop);
	assert_false(f->done);
	close(accept(server, NULL, NULL));
	turn_until(&f->loop, is_true, &f->done, "room in the queue");
	assert_connected(f);
	close(first);
	close(server);
	unlink_unix(f->dir, 6000);
}

/* ---- cancelling ---- */

/* Turns a while after a cancel; the callback must not come. */
static void
cancel_and_look(struct fixture *f)
{
	dial_cancel(&f->dial);
	assert_null(f->dial);
	dial_cancel(&f->dial); /* legal */
	for (int i = 0; i < 3; i++)
		turn_once(&f->loop);
	assert_false(f->done);
}

static void
cancel_while_resolving(void **state)
{
	struct fixture *f = *state;
	int port = 0;
	int server = tcp_bound("127.0.0.1", &port, 5);

	start(f, "127.0.0.1.test", port);
	cancel_and_look(f);
	start(f, "silent.test", port);
	turn_once(&f->loop);
	cancel_and_look(f);
	start(f, "localhost", port); /* resolved already, not delivered */
	cancel_and_look(f);

	/* The resolver is none the worse for it. */
	dial(f, "127.0.0.1.test", port);
	assert_connected(f);
	close(server);
}

static void
cancel_while_connecting(void **state)
{
	struct fixture *f = *state;
	int callers[4];
	int port = 0;
	int deaf = deaf_listener("127.0.0.5", &port, callers, 4);
	struct stat st;
	int next_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* Descriptors are given lowest first: what the dial opened is closed when the same number comes
	 * again. */
	close(next_fd);
	start(f, "127.0.0.5", port);
	assert_int_equal(fstat(next_fd, &st), 0);
	turn_once(&f->loop);
	assert_false(f->done);
	cancel_and_look(f);
	assert_int_equal(fstat(next_fd, &st), -1);
	for (int i = 0; i < 4; i++)
		close(callers[i]);
	close(deaf);
}

static void
cancel_when_connected_but_not_told(void **state)
{
	struct fixture *f = *state;
	int server = unix_listener(f->dir, 6000, 5);
	char byte;
	int peer;

	start(f, f->dir, 6000);
	cancel_and_look(f);
	peer = accept(server, NULL, NULL);
	assert_true(peer >= 0);
	assert_int_equal(read(peer, &byte, 1), 0); /* closed at our end */
	close(peer);
	close(server);
	unlink_unix(f->dir, 6000);
}

static void
cancel_while_waiting_for_the_queue(void **state)
{
	struct fixture *f = *state;
	int server = unix_listener(f->dir, 6000, 0);
	int first;

	dial(f, f->dir, 6000);
	assert_connected(f);
	first = f->fd;
	f->fd = -1;
	start(f, f->dir, 6000);
	turn_once(&f->loop);
	cancel_and_look(f);
	close(first);
	close(server);
	unlink_unix(f->dir, 6000);
}

static void
cancel_before_a_failure_is_told(void **state)
{
	struct fixture *f = *state;

	start(f, f->dir, 6000); /* no such socket: known at once, told later */
	cancel_and_look(f);
}

/* A failed dial is often followed by the next one from its callback. */
static void
dial_again(void *arg, int fd, const char *error)
{
	struct fixture *f = arg;

	assert_int_equal(fd, -1);
	assert_non_null(error);
	f->dial = dial_start(&f->loop, f->dir, 6000, note, f);
}

static void
a_callback_may_dial_again(void **state)
{
	struct fixture *f = *state;
	int server = unix_listener(f->dir, 6000, 5);

	f->dial = dial_start(&f->loop, f->dir, 6001, dial_again, f);
	turn_until(&f->loop, is_true, &f->done, "the second dial");
	assert_connected(f);
	close(server);
	unlink_unix(f->dir, 6000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_address_is_connected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_refused_port_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(localhost_is_found_by_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_unknown_name_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_addresses_are_tried, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_causes_are_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_address_that_does_not_answer_gives_way, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(a_unix_socket_is_connected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_abstract_socket_is_connected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_path_that_is_too_long_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_unix_queue_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancel_while_resolving, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancel_while_connecting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancel_when_connected_but_not_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancel_while_waiting_for_the_queue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancel_before_a_failure_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_callback_may_dial_again, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
