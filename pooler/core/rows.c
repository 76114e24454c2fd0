/*
 * rows.c - see rows.h.
 */
#include "core/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/pgwrite.h"

#define OID_TEXT 25
#define OID_INT8 20

void
rows_head(struct buf *out, const char *columns)
{
	struct pgw_column cols[ROWS_MAX_COLUMNS];
	char names[2048];
	uint8_t mem[4096];
	struct pgwriter w;
	char *rest = NULL;
	int n = 0;

	snprintf(names, sizeof(names), "%s", columns);
	for (char *name = strtok_r(names, " ", &rest); name != NULL && n < ROWS_MAX_COLUMNS;
		 name = strtok_r(NULL, " ", &rest))
	{
		cols[n].name = name[0] == '#' ? name + 1 : name;
		cols[n].type_oid = name[0] == '#' ? OID_INT8 : OID_TEXT;
		n++;
	}
	pgw_init(&w, mem, sizeof(mem));
	pgw_row_description(&w, cols, n);
	buf_append(out, w.mem, w.len);
}

void
row_begin(struct row *r)
{
	r->n = 0;
	r->len = 0;
}

void
row_text(struct row *r, const char *value)
{
	size_t room = sizeof(r->text) - r->len;
	size_t n;

	if (r->n == ROWS_MAX_COLUMNS)
		return;
	if (value == NULL || room == 0)
	{
		r->value[r->n++] = NULL;
		return;
	}
	n = strnlen(value, room - 1);
	memcpy(r->text + r->len, value, n);
	r->text[r->len + n] = '\0';
	r->value[r->n++] = r->text + r->len;
	r->len += n + 1;
}

void
row_int(struct row *r, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	row_text(r, text);
}

void
row_end(struct row *r, struct buf *out)
{
	uint8_t mem[ROWS_TEXT_MAX + 8 * ROWS_MAX_COLUMNS];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_data_row(&w, r->value, r->n);
	if (!w.overflow)
		buf_append(out, w.mem, w.len);
}

void
rows_complete(struct buf *out, const char *tag)
{
	uint8_t mem[128];
	struct pgwriter w;

	pgw_init(&w, mem, sizeof(mem));
	pgw_command_complete(&w, tag);
	buf_append(out, w.mem, w.len);
}

void
row_time(struct row *r, uint64_t wall_us)
{
	time_t t = (time_t) (wall_us / 1000000);
	char text[64];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	row_text(r, text);
}
