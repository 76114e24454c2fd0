/*-------------------------------------------------------------------------
 * secret.c
 *	  Finding passwords, without knowing what the text is.
 *
 * What is quoted may be anything, so it is scanned like a text of its own, by the
 * rules of all: SQL, connection strings, URIs, JSON (quoted.h has the levels).
 *
 * S1  Every byte is scanned in exactly one level, the deepest that is open.
 * S2  No scan runs over a secret: it is skipped as a whole.
 *
 * A level is left with what it has expected: 'PASSWORD ' || 'x' has its secret in the
 * next literal, and in "can't: PASSWORD 'x'", where the apostrophe is none of a literal, the text
 * that sticks to its end is one.
 *-------------------------------------------------------------------------
 */
#include "secret.h"

#include <string.h>

#include "quoted.h"

typedef enum Expect
{
	NOTHING,
	MORE, /* behind a secret: the next part of its literal */
	WORD, /* behind the word PASSWORD */
	VALUE /* behind its = */
} Expect;

/* The scan of a level. */
typedef struct Level
{
	const PerfkitQuoted *at; /* its character */
	Expect expect;
	bool inherited;    /* the expectation is of a level that has ended */
	bool glued;        /* the end of such a level, or of a secret, is just before */
	bool spaced;       /* there was white space since the word */
	bool cast;         /* a type's name comes */
	bool sql;          /* an = may compare */
	bool options;      /* it began like a connection string */
	bool uri;          /* in one: & ends a value */
	bool placeholder;  /* a password is to be put into it, as by format() */
	bool every;        /* so literals up to the next semicolon may be one */
	bool prefixed;     /* an E is just before */
	bool continues;    /* only white space since the last literal */
	bool last_escaped; /* which had backslashes */
	int tokens;        /* so far, up to 2 */
} Level;

typedef struct Scan
{
	PerfkitSecrets *s;
	PerfkitQuotedText t;
	Level levels[PERFKIT_QUOTED_LEVELS];
} Scan;

/* Ends of words; in lower case. */
static const char *const names[] = {"password", "oauth_client_secret", "scram_client_key",
									"scram_server_key"};
#define N_NAMES (sizeof(names) / sizeof(names[0]))

static void scan_level(Scan *scan);


static bool
one_of(int c, const char *chars)
{
	return c > 0 && strchr(chars, c) != NULL;
}


static bool
same_word(const char *text, const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char) (c - 'A' + 'a');
		if (c != name[i])
			return false;
	}
	return true;
}


bool
perfkit_secret_suspects(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		char first = text[i] | 0x20;

		if (first != 'p' && first != 'o' && first != 's')
			continue;
		for (size_t k = 0; k < N_NAMES; k++)
		{
			size_t n = strlen(names[k]);

			if (length - i >= n && same_word(text + i, names[k], n))
				return true;
		}
	}
	return false;
}


/* ---------------------------------------------------------------- secrets */

static void
tell(Scan *scan, size_t from, size_t to)
{
	scan->s->found(scan->s, from, to);
	scan->t.until = scan->s->until < scan->s->length ? scan->s->until : scan->s->length;
}


/* Are there no more levels?  Then a literal is a secret. */
static bool
full(const Scan *scan)
{
	return scan->t.depth + 2 >= PERFKIT_QUOTED_LEVELS;
}


static Level *
enter(Scan *scan, PerfkitQuoting quoting, size_t length, bool escapes)
{
	const Level *in = &scan->levels[scan->t.depth];
	Level *l = &scan->levels[scan->t.depth + 1];

	perfkit_quoted_enter(&scan->t, quoting, length, escapes);
	memset(l, 0, sizeof(*l));
	l->at = &scan->t.levels[scan->t.depth];
	l->sql = quoting == PERFKIT_QUOTED_BODY && in->sql;
	return l;
}


static bool
unparsed(const Scan *scan)
{
	return scan->s->kind == PERFKIT_SECRET_UNPARSED;
}


/* Does a bare word behind an = mean something else than itself? */
static bool
compares(const Scan *scan, const Level *l)
{
	return l->sql && !l->options && !unparsed(scan);
}


/* Does this word announce one? */
static bool
names_secret(const Scan *scan, size_t from, size_t to)
{
	for (size_t i = 0; i < N_NAMES; i++)
	{
		size_t n = strlen(names[i]);

		if (to - from >= n && same_word(scan->s->text + to - n, names[i], n))
			return true;
	}
	return false;
}


/* The secret ends with a blank, with one of `ends`, or with the level. */
static void
skip_bare(Scan *scan, Level *l, const char *ends)
{
	size_t from = l->at->from;
	size_t to = from;

	while (l->at->c != PERFKIT_QUOTED_END && !perfkit_quoted_space(l->at->c) &&
		   !one_of(l->at->c, ends))
	{
		bool escape = l->at->c == '\\' && !unparsed(scan);

		to = l->at->to;
		perfkit_quoted_next(&scan->t);
		if (escape && l->at->c != PERFKIT_QUOTED_END)
		{
			to = l->at->to;
			perfkit_quoted_next(&scan->t);
		}
	}
	tell(scan, from, to);

	/* password= password=x: the value was none. */
	l->expect = names_secret(scan, from, to) ? WORD : MORE;
}


/* What sticks to the end of a literal is none of SQL's: the quotes were counted wrongly. */
static void
skip_glued(Scan *scan, Level *l)
{
	size_t from = l->at->from;
	size_t to = from;

	while (l->at->c != PERFKIT_QUOTED_END && l->at->c != '\'')
	{
		to = l->at->to;
		perfkit_quoted_next(&scan->t);
	}
	tell(scan, from, to);

	/* PASSWORD may have been in it. */
	l->expect = MORE;
	l->inherited = l->at->c == PERFKIT_QUOTED_END;
}


/* The inside of the literal, body or name at the level. */
static void
skip_quoted(Scan *scan, Level *l, PerfkitQuoting quoting, size_t length, bool escapes)
{
	Level *inside = enter(scan, quoting, length, escapes);
	size_t from = inside->at->from;

	while (inside->at->c != PERFKIT_QUOTED_END)
		perfkit_quoted_next(&scan->t);

	/* In 'PASSWORD ''' || x there is nothing yet. */
	if (inside->at->closed || inside->at->from > from)
		tell(scan, from, inside->at->from);
	perfkit_quoted_leave(&scan->t);
	l->expect = MORE;
	l->inherited |= !inside->at->closed;
	l->glued = inside->at->closed;
}


/* Scans what is quoted at the level, and goes on with what that has expected at its end. */
static void
scan_quoted(Scan *scan, Level *l, PerfkitQuoting quoting, size_t length, bool escapes)
{
	Level *inside = enter(scan, quoting, length, escapes);

	scan_level(scan);
	perfkit_quoted_leave(&scan->t);
	if (inside->placeholder)
		l->every = true;
	if ((quoting == PERFKIT_QUOTED_LINE || quoting == PERFKIT_QUOTED_BLOCK) &&
		l->at->c != PERFKIT_QUOTED_END)
		return;
	l->expect = inside->expect;
	if (l->expect == MORE && !inside->inherited)
		l->expect = NOTHING;
	l->inherited = l->expect != NOTHING;
	l->spaced = inside->spaced;
	l->glued = l->inherited && quoting == PERFKIT_QUOTED_LITERAL;
}


/* ---------------------------------------------------------------- the scan of a level */

/* A literal's E, N, B, X or U&, with the quote behind it? */
static bool
at_prefix(const Scan *scan, const Level *l)
{
	size_t behind = l->at->to;

	if (!one_of(l->at->c, "eEnNbBxXuU"))
		return false;
	if (one_of(l->at->c, "uU") && !perfkit_quoted_at(&scan->t, behind++, "&"))
		return false;
	return perfkit_quoted_at(&scan->t, behind, "'") || perfkit_quoted_at(&scan->t, behind, "\\'");
}


static void
step_literal(Scan *scan, Level *l)
{
	bool escapes = l->prefixed || scan->s->backslashes || (l->continues && l->last_escaped);
	bool secret = l->expect != NOTHING || l->every || unparsed(scan);

	l->prefixed = false;
	if (secret || full(scan))
		skip_quoted(scan, l, PERFKIT_QUOTED_LITERAL, 1, escapes || l->expect == VALUE);
	else
		scan_quoted(scan, l, PERFKIT_QUOTED_LITERAL, 1, escapes);
	l->continues = true;
	l->last_escaped = escapes;
}


static void
step_body(Scan *scan, Level *l, size_t tag)
{
	bool secret = l->expect != NOTHING || l->every || unparsed(scan);

	if (secret || full(scan))
		skip_quoted(scan, l, PERFKIT_QUOTED_BODY, tag, false);
	else
		scan_quoted(scan, l, PERFKIT_QUOTED_BODY, tag, false);
}


/* In SQL a column; elsewhere, as in JSON, it may be a value. */
static void
step_name(Scan *scan, Level *l)
{
	bool value = !compares(scan, l) || scan->t.depth > 0;
	bool behind_word = unparsed(scan) || scan->s->kind == PERFKIT_SECRET_VALUE;
	bool secret = (l->expect == VALUE && value) || (l->expect == WORD && behind_word);

	if (secret || full(scan))
		skip_quoted(scan, l, PERFKIT_QUOTED_NAME, 1, true);
	else
		scan_quoted(scan, l, PERFKIT_QUOTED_NAME, 1, false);
}


/* The level stands behind the :// of a URI. */
static void
step_uri(Scan *scan, Level *l)
{
	size_t colon = 0;
	size_t at = 0;
	bool port = false;

	for (; l->at->c != PERFKIT_QUOTED_END && !perfkit_quoted_space(l->at->c) &&
		   !one_of(l->at->c, "'\"/");
		 perfkit_quoted_next(&scan->t))
	{
		if (l->at->c == ':' && colon == 0)
			colon = l->at->to;
		if (l->at->c == '@' && colon != 0)
			at = l->at->from;
		port = l->at->c == ':' || (port && perfkit_quoted_digit(l->at->c));
	}

	/* One that was cut may have lost its @. */
	if (at == 0 && colon != 0 && !port && l->at->from >= scan->t.until)
		at = l->at->from;
	if (at != 0)
		tell(scan, colon, at);
	l->uri = true;
	l->expect = NOTHING;
}


/* A number, a password whose quotes were forgotten: in what does not parse. */
static bool
step_unparsed(Scan *scan, Level *l)
{
	if (l->expect == WORD && !l->inherited && l->spaced)
	{
		skip_bare(scan, l, "'");
		return true;
	}
	if (!perfkit_quoted_digit(l->at->c))
		return false;
	skip_bare(scan, l, "'\"$(),;:=<>+-*/%|[]");
	l->expect = NOTHING;
	return true;
}


static void
step_word(Scan *scan, Level *l)
{
	size_t from = l->at->from;
	size_t to = l->at->to;

	if (at_prefix(scan, l))
	{
		bool escapes = one_of(l->at->c, "eE");

		perfkit_quoted_next(&scan->t);
		if (l->at->c == '&')
			perfkit_quoted_next(&scan->t);
		l->prefixed = escapes && l->at->c == '\'';
		return;
	}
	if (unparsed(scan) && step_unparsed(scan, l))
		return;
	while (perfkit_quoted_word(l->at->c) || (l->at->c == '$' && compares(scan, l)))
	{
		to = l->at->to;
		perfkit_quoted_next(&scan->t);
	}
	if (l->tokens < 2)
		l->tokens++;
	if (l->at->c == ':' && perfkit_quoted_at(&scan->t, l->at->from, "://"))
	{
		for (int i = 0; i < 3; i++)
			perfkit_quoted_next(&scan->t);
		step_uri(scan, l);
		return;
	}
	if (names_secret(scan, from, to))
		l->expect = WORD;
	else if (!l->cast)
		l->expect = NOTHING;
	if (!l->cast)
	{
		l->inherited = false;
		l->spaced = false;
	}
	l->cast = false;
}


/* password = 'x', =>, :=, : and a cast before it */
static void
step_equals(Scan *scan, Level *l)
{
	bool cast = perfkit_quoted_at(&scan->t, l->at->from, "::");

	if (l->at->c == '=' && l->tokens == 1)
		l->options = true;
	do
		perfkit_quoted_next(&scan->t);
	while (one_of(l->at->c, cast ? ":" : "=>"));
	if (l->expect != WORD)
		l->expect = NOTHING;
	else if (cast)
		l->cast = true;
	else
	{
		l->expect = VALUE;
		l->inherited = false;
	}
}


static void
step_mark(Scan *scan, Level *l)
{
	bool parameter = l->at->c == '$';

	if (one_of(l->at->c, "=:"))
	{
		step_equals(scan, l);
		return;
	}
	if (l->at->c == ';')
		l->every = false;

	/* PASSWORD %L, password=%s; not LIKE '%password%' */
	if (l->at->c == '%' && (l->expect == VALUE || (l->expect == WORD && l->spaced)))
		l->placeholder = true;

	/* (password) <> 'x', 'password=' || 'x', concat('password=', 'x') */
	if (l->at->c != '|' && !(l->expect == WORD && one_of(l->at->c, ")!<>~")) &&
		!(l->expect != WORD && l->inherited && l->at->c == ','))
		l->expect = NOTHING;
	l->tokens = 2;
	do
		perfkit_quoted_next(&scan->t);
	while (parameter && perfkit_quoted_digit(l->at->c));
}


/* A value without quotes; false when it is none, but an expression or a literal. */
static bool
step_value(Scan *scan, Level *l)
{
	bool expression = compares(scan, l);

	if (l->inherited || one_of(l->at->c, "'\"") || at_prefix(scan, l))
		return false;
	if ((expression || unparsed(scan)) && l->at->c == '$' &&
		(perfkit_quoted_tag(&scan->t) > 0 ||
		 (l->at->to < scan->t.until && perfkit_quoted_digit(scan->s->text[l->at->to]))))
		return false;
	if (expression && (l->spaced || l->at->c == '('))
		return false;
	if (l->at->c == '%')
		l->placeholder = true;
	skip_bare(scan, l,
			  expression       ? (l->uri ? "'\";,)&" : "'\";,)")
			  : unparsed(scan) ? "'"
			  : l->uri         ? "&"
							   : "");
	return true;
}


/* Comments; false when there is none. */
static bool
step_comment(Scan *scan, Level *l)
{
	bool line = perfkit_quoted_at(&scan->t, l->at->from, "--");
	bool block = perfkit_quoted_at(&scan->t, l->at->from, "/*");

	/* Inside of one, the mark of another is one character and opens no level. */
	if ((!line && !block) || l->at->to - l->at->from != 1 || full(scan))
		return false;
	scan_quoted(scan, l, line ? PERFKIT_QUOTED_LINE : PERFKIT_QUOTED_BLOCK, 2, false);
	l->spaced = true;
	return true;
}


static bool
sticks(const Level *l)
{
	if (l->inherited)
		return !perfkit_quoted_space(l->at->c) && !one_of(l->at->c, "'\"|,);:]}=-<>/");
	return perfkit_quoted_word(l->at->c) || l->at->c == '\\';
}


static void
step(Scan *scan, Level *l)
{
	bool glued = l->glued;
	size_t tag;

	l->glued = false;
	if (perfkit_quoted_space(l->at->c))
	{
		l->spaced = true;
		l->uri = false;
		perfkit_quoted_next(&scan->t);
		return;
	}
	if (glued && sticks(l))
		skip_glued(scan, l);
	else if (l->expect == VALUE && !compares(scan, l) && step_value(scan, l))
		return;
	else if (step_comment(scan, l))
		return;
	else if (l->at->c == '\'')
	{
		step_literal(scan, l);
		return;
	}
	else if (l->expect == VALUE && step_value(scan, l))
		return;
	else if (l->at->c == '"')
		step_name(scan, l);
	else if ((tag = perfkit_quoted_tag(&scan->t)) > 0)
		step_body(scan, l, tag);
	else if (perfkit_quoted_word(l->at->c))
		step_word(scan, l);
	else
		step_mark(scan, l);
	l->continues = l->continues && l->prefixed;
}


static void
scan_level(Scan *scan)
{
	Level *l = &scan->levels[scan->t.depth];

	while (l->at->c != PERFKIT_QUOTED_END)
		step(scan, l);
}


void
perfkit_secrets(PerfkitSecrets *s)
{
	Scan first = {.s = s};
	Level *l = &first.levels[0];
	size_t until = s->until < s->length ? s->until : s->length;

	perfkit_quoted_begin(&first.t, s->text, until, s->kind == PERFKIT_SECRET_PLAN);
	l->at = &first.t.levels[0];
	l->sql = s->kind != PERFKIT_SECRET_VALUE;
	scan_level(&first);
	s->until = l->at->to;
}
