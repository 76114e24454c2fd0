/*-------------------------------------------------------------------------
 * quoted.c
 *	  Characters of a text through several levels of quotes.
 *
 * A level holds one character; the level before it stands right behind that one's bytes, so
 * who takes the next asks only its neighbour.
 *-------------------------------------------------------------------------
 */
#include "quoted.h"

#include <string.h>

static void next(const PerfkitQuotedText *t, PerfkitQuoted *l);


static bool
bytes_at(const PerfkitQuotedText *t, size_t at, const char *bytes, size_t length)
{
	return at < t->until && t->until - at >= length && memcmp(t->text + at, bytes, length) == 0;
}


bool
perfkit_quoted_at(const PerfkitQuotedText *t, size_t at, const char *bytes)
{
	return bytes_at(t, at, bytes, strlen(bytes));
}


/* What a backslash makes of the character behind it. */
static int
escaped(int c)
{
	return c == 'n' || c == 'r' ? '\n' : c == 't' ? '\t' : c;
}


static void
next_byte(const PerfkitQuotedText *t, PerfkitQuoted *l)
{
	l->from = l->to;
	if (l->to >= t->until)
	{
		l->c = PERFKIT_QUOTED_END;
		return;
	}
	l->c = (unsigned char) t->text[l->to++];
	if (l->quoting == PERFKIT_QUOTED_JSON && l->c == '\\' && l->to < t->until)
		l->c = escaped((unsigned char) t->text[l->to++]);
}


static void
end(PerfkitQuoted *l, bool closed)
{
	l->c = PERFKIT_QUOTED_END;
	l->closed = closed;
}


static bool
code_digit(int c, bool hex)
{
	return hex ? perfkit_quoted_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			   : c >= '0' && c <= '7';
}


/* What is behind a backslash: \047, \x27, \u0027, \n or the character itself. */
static int
next_escaped(const PerfkitQuotedText *t, PerfkitQuoted *l, PerfkitQuoted *in)
{
	int c = in->c;
	bool hex = c == 'x' || c == 'u' || c == 'U';
	int most = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 3;
	unsigned int code = 0;
	int n = 0;

	if (hex || !code_digit(c, false))
	{
		l->to = in->to;
		next(t, in);
	}
	if (!hex && !code_digit(c, false))
		return escaped(c);
	for (; n < most && code_digit(in->c, hex); n++)
	{
		int digit = in->c <= '9' ? in->c - '0' : (in->c | 0x20) - 'a' + 10;

		code = code * (hex ? 16 : 8) + (unsigned int) digit;
		l->to = in->to;
		next(t, in);
	}
	return n > 0 && code < 0x80 ? (int) code : 'x';
}


/* Of '...' and "...": the quote doubled, or behind a backslash, is one character. */
static void
next_between(const PerfkitQuotedText *t, PerfkitQuoted *l, PerfkitQuoted *in, int quote)
{
	next(t, in);
	if (l->c == quote && in->c != quote)
		end(l, true);
	else if (l->c == quote)
	{
		l->to = in->to;
		next(t, in);
	}
	else if (l->escapes && l->c == '\\' && in->c != PERFKIT_QUOTED_END)
		l->c = next_escaped(t, l, in);
}


static void
next_in_body(const PerfkitQuotedText *t, PerfkitQuoted *l, PerfkitQuoted *in)
{
	if (in->c != '$' || !bytes_at(t, in->from, t->text + l->tag_at, l->tag))
	{
		next(t, in);
		return;
	}
	for (size_t i = 0; i < l->tag; i++)
		next(t, in);
	end(l, true);
}


static void
next_in_block(const PerfkitQuotedText *t, PerfkitQuoted *l, PerfkitQuoted *in)
{
	bool opens = perfkit_quoted_at(t, in->from, "/*");

	if (opens || perfkit_quoted_at(t, in->from, "*/"))
	{
		l->nesting += opens ? 1 : -1;
		next(t, in);
		l->to = in->to;
	}
	next(t, in);
	if (l->nesting == 0)
		end(l, true);
}


static void
next(const PerfkitQuotedText *t, PerfkitQuoted *l)
{
	PerfkitQuoted *in;

	if (l->quoting == PERFKIT_QUOTED_TEXT || l->quoting == PERFKIT_QUOTED_JSON)
	{
		next_byte(t, l);
		return;
	}
	in = l - 1;
	l->c = in->c;
	l->from = in->from;
	l->to = in->to;
	if (in->c == PERFKIT_QUOTED_END)
		end(l, false);
	else if (l->quoting == PERFKIT_QUOTED_LITERAL)
		next_between(t, l, in, '\'');
	else if (l->quoting == PERFKIT_QUOTED_NAME)
		next_between(t, l, in, '"');
	else if (l->quoting == PERFKIT_QUOTED_BODY)
		next_in_body(t, l, in);
	else if (l->quoting == PERFKIT_QUOTED_BLOCK)
		next_in_block(t, l, in);
	else if (in->c == '\n')
		end(l, true);
	else
		next(t, in);
}


void
perfkit_quoted_begin(PerfkitQuotedText *t, const char *text, size_t until, bool json)
{
	memset(t, 0, sizeof(*t));
	t->text = text;
	t->until = until;
	t->levels[0].quoting = json ? PERFKIT_QUOTED_JSON : PERFKIT_QUOTED_TEXT;
	next(t, &t->levels[0]);
}


void
perfkit_quoted_next(PerfkitQuotedText *t)
{
	next(t, &t->levels[t->depth]);
}


void
perfkit_quoted_enter(PerfkitQuotedText *t, PerfkitQuoting quoting, size_t length, bool escapes)
{
	PerfkitQuoted *in = &t->levels[t->depth];
	PerfkitQuoted *l = &t->levels[++t->depth];

	memset(l, 0, sizeof(*l));
	l->quoting = quoting;
	l->escapes = escapes;
	l->tag = length;
	l->tag_at = in->from;
	l->nesting = 1;
	for (size_t i = 0; i < length; i++)
		next(t, in);
	next(t, l);
}


void
perfkit_quoted_leave(PerfkitQuotedText *t)
{
	t->depth--;
}


size_t
perfkit_quoted_tag(const PerfkitQuotedText *t)
{
	size_t from = t->levels[t->depth].from;
	size_t n = from + 1;

	if (t->levels[t->depth].c != '$' || (n < t->until && perfkit_quoted_digit(t->text[n])))
		return 0;
	while (n < t->until && perfkit_quoted_word((unsigned char) t->text[n]))
		n++;
	return n < t->until && t->text[n] == '$' ? n + 1 - from : 0;
}
