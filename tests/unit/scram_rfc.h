/*
 * scram_rfc.h - RFC 7677's example exchange, for the tests of SCRAM.
 */
#ifndef PERFKIT_TEST_SCRAM_RFC_H
#define PERFKIT_TEST_SCRAM_RFC_H

#include "unit.h"

#include <string.h>

#include "base/base64.h"
#include "proto/scram.h"

/* RFC 7677, section 3. */
#define RFC_CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define RFC_SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_NONCE RFC_CLIENT_NONCE RFC_SERVER_NONCE
#define RFC_CLIENT_FIRST "n,,n=user,r=" RFC_CLIENT_NONCE
#define RFC_SERVER_FIRST "r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_WITHOUT_PROOF "c=biws,r=" RFC_NONCE
#define RFC_PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_CLIENT_FINAL RFC_WITHOUT_PROOF ",p=" RFC_PROOF
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

/* What PostgreSQL 15 stored for 'pencil'. */
#define VERIFIER_SALT "cwgspHAzDBhM/3vX0eXWnw=="
#define VERIFIER_STORED_KEY "73RrRcSrZ2U70pdwBzzoI529IUxmUczldmHOKcZ9ous="
#define VERIFIER_SERVER_KEY "ESkMzDQpaAoj5X4tuvHACaLDzpYBL7pgMYF0I20Cv7Q="
#define VERIFIER "SCRAM-SHA-256$4096:" VERIFIER_SALT "$" VERIFIER_STORED_KEY ":" VERIFIER_SERVER_KEY

#define A_NONCE "abcdefghijklmnopqrstuvwx"
#define B_NONCE "0123456789+/0123456789+/"

static inline struct scram_secret
rfc_secret(void)
{
	struct scram_secret secret;
	uint8_t salt[16];

	assert_int_equal(base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==", 24, salt, sizeof(salt)), 16);
	assert_true(scram_secret_derive("pencil", salt, sizeof(salt), 4096, &secret));
	return secret;
}

/* No TLS underneath. */
static const struct scram_binding unbound;

static inline enum scram_result
server_first(struct scram_server *s, const char *text, struct scram_out *out)
{
	return scram_server_first(s, (const uint8_t *) text, strlen(text), RFC_SERVER_NONCE, out);
}

static inline enum scram_result
server_final(struct scram_server *s, const char *text, struct scram_out *out)
{
	return scram_server_final(s, (const uint8_t *) text, strlen(text), out);
}

/* A server that has got the RFC's first message. */
static inline struct scram_server
rfc_server(bool mock)
{
	const struct scram_secret secret = rfc_secret();
	struct scram_server s;
	struct scram_out out;

	scram_server_init(&s, &secret, mock);
	assert_int_equal(server_first(&s, RFC_CLIENT_FIRST, &out), SCRAM_CONTINUE);
	assert_string_equal(out.text, RFC_SERVER_FIRST);
	assert_int_equal(out.len, strlen(RFC_SERVER_FIRST));
	return s;
}

/* A client that has sent the RFC's first message, which names a user as ours do not. */
static inline struct scram_client
rfc_client(void)
{
	struct scram_client c;
	struct scram_out out;

	assert_int_equal(scram_client_first(&c, RFC_CLIENT_NONCE, &unbound, false, &out),
					 SCRAM_CONTINUE);
	assert_string_equal(out.text, "n,,n=,r=" RFC_CLIENT_NONCE);
	assert_int_equal(out.len, strlen(out.text));
	strcpy(c.client_first_bare, "n=user,r=" RFC_CLIENT_NONCE);
	return c;
}

static inline enum scram_result
client_final(struct scram_client *c, const char *password, const char *text, struct scram_out *out)
{
	const struct scram_identity who = {.password = password};

	return scram_client_final(c, &who, (const uint8_t *) text, strlen(text), out);
}

static inline enum scram_result
client_verify(struct scram_client *c, const char *text)
{
	return scram_client_verify(c, (const uint8_t *) text, strlen(text));
}

#endif
