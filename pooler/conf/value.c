/*
 * value.c - see value.h.
 *
 * Numbers are read digit by digit: strtod would follow the locale and accept "nan" and "1e300".
 */
#include "conf/value.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>

struct suffix
{
	const char *name;
	uint64_t factor;
};

static const struct suffix time_suffixes[] = {
	{"us", 1},
	{"ms", UINT64_C(1000)},
	{"s", UINT64_C(1000000)},
	{"min", UINT64_C(60000000)},
	{"h", UINT64_C(3600000000)},
	{"d", UINT64_C(86400000000)},
	{NULL, 0},
};

static const struct suffix size_suffixes[] = {
	{"B", 1},  {"kB", UINT64_C(1) << 10}, {"MB", UINT64_C(1) << 20}, {"GB", UINT64_C(1) << 30},
	{NULL, 0},
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads digits at *p into *out and moves *p behind them; false when there is none or the number is
 * too large. */
static bool
read_digits(const char **p, uint64_t *out)
{
	uint64_t v = 0;
	const char *s = *p;

	if (!is_digit(*s))
		return false;
	for (; is_digit(*s); s++)
	{
		uint64_t digit = (uint64_t) (*s - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*p = s;
	*out = v;
	return true;
}

/* The factor of the suffix at p, `none` when nothing follows, 0 when it is unknown. */
static uint64_t
suffix_factor(const struct suffix *table, const char *p, uint64_t none)
{
	while (*p == ' ' || *p == '\t')
		p++;
	if (*p == '\0')
		return none;
	for (; table->name != NULL; table++)
	{
		if (str_equal_nocase(table->name, p))
			return table->factor;
	}
	return 0;
}

bool
value_time(const char *text, uint64_t unit_us, uint64_t max_us, uint64_t *out_us)
{
	const char *p = text;
	uint64_t whole;
	uint64_t fraction = 0;
	bool not_zero;

	if (!read_digits(&p, &whole))
		return false;
	not_zero = whole > 0;

	const char *dot = *p == '.' ? p : NULL;

	if (dot != NULL)
	{
		for (p = dot + 1; is_digit(*p); p++)
			not_zero = not_zero || *p != '0';
		if (p == dot + 1)
			return false;
	}

	uint64_t factor = suffix_factor(time_suffixes, p, unit_us);

	if (factor == 0 || whole > max_us / factor)
		return false;
	if (dot != NULL)
	{
		uint64_t place = factor;

		/* A factor is at most a day, so place * 9 fits; rounding errors stay under the microsecond.
		 */
		for (const char *d = dot + 1; is_digit(*d) && place > 0; d++)
		{
			uint64_t scaled = place * (uint64_t) (*d - '0');

			fraction += scaled / 10;
			place /= 10;
		}
	}

	uint64_t us = whole * factor + fraction;

	if (us == 0 && not_zero)
		us = 1;
	if (us > max_us)
		return false;
	*out_us = us;
	return true;
}

bool
value_size(const char *text, int64_t min, int64_t max, int64_t *out)
{
	const char *p = text;
	uint64_t n;

	if (!read_digits(&p, &n))
		return false;

	uint64_t factor = suffix_factor(size_suffixes, p, 1);

	if (factor == 0 || max < 0 || n > (uint64_t) max / factor)
		return false;
	if ((int64_t) (n * factor) < min)
		return false;
	*out = (int64_t) (n * factor);
	return true;
}

bool
value_bool(const char *text, bool *out)
{
	static const struct value_word words[] = {
		{"1", 1},   {"on", 1}, {"yes", 1},   {"true", 1}, {"0", 0},
		{"off", 0}, {"no", 0}, {"false", 0}, {NULL, 0},
	};
	int v;

	if (!value_word(words, text, &v))
		return false;
	*out = v != 0;
	return true;
}

bool
value_octal(const char *text, int64_t max, int64_t *out)
{
	int64_t v = 0;

	if (*text == '\0')
		return false;
	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p < '0' || *p > '7')
			return false;
		v = v * 8 + (*p - '0');
		if (v > max)
			return false;
	}
	*out = v;
	return true;
}

bool
value_word(const struct value_word *words, const char *text, int *out)
{
	for (; words->name != NULL; words++)
	{
		if (str_equal_nocase(words->name, text))
		{
			*out = words->value;
			return true;
		}
	}
	return false;
}

const char *
value_word_name(const struct value_word *words, int value)
{
	for (; words->name != NULL; words++)
	{
		if (words->value == value)
			return words->name;
	}
	return NULL;
}

void
value_print_time(char *dst, size_t cap, uint64_t us, uint64_t unit_us)
{
	unsigned long long whole = us / unit_us;
	unsigned long long rest = us % unit_us;
	int digits = 0;

	for (uint64_t u = unit_us; u > 1; u /= 10)
		digits++;
	if (rest == 0)
	{
		snprintf(dst, cap, "%llu", whole);
		return;
	}
	while (rest % 10 == 0)
	{
		rest /= 10;
		digits--;
	}
	snprintf(dst, cap, "%llu.%0*llu", whole, digits, rest);
}
