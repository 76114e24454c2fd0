/*
 * pgwrite.c - building protocol messages.
 *
 * Every byte goes through pgw_bytes(), the only place that knows the capacity. After an overflow
 * nothing more is written, so a short field cannot slip in behind a long one that was left out.
 */
#include "proto/pgwrite.h"

#include <string.h>

#define CANCEL_CODE 80877102u
#define SSL_CODE 80877103u

#define AUTH_OK 0
#define AUTH_SASL 10
#define AUTH_SASL_CONTINUE 11
#define AUTH_SASL_FINAL 12

#define OID_INT8 20
#define OID_INT4 23

void
pgw_init(struct pgwriter *w, void *mem, size_t cap)
{
	*w = (struct pgwriter){.mem = mem, .cap = cap};
}

void
pgw_bytes(struct pgwriter *w, const void *p, size_t n)
{
	if (w->overflow || n > w->cap - w->len)
	{
		w->overflow = true;
		return;
	}
	if (n > 0)
		memcpy(w->mem + w->len, p, n);
	w->len += n;
}

void
pgw_u8(struct pgwriter *w, uint8_t v)
{
	pgw_bytes(w, &v, 1);
}

void
pgw_u16(struct pgwriter *w, uint16_t v)
{
	uint8_t b[2] = {(uint8_t) (v >> 8), (uint8_t) v};

	pgw_bytes(w, b, sizeof(b));
}

static void
store_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t) (v >> 24);
	p[1] = (uint8_t) (v >> 16);
	p[2] = (uint8_t) (v >> 8);
	p[3] = (uint8_t) v;
}

void
pgw_u32(struct pgwriter *w, uint32_t v)
{
	uint8_t b[4];

	store_u32(b, v);
	pgw_bytes(w, b, sizeof(b));
}

void
pgw_cstr(struct pgwriter *w, const char *s)
{
	pgw_bytes(w, s, strlen(s) + 1);
}

void
pgw_begin(struct pgwriter *w, uint8_t type)
{
	if (type != 0)
		pgw_u8(w, type);
	w->msg = w->len;
	pgw_u32(w, 0);
}

void
pgw_end(struct pgwriter *w)
{
	if (!w->overflow)
		store_u32(w->mem + w->msg, (uint32_t) (w->len - w->msg));
}

/* -- backend messages ------------------------------------------------------ */

static void
auth(struct pgwriter *w, uint32_t code, const void *p, size_t n)
{
	pgw_begin(w, 'R');
	pgw_u32(w, code);
	pgw_bytes(w, p, n);
	pgw_end(w);
}

void
pgw_auth_ok(struct pgwriter *w)
{
	auth(w, AUTH_OK, NULL, 0);
}

void
pgw_auth_plain(struct pgwriter *w)
{
	pgw_begin(w, 'R');
	pgw_u32(w, 3);
	pgw_end(w);
}

void
pgw_auth_md5(struct pgwriter *w, const uint8_t salt[4])
{
	pgw_begin(w, 'R');
	pgw_u32(w, 5);
	pgw_bytes(w, salt, 4);
	pgw_end(w);
}

void
pgw_auth_sasl(struct pgwriter *w, const char *const *mechanisms, int n)
{
	pgw_begin(w, 'R');
	pgw_u32(w, AUTH_SASL);
	for (int i = 0; i < n; i++)
		pgw_cstr(w, mechanisms[i]);
	pgw_u8(w, 0);
	pgw_end(w);
}

void
pgw_auth_sasl_continue(struct pgwriter *w, const void *p, size_t n)
{
	auth(w, AUTH_SASL_CONTINUE, p, n);
}

void
pgw_auth_sasl_final(struct pgwriter *w, const void *p, size_t n)
{
	auth(w, AUTH_SASL_FINAL, p, n);
}

void
pgw_parameter_status(struct pgwriter *w, const char *name, const char *value)
{
	pgw_begin(w, 'S');
	pgw_cstr(w, name);
	pgw_cstr(w, value);
	pgw_end(w);
}

void
pgw_backend_key(struct pgwriter *w, uint32_t pid, const void *key, size_t key_len)
{
	pgw_begin(w, 'K');
	pgw_u32(w, pid);
	pgw_bytes(w, key, key_len);
	pgw_end(w);
}

void
pgw_ready(struct pgwriter *w, char status)
{
	pgw_begin(w, 'Z');
	pgw_u8(w, (uint8_t) status);
	pgw_end(w);
}

void
pgw_negotiate(struct pgwriter *w, uint32_t version, const char *const *options, uint32_t n)
{
	pgw_begin(w, 'v');
	pgw_u32(w, version);
	pgw_u32(w, n);
	for (uint32_t i = 0; i < n; i++)
		pgw_cstr(w, options[i]);
	pgw_end(w);
}

static void
report_field(struct pgwriter *w, char field, const char *value)
{
	if (value == NULL)
		return;
	pgw_u8(w, (uint8_t) field);
	pgw_cstr(w, value);
}

static void
report(struct pgwriter *w, uint8_t type, const struct pgw_error *e)
{
	pgw_begin(w, type);
	report_field(w, 'S', e->severity);
	report_field(w, 'V', e->severity);
	report_field(w, 'C', e->sqlstate);
	report_field(w, 'M', e->message);
	report_field(w, 'D', e->detail);
	report_field(w, 'H', e->hint);
	pgw_u8(w, 0);
	pgw_end(w);
}

void
pgw_error(struct pgwriter *w, const struct pgw_error *e)
{
	report(w, 'E', e);
}

void
pgw_notice(struct pgwriter *w, const struct pgw_error *e)
{
	report(w, 'N', e);
}

/* -1: varies. */
static uint16_t
size_of(uint32_t type_oid)
{
	switch (type_oid)
	{
		case OID_INT8:
			return 8;
		case OID_INT4:
			return 4;
		default:
			return (uint16_t) -1;
	}
}

void
pgw_row_description(struct pgwriter *w, const struct pgw_column *cols, int n)
{
	pgw_begin(w, 'T');
	pgw_u16(w, (uint16_t) n);
	for (int i = 0; i < n; i++)
	{
		pgw_cstr(w, cols[i].name);
		pgw_u32(w, 0); /* no table, */
		pgw_u16(w, 0); /* no column of one */
		pgw_u32(w, cols[i].type_oid);
		pgw_u16(w, size_of(cols[i].type_oid));
		pgw_u32(w, (uint32_t) -1); /* no type modifier */
		pgw_u16(w, 0);             /* text format */
	}
	pgw_end(w);
}

void
pgw_data_row(struct pgwriter *w, const char *const *values, int n)
{
	pgw_begin(w, 'D');
	pgw_u16(w, (uint16_t) n);
	for (int i = 0; i < n; i++)
	{
		size_t len = values[i] != NULL ? strlen(values[i]) : 0;

		pgw_u32(w, values[i] != NULL ? (uint32_t) len : (uint32_t) -1);
		pgw_bytes(w, values[i], len);
	}
	pgw_end(w);
}

void
pgw_command_complete(struct pgwriter *w, const char *tag)
{
	pgw_begin(w, 'C');
	pgw_cstr(w, tag);
	pgw_end(w);
}

/* -- frontend messages ----------------------------------------------------- */

void
pgw_startup_begin(struct pgwriter *w, uint32_t version)
{
	pgw_begin(w, 0);
	pgw_u32(w, version);
}

void
pgw_startup_end(struct pgwriter *w)
{
	pgw_u8(w, 0);
	pgw_end(w);
}

void
pgw_ssl_request(struct pgwriter *w)
{
	pgw_begin(w, 0);
	pgw_u32(w, SSL_CODE);
	pgw_end(w);
}

void
pgw_cancel_request(struct pgwriter *w, uint32_t pid, const void *key, size_t key_len)
{
	pgw_begin(w, 0);
	pgw_u32(w, CANCEL_CODE);
	pgw_u32(w, pid);
	pgw_bytes(w, key, key_len);
	pgw_end(w);
}

void
pgw_query(struct pgwriter *w, const char *sql)
{
	pgw_begin(w, 'Q');
	pgw_cstr(w, sql);
	pgw_end(w);
}

void
pgw_password(struct pgwriter *w, const char *password)
{
	pgw_begin(w, 'p');
	pgw_cstr(w, password);
	pgw_end(w);
}

void
pgw_sasl_initial(struct pgwriter *w, const char *mechanism, const void *p, size_t n)
{
	pgw_begin(w, 'p');
	pgw_cstr(w, mechanism);
	pgw_u32(w, (uint32_t) n);
	pgw_bytes(w, p, n);
	pgw_end(w);
}

void
pgw_sasl_response(struct pgwriter *w, const void *p, size_t n)
{
	pgw_begin(w, 'p');
	pgw_bytes(w, p, n);
	pgw_end(w);
}

void
pgw_terminate(struct pgwriter *w)
{
	pgw_begin(w, 'X');
	pgw_end(w);
}
