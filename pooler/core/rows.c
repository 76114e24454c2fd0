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
#define OID_INT4 23
#define OID_INT8 20
#define OID_NUMERIC 1700
#define NUMERIC_BASE 10000
#define NUMERIC_DIGITS 5 /* of base 10000, in 64 bits */
#define NUMERIC_NEGATIVE 0x4000

/* The type by the marks in front of a name, which is moved behind them. */
static uint32_t
take_type(const char **name)
{
	if (**name == '~')
	{
		(*name)++;
		return OID_NUMERIC;
	}
	if (**name != '#')
		return OID_TEXT;
	if (*++*name != '#')
		return OID_INT4;
	(*name)++;
	return OID_INT8;
}

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
		cols[n].name = name;
		cols[n].type_oid = take_type(&cols[n].name);
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

static bool
wants_binary(const struct rows_formats *f)
{
	bool any = false;

	for (int i = 0; i < f->n; i++)
		any = any || f->binary[i];
	return any;
}

static void
types(const char *columns, uint32_t type[ROWS_MAX_COLUMNS])
{
	int n = 0;

	for (const char *p = columns; *p != '\0' && n < ROWS_MAX_COLUMNS; n++)
	{
		p += strspn(p, " ");
		type[n] = take_type(&p);
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

/* Source: PostgreSQL, numeric_send(). */
static void
write_numeric(int64_t value, struct pgwriter *w)
{
	uint64_t rest = value < 0 ? 0 - (uint64_t) value : (uint64_t) value;
	uint16_t digit[NUMERIC_DIGITS]; /* the last first */
	int n = 0;

	for (; rest > 0; rest /= NUMERIC_BASE)
		digit[n++] = (uint16_t) (rest % NUMERIC_BASE);
	pgw_u32(w, (uint32_t) (4 + n) * 2);
	pgw_u16(w, (uint16_t) n);
	pgw_u16(w, n > 0 ? (uint16_t) (n - 1) : 0); /* weight of the first */
	pgw_u16(w, value < 0 ? NUMERIC_NEGATIVE : 0);
	pgw_u16(w, 0); /* digits behind the point */
	while (n > 0)
		pgw_u16(w, digit[--n]);
}

static void
convert_number(const uint8_t *p, uint32_t len, uint32_t type, struct pgwriter *w)
{
	char text[24] = "";
	int64_t value = 0;

	if (len < sizeof(text))
		memcpy(text, p, len);
	str_to_int64(text, INT64_MIN, INT64_MAX, &value);
	switch (type)
	{
		case OID_INT4:
			pgw_u32(w, 4);
			pgw_u32(w, (uint32_t) (value > INT32_MAX ? INT32_MAX : value));
			break;
		case OID_NUMERIC:
			write_numeric(value, w);
			break;
		default:
			pgw_u32(w, 8);
			pgw_u32(w, (uint32_t) ((uint64_t) value >> 32));
			pgw_u32(w, (uint32_t) value);
			break;
	}
}

static void
convert_row(const struct pgmsg *m, const uint32_t *type, const struct rows_formats *f,
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

		if (p != NULL && type[i] != OID_TEXT && is_binary(f, i))
			convert_number(p, len, type[i], w);
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
	uint32_t type[ROWS_MAX_COLUMNS] = {0};
	uint8_t mem[ROWS_TEXT_MAX + 24 * ROWS_MAX_COLUMNS];
	struct pgwriter w;
	struct pgmsg m;

	if (!wants_binary(f))
	{
		buf_append(out, p, n);
		return;
	}
	types(columns, type);
	for (; n > 0 && pgmsg_peek(p, n, &m) == PGMSG_OK; p += m.total, n -= m.total)
	{
		pgw_init(&w, mem, sizeof(mem));
		if (m.type == 'T')
			convert_head(&m, f, &w);
		else if (m.type == 'D')
			convert_row(&m, type, f, &w);
		if (w.len > 0 && !w.overflow)
			buf_append(out, w.mem, w.len);
		else
			buf_append(out, p, m.total);
	}
}
