/*
 * test_client_limits.c - one entry for all sessions of the same names; a reload changes it under
 * them; the last one frees it.
 */
#include "core/client_limits.h"

#include "conf_files.h"
#include "unit.h"

static struct conf *
load(const char *databases)
{
	struct conf_error err;
	char text[1000];
	struct conf *conf;

	snprintf(text, sizeof(text),
			 "[databases]\n%s\n[users]\nalice = max_statement_length=11\nowner = pool_size=3 "
			 "max_statement_length=33\n[pgbouncer]\nauth_type = trust\n",
			 databases);
	conf = conf_text_load(text, &err);
	if (conf == NULL)
		fail_msg("%s", err.text);
	return conf;
}

static void
test_shared_by_name(void **state)
{
	struct conf *conf = load("app = pool_size=7\nother =");
	struct client_limits *table = NULL;
	struct client_limits *a = client_limits_join(&table, conf, "app", "alice");
	struct client_limits *again = client_limits_join(&table, conf, "app", "alice");
	struct client_limits *b = client_limits_join(&table, conf, "app", "bob");
	/* No name runs into the other. */
	struct client_limits *c = client_limits_join(&table, conf, "other", "alice");

	(void) state;
	assert_ptr_equal(a, again);
	assert_ptr_not_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_int_equal(a->now.max_statement_length, 11);
	assert_int_equal(b->now.max_statement_length, 0);
	assert_int_equal(a->now.pool_size, 7);
	client_limits_leave(&table, &a);
	assert_null(a);
	client_limits_leave(&table, &a);
	assert_int_equal(HASH_COUNT(table), 3);
	client_limits_leave(&table, &again);
	client_limits_leave(&table, &b);
	client_limits_leave(&table, &c);
	assert_null(table);
	conf_free(conf);
}

static void
test_a_reload_changes_them(void **state)
{
	struct conf *conf = load("app = pool_size=7\ngone =");
	struct conf *next = load("app = pool_size=8 user=owner");
	struct client_limits *table = NULL;
	struct client_limits *a = client_limits_join(&table, conf, "app", "alice");
	struct client_limits *gone = client_limits_join(&table, conf, "gone", "alice");

	(void) state;
	client_limits_adopt(table, next);
	conf_free(conf);
	/* The pool's size is that of the forced user, the rest the client's own. */
	assert_int_equal(a->now.pool_size, 3);
	assert_int_equal(a->now.max_statement_length, 11);
	assert_int_equal(gone->now.max_statement_length, 11);
	client_limits_leave(&table, &a);
	client_limits_leave(&table, &gone);
	conf_free(next);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_by_name),
		cmocka_unit_test(test_a_reload_changes_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
