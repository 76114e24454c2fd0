/*
 * scram.h - SCRAM-SHA-256 as server to clients and as client to PostgreSQL. Pure but for OpenSSL's
 * hash functions.
 *
 * Source: RFC 5802, RFC 7677; PostgreSQL's deviations (user name in the SASL message is ignored;
 * iteration default 4096). Randomness comes in as an argument, so tests replay RFC 7677's example.
 * Channel binding is of the type tls-server-end-point (RFC 5929), the one that works with every
 * version of TLS and that PostgreSQL knows. Passwords come in prepared (base/saslprep).
 */
#ifndef PERFKIT_PROTO_SCRAM_H
#define PERFKIT_PROTO_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRAM_MECHANISM "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS "SCRAM-SHA-256-PLUS"
#define SCRAM_KEY_LEN 32
#define SCRAM_MAX_SALT 64
#define SCRAM_NONCE_LEN 24     /* printable characters of a nonce of ours */
#define SCRAM_MAX_NONCE 256    /* longest combined nonce accepted */
#define SCRAM_MAX_MESSAGE 1024 /* longest SASL payload accepted or produced */
#define SCRAM_MAX_BINDING 64   /* digest of a certificate */
#define SCRAM_MAX_GS2 32       /* header in front of a client's first message */
#define SCRAM_MIN_ITERATIONS 1
#define SCRAM_MAX_ITERATIONS 10000000

/* What the verifier side knows of a password. */
struct scram_secret
{
	uint32_t iterations;
	uint8_t salt[SCRAM_MAX_SALT];
	uint32_t salt_len;
	uint8_t stored_key[SCRAM_KEY_LEN];
	uint8_t server_key[SCRAM_KEY_LEN];
};

/* "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>" as in pg_authid; false when it is not
 * one. */
bool scram_secret_parse(const char *text, struct scram_secret *out);
/* True when text starts like a verifier (then it is no plain password). */
bool scram_is_verifier(const char *text);
/* Derives the secret of a plain password. Costs `iterations` HMACs. */
bool scram_secret_derive(const char *password, const uint8_t *salt, size_t salt_len,
						 uint32_t iterations, struct scram_secret *out);
/* Secret of a user who does not exist: salt is stable per user and key, no proof ever verifies. */
bool scram_secret_mock(const char *user, const uint8_t key[SCRAM_KEY_LEN], uint32_t iterations,
					   struct scram_secret *out);

/* Turns 18 random bytes into SCRAM_NONCE_LEN printable characters and a terminator. */
void scram_nonce(const uint8_t random[18], char out[SCRAM_NONCE_LEN + 1]);

/* The channel under the exchange: the digest of the server's certificate. len 0: no TLS, or a
 * certificate for which none is defined. */
struct scram_binding
{
	uint8_t data[SCRAM_MAX_BINDING];
	size_t len;
};

enum scram_result
{
	SCRAM_CONTINUE, /* send `out` to the peer and go on */
	SCRAM_DONE,     /* authenticated; server side: send `out` as the final message */
	SCRAM_DENIED,   /* proof or signature is wrong */
	SCRAM_BAD       /* malformed; `error` of the exchange tells (static text) */
};

struct scram_out
{
	char text[SCRAM_MAX_MESSAGE];
	size_t len;
};

/* Server side of one exchange. */
struct scram_server
{
	struct scram_secret secret;
	bool mock;                    /* deny whatever the proof */
	struct scram_binding binding; /* what was offered */
	bool plus;                    /* the client has chosen SCRAM_MECHANISM_PLUS */
	char client_first_bare[SCRAM_MAX_MESSAGE];
	char server_first[SCRAM_MAX_MESSAGE];
	char nonce[SCRAM_MAX_NONCE + 1];   /* combined */
	char gs2[SCRAM_MAX_GS2];           /* GS2 header as sent, for the c= check */
	uint8_t client_key[SCRAM_KEY_LEN]; /* after DONE: for pass-through to the server */
	const char *error;
};
void scram_server_init(struct scram_server *s, const struct scram_secret *secret, bool mock);

/* Before the first message, where SCRAM_MECHANISM_PLUS was offered: plus tells whether the client
 * has chosen it. */
void scram_server_bind(struct scram_server *s, const struct scram_binding *binding, bool plus);
enum scram_result scram_server_first(struct scram_server *s, const uint8_t *msg, size_t n,
									 const char *nonce, struct scram_out *out);
enum scram_result scram_server_final(struct scram_server *s, const uint8_t *msg, size_t n,
									 struct scram_out *out);

/* Client side of one exchange. */
struct scram_client
{
	char nonce[SCRAM_NONCE_LEN + 1];
	char client_first_bare[SCRAM_MAX_MESSAGE];
	struct scram_binding binding;
	bool plus; /* it is used */
	char gs2[SCRAM_MAX_GS2];
	uint8_t server_signature[SCRAM_KEY_LEN];
	bool proved; /* our proof was made, so the server's signature is known */
	const char *error;
};
/* Who we are: a plain password, or the keys that a client's own proof revealed (then password is
 * NULL). */
struct scram_identity
{
	const char *password;
	const uint8_t *client_key;
	const uint8_t *server_key;
};

/* binding: of the channel; offered: the server knows SCRAM_MECHANISM_PLUS. With both, c->plus says
 * that this is the mechanism to name. */
enum scram_result scram_client_first(struct scram_client *c, const char *nonce,
									 const struct scram_binding *binding, bool offered,
									 struct scram_out *out);
enum scram_result scram_client_final(struct scram_client *c, const struct scram_identity *who,
									 const uint8_t *msg, size_t n, struct scram_out *out);
enum scram_result scram_client_verify(struct scram_client *c, const uint8_t *msg, size_t n);

#endif
