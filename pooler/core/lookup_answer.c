/*
 * lookup_answer.c - see lookup_answer.h.
 */
#include "core/lookup_answer.h"

#include <openssl/crypto.h>
#include <string.h>

#include "proto/pgmsg.h"

void
lookup_answer_clear(struct lookup_answer *a)
{
	OPENSSL_cleanse(a->secret, sizeof(a->secret));
	a->found = a->has_secret = false;
}

/* A value of a row: false when it does not fit the message. NULL has no bytes. */
static bool
next_value(struct pgreader *r, const uint8_t **bytes, size_t *n)
{
	int32_t len = (int32_t) pgr_u32(r);

	*bytes = NULL;
	*n = 0;
	if (r->bad || len < -1)
		return false;
	if (len >= 0)
	{
		*n = (size_t) len;
		*bytes = pgr_bytes(r, *n);
	}
	return !r->bad;
}

const char *
lookup_answer_row(struct lookup_answer *a, const struct pgmsg *m, const char *user)
{
	struct pgreader r;
	const uint8_t *name;
	const uint8_t *secret;
	size_t name_len;
	size_t secret_len;

	pgr_init(&r, m->body, m->body_len);
	if (pgr_u16(&r) != 2 || !next_value(&r, &name, &name_len) ||
		!next_value(&r, &secret, &secret_len))
		return "auth_query must return two columns, the user and its secret";
	if (a->found)
		return "auth_query has returned more than one row";
	/* What is not asked for might be somebody else's secret. */
	if (name == NULL || name_len != strlen(user) || memcmp(name, user, name_len) != 0)
		return "auth_query has returned another user";
	if (secret_len >= LOOKUP_SECRET_MAX ||
		(secret != NULL && memchr(secret, '\0', secret_len) != NULL))
		return "auth_query has returned a secret that is too long";
	a->found = true;
	a->has_secret = secret != NULL;
	if (secret != NULL)
	{
		memcpy(a->secret, secret, secret_len);
		a->secret[secret_len] = '\0';
	}
	return NULL;
}
