/*
 * sqllex.h - the words of an SQL text, as PostgreSQL's scanner cuts them. Pure, one pass, no
 * memory.
 *
 * Source: PostgreSQL documentation, "Lexical Structure"; what it leaves open is
 * src/backend/parser/scan.l. Comments (nested ones too) and white space stand between tokens and
 * are not told. A byte that begins nothing is a token of its own, so that every text can be read to
 * its end; what is not closed ends with the text.
 */
#ifndef PERFKIT_PROTO_SQLLEX_H
#define PERFKIT_PROTO_SQLLEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sqllex_kind
{
	SQLLEX_END,
	SQLLEX_WORD,   /* identifier or keyword without quotes */
	SQLLEX_QUOTED, /* "identifier", its quotes with it */
	SQLLEX_STRING, /* '…', E'…', B'…', U&'…', $tag$…$tag$, with all that belongs to it */
	SQLLEX_NUMBER,
	SQLLEX_OTHER /* one byte */
};

/* What a byte may be. */
enum sqllex_class
{
	SQLLEX_BLANK = 1, /* white space */
	SQLLEX_FIRST = 2, /* begins an identifier */
	SQLLEX_LATER = 4, /* may stand in one */
	SQLLEX_DIGIT = 8
};

extern const uint8_t sqllex_classes[256];

static inline bool
sqllex_may_be(char c, int classes)
{
	return (sqllex_classes[(uint8_t) c] & classes) != 0;
}

struct sqllex
{
	const char *p;
	const char *end;
	bool standard_strings; /* standard_conforming_strings: in '…' a backslash is a character */
};

struct sqllex_token
{
	enum sqllex_kind kind;
	const char *start; /* into the text */
	size_t len;
	bool plain; /* STRING: means the same whatever standard_conforming_strings says; QUOTED: no
				   escapes and no quotes in it */
};

/* n bytes, or less when a zero byte comes first. */
void sqllex_init(struct sqllex *l, const char *sql, size_t n, bool standard_strings);

void sqllex_next(struct sqllex *l, struct sqllex_token *t);

/* How many bytes of white space and comments stand in front. */
size_t sqllex_blanks(const char *sql, size_t n);

/* Whether an unquoted word is this one; `lower` is in lower case. */
bool sqllex_is(const struct sqllex_token *t, const char *lower);

#endif
