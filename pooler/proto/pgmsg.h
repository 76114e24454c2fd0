/*
 * pgmsg.h - framing and reading of protocol 3 messages. Pure: no memory, no system call, no log.
 *
 * Source: PostgreSQL documentation, "Frontend/Backend Protocol", chapters "Message Data Types" and
 * "Message Formats". Every length is checked before it is used; what does not fit is BAD and never
 * asserted.
 */
#ifndef PERFKIT_PROTO_PGMSG_H
#define PERFKIT_PROTO_PGMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PGMSG_HEADER 5 /* type byte and length word */

/* Largest legal length word: the wire allows 2^31-1, PostgreSQL itself stays under 1 GB. */
#define PGMSG_MAX_LEN 0x7fffffffu

enum pgmsg_result
{
	PGMSG_OK,
	PGMSG_NEED_MORE,
	PGMSG_BAD
};

/* One framed message; `body` points into the caller's bytes. */
struct pgmsg
{
	uint8_t type;
	uint32_t total;      /* header and body, in bytes */
	uint32_t body_len;   /* total - PGMSG_HEADER */
	const uint8_t *body; /* may be cut: valid up to the end of the caller's bytes */
	bool whole;          /* all of it lies in the caller's bytes */
};

/* Looks at the message that starts at p. NEED_MORE: fewer than 5 bytes. BAD: impossible length. */
enum pgmsg_result pgmsg_peek(const uint8_t *p, size_t n, struct pgmsg *out);

/* How many bytes at p are whole messages of this type, one behind the other; a length that is
 * impossible ends them. For rows, of which nothing but their end is of interest. */
size_t pgmsg_run(const uint8_t *p, size_t n, uint8_t type);

enum pgmsg_sender
{
	PGMSG_CLIENT = 1,
	PGMSG_SERVER = 2
};

/* Who may send a type at all. */
extern const uint8_t pgmsg_senders[256];

/* Whether a type byte may come from a client after startup / from a server at all. */
static inline bool
pgmsg_frontend_type(uint8_t type)
{
	return (pgmsg_senders[type] & PGMSG_CLIENT) != 0;
}

static inline bool
pgmsg_backend_type(uint8_t type)
{
	return (pgmsg_senders[type] & PGMSG_SERVER) != 0;
}

/*
 * A cursor over a message body. After a read past the end `bad` is set and nothing is left: further
 * reads return 0, "" or NULL and stay harmless.
 */
struct pgreader
{
	const uint8_t *p;
	const uint8_t *end;
	bool bad;
};

void pgr_init(struct pgreader *r, const uint8_t *p, size_t n);
uint8_t pgr_u8(struct pgreader *r);
uint16_t pgr_u16(struct pgreader *r);
uint32_t pgr_u32(struct pgreader *r);
const char *pgr_cstr(struct pgreader *r); /* never NULL; must be terminated within the body */
const uint8_t *pgr_bytes(struct pgreader *r, size_t n); /* NULL when too short */
size_t pgr_left(const struct pgreader *r);

/* The fields of an ErrorResponse or NoticeResponse that we use; into the body, "" when absent. */
struct pgerror
{
	const char *severity; /* field V, else S */
	const char *sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
	const char *routine; /* function of PostgreSQL that raised it */
};

/* PGMSG_OK, or PGMSG_BAD when the body is cut or goes on after its end; `out` is usable either way.
 */
enum pgmsg_result pgmsg_error_fields(const uint8_t *body, size_t n, struct pgerror *out);

/*
 * Whether a whole NoticeResponse says that the session is at its end: PostgreSQL warns like that,
 * and says no more, when another backend has crashed (57P02) or it is shut down at once (57P01).
 */
bool pgmsg_is_farewell(const struct pgmsg *m);

#endif
