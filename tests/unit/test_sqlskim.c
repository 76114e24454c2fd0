/*
 * test_sqlskim.c - what is found clean, and that nothing is that tells of something.
 */
#include "proto/sqlskim.h"

#include <stdlib.h>
#include <string.h>

#include "proto/sqlscan.h"
#include "unit.h"

#define TEXTS 300000 /* random ones */

static bool
clean(const char *sql)
{
	return sqlskim_is_clean(sql, strlen(sql));
}

static bool
clean_in_pieces(const char *sql, size_t n, size_t piece)
{
	struct sqlskim s;

	sqlskim_begin(&s);
	for (size_t i = 0; i < n; i += piece)
		sqlskim_piece(&s, sql + i, piece < n - i ? piece : n - i);
	return sqlskim_end(&s);
}

/* Without its terminator. */
static size_t
place(char *to, const char *text)
{
	size_t n = 0;

	for (; text[n] != '\0'; n++)
		to[n] = text[n];
	return n;
}

/* It would be of no use if the usual texts went to the lexer all the same. */
static void
usual_texts_are_clean(void **state)
{
	static const char *const texts[] = {
		"",
		"select 1",
		"SELECT abalance FROM pgbench_accounts WHERE aid = 4711;",
		"BEGIN",
		"commit; ",
		"begin; update t set a = 1 where b = ';x'; end",
		"UPDATE pgbench_accounts SET abalance = abalance + -5 WHERE aid = 1;\n",
		"insert into items (template, temperature, max_temp, attempt, tempo) values ($1, $2, $3)",
		"select config, division from system_items limit 10 offset 20",
		"/* app:web */ select 1",
		"-- name: GetUser :one\nSELECT * FROM users WHERE id = $1 LIMIT 1",
		"with x as (select 1) select * from x",
		"copy t from stdin",
		"settle; dropped; created; closes",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!clean(texts[i]))
			fail_msg("not clean: %s", texts[i]);
}

static void
what_may_tell_is_not(void **state)
{
	static const char *const texts[] = {
		"set x = 1",
		"\n\tSeT x = 1",
		"select ';set'",
		"select 1;/**/set x = 1",
		"select 1; -- x",
		"select 1 into temp",
		"select 1 into\"pg_temp\".t",
		"create",
		"select pg_catalog.set_config('a', 'b', false)",
		"select PG_ADVISORY_LOCK(1)",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (clean(texts[i]))
			fail_msg("clean: %s", texts[i]);
}

/* Wherever it stands, in texts that are longer than a block and a tail. */
static void
a_word_is_seen_at_every_place(void **state)
{
	static const char *const words[] = {" temp ",    "_advisory_", "set_config",      "PG_TEMP",
										"TEMPORARY", ";listen x",  "; \n savepoint a"};
	char text[101];

	(void) state;
	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
		for (size_t at = 0; at + strlen(words[w]) < sizeof(text); at++)
		{
			memset(text, ',', sizeof(text) - 1);
			text[sizeof(text) - 1] = '\0';
			place(text + at, words[w]);
			if (clean(text))
				fail_msg("clean: %s", text);
			for (size_t piece = 1; piece <= 40; piece++)
				if (clean_in_pieces(text, strlen(text), piece))
					fail_msg("clean in pieces of %zu: %s", piece, text);
		}
}

static void
pieces_find_long_texts_clean(void **state)
{
	static char text[100000];

	(void) state;
	memset(text, 'x', sizeof(text));
	place(text, "insert into t values ('; no \n");
	place(text + sizeof(text) - 3, "');");
	for (size_t piece = 1; piece < sizeof(text); piece = piece * 3 + 1)
		assert_true(clean_in_pieces(text, sizeof(text), piece));
	place(text + 70000, ";drop ");
	for (size_t piece = 1; piece < sizeof(text); piece = piece * 3 + 1)
		assert_false(clean_in_pieces(text, sizeof(text), piece));
}

/* ---- against the lexer ---- */

static void
count(void *arg, const struct sqlscan_found *f)
{
	(void) f;
	++*(int *) arg;
}

/* A text of words and signs that mean something, put together without sense. */
static size_t
random_text(unsigned *seed, char *text, size_t cap)
{
	static const char *const parts[] = {
		"set",       "Reset",       "create",  "TEMP",        "temporary", "pg_temp",
		"table",     "x",           "into",    "select",      "with",      "set_config",
		"savepoint", "declare c",   "hold",    "drop",        "'",         "\"",
		";",         "(",           ")",       "--",          "/*",        "*/",
		" ",         "\n",          "$$",      "$a$",         "\\",        "E'",
		"U&\"",      ",",           ".",       "1",           "true",      "pg_advisory_lock",
		"advisory",  "begin",       "atomic",  "listen",      "prepare",   "transaction",
		"load",      "deallocate",  "close",   "discard all", "_",         "\xc3\xa9",
		"explain",   "rollback to", "release", "unlisten",    "insert",    "function",
	};
	size_t n = 0;
	int words = 1 + rand_r(seed) % 12;

	for (int i = 0; i < words; i++)
	{
		const char *part = parts[(size_t) rand_r(seed) % (sizeof(parts) / sizeof(parts[0]))];

		if (n + strlen(part) + 1 > cap)
			break;
		n += place(text + n, part);
		if (rand_r(seed) % 2 == 0)
			text[n++] = ' ';
	}
	return n;
}

static void
nothing_is_told_of_a_clean_text(void **state)
{
	unsigned seed = 20260101;
	int n_clean = 0;
	int n_told = 0;

	(void) state;
	for (int i = 0; i < TEXTS; i++)
	{
		char text[256];
		size_t n = random_text(&seed, text, sizeof(text));
		size_t piece = 1 + (size_t) rand_r(&seed) % 60;
		int told = 0;

		sqlscan(text, n, true, count, &told);
		sqlscan(text, n, false, count, &told);
		n_told += told > 0;
		n_clean += sqlskim_is_clean(text, n);
		if (told > 0 && (sqlskim_is_clean(text, n) || clean_in_pieces(text, n, piece)))
			fail_msg("clean, though it tells something: %.*s", (int) n, text);
	}
	/* Or it would have shown nothing. */
	assert_true(n_told > TEXTS / 50 && n_clean > TEXTS / 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usual_texts_are_clean),
		cmocka_unit_test(what_may_tell_is_not),
		cmocka_unit_test(a_word_is_seen_at_every_place),
		cmocka_unit_test(pieces_find_long_texts_clean),
		cmocka_unit_test(nothing_is_told_of_a_clean_text),
	};

	return cmocka_run_group_tests_name("sqlskim", tests, NULL, NULL);
}
