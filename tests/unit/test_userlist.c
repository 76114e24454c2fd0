/*
 * test_userlist.c - auth_file's dialect, alone and through conf_load_from().
 */
#include "conf/userlist.h"

#include "conf_files.h"
#include "unit.h"

#include <stdlib.h>

#define INI "[pgbouncer]\nauth_type = trust\nauth_file = u.txt\n"

static struct conf *
load(const char *ini, const char *users, struct conf_error *err)
{
	const struct conf_file files[] = {{"p.ini", ini}, {"u.txt", users}, {NULL, NULL}};
	struct conf_files f = {.files = files};

	return conf_files_load(&f, err);
}

static void
users_are_read(void **state)
{
	static const struct
	{
		const char *name;
		const char *secret;
	} users[] = {
		{"alice", "plain"},
		{"bob", "md5900150983cd24fb0d6963f7d28e17f72"},
		{"carol", "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"},
		{"d \"e\" f", "g\"h"},
		{"empty", ""},
		{"tail", "ok"},
		{"\xc3\xa4", "\xc3\xb6"},
		{"last", "no newline"},
	};
	struct conf_error err;
	struct conf *c = load(INI,
						  "; a comment\n\n"
						  "\"alice\" \"plain\"\n"
						  "\"bob\" \"md5900150983cd24fb0d6963f7d28e17f72\"\r\n"
						  "  \"carol\"\t\"SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy\"\n"
						  "\"d \"\"e\"\" f\" \"g\"\"h\"\n"
						  "\"empty\" \"\"\n"
						  "\"tail\"\"x\" \"forgotten\"\n"
						  "\"tail\" \"ok\" \"something else\" ; x\n"
						  "\"\xc3\xa4\" \"\xc3\xb6\"\n"
						  "\"last\"\"\" \"\"\n"
						  "\"last\" \"no newline\"",
						  &err);

	(void) state;
	if (c == NULL)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < sizeof users / sizeof users[0]; i++)
	{
		const struct conf_user *u = conf_find_user(c, users[i].name);

		assert_non_null(u);
		assert_string_equal(u->name, users[i].name);
		assert_string_equal(u->secret, users[i].secret);
		assert_true(u->pool_size == -1 && u->pool_mode == POOL_MODE_UNSET);
	}
	assert_non_null(conf_find_user(c, "tail\"x"));
	assert_null(conf_find_user(c, "ALICE"));
	assert_null(conf_find_user(c, ""));
	conf_free(c);
}

static void
the_last_line_of_a_user_wins(void **state)
{
	struct conf_error err;
	struct conf *c = load(INI, "\"a\" \"one\"\n\"b\" \"x\"\n\"a\" \"two\"\n", &err);

	(void) state;
	assert_non_null(c);
	assert_int_equal(c->n_users, 2);
	assert_string_equal(conf_find_user(c, "a")->secret, "two");
	conf_free(c);
}

static void
an_entry_of_users_keeps_its_limits_and_gets_its_secret(void **state)
{
	struct conf_error err;
	struct conf *c = load("[users]\na = pool_size=7\nc = pool_mode=statement\n" INI,
						  "\"a\" \"one\"\n\"b\" \"two\"\n", &err);

	(void) state;
	assert_non_null(c);
	assert_int_equal(c->n_users, 3);
	assert_int_equal(conf_find_user(c, "a")->pool_size, 7);
	assert_string_equal(conf_find_user(c, "a")->secret, "one");
	assert_int_equal(conf_find_user(c, "b")->pool_size, -1);
	assert_null(conf_find_user(c, "c")->secret);
	conf_free(c);
}

static void
bad_lines_tell_the_line_and_no_secret(void **state)
{
	static const struct
	{
		const char *text;
		const char *error;
	} rows[] = {
		{"\"a\" \"hunter2\"\nb hunter2\n", "u.txt:2: expected a user name in double quotes"},
		{"# no comment\n", "u.txt:1: expected a user name in double quotes"},
		{"\"a hunter2\n", "u.txt:1: the quote before the user name is never closed"},
		{"\"\" \"hunter2\"\n", "u.txt:1: an empty user name"},
		{"\"a\" hunter2\n", "u.txt:1: expected a secret in double quotes behind the user name"},
		{"\"a\"\n", "u.txt:1: expected a secret in double quotes behind the user name"},
		{"\n\n\"a\" \"hunter2\n", "u.txt:3: the quote before the secret is never closed"},
		{"\"a\" \"hunter2\"\"\n", "u.txt:1: the quote before the secret is never closed"},
	};
	struct conf_error err;

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		assert_null(load(INI, rows[i].text, &err));
		assert_string_equal(err.text, rows[i].error);
		assert_null(strstr(err.text, "hunter2"));
	}
}

static void
a_missing_file_names_the_line_that_asked(void **state)
{
	struct conf_error err;

	(void) state;
	assert_null(load("[pgbouncer]\nauth_type = trust\nauth_file = none.txt\n", "", &err));
	assert_string_equal(err.text, "p.ini:3: cannot read \"none.txt\": no such file in this test");
}

static void
many_users_are_found(void **state)
{
	enum
	{
		COUNT = 5000
	};
	size_t cap = COUNT * 40;
	char *text = malloc(cap);
	size_t used = 0;
	struct conf_error err;
	struct conf *c;
	char name[32];

	(void) state;
	for (int i = 0; i < COUNT; i++)
		used += (size_t) snprintf(text + used, cap - used, "\"user%d\" \"secret%d\"\n", i, i);
	c = load(INI, text, &err);
	assert_non_null(c);
	assert_int_equal(c->n_users, COUNT);
	for (int i = 0; i < COUNT; i++)
	{
		snprintf(name, sizeof name, "user%d", i);
		assert_string_equal(conf_find_user(c, name)->name, name);
	}
	conf_free(c);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(users_are_read),
		cmocka_unit_test(the_last_line_of_a_user_wins),
		cmocka_unit_test(an_entry_of_users_keeps_its_limits_and_gets_its_secret),
		cmocka_unit_test(bad_lines_tell_the_line_and_no_secret),
		cmocka_unit_test(a_missing_file_names_the_line_that_asked),
		cmocka_unit_test(many_users_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
