/*-------------------------------------------------------------------------
 * plantext.c
 *	  Names, literals, types and operators in the text of plans.
 *-------------------------------------------------------------------------
 */
#include "plantext.h"

#include <string.h>


void
perfkit_plantext_blanks(PerfkitPlanText *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\n'))
		c->at++;
}


/* Takes this character, and blanks before it. */
bool
perfkit_plantext_take(PerfkitPlanText *c, char what)
{
	perfkit_plantext_blanks(c);
	if (c->at >= c->end || *c->at != what)
		return false;
	c->at++;
	return true;
}


bool
perfkit_plantext_at_end(PerfkitPlanText *c)
{
	perfkit_plantext_blanks(c);
	return c->at >= c->end;
}


static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}


static bool
begins_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}


static bool
in_word(char c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}


/* The mark that ends what begins with one, doubled ones in it; NULL: there is none. */
const char *
perfkit_plantext_quoted_end(const PerfkitPlanText *c, const char *begin, char mark, bool escapes)
{
	for (const char *p = begin; p < c->end; p++)
	{
		if (escapes && *p == '\\' && p + 1 < c->end)
			p++;
		else if (*p == mark)
		{
			if (p + 1 >= c->end || p[1] != mark)
				return p;
			p++;
		}
	}
	return NULL;
}


static bool
quoted_name(PerfkitPlanText *c, PerfkitPlanName *name)
{
	const char *end = perfkit_plantext_quoted_end(c, c->at + 1, '"', false);
	size_t n = 0;

	if (end == NULL)
		return false;
	for (const char *p = c->at + 1; p < end; p++)
	{
		if (n + 1 >= sizeof(name->text) || *p == '\0')
			return false;
		name->text[n++] = *p;
		p += *p == '"';
	}
	name->text[n] = '\0';
	name->quoted = true;
	c->at = end + 1;
	return n > 0;
}


/* A name, quoted or not, or a word of the grammar. */
bool
perfkit_plantext_name(PerfkitPlanText *c, PerfkitPlanName *name)
{
	size_t n = 0;

	perfkit_plantext_blanks(c);
	if (c->at < c->end && *c->at == '"')
		return quoted_name(c, name);
	if (c->at >= c->end || !begins_word(*c->at))
		return false;
	while (c->at < c->end && in_word(*c->at))
	{
		if (n + 1 >= sizeof(name->text))
			return false;
		name->text[n++] = *c->at++;
	}
	name->text[n] = '\0';
	name->quoted = false;
	return true;
}


/* Takes this word of the grammar. */
bool
perfkit_plantext_word(PerfkitPlanText *c, const char *word)
{
	PerfkitPlanText try = *c;
	PerfkitPlanName name;

	if (!perfkit_plantext_name(&try, &name) || name.quoted || strcmp(name.text, word) != 0)
		return false;
	*c = try;
	return true;
}


/* The characters of an operator; their number, 0 if there is none. */
size_t
perfkit_plantext_operator(PerfkitPlanText *c, const char **begin)
{
	size_t n;

	perfkit_plantext_blanks(c);
	*begin = c->at;
	while (c->at < c->end && *c->at != '\0' && strchr("+-*/<>=~!@#%^&|`?", *c->at) != NULL)
		c->at++;
	n = (size_t) (c->at - *begin);
	return n;
}


bool
perfkit_plantext_literal(PerfkitPlanText *c)
{
	bool escapes = *c->at == 'E' || *c->at == 'e';
	const char *end;

	if (escapes || *c->at == 'B' || *c->at == 'X')
		c->at++;
	end = perfkit_plantext_quoted_end(c, c->at + 1, '\'', escapes);
	if (end == NULL)
		return false;
	c->at = end + 1;
	return true;
}


bool
perfkit_plantext_number(PerfkitPlanText *c)
{
	const char *begin = c->at;

	if (c->at < c->end && *c->at == '-')
		begin = ++c->at;
	while (c->at < c->end && (is_digit(*c->at) || *c->at == '.' ||
							  (c->at > begin && (*c->at == 'e' || *c->at == 'E')) ||
							  (c->at > begin && (*c->at == '-' || *c->at == '+') &&
							   (c->at[-1] == 'e' || c->at[-1] == 'E'))))
		c->at++;
	return c->at > begin;
}


/* Words that EXPLAIN prints in capitals are of the grammar; names that have any are quoted. */
bool
perfkit_plantext_is_lower(const PerfkitPlanName *name)
{
	for (const char *p = name->text; *p != '\0'; p++)
	{
		if (*p >= 'A' && *p <= 'Z')
			return name->quoted;
	}
	return true;
}


/* numeric(10,2)  timestamp(3) without time zone  shop.mood[] */
static bool
type(PerfkitPlanText *c)
{
	PerfkitPlanName name;
	int words = 0;

	for (;;)
	{
		PerfkitPlanText try = *c;

		if (!perfkit_plantext_name(&try, &name) || !perfkit_plantext_is_lower(&name))
			break;
		*c = try;
		words++;
		if (perfkit_plantext_take(c, '.'))
			continue;
		if (perfkit_plantext_take(c, '('))
		{
			while (c->at < c->end && (is_digit(*c->at) || *c->at == ',' || *c->at == '-'))
				c->at++;
			if (!perfkit_plantext_take(c, ')'))
				return false;
		}
	}
	while (perfkit_plantext_take(c, '['))
	{
		if (!perfkit_plantext_take(c, ']'))
			return false;
	}
	return words > 0;
}


/* Any number of casts; the text of the last one, if it is wanted and fits. */
bool
perfkit_plantext_casts(PerfkitPlanText *c, char *last, size_t size)
{
	for (;;)
	{
		const char *begin;
		size_t length;

		perfkit_plantext_blanks(c);
		if (c->end - c->at < 2 || c->at[0] != ':' || c->at[1] != ':')
			return true;
		c->at += 2;
		begin = c->at;
		if (!type(c))
			return false;
		length = (size_t) (c->at - begin);
		while (length > 0 && begin[length - 1] == ' ')
			length--;
		if (last == NULL)
			continue;

		/* The column was cast twice. */
		if (last[0] != '\0' || length >= size)
			return false;
		memcpy(last, begin, length);
		last[length] = '\0';
	}
}
