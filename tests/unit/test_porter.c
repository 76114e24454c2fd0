/*
 * test_porter.c - who accepts, and where a client comes to live.
 *
 * Real sessions on the loops of a registry, which no thread runs: the test turns them by hand, so
 * that it sees which of them had to.
 */
#include "core/porter.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "conf_files.h"
#include "core/registry.h"
#include "core/session.h"
#include "net/listen.h"
#include "net/peer_addr.h"
#include "turning.h"

#define MAX_CLIENTS 200

static struct world
{
	struct registry registry;
	struct conf *conf;
	char dir[32];
	struct peer_addr address;
	int clients[MAX_CLIENTS];
	int n;
} w;

static void
turn(int loop)
{
	turn_once(&w.registry.shards[loop].loop);
}

static void
begin(int loops)
{
	const struct conf_file files[] = {
		{"p.ini", "[databases]\n[pgbouncer]\nauth_type = trust\nauth_file = users\n"
				  "client_login_timeout = 0\nlog_disconnections = 0\n"},
		{"users", ""},
		{NULL, NULL},
	};
	struct conf_files f = {.files = files};
	struct listen_where where = {
		.addr = "", .port = 1, .unix_dir = w.dir, .unix_mode = 0700, .backlog = 128};
	struct conf_error err;
	char error[200];

	memset(&w, 0, sizeof(w));
	w.conf = conf_files_load(&f, &err);
	if (w.conf == NULL)
		fail_msg("%s", err.text);
	assert_true(registry_init(&w.registry, loops, w.conf));
	strcpy(w.dir, "/tmp/test_porter.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	assert_true(peer_addr_unix(&w.address, w.dir, where.port));
	if (!listen_open(&where, error, sizeof(error)))
		fail_msg("%s", error);
	porter_start(&w.registry);
	turn(0);
}

static struct list *
sessions(int loop)
{
	return &w.registry.shards[loop].sessions;
}

static int
count(int loop)
{
	int n = 0;

	list_foreach(pos, next, sessions(loop)) n++;
	return n;
}

/* Whatever can happen without waiting has happened, and everybody who was counted is there. */
static void
settle(void)
{
	for (int i = 0; i < 40; i++)
		turn(i % w.registry.n_shards);
	for (int i = 0; i < w.registry.n_shards; i++)
		assert_int_equal(atomic_load(&w.registry.shards[i].n_sessions), count(i));
}

static void
end(void)
{
	settle();
	for (int i = 0; i < w.registry.n_shards; i++)
		while (!list_empty(sessions(i)))
			session_end(list_entry(list_first(sessions(i)), struct session, node), NULL, "over");
	listen_close();
	porter_stop();
	listen_fini();
	for (int i = 0; i < w.n; i++)
		close(w.clients[i]);
	assert_int_equal(rmdir(w.dir), 0);
	registry_fini(&w.registry);
	conf_free(w.conf);
}

static void
come(int n)
{
	while (n-- > 0)
	{
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0 && w.n < MAX_CLIENTS);
		w.clients[w.n++] = fd;
		assert_int_equal(connect(fd, (const struct sockaddr *) &w.address.ss, w.address.len), 0);
	}
}

/* The oldest ones of a loop. */
static void
leave(int loop, int n)
{
	while (n-- > 0)
		session_end(list_entry(list_first(sessions(loop)), struct session, node), NULL, "left");
}

/* As many on each of two loops. The porter stands in the first. */
static void
begin_with(int each)
{
	begin(2);
	come(2 * each);
	settle();
	assert_int_equal(count(0), each);
	assert_int_equal(count(1), each);
}

/* ---- */

static void
one_loop_takes_all(void **state)
{
	(void) state;
	begin(1);
	come(3);
	turn(0);
	assert_int_equal(count(0), 3);
	leave(0, 1);
	come(2);
	turn(0);
	assert_int_equal(count(0), 4);
	end();
}

static void
a_burst_is_bounded_but_all_come(void **state)
{
	(void) state;
	begin(2);
	come(100);
	turn(0);
	assert_in_range(count(0), 1, 30);
	settle();
	assert_int_equal(count(0), 50);
	assert_int_equal(count(1), 50);
	end();
}

static void
who_stays_is_spread_evenly(void **state)
{
	(void) state;
	begin(3);
	for (int i = 1; i <= 30; i++)
	{
		come(1);
		settle();
		for (int loop = 0; loop < 3; loop++)
			assert_in_range(count(loop), i / 3, (i + 2) / 3);
	}
	end();
}

static void
who_comes_takes_the_place_of_one_who_left(void **state)
{
	(void) state;
	begin_with(8);
	for (int i = 0; i < 10; i++)
	{
		leave(0, 1);
		come(1);
		/* The other loop sleeps on. */
		turn(0);
		assert_int_equal(count(0), 8);
	}
	/* As it does when it is a little emptier. */
	leave(0, 1);
	leave(1, 3);
	come(1);
	turn(0);
	assert_int_equal(count(0), 8);
	end();
}

static void
who_comes_where_nobody_left_goes_to_the_emptier_loop(void **state)
{
	(void) state;
	begin_with(8);
	leave(1, 1);
	come(1);
	turn(0);
	assert_int_equal(count(0), 8);
	assert_int_equal(count(1), 7);
	turn(1);
	assert_int_equal(count(1), 8);
	end();
}

static void
the_porter_moves_to_a_loop_that_has_fallen_behind(void **state)
{
	(void) state;
	begin_with(8);
	leave(0, 1);
	leave(1, 6);
	come(1);
	turn(0);
	assert_int_equal(count(0), 7);
	assert_int_equal(count(1), 2);
	for (int i = 0; i < 3; i++)
		turn(1);
	assert_int_equal(count(1), 3);

	/* There it accepts by itself. */
	come(3);
	turn(1);
	assert_int_equal(count(1), 6);
	settle();
	assert_int_equal(count(0), 7);
	end();
}

static void
the_porter_goes_where_all_leave(void **state)
{
	int here = 0;

	(void) state;
	begin_with(4);
	for (int i = 0; i < 20; i++)
	{
		leave(1, 1);
		come(1);
		turn(1);
		here = count(1);
		settle();
		assert_int_equal(count(0), 4);
		assert_int_equal(count(1), 4);
	}
	/* In the end the first loop had not to be turned. */
	assert_int_equal(here, 4);
	end();
}

static void
many_come_and_go_and_all_have_about_the_same(void **state)
{
	unsigned seed = 4711;

	(void) state;
	begin(4);
	for (int i = 0; i < 32; i++)
		come(1);
	settle();
	for (int i = 0; i < 160; i++)
	{
		int loop = (int) (rand_r(&seed) % 4);

		if (count(loop) == 0)
			continue;
		leave(loop, 1);
		come(1);
		settle();
		for (int each = 0; each < 4; each++)
			assert_in_range(count(each), 3, 13);
	}
	end();
}

static void
who_is_brought_goes_to_the_emptiest_loop(void **state)
{
	int pair[2];

	(void) state;
	begin_with(2);
	leave(1, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	porter_bring(pair[1], &w.address, &w.registry);
	assert_int_equal(atomic_load(&w.registry.shards[1].n_sessions), 2);
	settle();
	assert_int_equal(count(1), 2);
	close(pair[0]);
	end();
}

static bool
one_is_there(const void *arg)
{
	(void) arg;
	return count(0) == 1;
}

static void
without_descriptors_it_rests_and_comes_back(void **state)
{
	struct rlimit old;
	struct rlimit tight;
	struct loop *loop;
	unsigned before;
	ev_timer period;
	bool over = false;
	int lowest;

	(void) state;
	begin(1);
	loop = &w.registry.shards[0].loop;
	turn(0);
	come(1);

	/* No number is left for an accepted client. */
	lowest = dup(w.clients[0]);
	assert_true(lowest >= 0);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t) lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);

	/* The socket stays readable: a loop that did not rest would turn thousands of times until the
	 * timer. */
	before = ev_iteration(loop->ev);
	ev_timer_init(&period, deadline_passed, 0.25, 0.);
	period.data = &over;
	ev_timer_start(loop->ev, &period);
	turn_until(loop, is_true, &over, "the end of the period");
	assert_int_equal(count(0), 0);
	assert_int_equal(atomic_load(&w.registry.shards[0].n_sessions), 0);
	assert_in_range(ev_iteration(loop->ev) - before, 1, 50);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	turn_until(loop, one_is_there, NULL, "the client that waits");
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_loop_takes_all),
		cmocka_unit_test(a_burst_is_bounded_but_all_come),
		cmocka_unit_test(who_stays_is_spread_evenly),
		cmocka_unit_test(who_comes_takes_the_place_of_one_who_left),
		cmocka_unit_test(who_comes_where_nobody_left_goes_to_the_emptier_loop),
		cmocka_unit_test(the_porter_moves_to_a_loop_that_has_fallen_behind),
		cmocka_unit_test(the_porter_goes_where_all_leave),
		cmocka_unit_test(many_come_and_go_and_all_have_about_the_same),
		cmocka_unit_test(who_is_brought_goes_to_the_emptiest_loop),
		cmocka_unit_test(without_descriptors_it_rests_and_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
