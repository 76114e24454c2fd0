/*
 * rows.c - see rows.h.
 */
#include "core/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "proto/pgmsg.h"
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

/* ---- formats ---- */

static bool
is_binary(const struct rows_formats *f, int column)
{
	if (f->n == 0)
		return false;
	if (f->n == 1)
		return f->binary[0];
	return column < f->n && f->binary[column];
}

/* Which columns are numbers. */
static void
numbers(const char *columns, bool number[ROWS_MAX_COLUMNS])
{
	int n = 0;

	for (const char *p = columns; *p != '\0' && n < ROWS_MAX_COLUMNS; n++)
	{
		p += strspn(p, " ");
		number[n] = *p == '#';
		p += strcspn(p, " ");
	}
}

/* The format code is the last word of a column's description. */
static void
convert_head(const struct pgmsg *m, const struct rows_formats *f, struct pgwriter *w)
{
	struct pgreader r;
	int n;

	pgr_init(&r, m->body, m->body_len);
	n = pgr_u16(&r);
	pgw_begin(w, 'T');
	pgw_u16(w, (uint16_t) n);
	for (int i = 0; i < n; i++)
	{
		pgw_cstr(w, pgr_cstr(&r));
		pgw_bytes(w, pgr_bytes(&r, 16), 16);
		pgr_u16(&r);
		pgw_u16(w, is_binary(f, i));
	}
	pgw_end(w);
}

static void
convert_number(const uint8_t *p, uint32_t len, struct pgwriter *w)
{
	char text[24] = "";
	int64_t value = 0;

	if (len < sizeof(text))
		memcpy(text, p, len);
	str_to_int64(text, INT64_MIN, INT64_MAX, &value);
	pgw_u32(w, 8);
	pgw_u32(w, (uint32_t) ((uint64_t) value >> 32));
	pgw_u32(w, (uint32_t) value);
}

static void
convert_row(const struct pgmsg *m, const bool *number, const struct rows_formats *f,
			struct pgwriter *w)
{
	struct pgreader r;
	int n;

	pgr_init(&r, m->body, m->body_len);
	n = pgr_u16(&r);
	pgw_begin(w, 'D');
	pgw_u16(w, (uint16_t) n);
	for (int i = 0; i < n; i++)
	{
		uint32_t len = pgr_u32(&r);
		const uint8_t *p = len == UINT32_MAX ? NULL : pgr_bytes(&r, len);

		if (p != NULL && number[i] && is_binary(f, i))
			convert_number(p, len, w);
		else
		{
			pgw_u32(w, len);
			pgw_bytes(w, p, p == NULL ? 0 : len);
		}
	}
	pgw_end(w);
}

void
rows_convert(const uint8_t *p, size_t n, const char *columns, const struct rows_formats *f,
			 struct buf *out)
{
	bool number[ROWS_MAX_COLUMNS] = {false};
	uint8_t mem[ROWS_TEXT_MAX + 16 * ROWS_MAX_COLUMNS];
	struct pgwriter w;
	struct pgmsg m;

	numbers(columns, number);
	for (; n > 0 && pgmsg_peek(p, n, &m) == PGMSG_OK; p += m.total, n -= m.total)
	{
		pgw_init(&w, mem, sizeof(mem));
		if (m.type == 'T')
			convert_head(&m, f, &w);
		else if (m.type == 'D')
			convert_row(&m, number, f, &w);
		if (w.len > 0 && !w.overflow)
			buf_append(out, w.mem, w.len);
		else
			buf_append(out, p, m.total);
	}
}
