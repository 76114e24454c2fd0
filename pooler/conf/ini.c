/*
 * ini.c - see ini.h.
 *
 * Everything is cut out of the caller's buffer in place, so reading allocates nothing. What can be
 * wrong with a line is told where it stands; a line is echoed only up to its key, since a value may
 * hold a password.
 */
#include "conf/ini.h"

#include "base/str.h"
#include "conf/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static char *
skip_blanks(char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

/* What is told about a place is cut to this before the place is put in front. */
#define MESSAGE_MAX 1024

static void
say(char *dst, size_t cap, const struct ini_place *at, const char *message)
{
	if (at->line > 0)
		snprintf(dst, cap, "%.300s:%d: %s", at->file, at->line, message);
	else
		snprintf(dst, cap, "%.300s: %s", at->file, message);
	for (char *p = dst; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 127)
			*p = '?';
	}
}

void
ini_complain(struct conf_error *err, const struct ini_place *at, const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	say(err->text, sizeof err->text, at, message);
}

void
ini_say(char *dst, size_t cap, const struct ini_place *at, const char *fmt, ...)
{
	char message[MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	say(dst, cap, at, message);
}

char *
ini_unquote(char **p, char quote)
{
	char *start;
	char *to;
	char *from;

	if (**p != quote)
		return NULL;
	start = to = from = *p + 1;
	for (; *from != '\0'; from++)
	{
		if (*from == quote)
		{
			if (from[1] != quote)
			{
				*p = from + 1;
				*to = '\0';
				return start;
			}
			from++;
		}
		*to++ = *from;
	}
	return NULL;
}

enum ini_pair
ini_next_pair(char **p, char **key, char **value)
{
	char *s = skip_blanks(*p);

	*key = s;
	*value = NULL;
	if (*s == '\0')
		return INI_PAIR_END;
	while (*s != '\0' && *s != '=' && !is_blank(*s))
		s++;

	char *key_end = s;

	s = skip_blanks(s);
	if (*s != '=')
	{
		*key_end = '\0';
		return INI_PAIR_NO_EQUALS;
	}
	if (key_end == *key)
		return INI_PAIR_NO_KEY;
	s = skip_blanks(s + 1);
	*key_end = '\0';
	if (*s == '\'')
	{
		*value = ini_unquote(&s, '\'');
		if (*value == NULL || (*s != '\0' && !is_blank(*s)))
			return INI_PAIR_OPEN_QUOTE;
		*p = s;
		return INI_PAIR;
	}
	*value = s;
	while (*s != '\0' && !is_blank(*s))
		s++;
	*p = *s != '\0' ? s + 1 : s;
	*s = '\0';
	return INI_PAIR;
}

bool
ini_next_line(char **text, char *end, char **line, const struct ini_place *at,
			  struct conf_error *err)
{
	char *start = *text;
	char *stop = memchr(start, '\n', (size_t) (end - start));

	*text = stop != NULL ? stop + 1 : NULL;
	if (stop == NULL)
		stop = end;
	if (memchr(start, '\0', (size_t) (stop - start)) != NULL)
		return ini_fail(err, at, "a NUL byte: this is no text file");
	if (stop - start > INI_LINE_MAX)
		return ini_fail(err, at, "line is longer than %d bytes", INI_LINE_MAX);
	*stop = '\0';
	if (stop > start && stop[-1] == '\r')
		stop[-1] = '\0';
	*line = start;
	return true;
}

static void
cut_trailing_blanks(char *s)
{
	size_t n = strlen(s);

	while (n > 0 && is_blank(s[n - 1]))
		s[--n] = '\0';
}

static bool
parse_directive(char *line, const struct ini_place *at, const struct ini_reader *reader,
				struct conf_error *err)
{
	const char word[] = "%include";
	size_t n = sizeof word - 1;

	if (strncmp(line, word, n) != 0 || (line[n] != '\0' && !is_blank(line[n])))
		return ini_fail(err, at, "unknown directive \"%.60s\"; there is only %%include", line);

	char *path = skip_blanks(line + n);

	if (*path == '\0')
		return ini_fail(err, at, "%%include needs the path of a file");
	return reader->include(reader->arg, at, path, err);
}

static bool
parse_section(char *line, const struct ini_place *at, const struct ini_reader *reader,
			  struct conf_error *err)
{
	char *close = strchr(line, ']');

	if (close == NULL)
		return ini_fail(err, at, "a section heading needs a closing bracket");
	if (close[1] != '\0')
		return ini_fail(err, at, "something stands behind the section heading");
	*close = '\0';
	return reader->section(reader->arg, at, line + 1, err);
}

static bool
parse_entry(char *line, const struct ini_place *at, const struct ini_reader *reader,
			struct conf_error *err)
{
	char *key;
	char *p = line;

	if (*p == '"')
	{
		key = ini_unquote(&p, '"');
		if (key == NULL)
			return ini_fail(err, at, "the quote at the start of the line is never closed");
		if (*key == '\0')
			return ini_fail(err, at, "an empty key");
		if (*p != '=' && !is_blank(*p))
			return ini_fail(err, at, "\"%.100s\" needs an equals sign behind it", key);
	}
	else
	{
		key = p;
		while (*p != '\0' && *p != '=' && !is_blank(*p))
			p++;
		if (p == key)
			return ini_fail(err, at, "an equals sign without a key before it");
	}

	char *key_end = p;

	p = skip_blanks(p);
	if (*p != '=')
	{
		*key_end = '\0';
		return ini_fail(err, at, "\"%.100s\" needs an equals sign behind it", key);
	}
	if (key == line)
		*key_end = '\0';
	return reader->entry(reader->arg, at, key, skip_blanks(p + 1), err);
}

static bool
parse_line(char *line, const struct ini_place *at, const struct ini_reader *reader,
		   struct conf_error *err)
{
	line = skip_blanks(line);
	cut_trailing_blanks(line);
	switch (*line)
	{
		case '\0':
		case ';':
		case '#':
			return true;
		case '%':
			return parse_directive(line, at, reader, err);
		case '[':
			return parse_section(line, at, reader, err);
		default:
			return parse_entry(line, at, reader, err);
	}
}

bool
ini_parse(char *text, size_t len, const char *file, const struct ini_reader *reader,
		  struct conf_error *err)
{
	struct ini_place at = {.file = file, .line = 0};
	char *end = text + len;
	char *line;

	/* Editors on Windows put a byte order mark in front. */
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	while (text != NULL)
	{
		at.line++;
		if (!ini_next_line(&text, end, &line, &at, err) || !parse_line(line, &at, reader, err))
			return false;
	}
	return true;
}
