/*
 * saslprep.h - what SCRAM makes of a password before it hashes it (RFC 4013), so that one that is
 * typed on another keyboard, composed or decomposed, is the same one.
 *
 * As PostgreSQL's pg_saslprep() and its callers have it: plain ASCII stays as it is, control
 * characters too; what RFC 4013 forbids, or is no UTF-8, is hashed unprepared.
 */
#ifndef PERFKIT_BASE_SASLPREP_H
#define PERFKIT_BASE_SASLPREP_H

/* The caller's, to be given to saslprep_free(). */
char *saslprep(const char *password);

/* Wipes it. *prepared may be NULL and is NULL afterwards. */
void saslprep_free(char **prepared);

#endif
