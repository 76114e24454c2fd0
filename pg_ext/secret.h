/*-------------------------------------------------------------------------
 * secret.h
 *	  Where in a text the passwords are.  Pure C.
 *
 * Those that PostgreSQL's grammar or libpq's connection strings mark as such:
 *	  PASSWORD 'x'              role commands, OPTIONS (password 'x'), any kind of literal,
 *	                            also one in several parts
 *	  password=x, password='x'  connection strings, assignments; also sslpassword and the like
 *	  scheme://u:x@host         URIs
 * wherever they stand: also inside literals, bodies, comments and quoted names, and in those inside
 * these.  No grammar, no allocation; the time is linear in the length.  In doubt too much
 * is a password rather than too little.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SECRET_H
#define PERFKIT_SECRET_H

#include <stdbool.h>
#include <stddef.h>

typedef enum PerfkitSecretText
{
	PERFKIT_SECRET_STATEMENT, /* SQL that a parser has understood */

	/* SQL that none has: each literal and number is a secret, and a word behind PASSWORD */
	PERFKIT_SECRET_UNPARSED,
	PERFKIT_SECRET_PLAN, /* a condition as a string of JSON, without its quotation marks */
	PERFKIT_SECRET_VALUE /* anything: a bind value, a message */
} PerfkitSecretText;

typedef struct PerfkitSecrets PerfkitSecrets;

struct PerfkitSecrets
{
	const char *text;
	size_t length;
	PerfkitSecretText kind;
	bool backslashes; /* escape in '...' too, as without standard_conforming_strings */

	/*
	 * As much of the text is looked at, and what is behind it seen as if it were not there.
	 * `found` may change it; in the end it is how far the text was looked at.
	 */
	size_t until;

	/* Called for each, in order; they do not overlap.  [from, to) is without its quotes. */
	void (*found)(PerfkitSecrets *s, size_t from, size_t to);
};

extern void perfkit_secrets(PerfkitSecrets *s);

/*
 * Whether a word that announces a password, as PASSWORD, is anywhere in the text, in any case.  If
 * not there can be one in a URI only.
 */
extern bool perfkit_secret_suspects(const char *text, size_t length);

#endif /* PERFKIT_SECRET_H */
