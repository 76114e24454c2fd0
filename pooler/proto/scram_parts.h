/*
 * scram_parts.h - what scram.c shares with scram_server.c and scram_client.c.
 */
#ifndef PERFKIT_PROTO_SCRAM_PARTS_H
#define PERFKIT_PROTO_SCRAM_PARTS_H

#include "proto/scram.h"

/* A piece of a message. */
struct span
{
	const char *p;
	size_t n;
};

/* What snprintf() returned for a buffer of SCRAM_MAX_MESSAGE bytes. */
static inline bool
scram_fits(int len)
{
	return len >= 0 && len < SCRAM_MAX_MESSAGE;
}

bool scram_decode_key(const char *in, size_t n, uint8_t out[SCRAM_KEY_LEN]);
bool scram_hash(const uint8_t in[SCRAM_KEY_LEN], uint8_t out[SCRAM_KEY_LEN]);

/* The two keys of a password; the caller wipes them. */
bool scram_derive_keys(const char *password, const uint8_t *salt, size_t salt_len,
					   uint32_t iterations, uint8_t keys[2][SCRAM_KEY_LEN]);

/* Decimal digits only, no sign. */
bool scram_parse_iterations(const char *p, size_t n, uint32_t *out);
bool scram_parse_salt(const char *p, size_t n, struct scram_secret *out);

/* Copies a message and terminates it; false when it is too long or holds a NUL. */
bool scram_copy_message(char dst[SCRAM_MAX_MESSAGE], const uint8_t *msg, size_t n);

/* Reads "name=value" up to the next comma or the end, and steps over the comma. */
bool scram_take_attribute(const char **at, char name, struct span *value);

/* RFC 5802: a nonce is made of printable ASCII characters other than the comma. */
bool scram_nonce_is_clean(struct span nonce);

/* Signs the AuthMessage with both keys: out[0] by the stored key, out[1] by the server key. */
bool scram_sign(const char *client_first_bare, const char *server_first,
				struct span final_without_proof, const uint8_t *const keys[2],
				uint8_t out[2][SCRAM_KEY_LEN]);

void scram_xor_keys(uint8_t dst[SCRAM_KEY_LEN], const uint8_t a[SCRAM_KEY_LEN],
					const uint8_t b[SCRAM_KEY_LEN]);

/*
 * The c attribute: base64 of the GS2 header and, with a binding, its data (RFC 5802 7). Returns its
 * length; out has room for SCRAM_BINDING_TEXT.
 */
#define SCRAM_BINDING_TEXT 256
size_t scram_binding_text(const char *gs2, const struct scram_binding *b, bool plus, char *out);

#endif
