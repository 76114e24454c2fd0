/*-------------------------------------------------------------------------
 * redact.h
 *	  The one function every text passes before it leaves a backend.
 *
 * Passwords (secret.h tells which) are replaced by ***.  It reads the text only: no
 * parser, no catalog, no allocation, no error, so it may be called in a transaction that has
 * failed.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_REDACT_H
#define PERFKIT_REDACT_H

#include "postgres.h"

#include "secret.h"

typedef struct PerfkitRedaction
{
	/* given */
	char *out;
	Size size; /* of out */
	PerfkitSecretText kind;

	/* result */
	Size length; /* bytes written; not terminated */
	bool cut;    /* not all of it was written; cut at a character boundary */
} PerfkitRedaction;

extern void perfkit_redact(PerfkitRedaction *r, const char *text, Size length);

/* An error's message into `out`, which holds `size` bytes, cut if need be and terminated. */
extern void perfkit_redact_message(char *out, Size size, const char *message);

#endif /* PERFKIT_REDACT_H */
