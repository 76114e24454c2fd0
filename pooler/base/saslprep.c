/*
 * saslprep.c - see saslprep.h.
 *
 * GNU libidn knows the tables. They are those of Unicode 3.2, as RFC 3454 demands; a character that
 * came later is unassigned there, so that such a password is used unprepared, here as in
 * PostgreSQL.
 */
#include "base/saslprep.h"

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#include "base/log.h"

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char) *text >= 0x80)
			return false;
	return true;
}

char *
saslprep(const char *password)
{
	char *prepared = NULL;
	char *mine;

	if (is_ascii(password) || stringprep_profile(password, &prepared, "SASLprep",
												 STRINGPREP_NO_UNASSIGNED) != STRINGPREP_OK)
		return mem_strdup(password);
	/* One that would be empty is no password; PostgreSQL takes it as it was typed. */
	mine = mem_strdup(prepared[0] == '\0' ? password : prepared);
	OPENSSL_cleanse(prepared, strlen(prepared));
	free(prepared);
	return mine;
}

void
saslprep_free(char **prepared)
{
	char *p = *prepared;

	*prepared = NULL;
	if (p == NULL)
		return;
	OPENSSL_cleanse(p, strlen(p));
	free(p);
}
