/*-------------------------------------------------------------------------
 * tags.c
 *	  Comments of a statement to names and values.
 *-------------------------------------------------------------------------
 */
#include "tags.h"

#include "redact.h"

/* The part of a comment that is still to be read. */
typedef struct Input
{
	const char *at;
	const char *end;
} Input;


static bool
space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}


static void
skip_space(Input *in)
{
	while (in->at < in->end && space(*in->at))
		in->at++;
}


static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}


static bool
put(PerfkitTags *tags, char c)
{
	if (tags->length >= tags->size)
		return false;
	tags->out[tags->length++] = c;
	return true;
}


/* Writes [from, to) decoded, with a \0 behind it; false when there is no room. */
static bool
decode(PerfkitTags *tags, const char *from, const char *to)
{
	while (from < to)
	{
		char c = *from++;

		if (c == '\\' && from < to)
			c = *from++;
		else if (c == '%' && to - from >= 2 && hex_digit(from[0]) >= 0 && hex_digit(from[1]) >= 0)
		{
			c = (char) (hex_digit(from[0]) * 16 + hex_digit(from[1]));
			from += 2;
		}

		/* \0 ends the string in the output, and no text could hold it. */
		if (!put(tags, c != '\0' ? c : '?'))
			return false;
	}
	return put(tags, '\0');
}


/* A tag's own text is redacted like any other, or by its name. */
static bool
redact(PerfkitTags *tags, Size name, Size value)
{
	char masked[PERFKIT_MAX_TAGS_SIZE];
	PerfkitRedaction r = {
		.out = masked,
		.size = sizeof(masked),
		.kind = PERFKIT_SECRET_VALUE,
	};
	Size length = tags->length - value - 1;

	if (perfkit_secret_suspects(tags->out + name, value - name))
	{
		strlcpy(masked, "***", sizeof(masked));
		r.length = strlen(masked);
	}
	else
		perfkit_redact(&r, tags->out + value, length);
	if (r.cut || value + r.length + 1 > tags->size)
		return false;
	memcpy(tags->out + value, masked, r.length);
	tags->out[value + r.length] = '\0';
	tags->length = value + r.length + 1;
	return true;
}


/* Writes one tag, or nothing and `cut`. */
static void
add(PerfkitTags *tags, const Input *name, const Input *value)
{
	Size start = tags->length;
	Size middle;

	if (tags->count < PERFKIT_MAX_TAGS && decode(tags, name->at, name->end))
	{
		middle = tags->length;
		if (decode(tags, value->at, value->end) && redact(tags, start, middle))
		{
			tags->count++;
			return;
		}
	}
	tags->length = start;
	tags->cut = true;
}


/* Reads name='value'; false when that is not what stands there. */
static bool
read_tag(Input *in, Input *name, Input *value)
{
	skip_space(in);
	name->at = in->at;
	while (in->at < in->end && !space(*in->at) && !strchr("='\",*/", *in->at))
		in->at++;
	name->end = in->at;
	skip_space(in);
	if (name->at == name->end || in->at >= in->end || *in->at++ != '=')
		return false;
	skip_space(in);
	if (in->at >= in->end || *in->at++ != '\'')
		return false;
	value->at = in->at;
	while (in->at < in->end && *in->at != '\'')
		in->at += *in->at == '\\' && in->end - in->at >= 2 ? 2 : 1;
	value->end = in->at;
	if (in->at >= in->end)
		return false;
	in->at++;
	skip_space(in);
	return true;
}


/* Is all of it name='value',...?  With `add_them` they are written, too. */
static bool
read_comment(PerfkitTags *tags, Input in, bool add_them)
{
	Input name;
	Input value;

	for (;;)
	{
		if (!read_tag(&in, &name, &value))
			return false;
		if (add_them)
			add(tags, &name, &value);
		if (in.at == in.end)
			return true;
		if (*in.at++ != ',')
			return false;
	}
}


static void
take_comment(PerfkitTags *tags, const char *start, const char *end)
{
	Input in = {start, end};

	if (read_comment(tags, in, false))
		read_comment(tags, in, true);
}


/* The end of the last comment's inside, if the text ends with a comment; else NULL. */
static const char *
last_comment(const char *text, const char *end, const char **start)
{
	while (end > text && (space(end[-1]) || end[-1] == ';'))
		end--;
	if (end - text < 4 || end[-1] != '/' || end[-2] != '*')
		return NULL;
	end -= 2;
	for (const char *p = end - 2; p >= text; p--)
	{
		if (p[0] == '/' && p[1] == '*')
		{
			*start = p + 2;
			return end;
		}
	}
	return NULL;
}


/* The end of the first comment's inside, if the text begins with a comment; else NULL. */
static const char *
first_comment(const char *text, const char *end, const char **start)
{
	while (text < end && space(*text))
		text++;
	if (end - text < 4 || text[0] != '/' || text[1] != '*')
		return NULL;
	*start = text += 2;
	for (; end - text >= 2; text++)
	{
		if (text[0] == '*' && text[1] == '/')
			return text;
	}
	return NULL;
}


void
perfkit_tags_find(PerfkitTags *tags, const char *text, Size length)
{
	const char *end = text + length;
	const char *first = NULL;
	const char *last = NULL;
	const char *first_end = first_comment(text, end, &first);
	const char *last_end = last_comment(text, end, &last);

	tags->length = 0;
	tags->count = 0;
	tags->cut = false;
	if (first_end != NULL)
		take_comment(tags, first, first_end);
	if (last_end != NULL && last != first)
		take_comment(tags, last, last_end);
}


bool
perfkit_tags_next(const char **at, const char *end, const char **string, Size *length)
{
	const char *zero = *at < end ? memchr(*at, '\0', end - *at) : NULL;

	if (zero == NULL)
		return false;
	*string = *at;
	*length = zero - *at;
	*at = zero + 1;
	return true;
}
