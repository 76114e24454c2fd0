/*
 * test_conf.c - a whole configuration: what is read, what is refused and how it is told, limits in
 * force.
 */
#include "conf_files.h"
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define S UINT64_C(1000000)
#define TRUST "[pgbouncer]\nauth_type = trust\n"

/* Loads a text that must be right. */
static struct conf *
must_load(const char *text)
{
	struct conf_error err;
	struct conf *c = conf_text_load(text, &err);

	if (c == NULL)
		fail_msg("%s", err.text);
	return c;
}

static void
everything_not_given_has_pgbouncers_default(void **state)
{
	struct conf *c = must_load(TRUST);

	(void) state;
	assert_string_equal(c->path, "p.ini");
	assert_string_equal(c->conffile, "p.ini");
	assert_string_equal(c->listen_addr, "");
	assert_int_equal(c->listen_port, 6432);
	assert_int_equal(c->listen_backlog, 128);
	assert_string_equal(c->unix_socket_dir, "/tmp");
	assert_int_equal(c->unix_socket_mode, 0777);
	assert_null(c->auth_file);
	assert_null(c->user);
	assert_int_equal(c->pool_mode, POOL_SESSION);
	assert_int_equal(c->default_pool_size, 20);
	assert_int_equal(c->min_pool_size, 0);
	assert_int_equal(c->max_client_conn, 100);
	assert_int_equal(c->max_packet_size, 2147483647);
	assert_true(c->query_wait_timeout_us == 120 * S);
	assert_true(c->server_idle_timeout_us == 600 * S);
	assert_true(c->server_lifetime_us == 3600 * S);
	assert_true(c->server_login_retry_us == 15 * S);
	assert_true(c->server_connect_timeout_us == 15 * S);
	assert_true(c->client_login_timeout_us == 60 * S);
	assert_true(c->client_idle_timeout_us == 0);
	assert_true(c->query_timeout_us == 0);
	assert_true(c->stats_period_us == 60 * S);
	assert_true(c->log_connections && c->log_stats && c->tcp_keepalive);
	assert_false(c->server_round_robin || c->server_reset_query_always);
	assert_string_equal(c->server_reset_query, "DISCARD ALL");
	assert_int_equal(c->scram_iterations, 4096);
	assert_int_equal(c->threads, 0);
	assert_int_equal(c->n_databases, 0);
	assert_int_equal(c->n_users, 0);
	conf_free(c);
	conf_free(NULL);
}

static void
values_of_every_type_are_read(void **state)
{
	struct conf *c = must_load("[perfkit-pooler]\n"
							   "auth_type = SCRAM-SHA-256\n"
							   "pool_mode = transaction\n"
							   "listen_addr = 127.0.0.1, ::1\n"
							   "listen_port = 7000\n"
							   "unix_socket_mode = 0700\n"
							   "log_connections = off\n"
							   "query_timeout = 2.5\n"
							   "server_idle_timeout = 10min\n"
							   "tcp_user_timeout = 1500\n"
							   "max_packet_size = 16MB\n"
							   "server_reset_query =\n"
							   "listen_port = 7001\n" /* the last one wins */
							   "[pgbouncer]\n"        /* both names in one file */
							   "threads = 4\n");

	(void) state;
	assert_int_equal(c->auth_type, AUTH_SCRAM_SHA_256);
	assert_int_equal(c->pool_mode, POOL_TRANSACTION);
	assert_string_equal(c->listen_addr, "127.0.0.1, ::1");
	assert_int_equal(c->listen_port, 7001);
	assert_int_equal(c->unix_socket_mode, 0700);
	assert_false(c->log_connections);
	assert_true(c->query_timeout_us == 2500000);
	assert_true(c->server_idle_timeout_us == 600 * S);
	assert_true(c->tcp_user_timeout_us == 1500000);
	assert_int_equal(c->max_packet_size, 16 << 20);
	assert_string_equal(c->server_reset_query, "");
	assert_int_equal(c->threads, 4);
	conf_free(c);
}

static void
databases_are_read(void **state)
{
	struct conf *c = must_load(
		TRUST "[databases]\n"
			  "plain =\n"
			  "full = host=10.0.0.1 port=5433 dbname='my db' user=joe password='it''s' "
			  "pool_mode=statement "
			  "pool_size=5 min_pool_size=1 reserve_pool=2 max_db_connections=9 server_lifetime=90 "
			  "query_wait_timeout=1.5 client_encoding=UTF8 datestyle='ISO, DMY' timezone=UTC "
			  "application_name=app\n"
			  "\"odd \"\"name\" = host=''\n"
			  "twice = pool_size=1 host=a\n"
			  "twice = pool_size=2\n"
			  "perfkit = host=ours\n"
			  "* = host=/var/run/postgresql\n");
	const struct conf_database *db = conf_find_database(c, "full");

	(void) state;
	assert_string_equal(db->host, "10.0.0.1");
	assert_int_equal(db->port, 5433);
	assert_string_equal(db->dbname, "my db");
	assert_string_equal(db->user, "joe");
	assert_string_equal(db->password, "it's");
	assert_int_equal(db->pool_mode, POOL_STATEMENT);
	assert_int_equal(db->pool_size, 5);
	assert_int_equal(db->min_pool_size, 1);
	assert_int_equal(db->reserve_pool_size, 2);
	assert_int_equal(db->max_db_connections, 9);
	assert_int_equal(db->server_lifetime_us, 90 * S);
	assert_int_equal(db->query_wait_timeout_us, 1500000);
	assert_string_equal(db->client_encoding, "UTF8");
	assert_string_equal(db->datestyle, "ISO, DMY");
	assert_string_equal(db->timezone, "UTC");
	assert_string_equal(db->application_name, "app");

	db = conf_find_database(c, "plain");
	assert_string_equal(db->name, "plain");
	assert_null(db->host);
	assert_null(db->dbname);
	assert_null(db->user);
	assert_null(db->password);
	assert_int_equal(db->port, 5432);
	assert_int_equal(db->pool_mode, POOL_MODE_UNSET);
	assert_int_equal(db->pool_size, -1);
	assert_int_equal(db->server_lifetime_us, -1);
	assert_int_equal(db->load_balance_hosts, -1);

	assert_null(conf_find_database(c, "odd \"name")->host);
	assert_int_equal(conf_find_database(c, "twice")->pool_size, 2);
	assert_null(conf_find_database(c, "twice")->host);
	assert_string_equal(conf_find_database(c, "perfkit")->host, "ours");
	assert_string_equal(conf_find_database(c, "no such name")->name, "*");
	assert_int_equal(c->n_databases, 6);
	conf_free(c);

	c = must_load(TRUST "[databases]\na =\n");
	assert_null(conf_find_database(c, "b"));
	conf_free(c);
}

static void
included_files_share_the_section(void **state)
{
	const struct conf_file files[] = {
		{"p.ini", TRUST "%include a.ini\nb = host=back\n"},
		{"a.ini", "listen_port = 7000\n%include b.ini\n"},
		{"b.ini", "threads = 2\n[databases]\na = host=inner\n"},
		{NULL, NULL},
	};
	const struct conf_file wrong[] = {
		{"p.ini", TRUST "%include a.ini\n"},
		{"a.ini", "\n\nthraeds = 2\n"},
		{NULL, NULL},
	};
	struct conf_files f = {.files = files};
	struct conf_error err;
	struct conf *c = conf_files_load(&f, &err);

	(void) state;
	assert_non_null(c);
	assert_int_equal(c->listen_port, 7000);
	assert_int_equal(c->threads, 2);
	assert_string_equal(conf_find_database(c, "a")->host, "inner");
	assert_string_equal(conf_find_database(c, "b")->host, "back");
	conf_free(c);

	f.files = wrong;
	assert_null(conf_files_load(&f, &err));
	assert_string_equal(err.text,
						"a.ini:3: unknown parameter \"thraeds\"; did you mean \"threads\"?");
}

static void
limits_go_from_user_to_database_to_all(void **state)
{
	struct conf *c = must_load(
		TRUST "default_pool_size = 1\nmin_pool_size = 2\nreserve_pool_size = 3\n"
			  "max_db_connections = 4\nmax_user_connections = 5\nquery_timeout = 6\n"
			  "query_wait_timeout = 7\nserver_lifetime = 8\nidle_transaction_timeout = 9\n"
			  "transaction_timeout = 10\nclient_idle_timeout = 11\n"
			  "max_db_client_connections = 12\nmax_user_client_connections = 13\n"
			  "max_client_waiting = 14\nmax_statement_length = 15\nsession_state = error\n"
			  "[databases]\nd = pool_mode=transaction pool_size=21 min_pool_size=22 "
			  "reserve_pool_size=23 max_db_connections=24 query_wait_timeout=27 server_lifetime=28 "
			  "max_db_client_connections=32 max_client_waiting=44 max_statement_length=45 "
			  "session_state=pin user=v\n"
			  "e = max_statement_length=0\nf = user=u\n"
			  "[users]\nu = pool_mode=statement pool_size=31 reserve_pool_size=33 "
			  "max_user_connections=35 query_timeout=36 query_wait_timeout=0 "
			  "idle_transaction_timeout=39 transaction_timeout=40 client_idle_timeout=41 "
			  "max_user_client_connections=43 max_client_waiting=0 max_statement_length=55 "
			  "session_state=ignore\nv =\n");
	static const struct
	{
		const char *database;
		const char *user;
		struct conf_limits expect;
	} rows[] = {
		/* mode, pool, min, reserve, db, db clients, user, user clients, waiting, length,
		   forced, lifetime, query, wait, idle
		   tx, tx, idle, session state */
		{"e",
		 "v",
		 {POOL_SESSION, 1, 2, 3, 4, 12, 5, 13, 14, 0, false, 8, 6, 7, 9, 10, 11, STATE_POLICY_ERROR,
		  .query_rates = false}},
		{"e",
		 NULL,
		 {POOL_SESSION, 1, 2, 3, 4, 12, 5, 13, 14, 0, false, 8, 6, 7, 9, 10, 11, STATE_POLICY_ERROR,
		  .query_rates = false}},
		{NULL,
		 "nobody",
		 {POOL_SESSION, 1, 2, 3, 4, 12, 5, 13, 14, 15, false, 8, 6, 7, 9, 10, 11,
		  STATE_POLICY_ERROR, .query_rates = false}},
		{"d",
		 "v",
		 {POOL_TRANSACTION, 21, 22, 23, 24, 32, 5, 13, 44, 45, true, 28, 6, 27, 9, 10, 11,
		  STATE_POLICY_PIN, .query_rates = false}},
		{"d",
		 "u",
		 {POOL_TRANSACTION, 21, 22, 23, 24, 32, 5, 43, 44, 55, false, 28, 6, 0, 9, 10, 11,
		  STATE_POLICY_IGNORE, .query_rates = false}},
		/* The pool's sizes, its mode and its times are those of the user whom the database forces
		 * on it. */
		{"f",
		 "v",
		 {POOL_STATEMENT, 31, 2, 33, 4, 12, 35, 13, 0, 15, false, 8, 36, 7, 39, 40, 41,
		  STATE_POLICY_ERROR, .query_rates = false}},
		{"e",
		 "u",
		 {POOL_STATEMENT, 31, 2, 33, 4, 12, 35, 43, 0, 55, false, 8, 36, 0, 39, 40, 41,
		  STATE_POLICY_IGNORE, .query_rates = false}},
	};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		const char *name = rows[i].database;
		const struct conf_limits *e = &rows[i].expect;
		struct conf_limits got;

		conf_limits(c, name != NULL ? conf_find_database(c, name) : NULL, rows[i].user, &got);
		assert_int_equal(got.pool_mode, e->pool_mode);
		assert_int_equal(got.pool_size, e->pool_size);
		assert_int_equal(got.min_pool_size, e->min_pool_size);
		assert_int_equal(got.reserve_pool_size, e->reserve_pool_size);
		assert_int_equal(got.max_db_connections, e->max_db_connections);
		assert_int_equal(got.max_db_client_connections, e->max_db_client_connections);
		assert_int_equal(got.max_user_connections, e->max_user_connections);
		assert_int_equal(got.max_user_client_connections, e->max_user_client_connections);
		assert_int_equal(got.max_client_waiting, e->max_client_waiting);
		assert_int_equal(got.max_statement_length, e->max_statement_length);
		assert_int_equal(got.forced_user, e->forced_user);
		assert_int_equal(got.server_lifetime_us, e->server_lifetime_us * S);
		assert_int_equal(got.query_timeout_us, e->query_timeout_us * S);
		assert_int_equal(got.query_wait_timeout_us, e->query_wait_timeout_us * S);
		assert_int_equal(got.idle_transaction_timeout_us, e->idle_transaction_timeout_us * S);
		assert_int_equal(got.transaction_timeout_us, e->transaction_timeout_us * S);
		assert_int_equal(got.client_idle_timeout_us, e->client_idle_timeout_us * S);
		assert_int_equal(got.session_state, e->session_state);
	}
	conf_free(c);
}

static void
lists_are_searched_by_whole_words(void **state)
{
	(void) state;
	assert_true(conf_list_has("a", "a"));
	assert_true(conf_list_has("a,b , c d ,e", "b"));
	assert_true(conf_list_has("a,b , c d ,e", "c d"));
	assert_true(conf_list_has("a,,e ", "e"));
	assert_true(conf_list_has(",a", "a"));
	assert_false(conf_list_has("abc", "ab"));
	assert_false(conf_list_has("abc", "bc"));
	assert_false(conf_list_has("a b", "b"));
	assert_false(conf_list_has("a", "A"));
	assert_false(conf_list_has("", "a"));
	assert_false(conf_list_has("a,,b", ""));
	assert_false(conf_list_has(NULL, "a"));
}

/* conf_load() itself, with files on the disk. */
static void
the_disk_is_read(void **state)
{
	char dir[] = "/tmp/perfkit-conf-XXXXXX";
	char ini[64];
	char fifo[64];
	struct conf_error err;
	struct conf *c;
	FILE *f;

	(void) state;
	assert_non_null(mkdtemp(dir));
	snprintf(ini, sizeof ini, "%s/p.ini", dir);
	snprintf(fifo, sizeof fifo, "%s/fifo", dir);
	f = fopen(ini, "w");
	assert_non_null(f);
	/* Longer than one read. */
	for (int i = 0; i < 3000; i++)
		fprintf(f, "; comment %d\n", i);
	fprintf(f, TRUST "auth_file = /dev/null\n[databases]\na = port=7000\n");
	fclose(f);
	c = conf_load(ini, false, &err);
	if (c == NULL)
		fail_msg("%s", err.text);
	assert_int_equal(conf_find_database(c, "a")->port, 7000);
	conf_free(c);

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_null(conf_load(fifo, false, &err));
	assert_null(conf_load(dir, false, &err));
	assert_non_null(strstr(err.text, "Is a directory"));
	unlink(ini);
	assert_null(conf_load(ini, false, &err));
	assert_non_null(strstr(err.text, "No such file or directory"));
	unlink(fifo);
	rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_not_given_has_pgbouncers_default),
		cmocka_unit_test(values_of_every_type_are_read),
		cmocka_unit_test(databases_are_read),
		cmocka_unit_test(included_files_share_the_section),
		cmocka_unit_test(limits_go_from_user_to_database_to_all),
		cmocka_unit_test(lists_are_searched_by_whole_words),
		cmocka_unit_test(the_disk_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
