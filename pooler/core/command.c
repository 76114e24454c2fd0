/*
 * command.c - see command.h.
 */
#include "core/command.h"

#include <string.h>

#include "base/str.h"

#define BLANKS " \t\r\n\f\v"

/* What stands between quotes, from *p on, to *out; false: there is no end. */
static bool
quoted(const char **p, char **out)
{
	char quote = *(*p)++;

	for (; **p != '\0'; (*p)++)
	{
		if (**p == quote && (*p)[1] != quote)
		{
			(*p)++;
			return true;
		}
		if (**p == quote)
			(*p)++;
		*(*out)++ = **p;
	}
	return false;
}

static void
plain(const char **p, char **out)
{
	size_t n = **p == '=' ? 1 : strcspn(*p, BLANKS "=;'\"");

	memcpy(*out, *p, n);
	*p += n;
	*out += n;
}

static void
no_words(struct command *c)
{
	c->n = 0;
	for (int i = 0; i < COMMAND_WORDS; i++)
		c->word[i] = "";
}

/* All words of c->text; false: it is no command. */
static bool
split(struct command *c)
{
	const char *p = c->text;
	char *out = c->mem;

	for (p += strspn(p, BLANKS); *p != '\0' && *p != ';'; p += strspn(p, BLANKS))
	{
		if (c->n == COMMAND_WORDS)
			return false;
		c->word[c->n++] = out;
		if (*p != '"' && *p != '\'')
			plain(&p, &out);
		else if (!quoted(&p, &out))
			return false;
		*out++ = '\0';
	}
	return p[strspn(p, BLANKS ";")] == '\0';
}

enum command_result
command_parse(struct command *c, const char *sql)
{
	no_words(c);
	c->text[0] = '\0';
	if (!str_copy(c->text, sizeof(c->text), sql))
	{
		c->text[0] = '\0';
		return COMMAND_TOO_LONG;
	}
	if (!split(c))
	{
		no_words(c);
		return COMMAND_BAD;
	}
	return c->n > 0 ? COMMAND_OK : COMMAND_EMPTY;
}

bool
command_is_set(const struct command *c, const char **name, const char **value)
{
	if (c->n != 4 || !str_equal_nocase(c->word[0], "SET") ||
		(strcmp(c->word[2], "=") != 0 && !str_equal_nocase(c->word[2], "TO")))
		return false;
	*name = c->word[1];
	*value = c->word[3];
	return true;
}
