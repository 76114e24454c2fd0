/*
 * test_prepared.c - reading and rewriting the messages that name a statement.
 */
#include "proto/prepared.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

/* A message in exactly as much memory as it takes, so that AddressSanitizer sees a byte too far. */
struct message
{
	uint8_t *mem;
	struct pgmsg m;
};

static struct message
message(char type, const char *body, size_t n)
{
	struct message x = {.mem = malloc(n + PGMSG_HEADER)};
	struct pgwriter w;

	assert_non_null(x.mem);
	pgw_init(&w, x.mem, n + PGMSG_HEADER);
	pgw_begin(&w, (uint8_t) type);
	pgw_bytes(&w, body, n);
	pgw_end(&w);
	assert_int_equal(pgmsg_peek(x.mem, w.len, &x.m), PGMSG_OK);
	return x;
}

static const struct
{
	char type;
	const char *body;
	size_t len;
	enum pgmsg_result whole; /* when all of it is there */
	size_t needed;           /* body bytes from which on it is OK */
	const char *name;
	size_t before;
	size_t after; /* bytes behind the name */
} splits[] = {
	{'P', "s\0select\0\0", 10, PGMSG_OK, 2, "s", 0, 8},
	{'P', "\0select\0\0\0", 10, PGMSG_OK, 1, "", 0, 9},
	{'P', "no end", 6, PGMSG_BAD, 0, NULL, 0, 0},
	{'P', "", 0, PGMSG_BAD, 0, NULL, 0, 0},
	{'B', "portal\0stmt\0\0\0\0\0\0", 18, PGMSG_OK, 12, "stmt", 7, 6},
	{'B', "\0\0", 2, PGMSG_OK, 2, "", 1, 0},
	{'B', "portal\0stmt", 11, PGMSG_BAD, 0, NULL, 0, 0},
	{'B', "portal", 6, PGMSG_BAD, 0, NULL, 0, 0},
	{'D', "Sstmt", 6, PGMSG_OK, 6, "stmt", 1, 0},
	{'D', "Pstmt", 6, PGMSG_OK, 6, "", 1, 0},
	{'C', "S", 2, PGMSG_OK, 2, "", 1, 0},
	{'C', "Pp", 3, PGMSG_OK, 3, "", 1, 0},
	{'C', "", 0, PGMSG_BAD, 0, NULL, 0, 0},
	{'D', "S", 1, PGMSG_BAD, 0, NULL, 0, 0},
};

static void
split_however_much_is_there(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++)
	{
		struct message x = message(splits[i].type, splits[i].body, splits[i].len);

		for (size_t there = 0; there <= splits[i].len; there++)
		{
			struct message cut = message(splits[i].type, splits[i].body, there);
			struct pgmsg m = x.m;
			struct prepared p;
			enum pgmsg_result expected = there == splits[i].len ? splits[i].whole : PGMSG_NEED_MORE;

			if (splits[i].whole == PGMSG_OK && there >= splits[i].needed)
				expected = PGMSG_OK;
			m.body = cut.m.body;
			m.whole = there == splits[i].len;
			assert_int_equal(prepared_split(&m, there, &p), expected);
			if (expected == PGMSG_OK)
			{
				assert_string_equal(p.name, splits[i].name);
				assert_int_equal(p.before_len, splits[i].before);
				if (p.before[0] != 'P' || splits[i].type == 'B')
					assert_int_equal(p.after_there, splits[i].after - (splits[i].len - there));
			}
			free(cut.mem);
		}
		free(x.mem);
	}
}

static void
a_new_head_keeps_the_length_true(void **state)
{
	struct message x = message('B', "portal\0s\0\0\1\0\2xx", 15);
	struct prepared p;
	struct pgwriter w;
	uint8_t mem[64];
	struct pgmsg m;

	(void) state;
	assert_int_equal(prepared_split(&x.m, x.m.body_len, &p), PGMSG_OK);
	pgw_init(&w, mem, sizeof(mem));
	prepared_head(&x.m, &p, "PERFKIT_7", &w);
	pgw_bytes(&w, p.after, p.after_there);
	assert_false(w.overflow);
	assert_int_equal(pgmsg_peek(mem, w.len, &m), PGMSG_OK);
	assert_true(m.whole);
	assert_int_equal(m.total, w.len);
	assert_memory_equal(m.body, "portal\0PERFKIT_7\0\0\1\0\2xx", m.body_len);
	free(x.mem);

	pgw_init(&w, mem, sizeof(mem));
	prepared_close("PERFKIT_7", &w);
	assert_int_equal(w.len, 16);
	assert_memory_equal(mem, "C\0\0\0\17SPERFKIT_7", 16);
}

static void
names_in_errors(void **state)
{
	static const struct
	{
		const char *text;
		const char *renamed;
	} cases[] = {
		{"prepared statement \"PERFKIT_7\" exists", "prepared statement \"my \"stmt\" exists"},
		{"\"PERFKIT_7\"\"PERFKIT_7\"", "\"my \"stmt\"\"my \"stmt\""},
		{"\"PERFKIT_77\" PERFKIT_7 \"PERFKIT_", "\"PERFKIT_77\" PERFKIT_7 \"PERFKIT_"},
		{"", ""},
		{"\"", "\""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char body[200] = "C42P05";
		size_t n = 7;
		struct message x;
		struct pgwriter w;
		struct pgerror e;
		uint8_t mem[300];
		struct pgmsg m;

		body[n++] = 'M';
		strcpy(body + n, cases[i].text);
		n += strlen(cases[i].text) + 1;
		body[n++] = '\0';
		x = message('E', body, n);
		pgw_init(&w, mem, sizeof(mem));
		prepared_rename_in_error(&x.m, "PERFKIT_7", "my \"stmt", &w);
		assert_false(w.overflow);
		assert_int_equal(pgmsg_peek(mem, w.len, &m), PGMSG_OK);
		assert_int_equal(m.total, w.len);
		assert_int_equal(pgmsg_error_fields(m.body, m.body_len, &e), PGMSG_OK);
		assert_string_equal(e.message, cases[i].renamed);
		assert_string_equal(e.sqlstate, "42P05");
		/* Too little room is told, not overrun. */
		pgw_init(&w, mem, 8);
		prepared_rename_in_error(&x.m, "PERFKIT_7", "my \"stmt", &w);
		assert_true(w.overflow);
		free(x.mem);
	}
	/* A body that is cut. */
	for (size_t n = 0; n < 6; n++)
	{
		struct message x = message('E', "M\"x", n < 3 ? n : 3);
		struct pgwriter w;
		uint8_t mem[64];

		pgw_init(&w, mem, sizeof(mem));
		prepared_rename_in_error(&x.m, "x", "y", &w);
		free(x.mem);
	}
}

static void
deallocate_of_a_name(void **state)
{
	static const struct
	{
		const char *sql;
		const char *name; /* NULL: it is something else */
	} cases[] = {
		{"deallocate s", "s"},
		{"DEALLOCATE PREPARE S1_x$;", "s1_x$"},
		{"\n\tDeallocate \"S \"\"x\" ; ", "S \"x"},
		{"deallocate\"s\"", "s"},
		{"deallocate prepare", "prepare"},
		{"deallocate prepare;", "prepare"},
		{"deallocate prepare prepare", "prepare"},
		{"deallocate all_of_them", "all_of_them"},
		{"deallocate \"all\"", "all"},
		{"deallocate \303\244", "\303\244"},
		{"deallocate all", NULL},
		{"deallocate prepare ALL;", NULL},
		{"deallocate", NULL},
		{"deallocate ;", NULL},
		{"deallocates s", NULL},
		{"deallocate s t", NULL},
		{"deallocate s; select 1", NULL},
		{"deallocate s;;", NULL},
		{"deallocate 1a", NULL},
		{"deallocate $1", NULL},
		{"deallocate \"\"", NULL},
		{"deallocate \"s", NULL},
		{"deallocate \"s\"\"", NULL},
		{"deallocate -- s", NULL},
		{"select 1", NULL},
		{"", NULL},
	};
	char name[16];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		bool is = prepared_deallocate_name(cases[i].sql, name, sizeof(name));

		if (is != (cases[i].name != NULL))
			fail_msg("%s: %d", cases[i].sql, is);
		if (is)
			assert_string_equal(name, cases[i].name);
	}
	assert_true(prepared_deallocate_name("deallocate abcdefghijklmno", name, sizeof(name)));
	assert_false(prepared_deallocate_name("deallocate abcdefghijklmnop", name, sizeof(name)));
	assert_false(prepared_deallocate_name("deallocate \"abcdefghijklmnop\"", name, sizeof(name)));
}

static void
discarding_all(void **state)
{
	static const struct
	{
		const char *sql;
		bool all;
	} cases[] = {
		{"discard all", true},         {" DISCARD\nALL ; ", true},
		{"deallocate all;", true},     {"Deallocate Prepare All", true},
		{"discard plans", false},      {"discard", false},
		{"discard allx", false},       {"discard all; select 1", false},
		{"deallocate \"all\"", false}, {"deallocate prepare", false},
		{"deallocate alls", false},    {"", false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (prepared_discards_all(cases[i].sql) != cases[i].all)
			fail_msg("%s", cases[i].sql);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_however_much_is_there),
		cmocka_unit_test(a_new_head_keeps_the_length_true),
		cmocka_unit_test(names_in_errors),
		cmocka_unit_test(deallocate_of_a_name),
		cmocka_unit_test(discarding_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
