/*
 * test_secret.c - passwords in texts: each is found with all its bytes, whatever is quoted around
 * it, and what is none stays readable.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "secret.h"

typedef struct Masked
{
	PerfkitSecrets secrets; /* first */
	char text[16384];
	size_t length;
	size_t copied;
} Masked;

typedef struct Case
{
	const char *text;
	const char *masked; /* NULL: nothing in it is a secret */
} Case;

static void
copy_until(Masked *m, size_t to)
{
	assert_true(to >= m->copied && to <= m->secrets.length);
	assert_true(m->length + (to - m->copied) < sizeof(m->text));
	memcpy(m->text + m->length, m->secrets.text + m->copied, to - m->copied);
	m->length += to - m->copied;
	m->copied = to;
}

static void
found(PerfkitSecrets *s, size_t from, size_t to)
{
	Masked *m = (Masked *) s;

	copy_until(m, from);
	assert_true(to >= from && to <= s->length);
	m->copied = to;
	memset(m->text + m->length, '*', 3);
	m->length += 3;
}

/* The text is on memory of its own, so that a sanitizer sees who reads past it. */
static const char *
masked(const char *text, PerfkitSecretText kind, bool backslashes)
{
	static Masked m;
	size_t length = strlen(text);
	char *own = malloc(length > 0 ? length : 1);

	assert_non_null(own);
	for (size_t i = 0; i < length; i++)
		own[i] = text[i];
	m.secrets = (PerfkitSecrets){.text = own,
								 .length = length,
								 .kind = kind,
								 .backslashes = backslashes,
								 .until = length,
								 .found = found};
	m.length = 0;
	m.copied = 0;
	perfkit_secrets(&m.secrets);
	assert_int_equal(m.secrets.until, length);
	copy_until(&m, length);
	m.text[m.length] = '\0';
	free(own);
	return m.text;
}

static void
check(const Case *cases, size_t n, PerfkitSecretText kind)
{
	for (size_t i = 0; i < n; i++)
		assert_string_equal(masked(cases[i].text, kind, false),
							cases[i].masked != NULL ? cases[i].masked : cases[i].text);
}

#define CHECK(cases, kind) check(cases, sizeof(cases) / sizeof((cases)[0]), kind)

static void
what_the_grammar_takes(void **state)
{
	static const Case cases[] = {
		{"CREATE ROLE r PASSWORD 'hunter2' LOGIN", "CREATE ROLE r PASSWORD '***' LOGIN"},
		{"ALTER ROLE r password'hun''ter2'", "ALTER ROLE r password'***'"},
		{"ALTER ROLE r PASSWORD E'hun\\'ter2\\\\' LOGIN", "ALTER ROLE r PASSWORD E'***' LOGIN"},
		{"ALTER ROLE r PASSWORD U&'hunter\\0032'", "ALTER ROLE r PASSWORD U&'***'"},
		{"ALTER ROLE r PASSWORD N'hunter2' B'1' X'1'",
		 "ALTER ROLE r PASSWORD N'***' B'***' X'***'"},
		{"ALTER ROLE r PASSWORD $pw$hunter2 $ $p$ $pw$ LOGIN",
		 "ALTER ROLE r PASSWORD $pw$***$pw$ LOGIN"},
		{"ALTER ROLE r PASSWORD '' LOGIN", "ALTER ROLE r PASSWORD '***' LOGIN"},
		{"ALTER ROLE r PASSWORD NULL VALID UNTIL '2099-01-01'", NULL},
		{"ALTER ROLE r PASSWORD /* it's */ -- it's\n 'hunter2' LOGIN",
		 "ALTER ROLE r PASSWORD /* it's */ -- it's\n '***' LOGIN"},
		{"ALTER ROLE r PASSWORD 'hun'\n  -- more\n  'ter2' VALID UNTIL '2099'",
		 "ALTER ROLE r PASSWORD '***'\n  -- more\n  '***' VALID UNTIL '2099'"},
		{"ALTER ROLE r PASSWORD E'hun'\n'te\\'r2' VALID UNTIL '2099'",
		 "ALTER ROLE r PASSWORD E'***'\n'***' VALID UNTIL '2099'"},
		{"CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', \"password\" 'hunter2', x 'y')",
		 "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', \"password\" '***', x 'y')"},
		{"OPTIONS (SET sslpassword 'hunter2', oauth_client_secret 'x')",
		 "OPTIONS (SET sslpassword '***', oauth_client_secret '***')"},
		{"ALTER ROLE r PASSWORD 'hunter2", "ALTER ROLE r PASSWORD '***"},
	};

	(void) state;
	CHECK(cases, PERFKIT_SECRET_STATEMENT);
}

static void
what_stands_before_does_not_matter(void **state)
{
	static const Case cases[] = {
		{"CREATE ROLE \"o'brien\" PASSWORD 'hunter2'", "CREATE ROLE \"o'brien\" PASSWORD '***'"},
		{"SELECT 1 AS \"it's \"\" it's\"; ALTER ROLE r PASSWORD 'hunter2'",
		 "SELECT 1 AS \"it's \"\" it's\"; ALTER ROLE r PASSWORD '***'"},
		{"-- it's\nALTER ROLE r PASSWORD 'hunter2'", "-- it's\nALTER ROLE r PASSWORD '***'"},
		{"/* it's /* isn't */ \" */ALTER ROLE r PASSWORD 'hunter2'",
		 "/* it's /* isn't */ \" */ALTER ROLE r PASSWORD '***'"},
		{"/* a =/* b /* 'c'*/ d */ PASSWORD 'hunter2' */",
		 "/* a =/* b /* 'c'*/ d */ PASSWORD '***' */"},
		{"SELECT '--', '/*', '\"', $a$'$a$, U&\"'\"; ALTER ROLE r PASSWORD 'hunter2'",
		 "SELECT '--', '/*', '\"', $a$'$a$, U&\"'\"; ALTER ROLE r PASSWORD '***'"},
		{"SELECT '\\', E'\\'', E'a'\n'\\''; ALTER ROLE r PASSWORD 'hunter2'",
		 "SELECT '\\', E'\\'', E'a'\n'\\''; ALTER ROLE r PASSWORD '***'"},
		{"SELECT $1, a$b$ FROM t; ALTER ROLE r PASSWORD 'hunter2'; SELECT c$b$",
		 "SELECT $1, a$b$ FROM t; ALTER ROLE r PASSWORD '***'; SELECT c$b$"},
		{"/* ALTER ROLE r PASSWORD 'hunter2' */ SELECT 1 -- password=hunter2",
		 "/* ALTER ROLE r PASSWORD '***' */ SELECT 1 -- password=***"},
	};

	(void) state;
	CHECK(cases, PERFKIT_SECRET_STATEMENT);
	assert_string_equal(masked("SELECT 'it\\'s', 'x'; ALTER ROLE r PASSWORD 'hun\\'ter2', 'y'",
							   PERFKIT_SECRET_STATEMENT, true),
						"SELECT 'it\\'s', 'x'; ALTER ROLE r PASSWORD '***', 'y'");
}

static void
inside_of_what_is_quoted(void **state)
{
	static const Case cases[] = {
		{"DO $$ BEGIN RAISE NOTICE E'it\\'s'; ALTER ROLE r PASSWORD 'hunter2'; END $$",
		 "DO $$ BEGIN RAISE NOTICE E'it\\'s'; ALTER ROLE r PASSWORD '***'; END $$"},
		{"EXECUTE E'ALTER ROLE r PASSWORD E\\'hun\\\\\\'ter2\\''",
		 "EXECUTE E'ALTER ROLE r PASSWORD E\\'***\\''"},
		{"EXECUTE E'ALTER ROLE r PASSWORD \\x27hun\\u0027\\047ter2\\47 LOGIN'",
		 "EXECUTE E'ALTER ROLE r PASSWORD \\x27***\\47 LOGIN'"},
		{"EXECUTE E'-- it\\'s\\nALTER ROLE r PASSWORD \\'hunter2\\''",
		 "EXECUTE E'-- it\\'s\\nALTER ROLE r PASSWORD \\'***\\''"},
		{"DO 'BEGIN EXECUTE ''ALTER ROLE r PASSWORD ''''hun''''''''ter2''''''; END'",
		 "DO 'BEGIN EXECUTE ''ALTER ROLE r PASSWORD ''''***''''''; END'"},
		{"DO $x$ BEGIN EXECUTE $$ALTER ROLE r PASSWORD $y$hunter2$y$$$; END $x$",
		 "DO $x$ BEGIN EXECUTE $$ALTER ROLE r PASSWORD $y$***$y$$$; END $x$"},
		{"EXECUTE 'ALTER ROLE r PASSWORD ''''' || x",
		 "EXECUTE 'ALTER ROLE r PASSWORD ''***''' || x"},
		{"EXECUTE 'ALTER ROLE r PASSWORD ''' || 'hunter2' || ''''",
		 "EXECUTE 'ALTER ROLE r PASSWORD ''' || '***' || '***'"},
		{"EXECUTE 'ALTER ROLE r PASSWORD ''' || pw || ''' LOGIN'",
		 "EXECUTE 'ALTER ROLE r PASSWORD ''' || pw || ''' LOGIN'"},
		{"EXECUTE format('ALTER ROLE r PASSWORD %L', 'hunter2'); SELECT 'x'",
		 "EXECUTE format('ALTER ROLE r PASSWORD %L', '***'); SELECT 'x'"},
		{"EXECUTE format('ALTER ROLE r PASSWORD %L', s)", NULL},
		{"SELECT 'a' AS b, 'c', concat('host=h password=', 'hunter2')",
		 "SELECT 'a' AS b, 'c', concat('host=h password=', '***')"},
		{"SELECT ''''''''''''''''''''''''''''''''", NULL},
		{"'$a$ $b$ $c$ $d$ \" '' -- $e$ $f$ $g$ $h$ $i$ $j$ $k$ password $l$ hunter2",
		 "'$a$ $b$ $c$ $d$ \" '' -- $e$ $f$ $g$***"},
	};

	(void) state;
	CHECK(cases, PERFKIT_SECRET_STATEMENT);
}

static void
connection_strings(void **state)
{
	static const Case cases[] = {
		{"SELECT 'host=h password=#ecret x=y'", "SELECT 'host=h password=*** x=y'"},
		{"SELECT 'host=h password=p&ss;x,y)z x=y'", "SELECT 'host=h password=*** x=y'"},
		{"SELECT 'host=h password=p\\ ass x=y'", "SELECT 'host=h password=*** x=y'"},
		{"SELECT 'password=p''ass x=y'", "SELECT 'password=*** x=y'"},
		{"SELECT 'host=h password = hunter2 x=y'", "SELECT 'host=h password = *** x=y'"},
		{"SELECT 'password=''a b'' user=u'", "SELECT 'password=''***'' user=u'"},
		{"SELECT 'password = ''it\\''s'' user=u'", "SELECT 'password = ''***'' user=u'"},
		{"SELECT dblink($$host=h password = 'a b' x=y$$), dblink($$host=h password = #ecret$$)",
		 "SELECT dblink($$host=h password = '***' x=y$$), dblink($$host=h password = ***$$)"},
		{"SELECT 'host=h password='", NULL},
		{"SELECT 'postgresql://u:hun@ter2@h/d?password=p%20s&x=y', 'postgres://u@h/d'",
		 "SELECT 'postgresql://u:***@h/d?password=***&x=y', 'postgres://u@h/d'"},
		{"SELECT 'postgres://h:5432/d', 'https://h:80,x@y'",
		 "SELECT 'postgres://h:5432/d', 'https://h:***@y'"},
	};

	(void) state;
	CHECK(cases, PERFKIT_SECRET_STATEMENT);
}

static void
values_and_messages(void **state)
{
	static const Case cases[] = {
		{"host=h password = hunter2", "host=h password = ***"},
		{"password='a''b\\'c' x=y", "password='***' x=y"},
		{"password=$1 x=y", "password=*** x=y"},
		{"{\"user\": \"u\", \"password\": \"hun\\\"ter2\", \"x\": 1}",
		 "{\"user\": \"u\", \"password\": \"***\", \"x\": 1}"},
		{"postgres://u:p/x@h postgres://u:pw@h", "postgres://u:p/x@h postgres://u:***@h"},
		{"postgres://u:hunter2", "postgres://u:***"},
		{"password: password = hunter2 x=y", "password: *** = *** x=y"},
		{"invalid input syntax for type integer: \"host=h password=hunter2\"",
		 "invalid input syntax for type integer: \"host=h password=***\""},
		{"can't run: ALTER ROLE \"r\" PASSWORD 'hunter two' LOGIN",
		 "can't run: ALTER ROLE \"r\" PASSWORD '***'***"},
		{"can't: \"5\" pipe\" PASSWORD 'hunter2'", "can't: \"5\" pipe\" PASSWORD '***'"},
		{"password authentication failed for user \"x\"", NULL},
		{"column \"password\" of relation \"users\" does not exist", NULL},
		{"", NULL},
	};

	(void) state;
	CHECK(cases, PERFKIT_SECRET_VALUE);
}

static void
plans(void **state)
{
	static const Case cases[] = {
		{"(c = E'host=h password=''it\\\\\\\\''s'' x=y'::text)",
		 "(c = E'host=h password=''***'' x=y'::text)"},
		{"(c = 'host=h password=a\\\"b\\nx=y'::text)", "(c = 'host=h password=***\\nx=y'::text)"},
		{"((password)::text = 'hunter2'::text) AND (b = 'x'::text)",
		 "((password)::text = '***'::text) AND (b = 'x'::text)"},
		{"(\\\"it's\\\" = 'x'::text) AND (t.password = $1)", NULL},
	};

	(void) state;
	CHECK(cases, PERFKIT_SECRET_PLAN);
}

static void
what_does_not_parse(void **state)
{
	static const Case cases[] = {
		{"CREATE ROLE \"o'brien\" PASSWORT 'hunter2' x 'password' 4711",
		 "CREATE ROLE \"o'***\" PASSWORT '***' x '***' ***"},
		{"CREATE ROLE x PASSWORD hun-t,e;r2\"", "CREATE ROLE x PASSWORD ***"},
		{"CREATE ROLE x PASSWORD 'it\\'s hunter2' LOGIN", "CREATE ROLE x PASSWORD '***'***'***"},
		{"CREATE ROLE x PASSWORD \"hunter2\" LOGIN", "CREATE ROLE x PASSWORD \"***\" LOGIN"},
		{"CREATE ROLE x PASSWORD = hunter2;", "CREATE ROLE x PASSWORD = ***"},
		{"FORM t1 WHERE a = $1 AND b = 1.5e3 AND c = E'it\\'s' -- password 'x'",
		 "FORM t1 WHERE a = $1 AND b = *** AND c = E'***' -- password '***'"},
		{"CREATE ROLE x PASSWORD 'hunter2;\n", "CREATE ROLE x PASSWORD '***"},
	};

	(void) state;
	CHECK(cases, PERFKIT_SECRET_UNPARSED);
}

static void
ordinary_statements(void **state)
{
	static const Case cases[] = {
		{"SELECT * FROM u WHERE name = $1 AND password = $2 AND x = 'y'", NULL},
		{"SELECT * FROM u WHERE password=$1 AND x = 'y'", NULL},
		{"UPDATE u SET password = crypt($1, gen_salt('bf')), x = 'y' WHERE u.password = v.password",
		 NULL},
		{"INSERT INTO u (\"password\") VALUES ($1) ON CONFLICT DO UPDATE SET \"password\" = "
		 "EXCLUDED.\"password\"",
		 NULL},
		{"SELECT \"u\".\"password\" = \"v\".\"password\" FROM u, v", NULL},
		{"SELECT 'password' AS password, 'x', 1", NULL},
		{"SELECT 1 FROM t WHERE a LIKE '%password%' AND b IN ('password', 'x') AND c = 'y'", NULL},
		{"SELECT 'a' AS password_hint WHERE 'x' <> 'password is required'", NULL},
		{"DO $$ BEGIN UPDATE u SET password = crypt(p, 'x') WHERE id = 1; END $$", NULL},
		{"SELECT password::text, length(password), a ? 'x' FROM u ORDER BY password", NULL},
		{"SELECT * FROM u WHERE password = 'hunter2' AND x = 'y'",
		 "SELECT * FROM u WHERE password = '***' AND x = 'y'"},
		{"SELECT 'https://example.com/a:b', 'it''s', E'\\'', $$it's$$", NULL},
	};

	(void) state;
	CHECK(cases, PERFKIT_SECRET_STATEMENT);
}

static void
suspicious_words(void **state)
{
	(void) state;
	assert_true(perfkit_secret_suspects("xPassWordx", 10));
	assert_true(perfkit_secret_suspects("scram_client_key", 16));
	assert_false(perfkit_secret_suspects("password", 7));
	assert_false(perfkit_secret_suspects("pass word sslcert", 17));
	assert_false(perfkit_secret_suspects("", 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_grammar_takes),
		cmocka_unit_test(what_stands_before_does_not_matter),
		cmocka_unit_test(inside_of_what_is_quoted),
		cmocka_unit_test(connection_strings),
		cmocka_unit_test(values_and_messages),
		cmocka_unit_test(plans),
		cmocka_unit_test(what_does_not_parse),
		cmocka_unit_test(ordinary_statements),
		cmocka_unit_test(suspicious_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
