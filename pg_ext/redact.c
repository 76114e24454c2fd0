/*-------------------------------------------------------------------------
 * redact.c
 *	  Passwords out of texts.
 *
 * A walk over the text that knows words, comments and quotes, but no grammar:
 * it must also work on what does not parse, on the inside of literals and
 * dollar-quoted bodies (dynamic SQL), and on connection strings.  The bodies of
 * dollar quotes are walked like ordinary text; whether the walk is inside a
 * single-quoted literal is tracked, for there the quotes come doubled.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "redact.h"

#define MASK "***"

/* The walk: [at, end) is still to be read. */
typedef struct Walk
{
	PerfkitRedaction *r;
	const char *at;
	const char *end;
	bool in_literal;
} Walk;


static bool
word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		   IS_HIGHBIT_SET(c);
}


static bool
space_byte(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}


static bool
digit_byte(char c)
{
	return c >= '0' && c <= '9';
}


static void
emit(Walk *w, const char *bytes, Size length)
{
	Size room = w->r->size - w->r->length;

	if (length > room)
	{
		length = room;
		w->r->cut = true;
	}
	memcpy(w->r->out + w->r->length, bytes, length);
	w->r->length += length;
}


/* Copies the next bytes through. */
static void
pass(Walk *w, Size length)
{
	emit(w, w->at, length);
	w->at += length;
}


static Size
left(const Walk *w)
{
	return w->end - w->at;
}


static bool
next_is(const Walk *w, const char *bytes)
{
	Size length = strlen(bytes);

	return left(w) >= length && memcmp(w->at, bytes, length) == 0;
}


static Size
quotes_at(const Walk *w)
{
	Size n = 0;

	while (n < left(w) && w->at[n] == '\'')
		n++;
	return n;
}


/* Length of a $tag$ at the walk, or 0. */
static Size
dollar_tag(const Walk *w)
{
	Size n = 1;

	if (left(w) < 2 || *w->at != '$' || digit_byte(w->at[1]))
		return 0;
	while (n < left(w) && word_byte(w->at[n]))
		n++;
	return n < left(w) && w->at[n] == '$' ? n + 1 : 0;
}


/* Skips a dollar-quoted literal whose tag has `n` bytes and leaves the mask. */
static void
mask_dollar(Walk *w, Size n)
{
	const char *tag = w->at;

	for (w->at += n; left(w) >= n; w->at++)
	{
		if (memcmp(w->at, tag, n) == 0)
		{
			w->at += n;
			emit(w, "'" MASK "'", 5);
			return;
		}
	}
	w->at = w->end;
	emit(w, "'" MASK "'", 5);
}


/* Skips the inside of a literal with plain quotes; the walk is behind the first one. */
static void
skip_plain(Walk *w, bool escapes)
{
	while (left(w) > 0)
	{
		if (escapes && *w->at == '\\' && left(w) > 1)
			w->at += 2;
		else if (*w->at != '\'')
			w->at++;
		else if (left(w) > 1 && w->at[1] == '\'')
			w->at += 2;
		else
		{
			w->at++;
			return;
		}
	}
}


/* The same for a literal inside a literal: its quotes are doubled, escaped ones fourfold. */
static void
skip_doubled(Walk *w)
{
	while (left(w) > 0)
	{
		Size n = quotes_at(w);

		if (n == 0)
			w->at++;
		else if (n >= 4)
			w->at += 4;
		else
		{
			w->at += Min(n, 2);
			return;
		}
	}
}


/*
 * Masks the literal at the walk, quotes or dollars, with an E, U& or N before it.
 * False when there is none.
 */
static bool
mask_literal(Walk *w)
{
	Size tag = dollar_tag(w);
	bool escapes = false;
	bool doubled;
	Size n;

	if (tag > 0)
	{
		mask_dollar(w, tag);
		return true;
	}
	if (left(w) > 1 && w->at[1] == '\'' && strchr("eEnNbBxX", *w->at))
	{
		escapes = *w->at == 'e' || *w->at == 'E';
		w->at++;
	}
	else if (left(w) > 2 && w->at[1] == '&' && w->at[2] == '\'' && strchr("uU", *w->at))
		w->at += 2;

	n = quotes_at(w);
	if (n == 0 || (w->in_literal && n == 1))
		return false;

	/* '' and then text: doubled quotes, even if the walk has lost count. */
	doubled = w->in_literal ||
			  (n == 2 && left(w) > 2 && !space_byte(w->at[2]) && !strchr(";,)", w->at[2]));
	w->at += doubled ? 2 : 1;
	if (doubled)
		skip_doubled(w);
	else
		skip_plain(w, escapes);
	emit(w, doubled ? "''" MASK "''" : "'" MASK "'", doubled ? 7 : 5);
	return true;
}


/* Passes white space and comments; true when there was any. */
static bool
pass_space(Walk *w)
{
	const char *start = w->at;

	while (left(w) > 0)
	{
		if (space_byte(*w->at))
			pass(w, 1);
		else if (next_is(w, "--"))
		{
			while (left(w) > 0 && *w->at != '\n')
				pass(w, 1);
		}
		else if (next_is(w, "/*"))
		{
			int depth = 0;

			do
			{
				bool opens = next_is(w, "/*");
				bool closes = next_is(w, "*/");

				depth += opens ? 1 : closes ? -1 : 0;
				pass(w, opens || closes ? 2 : 1);
			} while (depth > 0 && left(w) > 0);
		}
		else
			break;
	}
	return w->at != start;
}


/* The walk stands behind the word PASSWORD: masks its value, if one follows. */
static void
mask_value(Walk *w)
{
	bool spaced;
	bool equals = false;

	if (left(w) > 0 && *w->at == '"')
		pass(w, 1);
	spaced = pass_space(w);
	if (left(w) > 0 && *w->at == '=')
	{
		equals = true;
		pass(w, 1);
		if (left(w) > 0 && *w->at == '>')
			pass(w, 1);
		spaced |= pass_space(w);
	}
	if (mask_literal(w) || !equals)
		return;

	/* password=x in a connection string; not col = expression */
	if ((w->in_literal || !spaced) && left(w) > 0 && word_byte(*w->at))
	{
		while (left(w) > 0 && !space_byte(*w->at) && !strchr("'\"&;,)", *w->at))
			w->at++;
		emit(w, MASK, 3);
	}
}


/* The walk stands behind "postgres" or "postgresql": masks the password of a URI. */
static void
mask_uri(Walk *w)
{
	const char *colon = NULL;

	if (!next_is(w, "://"))
		return;
	pass(w, 3);
	for (const char *p = w->at; p < w->end && !space_byte(*p) && !strchr("'\"/", *p); p++)
	{
		if (*p == ':' && colon == NULL)
			colon = p;
		if (*p == '@' && colon != NULL)
		{
			pass(w, colon + 1 - w->at);
			emit(w, MASK, 3);
			w->at = p;
			return;
		}
	}
}


static bool
word_is(const char *word, Size length, const char *name)
{
	return length == strlen(name) && pg_strncasecmp(word, name, length) == 0;
}


static void
walk_word(Walk *w)
{
	const char *word = w->at;
	Size length = 0;

	while (length < left(w) && word_byte(word[length]))
		length++;
	pass(w, length);
	if (word_is(word, length, "password") || word_is(word, length, "sslpassword"))
		mask_value(w);
	else if (word_is(word, length, "postgres") || word_is(word, length, "postgresql"))
		mask_uri(w);
}


/* One step of the ordinary walk. */
static void
step(Walk *w)
{
	if (word_byte(*w->at))
		walk_word(w);
	else if (!w->in_literal && (next_is(w, "--") || next_is(w, "/*")))
		pass_space(w);
	else
	{
		if (*w->at == '\'')
			w->in_literal = !w->in_literal;
		pass(w, 1);
	}
}


/* One step of the walk that leaves no literal. */
static void
step_strict(Walk *w)
{
	if (next_is(w, "--") || next_is(w, "/*"))
		pass_space(w);
	else if (mask_literal(w))
		return;
	else if (digit_byte(*w->at))
	{
		while (left(w) > 0 && (word_byte(*w->at) || *w->at == '.'))
			w->at++;
		emit(w, MASK, 3);
	}
	else if (word_byte(*w->at))
	{
		const char *word = w->at;

		while (left(w) > 0 && word_byte(*w->at))
			pass(w, 1);

		/* a password whose quotes were forgotten */
		if (word_is(word, w->at - word, "password") && pass_space(w) && left(w) > 0 &&
			word_byte(*w->at) && !mask_literal(w))
		{
			while (left(w) > 0 && word_byte(*w->at))
				w->at++;
			emit(w, MASK, 3);
		}
	}
	else
		pass(w, 1);
}


bool
perfkit_redact_suspects(const char *text, Size length)
{
	static const char name[] = "password";
	const Size n = sizeof(name) - 1;

	for (Size i = 0; i + n <= length; i++)
	{
		if ((text[i] == 'p' || text[i] == 'P') && pg_strncasecmp(text + i, name, n) == 0)
			return true;
	}
	return false;
}


static bool
has_uri(const char *text, Size length)
{
	const char *end = text + length;

	for (const char *p = text; (p = memchr(p, ':', end - p)) != NULL; p++)
	{
		if (end - p >= 3 && p[1] == '/' && p[2] == '/')
			return true;
	}
	return false;
}


void
perfkit_redact(PerfkitRedaction *r, const char *text, Size length)
{
	Walk w = {r, text, text + length, false};
	bool suspect = perfkit_redact_suspects(text, length);

	r->length = 0;
	r->cut = false;
	if (!suspect && !has_uri(text, length))
		pass(&w, length);
	while (left(&w) > 0 && !r->cut)
	{
		if (suspect && r->every_literal)
			step_strict(&w);
		else
			step(&w);
	}
	if (r->cut)
		r->length = pg_mbcliplen(r->out, r->length, r->length);
}
