/*
 * fuzz_sqlscan.c - any text: the scan ends, stays within it, and tells only what can be repeated.
 * Nothing is told of a text that sqlskim found clean, in one piece or in many.
 *
 * Input: the first byte's lowest bit is standard_conforming_strings, the rest is the text.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/sqllex.h"
#include "proto/sqlscan.h"
#include "proto/sqlskim.h"

#define CHECK(cond)                                                                                \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
			abort();                                                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen
{
	uint32_t statement;
	bool standard;
};

/* A name needs no quotes; a value is one value: no statement, comment or parenthesis can hide in
 * it, whatever standard_conforming_strings says where it is repeated. */
static void
check_value(const char *value, bool standard)
{
	struct sqllex lex;
	struct sqllex_token t;
	size_t n = 0;

	sqllex_init(&lex, value, strlen(value), standard);
	for (sqllex_next(&lex, &t); t.kind != SQLLEX_END; sqllex_next(&lex, &t))
	{
		CHECK(t.kind != SQLLEX_OTHER || strchr(",-+", *t.start) != NULL);
		n += t.len;
	}
	for (const char *p = value; *p != '\0' && strpbrk(value, "'\"$") == NULL; p++)
		n += *p == ' ';
	CHECK(strpbrk(value, "'\"$") != NULL || n == strlen(value));
}

static void
found(void *arg, const struct sqlscan_found *f)
{
	struct seen *s = arg;

	CHECK(f->statement >= s->statement && f->statement > 0);
	s->statement = f->statement;
	CHECK((f->kind == SQLSCAN_KEEP || f->kind == SQLSCAN_END) == (f->kinds != 0));
	if (f->kind == SQLSCAN_SET || f->kind == SQLSCAN_RESET)
	{
		CHECK(strlen(f->name) > 0 && strlen(f->name) < SQLSCAN_NAME_MAX);
		CHECK(f->name[strspn(f->name, "abcdefghijklmnopqrstuvwxyz0123456789_$.")] == '\0');
	}
	if (f->kind != SQLSCAN_SET)
		return;
	CHECK(strlen(f->value) > 0 && strlen(f->value) < SQLSCAN_VALUE_MAX);
	check_value(f->value, true);
	check_value(f->value, false);
}

/* Pieces of 1, 2, … bytes, as they come on a slow line. */
static bool
clean_in_pieces(const char *sql, size_t n)
{
	struct sqlskim skim;

	sqlskim_begin(&skim);
	for (size_t i = 0, piece = 1; i < n; i += piece, piece = piece % 40 + 1)
		sqlskim_piece(&skim, sql + i, piece < n - i ? piece : n - i);
	return sqlskim_end(&skim);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen s = {.statement = 0};

	if (size == 0)
		return 0;
	s.standard = (data[0] & 1) != 0;
	sqlscan((const char *) data + 1, size - 1, s.standard, found, &s);
	if (s.statement > 0)
	{
		CHECK(!sqlskim_is_clean((const char *) data + 1, size - 1));
		CHECK(!clean_in_pieces((const char *) data + 1, size - 1));
	}
	return 0;
}
