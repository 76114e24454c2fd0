/*-------------------------------------------------------------------------
 * redact.h
 *	  The one function every text passes before it leaves a backend.
 *
 * Passwords that PostgreSQL's grammar or libpq's connection strings mark as
 * such are replaced by ***:
 *	  PASSWORD 'x'              role commands, OPTIONS (password 'x'), any case,
 *	                            also doubled quotes inside another literal
 *	  password=x, password='x'  connection strings
 *	  postgres[ql]://u:x@host   connection URIs
 * It reads the text only: no parser, no catalog, no allocation, no error.  In
 * doubt it replaces too much rather than too little.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_REDACT_H
#define PERFKIT_REDACT_H

#include "postgres.h"

typedef struct PerfkitRedaction
{
	/* given */
	char *out;
	Size size; /* of out */

	/*
	 * The text was understood by no parser: if the word PASSWORD is in it, all
	 * its literals are replaced.
	 */
	bool every_literal;

	/* result */
	Size length; /* bytes written; not terminated */
	bool cut;    /* out was too small; cut at a character boundary */
} PerfkitRedaction;

extern void perfkit_redact(PerfkitRedaction *r, const char *text, Size length);

/* Whether the word PASSWORD, in any case, is anywhere in the text. */
extern bool perfkit_redact_suspects(const char *text, Size length);

#endif /* PERFKIT_REDACT_H */
