/*
 * str.h - small string helpers, bounded and locale-free.
 */
#ifndef PERFKIT_BASE_STR_H
#define PERFKIT_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies at most cap-1 bytes and terminates; false when src did not fit. */
bool str_copy(char *dst, size_t cap, const char *src);

/* ASCII comparison without case. */
bool str_equal_nocase(const char *a, const char *b);

/* True when the whole string, sign and digits only, is a decimal integer within [min, max]. */
bool str_to_int64(const char *s, int64_t min, int64_t max, int64_t *out);

/*
 * Index of the candidate nearest to word by edit distance without case (at most 3 edits and under
 * half of the word; the first of several equally near), or -1. Words over 63 bytes are near to
 * nothing.
 */
int str_nearest(const char *word, const char *const *candidates, int n);

/* Strips ASCII white space at both ends in place; returns the new start. */
char *str_trim(char *s);

/*
 * Appends value as an SQL literal ('...' with quotes doubled; E'' form when it holds a backslash,
 * so that it is right whatever standard_conforming_strings says). Returns the bytes written without
 * the terminator, or 0 when dst is too small.
 */
size_t str_quote_literal(char *dst, size_t cap, const char *value);

/* The same for an identifier, always in double quotes. */
size_t str_quote_ident(char *dst, size_t cap, const char *value);

/* Comparison whose time does not depend on where two equally long byte strings differ. */
bool str_equal_secret(const void *a, const void *b, size_t n);

#endif
