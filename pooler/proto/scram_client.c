/*
 * scram_client.c - the client's half of an exchange, towards PostgreSQL; see scram.c for its words.
 */
#include "proto/scram.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"
#include "proto/scram_parts.h"

static enum scram_result
client_bad(struct scram_client *c, const char *error)
{
	c->error = error;
	return SCRAM_BAD;
}

enum scram_result
scram_client_first(struct scram_client *c, const char *nonce, const struct scram_binding *binding,
				   bool offered, struct scram_out *out)
{
	*c = (struct scram_client){.binding = *binding, .plus = binding->len > 0 && offered};
	strcpy(c->gs2, c->plus ? "p=tls-server-end-point,," : binding->len > 0 ? "y,," : "n,,");
	out->len = 0;
	if (!str_copy(c->nonce, sizeof(c->nonce), nonce))
		return client_bad(c, "nonce too long");
	if (!scram_fits(snprintf(c->client_first_bare, SCRAM_MAX_MESSAGE, "n=,r=%s", nonce)) ||
		!scram_fits(snprintf(out->text, SCRAM_MAX_MESSAGE, "%s%s", c->gs2, c->client_first_bare)))
		return client_bad(c, "message too long");
	out->len = strlen(out->text);
	return SCRAM_CONTINUE;
}

/* Reads r, s and i; `nonce` is the combined one. */
static enum scram_result
read_server_first(struct scram_client *c, const char *message, struct span *nonce,
				  struct scram_secret *secret)
{
	size_t own_len = strlen(c->nonce);
	const char *at = message;
	struct span salt;
	struct span iterations;

	if (own_len == 0)
		return client_bad(c, "server spoke before the first message");
	if (at[0] == 'm')
		return client_bad(c, "mandatory extensions are not supported");
	if (!scram_take_attribute(&at, 'r', nonce) || !scram_take_attribute(&at, 's', &salt) ||
		!scram_take_attribute(&at, 'i', &iterations))
		return client_bad(c, "expected attributes r, s and i");
	if (nonce->n <= own_len || memcmp(nonce->p, c->nonce, own_len) != 0)
		return client_bad(c, "server's nonce does not begin with ours");
	if (nonce->n > SCRAM_MAX_NONCE || !scram_nonce_is_clean(*nonce))
		return client_bad(c, "server's nonce is too long or not printable");
	if (!scram_parse_salt(salt.p, salt.n, secret))
		return client_bad(c, "malformed salt");
	if (!scram_parse_iterations(iterations.p, iterations.n, &secret->iterations))
		return client_bad(c, "malformed or unreasonable iteration count");
	return SCRAM_CONTINUE;
}

/* The keys that prove who we are; the caller wipes them. */
static bool
identity_keys(const struct scram_identity *who, const struct scram_secret *secret,
			  uint8_t keys[2][SCRAM_KEY_LEN])
{
	if (who->password != NULL)
		return scram_derive_keys(who->password, secret->salt, secret->salt_len, secret->iterations,
								 keys);
	if (who->client_key == NULL || who->server_key == NULL)
		return false;
	memcpy(keys[0], who->client_key, SCRAM_KEY_LEN);
	memcpy(keys[1], who->server_key, SCRAM_KEY_LEN);
	return true;
}

enum scram_result
scram_client_final(struct scram_client *c, const struct scram_identity *who, const uint8_t *msg,
				   size_t n, struct scram_out *out)
{
	char server_first[SCRAM_MAX_MESSAGE];
	char without_proof[SCRAM_MAX_MESSAGE];
	char binding[SCRAM_BINDING_TEXT];
	char proof_text[BASE64_LEN(SCRAM_KEY_LEN) + 1];
	struct scram_secret secret = {0};
	uint8_t keys[2][SCRAM_KEY_LEN];
	uint8_t stored_key[SCRAM_KEY_LEN];
	uint8_t signatures[2][SCRAM_KEY_LEN];
	struct span nonce;
	bool ok;

	out->len = 0;
	if (!scram_copy_message(server_first, msg, n))
		return client_bad(c, "message too long or with a zero byte");
	if (read_server_first(c, server_first, &nonce, &secret) == SCRAM_BAD)
		return SCRAM_BAD;
	scram_binding_text(c->gs2, &c->binding, c->plus, binding);
	if (!scram_fits(snprintf(without_proof, SCRAM_MAX_MESSAGE, "c=%s,r=%.*s", binding,
							 (int) nonce.n, nonce.p)))
		return client_bad(c, "message too long");

	ok = identity_keys(who, &secret, keys) && scram_hash(keys[0], stored_key) &&
		 scram_sign(c->client_first_bare, server_first,
					(struct span){without_proof, strlen(without_proof)},
					(const uint8_t *const[]){stored_key, keys[1]}, signatures);
	if (ok)
	{
		scram_xor_keys(signatures[0], signatures[0], keys[0]);
		base64_encode(signatures[0], SCRAM_KEY_LEN, proof_text);
		memcpy(c->server_signature, signatures[1], SCRAM_KEY_LEN);
		c->proved = scram_fits(
			snprintf(out->text, SCRAM_MAX_MESSAGE, "%s,p=%s", without_proof, proof_text));
	}
	OPENSSL_cleanse(keys, sizeof(keys));
	if (!c->proved)
		return client_bad(c, "cannot compute proof");
	out->len = strlen(out->text);
	return SCRAM_CONTINUE;
}

enum scram_result
scram_client_verify(struct scram_client *c, const uint8_t *msg, size_t n)
{
	char message[SCRAM_MAX_MESSAGE];
	uint8_t signature[SCRAM_KEY_LEN];
	const char *at = message;
	struct span value;

	if (!scram_copy_message(message, msg, n))
		return client_bad(c, "message too long or with a zero byte");
	if (!c->proved)
		return client_bad(c, "server spoke its last word before our proof");
	if (scram_take_attribute(&at, 'e', &value))
	{
		c->error = "server reports an error";
		return SCRAM_DENIED;
	}
	if (!scram_take_attribute(&at, 'v', &value) || value.p[value.n] != '\0' ||
		!scram_decode_key(value.p, value.n, signature))
		return client_bad(c, "malformed server signature");
	if (!str_equal_secret(signature, c->server_signature, SCRAM_KEY_LEN))
	{
		c->error = "wrong server signature";
		return SCRAM_DENIED;
	}
	return SCRAM_DONE;
}
