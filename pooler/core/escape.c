/*
 * escape.c - see escape.h.
 */
#include "core/escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

/* Length of the UTF-8 sequence at p, which ends with a zero byte; 0: it is none (RFC 3629). */
static size_t
sequence(const uint8_t *p)
{
	size_t n = p[0] < 0x80   ? 1
			   : p[0] < 0xc2 ? 0
			   : p[0] < 0xe0 ? 2
			   : p[0] < 0xf0 ? 3
			   : p[0] < 0xf5 ? 4
							 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong ones, surrogates, and beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static void
escape(struct buf *out, const char *text, void (*special)(struct buf *out, uint8_t c))
{
	const uint8_t *p = (const uint8_t *) text;

	while (*p != 0)
	{
		size_t n = sequence(p);

		if (n == 0)
			buf_append(out, "\xef\xbf\xbd", 3);
		else if (n == 1)
			special(out, *p);
		else
			buf_append(out, p, n);
		p += n == 0 ? 1 : n;
	}
}

static void
json_character(struct buf *out, uint8_t c)
{
	char text[8];
	int n;

	if (c == '"' || c == '\\')
		n = snprintf(text, sizeof(text), "\\%c", c);
	else if (c < 0x20)
		n = snprintf(text, sizeof(text), "\\u%04x", c);
	else
		n = snprintf(text, sizeof(text), "%c", c);
	buf_append(out, text, (size_t) n);
}

void
escape_json(struct buf *out, const char *text)
{
	escape(out, text, json_character);
}

static void
label_character(struct buf *out, uint8_t c)
{
	if (c == '"' || c == '\\')
		buf_append(out, "\\", 1);
	if (c == '\n')
		buf_append(out, "\\n", 2);
	else
		buf_append(out, &c, 1);
}

void
escape_label(struct buf *out, const char *text)
{
	escape(out, text, label_character);
}

void
escape_none(struct buf *out, const char *text)
{
	buf_append(out, text, strlen(text));
}
