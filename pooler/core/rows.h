/*
 * rows.h - result sets of the console: a row description and data rows, as text; or turned into
 * what the extended protocol asks for.
 */
#ifndef PERFKIT_CORE_ROWS_H
#define PERFKIT_CORE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define ROWS_MAX_COLUMNS 64
#define ROWS_TEXT_MAX 8192 /* bytes of one row's values */

/* How a client wants its columns, as in Bind: none: text; one: all like it; else one for each. */
struct rows_formats
{
	int n;
	bool binary[ROWS_MAX_COLUMNS];
};

/*
 * columns: names separated by blanks, each with a mark of its type in front: '#' int4, '##' int8,
 * '~' numeric; without one it is text.
 */
void rows_head(struct buf *out, const char *columns);

/* Collects one row; values are copied. */
struct row
{
	const char *value[ROWS_MAX_COLUMNS];
	int n;
	char text[ROWS_TEXT_MAX];
	size_t len;
};

void row_begin(struct row *r);
void row_text(struct row *r, const char *value); /* NULL: SQL NULL */
void row_int(struct row *r, int64_t value);
void row_time(struct row *r, uint64_t wall_us);
void row_end(struct row *r, struct buf *out);

/*
 * Copies a result set (as made by the functions above: RowDescription, DataRow and others) and
 * turns it into these formats: the numbers of binary columns, which must be whole, into
 * PostgreSQL's binary ones (an int4 that is too large becomes the largest); text stays as it is.
 * columns: as for rows_head().
 */
void rows_convert(const uint8_t *p, size_t n, const char *columns, const struct rows_formats *f,
				  struct buf *out);

void rows_complete(struct buf *out, const char *tag);

#endif
