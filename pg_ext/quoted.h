/*-------------------------------------------------------------------------
 * quoted.h
 *	  A text, and what is quoted in it as texts of their own.  Pure C.
 *
 *	  level 0   DO $$ BEGIN EXECUTE 'ALTER ROLE r PASSWORD ''it''''s'''; END $$
 *	  level 1          BEGIN EXECUTE 'ALTER ROLE r PASSWORD ''it''''s'''; END
 *	  level 2                         ALTER ROLE r PASSWORD 'it''s'
 *	  level 3                                                it's
 *
 * Each level takes its characters from the one before it and undoes one quoting; a character knows
 * the bytes it was made of.  The end of a level is the end of all levels above it: so
 * whatever is odd inside one (an apostrophe in a name or a comment, prose) is forgotten behind
 * it.  A byte costs at most as many steps as there are levels.
 *
 * Q1  Characters that are looked at ahead ($tag$, --, a slash and a star, ://) stand in all
 *     levels as they are, so they are looked up in the text itself.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_QUOTED_H
#define PERFKIT_QUOTED_H

#include <stdbool.h>
#include <stddef.h>

#define PERFKIT_QUOTED_LEVELS 12
#define PERFKIT_QUOTED_END (-1)

typedef enum PerfkitQuoting
{
	PERFKIT_QUOTED_TEXT,    /* level 0 */
	PERFKIT_QUOTED_JSON,    /* level 0: the inside of a string of JSON */
	PERFKIT_QUOTED_LITERAL, /* '...' */
	PERFKIT_QUOTED_NAME,    /* "..." */
	PERFKIT_QUOTED_BODY,    /* $tag$...$tag$ */
	PERFKIT_QUOTED_LINE,    /* a comment to the end of the line */
	PERFKIT_QUOTED_BLOCK    /* one between slashes and stars */
} PerfkitQuoting;

typedef struct PerfkitQuoted
{
	PerfkitQuoting quoting;
	bool escapes;  /* of quotes and others, by backslashes */
	size_t tag;    /* of a body: length of its $tag$ */
	size_t tag_at; /* and where it stands in the text */
	int nesting;   /* of comments, this one included */

	/* the current character, and its bytes in the text; at the end `from` is the closing quote */
	int c; /* PERFKIT_QUOTED_END: there is none */
	size_t from;
	size_t to;
	bool closed; /* the level has ended with its own quote */
} PerfkitQuoted;

typedef struct PerfkitQuotedText
{
	const char *text;
	size_t until; /* how far it is read; may change meanwhile */
	int depth;    /* of the deepest level that is open */
	PerfkitQuoted levels[PERFKIT_QUOTED_LEVELS];
} PerfkitQuotedText;

/* Opens level 0, at its first character.  `json`: a string of JSON, without its quotation marks. */
extern void perfkit_quoted_begin(PerfkitQuotedText *t, const char *text, size_t until, bool json);

/* The next character of the deepest level, which has not ended. */
extern void perfkit_quoted_next(PerfkitQuotedText *t);

/*
 * Opens a level, at its first character; the deepest one stands at the opening quote of `length`
 * characters.  When the new level has ended, that one stands behind the closing quote.
 * There must be room for it.
 */
extern void perfkit_quoted_enter(PerfkitQuotedText *t, PerfkitQuoting quoting, size_t length,
								 bool escapes);

/* Closes the deepest level, which has ended. */
extern void perfkit_quoted_leave(PerfkitQuotedText *t);

/* Whether these bytes stand in the text at a place (Q1). */
extern bool perfkit_quoted_at(const PerfkitQuotedText *t, size_t at, const char *bytes);

/* Length of the $tag$ at the deepest level, or 0. */
extern size_t perfkit_quoted_tag(const PerfkitQuotedText *t);

/* Kinds of characters. */
static inline bool
perfkit_quoted_digit(int c)
{
	return c >= '0' && c <= '9';
}

static inline bool
perfkit_quoted_word(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || perfkit_quoted_digit(c) ||
		   c == '_' || c >= 0x80;
}

static inline bool
perfkit_quoted_space(int c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif /* PERFKIT_QUOTED_H */
