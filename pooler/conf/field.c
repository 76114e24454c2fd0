/*
 * field.c - see field.h.
 */
#include "conf/field.h"

#include <string.h>

#include "conf/ini.h"

/* Stands where a line was joined with the next, so that lines can still be counted. */
#define JOINT '\v'

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == JOINT;
}

enum field_result
field_next(char **p, struct field_word *word)
{
	char *from = *p;
	char *to;
	bool open = false;

	while (is_blank(*from) || *from == ',')
		from++;
	*word = (struct field_word){.text = from};
	if (*from == '\0' || *from == '#')
		return FIELD_END;
	for (to = from; *from != '\0'; from++)
	{
		if (!open && (is_blank(*from) || *from == ',' || *from == '#'))
			break;
		if (*from != '"')
			*to++ = *from;
		else if (open && from[1] == '"')
			*to++ = *++from;
		else
		{
			open = !open;
			word->quoted = true;
		}
	}
	if (open)
		return FIELD_BAD;
	word->more = *from == ',';
	/* A comment is still one when the word in front of it has been cut off. */
	*p = *from == '\0' || *from == '#' ? from : from + 1;
	if (*from == '#')
		*from = '\0';
	*to = '\0';
	return FIELD_WORD;
}

bool
field_is(const struct field_word *word, const char *keyword)
{
	return !word->quoted && strcmp(word->text, keyword) == 0;
}

static void
join_lines(char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
	{
		size_t eol = i + 1;

		if (text[i] != '\\')
			continue;
		if (text[eol] == '\r' && eol + 1 < len)
			eol++;
		if (text[eol] != '\n')
			continue;
		memset(text + i, ' ', eol - i);
		text[eol] = JOINT;
	}
}

static bool
is_empty(const char *line)
{
	while (is_blank(*line))
		line++;
	return *line == '\0' || *line == '#';
}

static int
count_joints(const char *line)
{
	int n = 0;

	for (; *line != '\0'; line++)
		n += *line == JOINT;
	return n;
}

bool
field_lines(char *text, size_t len, const char *file, const struct field_reader *reader,
			struct conf_error *err)
{
	struct ini_place at = {.file = file, .line = 0};
	char *end = text + len;
	char *line;

	join_lines(text, len);
	while (text != NULL)
	{
		int joints;

		at.line++;
		if (!ini_next_line(&text, end, &line, &at, err))
			return false;
		joints = count_joints(line);
		if (!is_empty(line) && !reader->line(reader->arg, &at, line, err))
			return false;
		at.line += joints;
	}
	return true;
}
