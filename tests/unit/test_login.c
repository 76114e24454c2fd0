/*
 * test_login.c - logging in to a server that behaves, and to those that do not.
 *
 * The SCRAM exchange itself is in test_auth.
 */
#include "core/login.h"

#include <string.h>

#include "unit.h"

/* A message as a test writes it down. */
struct said
{
	uint8_t type;
	const char *body;
	size_t n;
};

#define SAID(type, text)                                                                           \
	{                                                                                              \
		type, text, sizeof(text) - 1                                                               \
	}
#define AUTH_OK_SAID SAID('R', "\0\0\0\0")
#define KEY_SAID SAID('K', "\0\0\4\322\1\2\3\4")
#define READY_SAID SAID('Z', "I")

struct talk
{
	struct login *login;
	struct params params;
	uint8_t reply[500];
	struct pgwriter w;
};

static void
talk_begin(struct talk *t, const char *password)
{
	t->login = login_new("orders", "app", password);
	params_init(&t->params);
}

static void
talk_end(struct talk *t)
{
	login_free(t->login);
	params_fini(&t->params);
}

static enum login_result
hear(struct talk *t, const struct said *said)
{
	uint8_t mem[1000];
	struct pgwriter w;
	struct pgmsg m;

	pgw_init(&w, mem, sizeof(mem));
	pgw_begin(&w, said->type);
	pgw_bytes(&w, said->body, said->n);
	pgw_end(&w);
	assert_int_equal(pgmsg_peek(w.mem, w.len, &m), PGMSG_OK);
	pgw_init(&t->w, t->reply, sizeof(t->reply));
	return login_message(t->login, &m, &t->params, &t->w);
}

static void
test_without_password(void **state)
{
	static const struct said before[] = {
		AUTH_OK_SAID,
		SAID('S', "server_version\00015.4\0"),
		SAID('S', "TimeZone\0UTC\0"),
		SAID('S', "TimeZone\0Europe/Zurich\0"),
		SAID('N', "SNOTICE\0Mhello\0\0"),
		KEY_SAID,
	};
	static const struct said ready = READY_SAID;
	size_t welcome = 0;
	struct talk t;

	(void) state;
	talk_begin(&t, NULL);
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
	{
		assert_int_equal(hear(&t, &before[i]), LOGIN_MORE);
		assert_int_equal(t.w.len, 0);
		if (before[i].type == 'S')
			welcome += PGMSG_HEADER + before[i].n;
	}
	assert_int_equal(hear(&t, &ready), LOGIN_OK);
	assert_int_equal(t.login->backend_pid, 1234);
	assert_int_equal(t.login->key_len, 4);
	assert_memory_equal(t.login->key, "\1\2\3\4", 4);
	assert_string_equal(t.params.value[PARAM_TIMEZONE], "Europe/Zurich");
	assert_null(t.params.value[PARAM_DATESTYLE]);
	/* All that was reported, as it came, tracked or not. */
	assert_int_equal(buf_len(&t.login->welcome), welcome);
	assert_memory_equal(buf_data(&t.login->welcome) + PGMSG_HEADER, "server_version\00015.4", 20);
	talk_end(&t);
}

static void
test_startup_packet(void **state)
{
	uint8_t mem[300];
	struct pgwriter w;
	struct talk t;
	static const char expected[] = "\0\3\0\0user\0orders\0database\0app\0"
								   "TimeZone\0UTC\0application_name\0me\0";

	(void) state;
	talk_begin(&t, NULL);
	params_set(&t.params, PARAM_TIMEZONE, "UTC");
	params_set(&t.params, PARAM_APPLICATION_NAME, "me");
	pgw_init(&w, mem, sizeof(mem));
	login_startup(t.login, &t.params, &w);
	assert_int_equal(w.len, 4 + sizeof(expected));
	assert_memory_equal(w.mem + 4, expected, sizeof(expected));
	talk_end(&t);
}

static void
test_plain_password(void **state)
{
	static const struct said ask = SAID('R', "\0\0\0\3");
	static const struct said ok = AUTH_OK_SAID;
	struct talk t;

	(void) state;
	talk_begin(&t, "hush");
	assert_int_equal(hear(&t, &ask), LOGIN_MORE);
	assert_int_equal(t.w.len, PGMSG_HEADER + 5);
	assert_memory_equal(t.w.mem, "p\0\0\0\11hush", 10);
	assert_int_equal(hear(&t, &ok), LOGIN_MORE);
	talk_end(&t);
}

static void
test_refused(void **state)
{
	static const struct
	{
		struct said said;
		const char *sqlstate;
		const char *text;
	} table[] = {
		{SAID('E', "SFATAL\0C28P01\0Mno\0\0"), "28P01", "no"},
		{SAID('E', "SFATAL\0C57P03\0Mstarting up\0\0"), "57P03", "starting up"},
		{SAID('E', "SFATAL\0Mno code\0\0"), "08P01", "no code"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		struct talk t;

		talk_begin(&t, NULL);
		assert_int_equal(hear(&t, &table[i].said), LOGIN_REFUSED);
		assert_string_equal(t.login->sqlstate, table[i].sqlstate);
		assert_string_equal(t.login->text, table[i].text);
		talk_end(&t);
	}
}

/* What is said last makes no sense, or cannot be done by us: BAD or UNABLE, with a text and a code,
 * and nothing is answered. */
static void
test_bad(void **state)
{
	static const struct
	{
		enum login_result result;
		const char *password;
		struct said first;
		struct said second;
	} table[] = {
		{LOGIN_UNABLE, NULL, {0}, SAID('R', "\0\0\0\3")},                   /* password not known */
		{LOGIN_UNABLE, NULL, {0}, SAID('R', "\0\0\0\12SCRAM-SHA-256\0\0")}, /* the same */
		{LOGIN_UNABLE, "x", {0}, SAID('R', "\0\0\0\12SCRAM-SHA-512\0\0")},  /* not ours */
		{LOGIN_UNABLE, "x", {0}, SAID('R', "\0\0\0\12")},                   /* no list */
		{LOGIN_UNABLE, "x", {0}, SAID('R', "\0\0\0\7")},                    /* GSS */
		{LOGIN_BAD, "x", {0}, SAID('R', "\0\0")},                           /* cut */
		{LOGIN_BAD, "x", {0}, SAID('R', "\0\0\0\13r=a,s=YQ==,i=4096")},     /* SCRAM never begun */
		{LOGIN_BAD, "x", {0}, SAID('R', "\0\0\0\14v=YQ==")},                /* the same */
		{LOGIN_BAD, "x", SAID('R', "\0\0\0\12SCRAM-SHA-256\0\0"),
		 AUTH_OK_SAID}, /* proof left out */
		{LOGIN_BAD, "x", SAID('R', "\0\0\0\12SCRAM-SHA-256\0\0"),
		 SAID('R', "\0\0\0\13r=foreign,s=YQ==,i=1")},
		{LOGIN_BAD, NULL, {0}, READY_SAID},                          /* not let in yet */
		{LOGIN_BAD, NULL, AUTH_OK_SAID, SAID('Z', "")},              /* no status */
		{LOGIN_BAD, NULL, AUTH_OK_SAID, SAID('S', "TimeZone\0UTC")}, /* no end */
		{LOGIN_BAD, NULL, AUTH_OK_SAID, SAID('S', "TimeZone")},
		{LOGIN_BAD, NULL, AUTH_OK_SAID, SAID('K', "\0\0\4\322")}, /* no key */
		{LOGIN_BAD, NULL, AUTH_OK_SAID, SAID('K', "\0\0")},
		{LOGIN_BAD, NULL, AUTH_OK_SAID, SAID('D', "\0\0")},
		{LOGIN_BAD, NULL, {0}, SAID('E', "Cx")}, /* cut */
		{LOGIN_BAD, NULL, {0}, SAID('H', "TTP/1.1 400 Bad Request")},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		struct talk t;
		enum login_result r;

		talk_begin(&t, table[i].password);
		if (table[i].first.type != 0)
			assert_int_equal(hear(&t, &table[i].first), LOGIN_MORE);
		r = hear(&t, &table[i].second);
		if (r != table[i].result || t.w.len != 0 || t.login->text[0] == '\0')
			fail_msg("row %zu: result %d, reply %zu, text \"%s\"", i, r, t.w.len, t.login->text);
		assert_string_equal(t.login->sqlstate, "08P01");
		talk_end(&t);
	}
	login_free(NULL);
}

/* A postmaster that cannot start a process says so in a line without a frame: it is read up to the
 * first byte that is no text, and only before we are let in. */
static void
test_without_frame(void **state)
{
	static const struct
	{
		const char *said;
		size_t n;
		const char *text; /* NULL: no such line */
	} table[] = {
		{"Ecould not fork: no memory\n", 28, "could not fork: no memory"},
		{"Ecould not fork", 15, "could not fork"},
		{"Ecould\033[2Jnot", 13, "could"},
		{"E\377\377\377\377x", 6, "\377\377\377\377x"},
		{"E\0\0\0\1x", 6, NULL},
		{"Ecoul", 5, NULL},
		{"HTTP/1.1 400", 12, NULL},
	};
	char longest[1 + 2 * LOGIN_TEXT_MAX];
	struct talk t;

	(void) state;
	talk_begin(&t, NULL);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		const uint8_t *p = (const uint8_t *) table[i].said;

		assert_int_equal(login_without_frame(t.login, p, table[i].n), table[i].text != NULL);
		if (table[i].text != NULL)
			assert_string_equal(t.login->text, table[i].text);
	}
	memset(longest, 'E', sizeof(longest));
	assert_true(login_without_frame(t.login, (const uint8_t *) longest, sizeof(longest)));
	assert_int_equal(strlen(t.login->text), LOGIN_TEXT_MAX - 1);
	t.login->authenticated = true;
	assert_false(login_without_frame(t.login, (const uint8_t *) longest, sizeof(longest)));
	talk_end(&t);
}

/* Keys of protocol 3.2 are longer; the longest one fits, one more byte does not. */
static void
test_long_key(void **state)
{
	char body[4 + 257] = {0};
	struct said said = {.type = 'K', .body = body};
	struct talk t;

	(void) state;
	for (size_t len = 255; len <= 257; len++)
	{
		talk_begin(&t, NULL);
		said.n = 4 + len;
		assert_int_equal(hear(&t, &said), len <= 256 ? LOGIN_MORE : LOGIN_BAD);
		talk_end(&t);
	}
}

/* The mechanism that is answered to an offer. */
static void
test_channel_binding(void **state)
{
	static const struct
	{
		struct said offer;
		bool tls;
		const char *chosen; /* NULL: none of them */
		const char *flag;
	} rows[] = {
		{SAID('R', "\0\0\0\12SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"), true, "SCRAM-SHA-256-PLUS",
		 "p=tls-server-end-point,,"},
		{SAID('R', "\0\0\0\12SCRAM-SHA-256\0SCRAM-SHA-256-PLUS\0"), true, "SCRAM-SHA-256-PLUS",
		 "p=tls-server-end-point,,"},
		{SAID('R', "\0\0\0\12SCRAM-SHA-256\0"), true, "SCRAM-SHA-256", "y,,"},
		{SAID('R', "\0\0\0\12SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0"), false, "SCRAM-SHA-256", "n,,"},
		{SAID('R', "\0\0\0\12SCRAM-SHA-256-PLUS\0"), false, NULL, NULL},
		{SAID('R', "\0\0\0\12OAUTHBEARER\0"), true, NULL, NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		struct talk t;
		enum login_result result;
		const char *body;

		talk_begin(&t, "secret");
		if (rows[i].tls)
			t.login->binding = (struct scram_binding){{1, 2, 3}, 32};
		result = hear(&t, &rows[i].offer);
		assert_int_equal(result, rows[i].chosen == NULL ? LOGIN_UNABLE : LOGIN_MORE);
		if (rows[i].chosen != NULL)
		{
			body = (const char *) t.reply + PGMSG_HEADER;
			assert_string_equal(body, rows[i].chosen);
			body += strlen(body) + 1 + 4;
			assert_memory_equal(body, rows[i].flag, strlen(rows[i].flag));
		}
		talk_end(&t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_password),
		cmocka_unit_test(test_startup_packet),
		cmocka_unit_test(test_plain_password),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_without_frame),
		cmocka_unit_test(test_long_key),
		cmocka_unit_test(test_channel_binding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
