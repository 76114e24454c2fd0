/*
 * value.h - text to value and back, for what stands in an ini file. Pure and free of the locale.
 */
#ifndef PERFKIT_CONF_VALUE_H
#define PERFKIT_CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One allowed word and what it means; a table of them ends with a NULL name. */
struct value_word
{
	const char *name;
	int value;
};

/*
 * A time: digits, at most one dot, then us, ms, s, min, h or d, or nothing for `unit_us`. Blanks
 * may stand before the unit. False for anything else, for negative numbers and for more than
 * max_us. What is finer than a microsecond is cut off, but a time that is not zero never becomes
 * zero (which would mean "never").
 */
bool value_time(const char *text, uint64_t unit_us, uint64_t max_us, uint64_t *out_us);

/* A size in bytes: digits, then B, kB, MB or GB (powers of 1024) or nothing. False also outside
 * [min, max]. */
bool value_size(const char *text, int64_t min, int64_t max, int64_t *out);

/* 1, on, yes, true, or 0, off, no, false, in any case. */
bool value_bool(const char *text, bool *out);

/* Octal digits, as in chmod(1); false over `max`. */
bool value_octal(const char *text, int64_t max, int64_t *out);

/* The value of a word (in any case); false when it is not in the table. */
bool value_word(const struct value_word *words, const char *text, int *out);

/* The word for a value, or NULL. */
const char *value_word_name(const struct value_word *words, int value);

/* Writes a time exactly, in multiples of unit_us (1 s or 1 ms): "15", "0.5". */
void value_print_time(char *dst, size_t cap, uint64_t us, uint64_t unit_us);

#endif
