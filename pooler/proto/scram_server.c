/*
 * scram_server.c - the server's half of an exchange, towards clients; see scram.c for its words.
 *
 * Channel binding (RFC 5802 6): the flag in front of the first message tells what the client can
 * do and thinks of us. Who says that it could bind, but believes that we cannot ('y'), when we have
 * offered it, was told so by somebody in between.
 */
#include "proto/scram.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"
#include "proto/scram_parts.h"

static enum scram_result
server_bad(struct scram_server *s, const char *error)
{
	s->error = error;
	return SCRAM_BAD;
}

void
scram_server_init(struct scram_server *s, const struct scram_secret *secret, bool mock)
{
	*s = (struct scram_server){.secret = *secret, .mock = mock};
}

void
scram_server_bind(struct scram_server *s, const struct scram_binding *binding, bool plus)
{
	s->binding = *binding;
	s->plus = plus;
}

/* Why a channel binding flag will not do, or NULL. The text of 'y' is PostgreSQL's. */
static const char *
binding_error(const struct scram_server *s, char flag)
{
	if (flag == 'p')
		return s->plus ? NULL : "channel binding without the mechanism for it";
	if (flag != 'n' && flag != 'y')
		return "malformed channel binding flag";
	if (s->plus)
		return "the mechanism asks for channel binding, the message does not";
	if (flag == 'y' && s->binding.len > 0)
		return "the client supports SCRAM channel binding but thinks the server does not";
	return NULL;
}

/* The GS2 header: channel binding flag and authorization identity. Returns its end, or NULL. */
static const char *
read_gs2_header(struct scram_server *s, const char *message)
{
	static const char type[] = "p=tls-server-end-point";
	const char *at = message + 1;

	s->error = binding_error(s, message[0]);
	if (s->error != NULL)
		return NULL;
	if (message[0] == 'p')
	{
		if (strncmp(message, type, strlen(type)) != 0)
		{
			s->error = "unsupported channel binding type";
			return NULL;
		}
		at = message + strlen(type);
	}
	if (at[0] != ',')
		s->error = "malformed channel binding flag";
	else if (at[1] == 'a')
		s->error = "authorization identities are not supported";
	else if (at[1] != ',')
		s->error = "malformed authorization identity";
	if (s->error != NULL)
		return NULL;
	at += 2;
	memcpy(s->gs2, message, (size_t) (at - message));
	s->gs2[at - message] = '\0';
	return at;
}

enum scram_result
scram_server_first(struct scram_server *s, const uint8_t *msg, size_t n, const char *nonce,
				   struct scram_out *out)
{
	char message[SCRAM_MAX_MESSAGE];
	char salt[BASE64_LEN(SCRAM_MAX_SALT) + 1];
	struct span user;
	struct span client_nonce;
	const char *at;

	out->len = 0;
	if (!scram_copy_message(message, msg, n))
		return server_bad(s, "message too long or with a zero byte");
	at = read_gs2_header(s, message);
	if (at == NULL)
		return SCRAM_BAD;
	strcpy(s->client_first_bare, at);

	if (at[0] == 'm')
		return server_bad(s, "mandatory extensions are not supported");
	/* The name in here is empty from libpq; the start-up packet's counts. */
	if (!scram_take_attribute(&at, 'n', &user) || !scram_take_attribute(&at, 'r', &client_nonce))
		return server_bad(s, "expected attributes n and r");
	if (!scram_nonce_is_clean(client_nonce))
		return server_bad(s, "non-printable characters in nonce");
	if (client_nonce.n + strlen(nonce) > SCRAM_MAX_NONCE)
		return server_bad(s, "nonce too long");

	snprintf(s->nonce, sizeof(s->nonce), "%.*s%s", (int) client_nonce.n, client_nonce.p, nonce);
	base64_encode(s->secret.salt, s->secret.salt_len, salt);
	if (!scram_fits(snprintf(s->server_first, SCRAM_MAX_MESSAGE, "r=%s,s=%s,i=%u", s->nonce, salt,
							 s->secret.iterations)))
		return server_bad(s, "message too long");
	out->len = strlen(s->server_first);
	memcpy(out->text, s->server_first, out->len + 1);
	return SCRAM_CONTINUE;
}

/* The parts of a client-final message. */
struct client_final
{
	struct span without_proof;
	uint8_t proof[SCRAM_KEY_LEN];
};

static enum scram_result
read_client_final(struct scram_server *s, const char *message, struct client_final *out)
{
	char binding[SCRAM_BINDING_TEXT];
	size_t binding_len;
	const char *at = message;
	const char *proof_at;
	struct span value;

	if (s->nonce[0] == '\0')
		return server_bad(s, "final message before the first");
	binding_len = scram_binding_text(s->gs2, &s->binding, s->plus, binding);
	if (!scram_take_attribute(&at, 'c', &value) || value.n != binding_len ||
		memcmp(value.p, binding, value.n) != 0)
		return server_bad(s, "channel binding check failed");
	if (!scram_take_attribute(&at, 'r', &value) || value.n != strlen(s->nonce) ||
		memcmp(value.p, s->nonce, value.n) != 0)
		return server_bad(s, "nonce does not match");

	/* Optional extensions are signed but mean nothing to us; the proof stands last. */
	while (at[0] != '\0' && at[0] != 'p' && scram_take_attribute(&at, at[0], &value))
		continue;
	proof_at = at;
	if (!scram_take_attribute(&at, 'p', &value) || *at != '\0' || value.p[value.n] != '\0')
		return server_bad(s, "expected attribute p at the end");
	if (!scram_decode_key(value.p, value.n, out->proof))
		return server_bad(s, "malformed proof");
	out->without_proof.p = message;
	out->without_proof.n = (size_t) (proof_at - 1 - message);
	return SCRAM_CONTINUE;
}

enum scram_result
scram_server_final(struct scram_server *s, const uint8_t *msg, size_t n, struct scram_out *out)
{
	char message[SCRAM_MAX_MESSAGE];
	char signature[BASE64_LEN(SCRAM_KEY_LEN) + 1];
	const uint8_t *keys[2] = {s->secret.stored_key, s->secret.server_key};
	uint8_t signatures[2][SCRAM_KEY_LEN];
	uint8_t stored_key[SCRAM_KEY_LEN];
	struct client_final final;
	bool proven;

	out->len = 0;
	if (!scram_copy_message(message, msg, n))
		return server_bad(s, "message too long or with a zero byte");
	if (read_client_final(s, message, &final) == SCRAM_BAD)
		return SCRAM_BAD;
	if (!scram_sign(s->client_first_bare, s->server_first, final.without_proof, keys, signatures))
		return server_bad(s, "cannot compute signatures");
	scram_xor_keys(s->client_key, final.proof, signatures[0]);
	if (!scram_hash(s->client_key, stored_key))
		return server_bad(s, "cannot compute hash");

	proven = str_equal_secret(stored_key, s->secret.stored_key, SCRAM_KEY_LEN);
	if (!proven || s->mock)
	{
		OPENSSL_cleanse(s->client_key, sizeof(s->client_key));
		return SCRAM_DENIED;
	}
	base64_encode(signatures[1], SCRAM_KEY_LEN, signature);
	if (!scram_fits(snprintf(out->text, SCRAM_MAX_MESSAGE, "v=%s", signature)))
		return server_bad(s, "message too long");
	out->len = strlen(out->text);
	return SCRAM_DONE;
}
