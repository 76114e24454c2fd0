/*
 * prepared.h - the messages that name a prepared statement: Parse, Bind, Describe, Close. Pure.
 *
 * Source: "Frontend/Backend Protocol", "Message Formats". Reading finds where the name stands, so
 * that a message can be sent on under another name without touching what is behind it.
 */
#ifndef PERFKIT_PROTO_PREPARED_H
#define PERFKIT_PROTO_PREPARED_H

#include <stddef.h>
#include <stdint.h>

#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

#define PREPARED_NAME_MAX 64 /* bytes of a name of ours with its terminator */

/* A message split at its statement name; pointers into the caller's bytes. */
struct prepared
{
	const uint8_t
		*before; /* Bind: portal name with its terminator; Describe, Close: the kind byte */
	size_t before_len;
	const char *name;
	const uint8_t *after; /* Parse: query text and types; Bind: formats, values; else empty */
	size_t after_there;   /* how much of it lies in the caller's bytes */
};

/*
 * Splits a P, B, D or C message, of which the first bytes are there. NEED_MORE: the name is not
 * complete yet. Describe and Close of a portal give an empty name and before[0] == 'P'.
 */
enum pgmsg_result prepared_split(const struct pgmsg *m, size_t there, struct prepared *out);

/* The message up to and with the new name; what is behind it in m follows unchanged. */
void prepared_head(const struct pgmsg *m, const struct prepared *p, const char *name,
				   struct pgwriter *out);

/* Close of a statement. */
void prepared_close(const char *name, struct pgwriter *out);

/* A copy of an ErrorResponse in which `from` in double quotes is replaced by `to` in its texts. */
void prepared_rename_in_error(const struct pgmsg *m, const char *from, const char *to,
							  struct pgwriter *out);

/*
 * Reads "DEALLOCATE [PREPARE] name" (a simple query and nothing else) and writes the name, folded
 * or unquoted as PostgreSQL does. False: something else.
 */
bool prepared_deallocate_name(const char *sql, char *name, size_t cap);

/* Whether it is DEALLOCATE [PREPARE] ALL or DISCARD ALL and nothing else. */
bool prepared_discards_all(const char *sql);

#endif
