/*
 * sqllex.c - see sqllex.h.
 */
#include "proto/sqllex.h"

#include <string.h>

#define BLANK SQLLEX_BLANK
#define FIRST SQLLEX_FIRST
#define LATER SQLLEX_LATER
#define DIGIT SQLLEX_DIGIT
#define LETTER (FIRST | LATER)

const uint8_t sqllex_classes[256] = {
	['\t'] = BLANK,         ['\n'] = BLANK, ['\v'] = BLANK,         ['\f'] = BLANK,
	['\r'] = BLANK,         [' '] = BLANK,  ['$'] = LATER,          ['0' ... '9'] = LATER | DIGIT,
	['A' ... 'Z'] = LETTER, ['_'] = LETTER, ['a' ... 'z'] = LETTER, [0x80 ... 0xff] = LETTER,
};

static bool
is(char c, int class)
{
	return sqllex_may_be(c, class);
}

void
sqllex_init(struct sqllex *l, const char *sql, size_t n, bool standard_strings)
{
	const char *zero = n > 0 ? memchr(sql, 0, n) : NULL;

	l->p = sql;
	l->end = zero != NULL ? zero : sql + n;
	l->standard_strings = standard_strings;
}

/* The i-th byte from here, 0 behind the end. */
static char
at(const struct sqllex *l, size_t i)
{
	return (size_t) (l->end - l->p) > i ? l->p[i] : '\0';
}

/* ---- between tokens ---- */

static void
skip_line(struct sqllex *l)
{
	while (l->p < l->end && *l->p != '\n' && *l->p != '\r')
		l->p++;
}

static void
skip_block(struct sqllex *l)
{
	unsigned long depth = 0;

	do
	{
		if (at(l, 0) == '/' && at(l, 1) == '*')
		{
			depth++;
			l->p += 2;
		}
		else if (at(l, 0) == '*' && at(l, 1) == '/')
		{
			depth--;
			l->p += 2;
		}
		else
			l->p++;
	} while (depth > 0 && l->p < l->end);
}

static void
skip_blanks(struct sqllex *l)
{
	for (;;)
	{
		const char *p = l->p;

		while (p < l->end && is(*p, BLANK))
			p++;
		l->p = p;
		if (p + 1 >= l->end || (*p != '-' && *p != '/'))
			return;
		if (p[0] == '-' && p[1] == '-')
			skip_line(l);
		else if (p[0] == '/' && p[1] == '*')
			skip_block(l);
		else
			return;
	}
}

size_t
sqllex_blanks(const char *sql, size_t n)
{
	struct sqllex l = {.p = sql, .end = sql + n};

	skip_blanks(&l);
	return (size_t) (l.p - sql);
}

/* ---- strings ---- */

/* From the opening quote to behind the closing one, where a quote is written twice. */
static void
skip_doubled(struct sqllex *l, char quote)
{
	const char *p = l->p + 1;

	for (;;)
	{
		p = memchr(p, quote, (size_t) (l->end - p));
		if (p == NULL)
		{
			l->p = l->end;
			return;
		}
		p++;
		if (p == l->end || *p != quote)
			break;
		p++;
	}
	l->p = p;
}

/* The same where a backslash escapes, too. */
static void
skip_escaped(struct sqllex *l)
{
	const char *p = l->p + 1;

	for (; p < l->end; p++)
	{
		if (*p == '\\' && p + 1 < l->end)
			p++;
		else if (*p == '\'')
		{
			p++;
			if (p == l->end || *p != '\'')
				break;
		}
	}
	l->p = p;
}

static void
skip_quoted(struct sqllex *l, char quote, bool escapes)
{
	if (escapes)
		skip_escaped(l);
	else
		skip_doubled(l, quote);
}

/* Whether the string goes on in a later line: only white space with a newline in it (and comments
 * to the end of a line behind the first newline) stands in front of the next quote. */
static bool
goes_on(struct sqllex *l)
{
	struct sqllex ahead = *l;
	bool newline = false;

	for (;;)
	{
		while (ahead.p < ahead.end && is(*ahead.p, BLANK))
		{
			newline = newline || *ahead.p == '\n' || *ahead.p == '\r';
			ahead.p++;
		}
		if (at(&ahead, 0) != '-' || at(&ahead, 1) != '-')
			break;
		skip_line(&ahead);
	}
	if (!newline || at(&ahead, 0) != '\'')
		return false;
	l->p = ahead.p;
	return true;
}

static void
string(struct sqllex *l, struct sqllex_token *t, bool escapes, bool plain)
{
	t->kind = SQLLEX_STRING;
	t->plain = plain;
	skip_quoted(l, '\'', escapes);
	while (goes_on(l))
	{
		t->plain = false;
		skip_quoted(l, '\'', escapes);
	}
}

/* '…' without a letter in front. */
static void
usual_string(struct sqllex *l, struct sqllex_token *t)
{
	const char *start = l->p;

	string(l, t, !l->standard_strings, true);
	if (memchr(start, '\\', (size_t) (l->p - start)) != NULL)
		t->plain = false;
}

/* $tag$ … $tag$; false when it is none. */
static bool
dollar_string(struct sqllex *l, struct sqllex_token *t)
{
	const char *tag = l->p;
	size_t n = 1;

	if (is(at(l, 1), FIRST))
		for (n = 2; is(at(l, n), LATER) && at(l, n) != '$'; n++)
			;
	if (at(l, n) != '$')
		return false;
	n++;
	t->kind = SQLLEX_STRING;
	t->plain = true;
	for (l->p += n; l->p < l->end; l->p++)
	{
		const char *found = memchr(l->p, '$', (size_t) (l->end - l->p));

		if (found == NULL)
			break;
		l->p = found;
		if ((size_t) (l->end - l->p) >= n && memcmp(l->p, tag, n) == 0)
		{
			l->p += n;
			return true;
		}
	}
	l->p = l->end;
	return true;
}

/* ---- tokens ---- */

/* E'…' and its relatives; false when the letter begins a word. */
static bool
letter_string(struct sqllex *l, struct sqllex_token *t)
{
	char letter = (char) (*l->p | 0x20);

	if (at(l, 1) == '\'' && (letter == 'e' || letter == 'b' || letter == 'x' || letter == 'n'))
	{
		l->p++;
		if (letter == 'n')
			usual_string(l, t);
		else
			string(l, t, letter == 'e', true);
		return true;
	}
	if (letter != 'u' || at(l, 1) != '&' || (at(l, 2) != '\'' && at(l, 2) != '"'))
		return false;
	l->p += 2;
	if (*l->p == '\'')
		string(l, t, false, false);
	else
	{
		t->kind = SQLLEX_QUOTED;
		t->plain = false;
		skip_quoted(l, '"', false);
	}
	return true;
}

static void
quoted(struct sqllex *l, struct sqllex_token *t)
{
	const char *start = l->p;

	t->kind = SQLLEX_QUOTED;
	skip_quoted(l, '"', false);
	t->plain = l->p - start > 2 && memchr(start + 1, '"', (size_t) (l->p - start - 2)) == NULL;
}

/* Digits and what grows on to them: 1.5e-3, 0x1f, 1_000. */
static void
number(struct sqllex *l, struct sqllex_token *t)
{
	t->kind = SQLLEX_NUMBER;
	while (l->p < l->end && (is(*l->p, LATER) || *l->p == '.'))
	{
		bool exponent = (*l->p | 0x20) == 'e';

		l->p++;
		if (exponent && (at(l, 0) == '+' || at(l, 0) == '-') && is(at(l, 1), DIGIT))
			l->p++;
	}
}

void
sqllex_next(struct sqllex *l, struct sqllex_token *t)
{
	skip_blanks(l);
	t->start = l->p;
	t->plain = true;
	if (l->p >= l->end)
		t->kind = SQLLEX_END;
	else if (is(*l->p, FIRST))
	{
		if (!letter_string(l, t))
		{
			const char *p = l->p + 1;

			while (p < l->end && is(*p, LATER))
				p++;
			t->kind = SQLLEX_WORD;
			l->p = p;
		}
	}
	else if (is(*l->p, DIGIT) || (*l->p == '.' && is(at(l, 1), DIGIT)))
		number(l, t);
	else if (*l->p == '\'')
		usual_string(l, t);
	else if (*l->p == '"')
		quoted(l, t);
	else if (*l->p != '$' || !dollar_string(l, t))
	{
		t->kind = SQLLEX_OTHER;
		l->p++;
	}
	t->len = (size_t) (l->p - t->start);
}

bool
sqllex_is(const struct sqllex_token *t, const char *lower)
{
	size_t i;

	if (t->kind != SQLLEX_WORD)
		return false;
	for (i = 0; i < t->len && lower[i] != '\0'; i++)
	{
		char c = t->start[i];

		if ((c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c) != lower[i])
			return false;
	}
	return i == t->len && lower[i] == '\0';
}
