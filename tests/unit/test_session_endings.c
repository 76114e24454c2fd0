/*
 * test_session_endings.c - a server that ends at an unusual moment: who hears of it, and who does
 * not.
 */
#include "session_world.h"

#include "proto/pgmsg.h"

static int
idle_servers(void)
{
	struct pool_counts c;

	pool_counts(w.pool, &c);
	return c.by_state[MEMBER_IDLE];
}

static int
servers(void)
{
	struct pool_counts c;

	pool_counts(w.pool, &c);
	return c.total;
}

static void
put_words(struct pgwriter *text, uint8_t type, const char *sqlstate)
{
	pgw_begin(text, type);
	pgw_u8(text, 'S');
	pgw_cstr(text, type == 'E' ? "FATAL" : "WARNING");
	pgw_u8(text, 'C');
	pgw_cstr(text, sqlstate);
	pgw_u8(text, 'M');
	pgw_cstr(text, "it is over");
	pgw_u8(text, 0);
	pgw_end(text);
}

/* The answer to a query, and in the same write what PostgreSQL says when it ends the session. */
static void
answer_and_farewell(char status, uint8_t type, const char *sqlstate)
{
	uint8_t mem[300];
	struct pgwriter text;

	pgw_init(&text, mem, sizeof(mem));
	pgw_begin(&text, 'C');
	pgw_cstr(&text, "SELECT 1");
	pgw_end(&text);
	pgw_ready(&text, status);
	put_words(&text, type, sqlstate);
	say(w.postgres, &text);
}

static void
ask_first(const char *sql)
{
	begin("default_pool_size");
	log_in_and_be_greeted();
	query(sql);
	server_comes();
	assert_true(hears(w.postgres, sql));
}

/* Its client is not concerned any more, and nobody else gets it. */
static void
test_last_words_behind_the_answer(void **state)
{
	static const struct
	{
		uint8_t type;
		const char *sqlstate;
	} words[] = {{'E', "57P01"}, {'E', "57P05"}, {'N', "57P01"}, {'N', "57P02"}};

	(void) state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		ask_first("select 1");
		answer_and_farewell('I', words[i].type, words[i].sqlstate);
		assert_true(hears(w.client, "SELECT 1"));
		assert_false(hears(w.client, "it is over"));
		assert_int_equal(w.session->state, SESSION_IDLE);
		assert_int_equal(servers(), 0);
		query("select 2");
		assert_int_equal(w.dials, 1);
		end();
	}
}

/* Inside its transaction it is. */
static void
test_last_words_in_a_transaction(void **state)
{
	(void) state;
	ask_first("begin");
	answer_and_farewell('T', 'E', "57P01");
	assert_true(hears(w.client, "57P01"));
	assert_int_equal(w.session->state, SESSION_ACTIVE);
	close(w.postgres);
	w.postgres = dup(w.client);
	settle();
	assert_true(list_empty(&w.shard->sessions));
	assert_int_equal(servers(), 0);
	end();
}

/* Any other notice is not an end. */
static void
test_notice_behind_the_answer(void **state)
{
	(void) state;
	ask_first("select 1");
	answer_and_farewell('I', 'N', "01000");
	assert_true(hears(w.client, "it is over"));
	assert_int_equal(idle_servers(), 1);
	end();
}

static void
test_farewell_of_an_idle_server(void **state)
{
	uint8_t mem[200];
	struct pgwriter text;

	(void) state;
	ask_first("select 1");
	server_says("SELECT 1", 'I');
	assert_int_equal(idle_servers(), 1);
	pgw_init(&text, mem, sizeof(mem));
	put_words(&text, 'N', "57P02");
	say(w.postgres, &text);
	assert_int_equal(servers(), 0);
	assert_false(hears(w.client, "it is over"));
	end();
}

static void
no_wake(struct pool_waiter *waiter)
{
	(void) waiter;
}

/* Its end may come right behind something else that it said: it is looked at once more. */
static void
test_end_behind_other_words(void **state)
{
	struct pool_waiter waiter = {.wake = no_wake};
	struct pool_todo todo;
	struct pool_member *m;
	uint8_t mem[200];
	struct pgwriter text;

	(void) state;
	ask_first("select 1");
	server_says("SELECT 1", 'I');
	pgw_init(&text, mem, sizeof(mem));
	pgw_begin(&text, 'S');
	pgw_cstr(&text, "TimeZone");
	pgw_cstr(&text, "UTC");
	pgw_end(&text);
	say(w.postgres, &text);
	assert_int_equal(idle_servers(), 1);
	close(w.postgres);
	w.postgres = dup(w.client);
	m = pool_checkout(w.pool, &waiter, now_us, &todo);
	assert_ptr_equal(m, &w.server->member);
	assert_false(server_fresh(w.server, &todo));
	server_todo(w.shard, w.pool, w.server, &todo);
	server_look_into(w.server, w.shard);
	settle();
	assert_int_equal(servers(), 0);
	end();
}

/* What the client has of a row is not completed with the words of an error. */
static void
test_end_inside_a_row(void **state)
{
	static const uint8_t cut[] = {'D', 0, 0, 0, 40, 0, 1, 0, 0, 0, 30, 'h', 'a', 'l', 'f'};

	(void) state;
	ask_first("select 1");
	assert_int_equal(write(w.postgres, cut, sizeof(cut)), (ssize_t) sizeof(cut));
	assert_true(hears(w.client, "half"));
	w.n_heard = 0;
	close(w.postgres);
	w.postgres = dup(w.client);
	assert_false(hears(w.client, "FATAL"));
	assert_int_equal(w.n_heard, 0);
	assert_true(list_empty(&w.shard->sessions));
	end();
}

/* Between two messages it hears why. */
static void
test_end_between_rows(void **state)
{
	static const uint8_t row[] = {'D', 0, 0, 0, 6, 0, 0};

	(void) state;
	ask_first("select 1");
	assert_int_equal(write(w.postgres, row, sizeof(row)), (ssize_t) sizeof(row));
	settle();
	close(w.postgres);
	w.postgres = dup(w.client);
	assert_true(hears(w.client, "08006"));
	end();
}

/* RECONNECT was answered before its home loop has come round to closing it: nobody gets it. */
static void
test_stale_server(void **state)
{
	(void) state;
	ask_first("select 1");
	server_says("SELECT 1", 'I');
	assert_int_equal(idle_servers(), 1);
	pool_retire(w.pool);
	query("select 2");
	assert_int_equal(w.session->state, SESSION_WAITING);
	assert_int_equal(w.dials, 1);
	close(w.postgres);
	server_comes();
	assert_true(hears(w.postgres, "select 2"));
	end();
}

/* It ends between its grant to one who waits and the mail that brings it: he waits on, in front. */
static void
test_end_behind_a_grant(void **state)
{
	static const uint8_t answer[] = "C\0\0\0\015SELECT 1\0Z\0\0\0\5I";
	struct pool_counts counts;
	int first;

	(void) state;
	begin("default_pool_size = 1\nquery_wait_notify");
	log_in_and_be_greeted();
	query("select 1");
	server_comes();
	first = w.client;
	log_in();
	assert_true(hears(w.client, "Z"));
	query("select 2");
	assert_int_equal(w.session->state, SESSION_WAITING);
	assert_int_equal(write(w.postgres, answer, sizeof(answer) - 1), (ssize_t) sizeof(answer) - 1);
	close(w.postgres);
	w.n_heard = 0;
	assert_false(hears(w.client, "08006"));
	assert_int_equal(w.session->state, SESSION_WAITING);
	pool_counts(w.pool, &counts);
	assert_int_equal(counts.waiters, 1);
	assert_true(hears(first, "SELECT 1"));
	server_comes();
	assert_true(hears(w.postgres, "select 2"));
	close(first);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_words_behind_the_answer),
		cmocka_unit_test(test_last_words_in_a_transaction),
		cmocka_unit_test(test_notice_behind_the_answer),
		cmocka_unit_test(test_farewell_of_an_idle_server),
		cmocka_unit_test(test_end_behind_other_words),
		cmocka_unit_test(test_end_inside_a_row),
		cmocka_unit_test(test_stale_server),
		cmocka_unit_test(test_end_behind_a_grant),
		cmocka_unit_test(test_end_between_rows),
	};

	clock_set_source(stepped);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
