/*
 * str.c - small string helpers, bounded and locale-free.
 */
#include "base/str.h"

#include <string.h>

#define NEAREST_MAX_WORD 63
#define NEAREST_MAX_EDITS 3

bool
str_copy(char *dst, size_t cap, const char *src)
{
	size_t len = strlen(src);
	bool fits = len < cap;

	if (cap == 0)
		return false;
	if (!fits)
		len = cap - 1;
	memcpy(dst, src, len);
	dst[len] = '\0';
	return fits;
}

static char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

bool
str_equal_nocase(const char *a, const char *b)
{
	while (*a != '\0' && ascii_lower(*a) == ascii_lower(*b))
	{
		a++;
		b++;
	}
	return ascii_lower(*a) == ascii_lower(*b);
}

bool
str_to_int64(const char *s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = *s == '-';
	uint64_t limit = negative ? (uint64_t) INT64_MAX + 1 : INT64_MAX;
	uint64_t magnitude = 0;
	int64_t value;

	if (*s == '-' || *s == '+')
		s++;
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
	{
		unsigned digit = (unsigned) (unsigned char) *s - '0';

		if (digit > 9 || magnitude > (limit - digit) / 10)
			return false;
		magnitude = magnitude * 10 + digit;
	}
	value = negative ? (int64_t) (0 - magnitude) : (int64_t) magnitude;
	if (value < min || value > max)
		return false;
	*out = value;
	return true;
}

static int
min3(int a, int b, int c)
{
	int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance without case; both words at most NEAREST_MAX_WORD long. */
static int
edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int row[NEAREST_MAX_WORD + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (int) j;
	for (size_t i = 1; i <= a_len; i++)
	{
		int diagonal = row[0];

		row[0] = (int) i;
		for (size_t j = 1; j <= b_len; j++)
		{
			int replace = diagonal + (ascii_lower(a[i - 1]) != ascii_lower(b[j - 1]));

			diagonal = row[j];
			row[j] = min3(row[j] + 1, row[j - 1] + 1, replace);
		}
	}
	return row[b_len];
}

int
str_nearest(const char *word, const char *const *candidates, int n)
{
	size_t len = strlen(word);
	int best = -1;
	int best_edits = NEAREST_MAX_EDITS + 1;

	if (len > NEAREST_MAX_WORD)
		return -1;
	for (int i = 0; i < n; i++)
	{
		size_t c_len = strlen(candidates[i]);
		int edits;

		if (c_len > NEAREST_MAX_WORD)
			continue;
		edits = edit_distance(word, len, candidates[i], c_len);
		if (edits < best_edits && (size_t) edits * 2 < len)
		{
			best = i;
			best_edits = edits;
		}
	}
	return best;
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

char *
str_trim(char *s)
{
	size_t len;

	while (is_blank(*s))
		s++;
	len = strlen(s);
	while (len > 0 && is_blank(s[len - 1]))
		len--;
	s[len] = '\0';
	return s;
}

/* Writes prefix, quote, value with every byte of `doubled` doubled, quote. */
static size_t
quote(char *dst, size_t cap, const char *value, const char *prefix, const char *doubled)
{
	char mark = doubled[0];
	size_t len = strlen(prefix) + 2;
	char *out = dst;

	for (const char *p = value; *p != '\0'; p++)
		len += strchr(doubled, *p) != NULL ? 2 : 1;
	if (len >= cap)
		return 0;

	out = stpcpy(out, prefix);
	*out++ = mark;
	for (const char *p = value; *p != '\0'; p++)
	{
		if (strchr(doubled, *p) != NULL)
			*out++ = *p;
		*out++ = *p;
	}
	*out++ = mark;
	*out = '\0';
	return len;
}

size_t
str_quote_literal(char *dst, size_t cap, const char *value)
{
	bool escaped = strchr(value, '\\') != NULL;

	return quote(dst, cap, value, escaped ? "E" : "", "'\\");
}

size_t
str_quote_ident(char *dst, size_t cap, const char *value)
{
	return quote(dst, cap, value, "", "\"");
}

bool
str_equal_secret(const void *a, const void *b, size_t n)
{
	/* volatile keeps the compiler from leaving the loop at the first difference */
	const volatile uint8_t *x = a;
	const volatile uint8_t *y = b;
	uint8_t difference = 0;

	for (size_t i = 0; i < n; i++)
		difference |= x[i] ^ y[i];
	return difference == 0;
}
