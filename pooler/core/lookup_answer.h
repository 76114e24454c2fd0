/*
 * lookup_answer.h - what auth_query returns: at most one row, of the user's name and the secret.
 */
#ifndef PERFKIT_CORE_LOOKUP_ANSWER_H
#define PERFKIT_CORE_LOOKUP_ANSWER_H

#include <stdbool.h>

#define LOOKUP_SECRET_MAX 4096 /* bytes of a secret, with its terminator */

struct pgmsg;

struct lookup_answer
{
	bool found;
	bool has_secret;
	char secret[LOOKUP_SECRET_MAX];
};

/* Wipes it. */
void lookup_answer_clear(struct lookup_answer *a);

/* A DataRow of the question after this user: an error text, or NULL. */
const char *lookup_answer_row(struct lookup_answer *a, const struct pgmsg *m, const char *user);

#endif
