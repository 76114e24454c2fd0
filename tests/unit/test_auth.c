/*
 * test_auth.c - our server side of a login against our client side: core/auth and core/login talk
 * to each other in memory.
 */
#include "core/auth.h"
#include "core/login.h"

#include <string.h>

#include "conf_files.h"
#include "unit.h"

#define PENCIL                                                                                     \
	"SCRAM-SHA-256$4096:cwgspHAzDBhM/3vX0eXWnw==$73RrRcSrZ2U70pdwBzzoI529IUxmUczldmHOKcZ9ous=:"    \
	"ESkMzDQpaAoj5X4tuvHACaLDzpYBL7pgMYF0I20Cv7Q="

static const uint8_t mock_key[32] = {1, 2, 3};

static struct conf *
load(const char *auth_type)
{
	char ini[300];
	const struct conf_file files[] = {
		{"p.ini", ini},
		{"users", "\"plain\" \"secret\"\n"
				  "\"stored\" \"" PENCIL "\"\n"
				  "\"old\" \"md50123456789abcdef0123456789abcdef\"\n"
				  "\"empty\" \"\"\n"
				  "\"md5fan\" \"md5 is not my hash\"\n"},
		{NULL, NULL},
	};
	struct conf_files f = {.files = files};
	struct conf_error err;
	struct conf *conf;

	snprintf(ini, sizeof(ini),
			 "[databases]\napp = host=127.0.0.1\n[pgbouncer]\nauth_type = %s\nauth_file = users\n",
			 auth_type);
	conf = conf_files_load(&f, &err);
	if (conf == NULL)
		fail_msg("%s", err.text);
	return conf;
}

static struct auth *
auth_for(const struct conf *conf, const char *user)
{
	struct auth_who who;

	auth_who(conf, user, &who);
	return auth_new(conf, &who, mock_key);
}

/* The one message that a writer holds. */
static struct pgmsg
message_in(const struct pgwriter *w)
{
	struct pgmsg m;

	assert_false(w->overflow);
	assert_int_equal(pgmsg_peek(w->mem, w->len, &m), PGMSG_OK);
	assert_true(m.whole);
	assert_int_equal(m.total, w->len);
	return m;
}

/* The whole conversation. The client's verdict on the server is checked as well. */
static enum auth_result
talk(const struct conf *conf, const char *user, const char *password)
{
	uint8_t to_client[2000];
	uint8_t to_server[2000];
	struct pgwriter c;
	struct pgwriter s;
	struct auth *a = auth_for(conf, user);
	struct login *l = login_new(user, "app", password);
	struct params params;
	enum auth_result result;

	params_init(&params);
	pgw_init(&c, to_client, sizeof(to_client));
	result = auth_begin(a, &c);
	while (result == AUTH_MORE)
	{
		struct pgmsg m = message_in(&c);

		pgw_init(&s, to_server, sizeof(to_server));
		assert_int_equal(login_message(l, &m, &params, &s), LOGIN_MORE);
		m = message_in(&s);
		pgw_init(&c, to_client, sizeof(to_client));
		result = auth_message(a, &m, &c);
	}
	if (result == AUTH_OK && c.len > 0)
	{
		struct pgmsg m = message_in(&c);

		pgw_init(&s, to_server, sizeof(to_server));
		assert_int_equal(login_message(l, &m, &params, &s), LOGIN_MORE);
		assert_int_equal(s.len, 0);
	}
	params_fini(&params);
	login_free(l);
	auth_free(a);
	return result;
}

static void
test_who_gets_in(void **state)
{
	static const struct
	{
		const char *auth_type;
		const char *user;
		const char *password;
		enum auth_result result;
	} table[] = {
		{"scram-sha-256", "plain", "secret", AUTH_OK},
		{"scram-sha-256", "plain", "Secret", AUTH_FAILED},
		{"scram-sha-256", "plain", "", AUTH_FAILED},
		{"scram-sha-256", "stored", "pencil", AUTH_OK},
		{"scram-sha-256", "stored", PENCIL, AUTH_FAILED},
		/* Has a password that begins like a hash. */
		{"scram-sha-256", "md5fan", "md5 is not my hash", AUTH_OK},
		/* Nothing fits these, and nobody hears why. */
		{"scram-sha-256", "old", "anything", AUTH_FAILED},
		{"scram-sha-256", "empty", "", AUTH_FAILED},
		{"scram-sha-256", "nobody", "", AUTH_FAILED},
		{"scram-sha-256", "nobody", "secret", AUTH_FAILED},
		{"md5", "plain", "secret", AUTH_OK},
		{"md5", "plain", "Secret", AUTH_FAILED},
		{"md5", "old", "md50123456789abcdef0123456789abcdef", AUTH_OK}, /* the hash is the key */
		{"md5", "old", "md50123456789abcdef0123456789abcdee", AUTH_FAILED},
		{"md5", "stored", "pencil", AUTH_OK}, /* by SCRAM */
		{"md5", "stored", "pen", AUTH_FAILED},
		{"md5", "empty", "", AUTH_FAILED},
		{"md5", "nobody", "secret", AUTH_FAILED},
		{"plain", "plain", "secret", AUTH_OK},
		{"plain", "plain", "Secret", AUTH_FAILED},
		{"plain", "stored", "pencil", AUTH_OK},
		{"plain", "stored", "pen", AUTH_FAILED},
		{"plain", "old", "anything", AUTH_FAILED},
		{"plain", "empty", "", AUTH_FAILED},
		{"plain", "nobody", "", AUTH_FAILED},
		{"plain", "nobody", "secret", AUTH_FAILED},
		{"trust", "plain", NULL, AUTH_OK},
		{"trust", "nobody", NULL, AUTH_NO_USER},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		struct conf *conf = load(table[i].auth_type);
		enum auth_result r = talk(conf, table[i].user, table[i].password);

		if (r != table[i].result)
			fail_msg("%s %s: %d, not %d", table[i].auth_type, table[i].user, r, table[i].result);
		/* Again, now out of the thread's memory. */
		assert_int_equal(talk(conf, table[i].user, table[i].password), table[i].result);
		conf_free(conf);
	}
	auth_thread_fini();
	auth_thread_fini();
}

/* The salt and iterations that a user is shown, as sent. */
static void
challenge(const struct conf *conf, const char *user, char *out, size_t cap)
{
	static const char first[] = "n,,n=,r=abcdefghijklmnopqrstuvwx";
	uint8_t mem[1000];
	uint8_t reply[1000];
	struct pgwriter w;
	struct auth *a = auth_for(conf, user);
	struct pgmsg m;
	const char *salt;

	pgw_init(&w, mem, sizeof(mem));
	assert_int_equal(auth_begin(a, &w), AUTH_MORE);
	pgw_init(&w, mem, sizeof(mem));
	pgw_sasl_initial(&w, "SCRAM-SHA-256", first, sizeof(first) - 1);
	m = message_in(&w);
	pgw_init(&w, reply, sizeof(reply) - 1);
	assert_int_equal(auth_message(a, &m, &w), AUTH_MORE);
	reply[w.len] = '\0';
	m = message_in(&w);
	salt = strstr((const char *) m.body + 4, ",s=");
	assert_non_null(salt);
	snprintf(out, cap, "%s", salt);
	auth_free(a);
}

/* Who does not exist is shown the same salt each time, as one who does. */
static void
test_challenges_do_not_tell_who_exists(void **state)
{
	static const char *const users[] = {"plain", "stored", "old", "nobody"};
	struct conf *conf = load("scram-sha-256");
	char texts[4][200];
	char again[200];

	(void) state;
	for (int i = 0; i < 4; i++)
	{
		challenge(conf, users[i], texts[i], sizeof(texts[i]));
		auth_thread_fini();
		challenge(conf, users[i], again, sizeof(again));
		assert_string_equal(texts[i], again);
		assert_int_equal(strlen(texts[i]), strlen(texts[0]));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(texts[i], texts[k]);
	}
	auth_thread_fini();
	conf_free(conf);
}

static void
test_messages_that_do_not_belong(void **state)
{
	static const struct
	{
		uint8_t type;
		const char *body;
		size_t n;
	} table[] = {
		{'Q', "select 1", 9},
		{'p', "", 0},
		{'p', "secret", 7},
		{'p', "SCRAM-SHA-256", 14},
		{'p', "SCRAM-SHA-256\0\0\0\0\1", 18},
		{'p', "SCRAM-SHA-256\0\0\0\0\0", 18},
		{'p', "SCRAM-SHA-256\0\377\377\377\377n", 19},
		{'p', "SCRAM-SHA-256-PLUS\0\0\0\0\1n", 24},
		{'p', "SCRAM-SHA-256\0\0\0\0\4nope", 22},
	};
	struct conf *conf = load("scram-sha-256");

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		uint8_t mem[200];
		struct pgwriter w;
		struct auth *a = auth_for(conf, "plain");
		struct pgmsg m = {.type = table[i].type,
						  .body = (const uint8_t *) table[i].body,
						  .body_len = (uint32_t) table[i].n,
						  .total = (uint32_t) table[i].n + PGMSG_HEADER,
						  .whole = true};

		pgw_init(&w, mem, sizeof(mem));
		assert_int_equal(auth_begin(a, &w), AUTH_MORE);
		pgw_init(&w, mem, sizeof(mem));
		assert_int_equal(auth_message(a, &m, &w), AUTH_BAD);
		assert_int_equal(w.len, 0);
		auth_free(a);
	}
	auth_free(NULL);
	auth_thread_fini();
	conf_free(conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_gets_in),
		cmocka_unit_test(test_challenges_do_not_tell_who_exists),
		cmocka_unit_test(test_messages_that_do_not_belong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
