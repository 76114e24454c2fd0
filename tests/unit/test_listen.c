/*
 * test_listen.c - accepting on TCP and unix sockets, stale sockets, running out of descriptors,
 * closing and retiring.
 *
 * The test is its own client: a connect to a listening socket on this machine succeeds before it is
 * accepted.
 */
#include "net/listen.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "turning.h"

#define MAX_FDS 256

struct fixture
{
	struct loop loop;
	ev_io io; /* of listen_fd() */
	struct listen_where where;
	char dir[32];
	char path[64]; /* of the unix socket */
	char address[64];
	char error[300];
	int n; /* accepted */
	int fds[MAX_FDS];
	struct peer_addr peers[MAX_FDS];
	int wanted; /* for accepted_enough() */
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL || !loop_init(&f->loop, -1, NULL))
		return -1;
	strcpy(f->dir, "/tmp/test_listen.XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	strcpy(f->address, "127.0.0.1");
	f->where.addr = f->address;
	f->where.unix_dir = f->dir;
	f->where.unix_mode = 0700;
	f->where.backlog = 128;
	/* A port that was free a moment ago; open_free() takes another when it no longer is. */
	close(tcp_bound("127.0.0.1", &f->where.port, -1));
	snprintf(f->path, sizeof(f->path), "%s/.s.PGSQL.%d", f->dir, f->where.port);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	listen_close();
	listen_close();
	ev_io_stop(f->loop.ev, &f->io);
	listen_fini();
	listen_fini();
	for (int i = 0; i < f->n; i++)
		close(f->fds[i]);
	loop_fini(&f->loop);
	unlink(f->path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void
note(int fd, const struct peer_addr *peer, void *arg)
{
	struct fixture *f = arg;

	assert_true(f->n < MAX_FDS);
	f->peers[f->n] = *peer;
	f->fds[f->n++] = fd;
}

static void
accept_all(struct ev_loop *ev, ev_io *w, int revents)
{
	struct peer_addr peer;
	int fd;

	(void) ev;
	(void) revents;
	while (listen_accept(&fd, &peer) == LISTEN_CLIENT)
		note(fd, &peer, w->data);
}

static bool
open_all(struct fixture *f)
{
	f->error[0] = '\0';
	if (!listen_open(&f->where, f->error, sizeof(f->error)))
		return false;
	if (!ev_is_active(&f->io))
	{
		ev_io_init(&f->io, accept_all, listen_fd(), EV_READ);
		f->io.data = f;
		ev_io_start(f->loop.ev, &f->io);
	}
	return true;
}

/* Opens on a free port. */
static void
open_free(struct fixture *f)
{
	while (!open_all(f))
	{
		int port = 0;

		if (strstr(f->error, "in use") == NULL)
			fail_msg("%s", f->error);
		close(tcp_bound("127.0.0.1", &port, -1));
		f->where.port = port;
		snprintf(f->path, sizeof(f->path), "%s/.s.PGSQL.%d", f->dir, f->where.port);
	}
}

static void
assert_refused(struct fixture *f, const char *what)
{
	assert_false(open_all(f));
	if (strstr(f->error, what) == NULL || strchr(f->error, '\n') != NULL)
		fail_msg("expected %s in: %s", what, f->error);
}

/* A connected client, or -1 with errno set. Blocks no longer than the kernel's own handshake. */
static int
try_client(const struct peer_addr *a)
{
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, (const struct sockaddr *) &a->ss, a->len) < 0)
	{
		int cause = errno;

		close(fd);
		errno = cause;
		return -1;
	}
	return fd;
}

static int
tcp_client(const struct fixture *f, const char *address)
{
	struct peer_addr a;
	int fd;

	assert_true(peer_addr_literal(&a, address, f->where.port));
	fd = try_client(&a);
	assert_true(fd >= 0);
	return fd;
}

static int
unix_client(const struct fixture *f)
{
	struct peer_addr a;

	assert_true(peer_addr_unix(&a, f->where.unix_dir, f->where.port));
	return try_client(&a);
}

static bool
accepted_enough(const void *arg)
{
	const struct fixture *f = arg;

	return f->n >= f->wanted;
}

static void
wait_accepted(struct fixture *f, int n)
{
	f->wanted = n;
	turn_until(&f->loop, accepted_enough, f, "accepted clients");
	assert_int_equal(f->n, n);
}

/* ---- accepting ---- */

static void
clients_of_both_kinds_are_accepted(void **state)
{
	struct fixture *f = *state;
	char host[PEER_ADDR_TEXT_MAX];
	int port;
	int tcp;
	int local;
	struct sockaddr_in self = {0};
	socklen_t len = sizeof(self);

	open_free(f);
	tcp = tcp_client(f, "127.0.0.1");
	wait_accepted(f, 1);
	assert_true(fcntl(f->fds[0], F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(f->fds[0], F_GETFD) & FD_CLOEXEC);
	peer_addr_text(&f->peers[0].ss, host, sizeof(host), &port);
	assert_int_equal(getsockname(tcp, (struct sockaddr *) &self, &len), 0);
	assert_string_equal(host, "127.0.0.1");
	assert_int_equal(port, ntohs(self.sin_port));

	local = unix_client(f);
	assert_true(local >= 0);
	wait_accepted(f, 2);
	peer_addr_text(&f->peers[1].ss, host, sizeof(host), &port);
	assert_string_equal(host, "unix");
	assert_int_equal(port, 0);
	close(tcp);
	close(local);
}

static void
a_star_is_every_address(void **state)
{
	struct fixture *f = *state;
	int client;

	strcpy(f->address, " * ");
	open_free(f);
	client = tcp_client(f, "127.0.0.2");
	wait_accepted(f, 1);
	close(client);
}

static void
names_and_repetitions_are_understood(void **state)
{
	struct fixture *f = *state;
	int client;

	strcpy(f->address, "127.0.0.1,localhost ,127.0.0.1, 127.0.0.2,,");
	open_free(f);
	client = tcp_client(f, "127.0.0.2");
	wait_accepted(f, 1);
	close(client);
}

static void
without_descriptors_a_client_waits(void **state)
{
	struct fixture *f = *state;
	struct peer_addr peer;
	struct rlimit old;
	struct rlimit tight;
	int client;
	int lowest;
	int fd;

	open_free(f);
	client = unix_client(f);
	assert_true(client >= 0);

	/* No number is left for an accepted client. */
	lowest = dup(client);
	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t) lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	assert_int_equal(listen_accept(&fd, &peer), LISTEN_REFUSED);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(fd, -1);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	wait_accepted(f, 1);
	assert_int_equal(listen_accept(&fd, &peer), LISTEN_NONE);
	close(client);
}

/* ---- closing ---- */

static void
a_closed_socket_gives_nobody(void **state)
{
	struct fixture *f = *state;
	struct peer_addr peer;
	int set;
	int fd;
	int client;

	open_free(f);
	set = listen_fd();
	client = unix_client(f);
	assert_true(client >= 0);
	listen_close();
	assert_int_equal(listen_accept(&fd, &peer), LISTEN_NONE);
	close(client);

	/* Who watches need not be told, nor when there are sockets again. */
	open_free(f);
	assert_int_equal(listen_fd(), set);
	client = unix_client(f);
	assert_true(client >= 0);
	wait_accepted(f, 1);
	close(client);
}

static void
a_socket_that_another_holds_too_is_left_to_it(void **state)
{
	struct fixture *f = *state;
	struct peer_addr peer;
	int ours = tcp_bound("127.0.0.1", &f->where.port, 5);
	int managers = dup(ours);
	int client;
	int fd;

	f->where.first_ready = ours;
	f->where.n_ready = 1;
	open_free(f);
	client = tcp_client(f, "127.0.0.1");
	wait_accepted(f, 1);
	close(client);

	/* It listens on, but is not ours. */
	listen_close();
	client = tcp_client(f, "127.0.0.1");
	for (int i = 0; i < 3; i++)
		turn_once(&f->loop);
	assert_int_equal(listen_accept(&fd, &peer), LISTEN_NONE);
	assert_int_equal(f->n, 1);
	close(client);
	close(managers);
}

static bool
is_retired(const void *arg)
{
	(void) arg;
	return !listen_is_retiring();
}

static void
who_waits_when_a_socket_retires_is_taken(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int client;
	int local;

	f->where.reuse_port = true;
	open_free(f);
	ev_io_stop(f->loop.ev, &f->io);
	client = tcp_client(f, "127.0.0.1");
	listen_retire(&f->loop, note, f);
	assert_true(listen_is_retiring());
	turn_until(&f->loop, is_retired, NULL, "the end of the time for the last ones");
	assert_int_equal(f->n, 1);

	/* The unix socket stays until it is closed. */
	ev_io_start(f->loop.ev, &f->io);
	local = unix_client(f);
	assert_true(local >= 0);
	wait_accepted(f, 2);
	listen_close();
	assert_int_equal(stat(f->path, &st), -1);
	close(client);
	close(local);
}

static void
it_may_be_closed_while_it_retires(void **state)
{
	struct fixture *f = *state;

	f->where.reuse_port = true;
	open_free(f);
	listen_retire(&f->loop, note, f);
	listen_close();
	assert_false(listen_is_retiring());

	f->where.reuse_port = false;
	open_free(f);
	listen_retire(&f->loop, note, f);
	assert_false(listen_is_retiring());
	assert_int_equal(unix_client(f), -1);
}

/* ---- unix sockets ---- */

static void
mode_and_group_are_set_and_the_file_is_removed(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char group[16];

	snprintf(group, sizeof(group), "%u", (unsigned) getgid());
	f->where.unix_group = group;
	f->where.unix_mode = 0712;
	open_free(f);
	assert_int_equal(stat(f->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0712);
	assert_int_equal(st.st_gid, getgid());
	listen_close();
	assert_int_equal(stat(f->path, &st), -1);

	f->where.unix_group = "no such group";
	assert_refused(f, "no such group");
	assert_int_equal(stat(f->path, &st), -1);
}

static void
a_stale_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct peer_addr a;
	int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client;

	/* Bound by a process that died: nobody listens. */
	f->where.addr = "";
	assert_true(peer_addr_unix(&a, f->dir, f->where.port));
	assert_int_equal(bind(stale, (struct sockaddr *) &a.ss, a.len), 0);
	close(stale);
	open_free(f);
	client = unix_client(f);
	assert_true(client >= 0);
	wait_accepted(f, 1);
	close(client);
}

static void
a_socket_in_use_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct peer_addr a;
	int owner = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client;

	f->where.addr = "";
	assert_true(peer_addr_unix(&a, f->dir, f->where.port));
	assert_int_equal(bind(owner, (struct sockaddr *) &a.ss, a.len), 0);
	assert_int_equal(listen(owner, 5), 0);
	assert_refused(f, "another process");
	client = unix_client(f);
	assert_true(client >= 0);
	close(client);
	close(owner);
}

static void
another_kind_of_file_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
	f->where.addr = "";
	assert_refused(f, "not a socket");
	assert_int_equal(stat(f->path, &st), 0);
}

static void
a_successors_socket_survives_close(void **state)
{
	struct fixture *f = *state;
	struct peer_addr a;
	struct stat st;
	int successor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	open_free(f);
	assert_int_equal(unlink(f->path), 0);
	assert_true(peer_addr_unix(&a, f->dir, f->where.port));
	assert_int_equal(bind(successor, (struct sockaddr *) &a.ss, a.len), 0);
	listen_close();
	assert_int_equal(stat(f->path, &st), 0);
	close(successor);
}

static void
an_abstract_socket_is_listened_on(void **state)
{
	struct fixture *f = *state;
	char name[64];
	int client;

	snprintf(name, sizeof(name), "@test_listen-%d", (int) getpid());
	f->where.addr = "";
	f->where.unix_dir = name;
	open_free(f);
	client = unix_client(f);
	assert_true(client >= 0);
	wait_accepted(f, 1);
	close(client);
}

/* ---- what cannot be opened ---- */

static void
one_failure_closes_all(void **state)
{
	struct fixture *f = *state;
	struct peer_addr a;
	struct stat st;
	int port = 0;
	int taken;

	taken = tcp_bound("127.0.0.1", &port, 5);
	f->where.port = port;
	snprintf(f->path, sizeof(f->path), "%s/.s.PGSQL.%d", f->dir, port);
	strcpy(f->address, "127.0.0.2,127.0.0.1");
	assert_refused(f, "in use");
	assert_non_null(strstr(f->error, "127.0.0.1"));
	assert_int_equal(stat(f->path, &st), -1);

	/* The first address of the list is free again. */
	assert_true(peer_addr_literal(&a, "127.0.0.2", port));
	assert_int_equal(try_client(&a) < 0 ? errno : 0, ECONNREFUSED);
	close(taken);
}

static void
nonsense_is_refused_by_name(void **state)
{
	struct fixture *f = *state;
	char long_dir[200];

	strcpy(f->address, "not an address");
	assert_refused(f, "not an address");
	strcpy(f->address, "192.0.2.1.5");
	assert_refused(f, "192.0.2.1.5");

	strcpy(f->address, "");
	f->where.unix_dir = "";
	assert_refused(f, "nothing to listen on");

	memset(long_dir, 'x', sizeof(long_dir) - 1);
	long_dir[0] = '/';
	long_dir[sizeof(long_dir) - 1] = '\0';
	f->where.unix_dir = long_dir;
	assert_refused(f, "too long");
	f->where.unix_dir = "/no/such/directory";
	assert_refused(f, "/no/such/directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(clients_of_both_kinds_are_accepted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_star_is_every_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_and_repetitions_are_understood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_descriptors_a_client_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_closed_socket_gives_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_socket_that_another_holds_too_is_left_to_it, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(who_waits_when_a_socket_retires_is_taken, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(it_may_be_closed_while_it_retires, set_up, tear_down),
		cmocka_unit_test_setup_teardown(mode_and_group_are_set_and_the_file_is_removed, set_up,
										tear_down),
		cmocka_unit_test_setup_teardown(a_stale_socket_is_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_socket_in_use_is_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_kind_of_file_is_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_successors_socket_survives_close, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_abstract_socket_is_listened_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_failure_closes_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_is_refused_by_name, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
