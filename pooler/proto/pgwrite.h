/*
 * pgwrite.h - building protocol messages in memory that the caller gives. Pure.
 *
 * Nothing is written past cap: `overflow` is set instead and len stays where it was; the caller
 * checks once at the end.
 */
#ifndef PERFKIT_PROTO_PGWRITE_H
#define PERFKIT_PROTO_PGWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pgwriter
{
	uint8_t *mem;
	size_t cap;
	size_t len;
	size_t msg; /* where the open message's length word stands */
	bool overflow;
};

void pgw_init(struct pgwriter *w, void *mem, size_t cap);

/* One message: begin, fields, end. Type 0 makes a packet without type byte (startup, cancel). */
void pgw_begin(struct pgwriter *w, uint8_t type);
void pgw_end(struct pgwriter *w);
void pgw_u8(struct pgwriter *w, uint8_t v);
void pgw_u16(struct pgwriter *w, uint16_t v);
void pgw_u32(struct pgwriter *w, uint32_t v);
void pgw_bytes(struct pgwriter *w, const void *p, size_t n);
void pgw_cstr(struct pgwriter *w, const char *s); /* with its terminator */

/* Backend messages. */
void pgw_auth_ok(struct pgwriter *w);
void pgw_auth_plain(struct pgwriter *w);
void pgw_auth_md5(struct pgwriter *w, const uint8_t salt[4]);
void pgw_auth_sasl(struct pgwriter *w, const char *const *mechanisms, int n);
void pgw_auth_sasl_continue(struct pgwriter *w, const void *p, size_t n);
void pgw_auth_sasl_final(struct pgwriter *w, const void *p, size_t n);
void pgw_parameter_status(struct pgwriter *w, const char *name, const char *value);
void pgw_backend_key(struct pgwriter *w, uint32_t pid, const void *key, size_t key_len);
void pgw_ready(struct pgwriter *w, char status);

/*
 * NegotiateProtocolVersion: newest version we speak (major << 16 | minor, as PostgreSQL sends it)
 * and the `_pq_.` options we do not know.
 */
void pgw_negotiate(struct pgwriter *w, uint32_t version, const char *const *options, uint32_t n);

/* severity: "FATAL", "ERROR"; detail and hint may be NULL. */
struct pgw_error
{
	const char *severity;
	const char *sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
};
void pgw_error(struct pgwriter *w, const struct pgw_error *e);
void pgw_notice(struct pgwriter *w, const struct pgw_error *e);
/* A row description whose columns are all text (oid 25) or int8 (oid 20) in text format. */
struct pgw_column
{
	const char *name;
	uint32_t type_oid;
};
void pgw_row_description(struct pgwriter *w, const struct pgw_column *cols, int n);
void pgw_data_row(struct pgwriter *w, const char *const *values,
				  int n); /* NULL pointer = SQL NULL */
void pgw_command_complete(struct pgwriter *w, const char *tag);

/* Frontend messages. */
void pgw_startup_begin(struct pgwriter *w,
					   uint32_t version); /* then name/value pgw_cstr pairs, then pgw_startup_end */
void pgw_startup_end(struct pgwriter *w);
void pgw_ssl_request(struct pgwriter *w);
void pgw_cancel_request(struct pgwriter *w, uint32_t pid, const void *key, size_t key_len);
void pgw_query(struct pgwriter *w, const char *sql);
void pgw_password(struct pgwriter *w, const char *password);
void pgw_sasl_initial(struct pgwriter *w, const char *mechanism, const void *p, size_t n);
void pgw_sasl_response(struct pgwriter *w, const void *p, size_t n);
void pgw_terminate(struct pgwriter *w);

#endif
