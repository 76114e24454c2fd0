/*
 * startup.h - the packets before the first typed message: StartupMessage, SSLRequest,
 * GSSENCRequest, CancelRequest. Pure.
 *
 * Source: PostgreSQL, src/include/libpq/pqcomm.h and "Frontend/Backend Protocol", "Start-up",
 * "Canceling Requests in Progress".
 */
#ifndef PERFKIT_PROTO_STARTUP_H
#define PERFKIT_PROTO_STARTUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STARTUP_MAX_LEN 10000 /* PostgreSQL's MAX_STARTUP_PACKET_LENGTH */
#define STARTUP_MAX_PARAMS 64
#define STARTUP_MAX_CANCEL_KEY 256 /* protocol 3.2 */

enum startup_kind
{
	STARTUP_NEED_MORE,  /* wait for more bytes */
	STARTUP_BAD,        /* see `error` */
	STARTUP_SSL,        /* SSLRequest */
	STARTUP_GSSENC,     /* GSSENCRequest */
	STARTUP_CANCEL,     /* CancelRequest: pid, key */
	STARTUP_PROTOCOL,   /* StartupMessage of major version 3 */
	STARTUP_UNSUPPORTED /* any other major version: `major`, `minor` tell */
};

struct startup_param
{
	const char *name; /* into the caller's bytes */
	const char *value;
};

struct startup
{
	uint32_t total; /* bytes the packet takes */
	uint16_t major;
	uint16_t minor;
	uint32_t cancel_pid;
	const uint8_t *cancel_key;
	uint32_t cancel_key_len; /* 4 in protocol 3.0, up to 256 in 3.2 */
	uint32_t n_params;
	struct startup_param params[STARTUP_MAX_PARAMS]; /* without the `_pq_.` ones */
	uint32_t n_pq_options;
	const char
		*pq_options[STARTUP_MAX_PARAMS]; /* names of `_pq_.` options asked for: none is known yet */
	const char *error;                   /* STARTUP_BAD: static text */
};

/* Parses the packet at p; n bytes are there. Pointers in out live as long as p. */
enum startup_kind startup_parse(const uint8_t *p, size_t n, struct startup *out);

/* Value of a parameter, or NULL. Of a repeated name the last counts, as in PostgreSQL. */
const char *startup_param(const struct startup *s, const char *name);

#endif
