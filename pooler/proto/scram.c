/*
 * scram.c - SCRAM-SHA-256, both sides.
 *
 * The exchange, in RFC 5802's words:
 *
 *     client-first    n,,n=user,r=cnonce
 *     server-first    r=cnonce+snonce,s=salt,i=iterations
 *     client-final    c=biws,r=cnonce+snonce,p=proof
 *     server-final    v=signature
 *
 *     SaltedPassword  = PBKDF2(password, salt, iterations)
 *     ClientKey       = HMAC(SaltedPassword, "Client Key")     StoredKey = SHA256(ClientKey)
 *     ServerKey       = HMAC(SaltedPassword, "Server Key")
 *     AuthMessage     = client-first-bare "," server-first "," client-final-without-proof
 *     proof           = ClientKey XOR HMAC(StoredKey, AuthMessage)
 *     signature       = HMAC(ServerKey, AuthMessage)
 *
 * Failure: what is malformed is SCRAM_BAD and depends on nothing secret. A proof is judged by one
 * comparison in constant time after all of the work, which is the same for users who do not exist.
 *
 * Keys on the stack are wiped before they leave scope.
 */
#include "proto/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"

#define VERIFIER_PREFIX SCRAM_MECHANISM "$"
#define MOCK_SALT_LEN 16 /* as PostgreSQL's own salts */

/* Attribute, "=" and separators of each message, and the two parts of the peer's, fit into it. */
#define AUTH_MESSAGE_MAX (3 * SCRAM_MAX_MESSAGE)

/* -- keys ------------------------------------------------------------------ */

static bool
base64_decode_key(const char *in, size_t n, uint8_t out[SCRAM_KEY_LEN])
{
	return base64_decode(in, n, out, SCRAM_KEY_LEN) == SCRAM_KEY_LEN;
}

static bool
hmac(const uint8_t key[SCRAM_KEY_LEN], const void *p, size_t n, uint8_t out[SCRAM_KEY_LEN])
{
	unsigned len = 0;

	return HMAC(EVP_sha256(), key, SCRAM_KEY_LEN, p, n, out, &len) != NULL && len == SCRAM_KEY_LEN;
}

static bool
sha256(const uint8_t in[SCRAM_KEY_LEN], uint8_t out[SCRAM_KEY_LEN])
{
	return EVP_Digest(in, SCRAM_KEY_LEN, out, NULL, EVP_sha256(), NULL) == 1;
}

/* The two keys of a password; the caller wipes them. */
static bool
derive_keys(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
			uint8_t keys[2][SCRAM_KEY_LEN])
{
	uint8_t salted[SCRAM_KEY_LEN];
	bool ok;

	ok = PKCS5_PBKDF2_HMAC(password, (int) strlen(password), salt, (int) salt_len, (int) iterations,
						   EVP_sha256(), SCRAM_KEY_LEN, salted) == 1 &&
		 hmac(salted, "Client Key", 10, keys[0]) && hmac(salted, "Server Key", 10, keys[1]);
	OPENSSL_cleanse(salted, sizeof(salted));
	return ok;
}

static bool
iterations_allowed(int64_t n)
{
	return n >= SCRAM_MIN_ITERATIONS && n <= SCRAM_MAX_ITERATIONS;
}

bool
scram_is_verifier(const char *text)
{
	return strncmp(text, VERIFIER_PREFIX, strlen(VERIFIER_PREFIX)) == 0;
}

/* Decimal digits only, no sign. */
static bool
parse_iterations(const char *p, size_t n, uint32_t *out)
{
	char digits[16];
	int64_t value;

	if (n == 0 || n >= sizeof(digits) || p[0] < '0' || p[0] > '9')
		return false;
	memcpy(digits, p, n);
	digits[n] = '\0';
	if (!str_to_int64(digits, SCRAM_MIN_ITERATIONS, SCRAM_MAX_ITERATIONS, &value))
		return false;
	*out = (uint32_t) value;
	return true;
}

static bool
parse_salt(const char *p, size_t n, struct scram_secret *out)
{
	int len = base64_decode(p, n, out->salt, SCRAM_MAX_SALT);

	if (len <= 0)
		return false;
	out->salt_len = (uint32_t) len;
	return true;
}

bool
scram_secret_parse(const char *text, struct scram_secret *out)
{
	const char *iterations;
	const char *salt;
	const char *stored_key;
	const char *server_key;

	*out = (struct scram_secret){0};
	if (!scram_is_verifier(text))
		return false;
	iterations = text + strlen(VERIFIER_PREFIX);
	salt = strchr(iterations, ':');
	stored_key = salt != NULL ? strchr(salt, '$') : NULL;
	server_key = stored_key != NULL ? strchr(stored_key, ':') : NULL;
	if (server_key == NULL)
		return false;
	if (!parse_iterations(iterations, (size_t) (salt - iterations), &out->iterations))
		return false;
	salt++;
	if (!parse_salt(salt, (size_t) (stored_key - salt), out))
		return false;
	stored_key++;
	if (!base64_decode_key(stored_key, (size_t) (server_key - stored_key), out->stored_key))
		return false;
	server_key++;
	return base64_decode_key(server_key, strlen(server_key), out->server_key);
}

bool
scram_secret_derive(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
					struct scram_secret *out)
{
	uint8_t keys[2][SCRAM_KEY_LEN];
	bool ok;

	*out = (struct scram_secret){.iterations = iterations, .salt_len = (uint32_t) salt_len};
	if (salt_len == 0 || salt_len > SCRAM_MAX_SALT || !iterations_allowed(iterations))
		return false;
	memcpy(out->salt, salt, salt_len);
	ok =
		derive_keys(password, salt, salt_len, iterations, keys) && sha256(keys[0], out->stored_key);
	memcpy(out->server_key, keys[1], SCRAM_KEY_LEN);
	OPENSSL_cleanse(keys, sizeof(keys));
	return ok;
}

bool
scram_secret_mock(const char *user, const uint8_t key[SCRAM_KEY_LEN], uint32_t iterations,
				  struct scram_secret *out)
{
	uint8_t user_key[SCRAM_KEY_LEN];
	uint8_t salt[SCRAM_KEY_LEN];
	bool ok;

	*out = (struct scram_secret){.iterations = iterations, .salt_len = MOCK_SALT_LEN};
	if (!iterations_allowed(iterations))
		return false;
	ok = hmac(key, user, strlen(user), user_key) && hmac(user_key, "salt", 4, salt) &&
		 hmac(user_key, "stored key", 10, out->stored_key) &&
		 hmac(user_key, "server key", 10, out->server_key);
	memcpy(out->salt, salt, MOCK_SALT_LEN);
	return ok;
}

void
scram_nonce(const uint8_t random[18], char out[SCRAM_NONCE_LEN + 1])
{
	base64_encode(random, 18, out);
}

/* -- reading attributes ---------------------------------------------------- */

/* A piece of a message. */
struct span
{
	const char *p;
	size_t n;
};

/* Copies a message and terminates it; false when it is too long or holds a NUL. */
static bool
copy_message(char dst[SCRAM_MAX_MESSAGE], const uint8_t *msg, size_t n)
{
	if (n >= SCRAM_MAX_MESSAGE || memchr(msg, '\0', n) != NULL)
		return false;
	memcpy(dst, msg, n);
	dst[n] = '\0';
	return true;
}

/* Reads "name=value" up to the next comma or the end, and steps over the comma. */
static bool
take_attribute(const char **at, char name, struct span *value)
{
	const char *p = *at;

	if (p[0] != name || p[1] != '=')
		return false;
	value->p = p + 2;
	value->n = strcspn(value->p, ",");
	p = value->p + value->n;
	*at = *p == ',' ? p + 1 : p;
	return true;
}

/* RFC 5802: a nonce is made of printable ASCII characters other than the comma. */
static bool
nonce_is_clean(struct span nonce)
{
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.p[i] < 0x21 || nonce.p[i] > 0x7e)
			return false;
	return nonce.n > 0;
}

static enum scram_result
server_bad(struct scram_server *s, const char *error)
{
	s->error = error;
	return SCRAM_BAD;
}

static enum scram_result
client_bad(struct scram_client *c, const char *error)
{
	c->error = error;
	return SCRAM_BAD;
}

/* What snprintf() returned for a buffer of SCRAM_MAX_MESSAGE bytes. */
static bool
fits(int len)
{
	return len >= 0 && len < SCRAM_MAX_MESSAGE;
}

/* Signs the AuthMessage with both keys: out[0] by the stored key, out[1] by the server key. */
static bool
sign(const char *client_first_bare, const char *server_first, struct span final_without_proof,
	 const uint8_t *const keys[2], uint8_t out[2][SCRAM_KEY_LEN])
{
	char message[AUTH_MESSAGE_MAX];
	int len = snprintf(message, sizeof(message), "%s,%s,%.*s", client_first_bare, server_first,
					   (int) final_without_proof.n, final_without_proof.p);

	if (len < 0 || len >= (int) sizeof(message))
		return false;
	return hmac(keys[0], message, (size_t) len, out[0]) &&
		   hmac(keys[1], message, (size_t) len, out[1]);
}

static void
xor_keys(uint8_t dst[SCRAM_KEY_LEN], const uint8_t a[SCRAM_KEY_LEN], const uint8_t b[SCRAM_KEY_LEN])
{
	for (int i = 0; i < SCRAM_KEY_LEN; i++)
		dst[i] = a[i] ^ b[i];
}

/* -- server side ----------------------------------------------------------- */

void
scram_server_init(struct scram_server *s, const struct scram_secret *secret, bool mock)
{
	*s = (struct scram_server){.secret = *secret, .mock = mock};
}

/* The GS2 header: channel binding flag and authorization identity. Returns its end, or NULL. */
static const char *
read_gs2_header(struct scram_server *s, const char *message)
{
	if (message[0] == 'p')
		s->error = "channel binding is not supported";
	else if ((message[0] != 'n' && message[0] != 'y') || message[1] != ',')
		s->error = "malformed channel binding flag";
	else if (message[2] == 'a')
		s->error = "authorization identities are not supported";
	else if (message[2] != ',')
		s->error = "malformed authorization identity";
	if (s->error != NULL)
		return NULL;
	memcpy(s->gs2, message, 3);
	s->gs2[3] = '\0';
	return message + 3;
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
	if (!copy_message(message, msg, n))
		return server_bad(s, "message too long or with a zero byte");
	at = read_gs2_header(s, message);
	if (at == NULL)
		return SCRAM_BAD;
	strcpy(s->client_first_bare, at);

	if (at[0] == 'm')
		return server_bad(s, "mandatory extensions are not supported");
	/* The name in here is empty from libpq; the start-up packet's counts. */
	if (!take_attribute(&at, 'n', &user) || !take_attribute(&at, 'r', &client_nonce))
		return server_bad(s, "expected attributes n and r");
	if (!nonce_is_clean(client_nonce))
		return server_bad(s, "non-printable characters in nonce");
	if (client_nonce.n + strlen(nonce) > SCRAM_MAX_NONCE)
		return server_bad(s, "nonce too long");

	snprintf(s->nonce, sizeof(s->nonce), "%.*s%s", (int) client_nonce.n, client_nonce.p, nonce);
	base64_encode(s->secret.salt, s->secret.salt_len, salt);
	if (!fits(snprintf(s->server_first, SCRAM_MAX_MESSAGE, "r=%s,s=%s,i=%u", s->nonce, salt,
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
	char binding[BASE64_LEN(sizeof(s->gs2)) + 1];
	const char *at = message;
	const char *proof_at;
	struct span value;

	if (s->nonce[0] == '\0')
		return server_bad(s, "final message before the first");
	base64_encode((const uint8_t *) s->gs2, strlen(s->gs2), binding);
	if (!take_attribute(&at, 'c', &value) || value.n != strlen(binding) ||
		memcmp(value.p, binding, value.n) != 0)
		return server_bad(s, "channel binding does not repeat the first message");
	if (!take_attribute(&at, 'r', &value) || value.n != strlen(s->nonce) ||
		memcmp(value.p, s->nonce, value.n) != 0)
		return server_bad(s, "nonce does not match");

	/* Optional extensions are signed but mean nothing to us; the proof stands last. */
	while (at[0] != '\0' && at[0] != 'p' && take_attribute(&at, at[0], &value))
		continue;
	proof_at = at;
	if (!take_attribute(&at, 'p', &value) || *at != '\0' || value.p[value.n] != '\0')
		return server_bad(s, "expected attribute p at the end");
	if (!base64_decode_key(value.p, value.n, out->proof))
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
	if (!copy_message(message, msg, n))
		return server_bad(s, "message too long or with a zero byte");
	if (read_client_final(s, message, &final) == SCRAM_BAD)
		return SCRAM_BAD;
	if (!sign(s->client_first_bare, s->server_first, final.without_proof, keys, signatures))
		return server_bad(s, "cannot compute signatures");
	xor_keys(s->client_key, final.proof, signatures[0]);
	if (!sha256(s->client_key, stored_key))
		return server_bad(s, "cannot compute hash");

	proven = str_equal_secret(stored_key, s->secret.stored_key, SCRAM_KEY_LEN);
	if (!proven || s->mock)
	{
		OPENSSL_cleanse(s->client_key, sizeof(s->client_key));
		return SCRAM_DENIED;
	}
	base64_encode(signatures[1], SCRAM_KEY_LEN, signature);
	if (!fits(snprintf(out->text, SCRAM_MAX_MESSAGE, "v=%s", signature)))
		return server_bad(s, "message too long");
	out->len = strlen(out->text);
	return SCRAM_DONE;
}

/* -- client side ----------------------------------------------------------- */

enum scram_result
scram_client_first(struct scram_client *c, const char *nonce, struct scram_out *out)
{
	*c = (struct scram_client){0};
	out->len = 0;
	if (!str_copy(c->nonce, sizeof(c->nonce), nonce))
		return client_bad(c, "nonce too long");
	if (!fits(snprintf(c->client_first_bare, SCRAM_MAX_MESSAGE, "n=,r=%s", nonce)) ||
		!fits(snprintf(out->text, SCRAM_MAX_MESSAGE, "n,,%s", c->client_first_bare)))
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
	if (!take_attribute(&at, 'r', nonce) || !take_attribute(&at, 's', &salt) ||
		!take_attribute(&at, 'i', &iterations))
		return client_bad(c, "expected attributes r, s and i");
	if (nonce->n <= own_len || memcmp(nonce->p, c->nonce, own_len) != 0)
		return client_bad(c, "server's nonce does not begin with ours");
	if (nonce->n > SCRAM_MAX_NONCE || !nonce_is_clean(*nonce))
		return client_bad(c, "server's nonce is too long or not printable");
	if (!parse_salt(salt.p, salt.n, secret))
		return client_bad(c, "malformed salt");
	if (!parse_iterations(iterations.p, iterations.n, &secret->iterations))
		return client_bad(c, "malformed or unreasonable iteration count");
	return SCRAM_CONTINUE;
}

/* The keys that prove who we are; the caller wipes them. */
static bool
identity_keys(const struct scram_identity *who, const struct scram_secret *secret,
			  uint8_t keys[2][SCRAM_KEY_LEN])
{
	if (who->password != NULL)
		return derive_keys(who->password, secret->salt, secret->salt_len, secret->iterations, keys);
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
	char proof_text[BASE64_LEN(SCRAM_KEY_LEN) + 1];
	struct scram_secret secret = {0};
	uint8_t keys[2][SCRAM_KEY_LEN];
	uint8_t stored_key[SCRAM_KEY_LEN];
	uint8_t signatures[2][SCRAM_KEY_LEN];
	struct span nonce;
	bool ok;

	out->len = 0;
	if (!copy_message(server_first, msg, n))
		return client_bad(c, "message too long or with a zero byte");
	if (read_server_first(c, server_first, &nonce, &secret) == SCRAM_BAD)
		return SCRAM_BAD;
	if (!fits(snprintf(without_proof, SCRAM_MAX_MESSAGE, "c=biws,r=%.*s", (int) nonce.n, nonce.p)))
		return client_bad(c, "message too long");

	ok = identity_keys(who, &secret, keys) && sha256(keys[0], stored_key) &&
		 sign(c->client_first_bare, server_first,
			  (struct span){without_proof, strlen(without_proof)},
			  (const uint8_t *const[]){stored_key, keys[1]}, signatures);
	if (ok)
	{
		xor_keys(signatures[0], signatures[0], keys[0]);
		base64_encode(signatures[0], SCRAM_KEY_LEN, proof_text);
		memcpy(c->server_signature, signatures[1], SCRAM_KEY_LEN);
		c->proved =
			fits(snprintf(out->text, SCRAM_MAX_MESSAGE, "%s,p=%s", without_proof, proof_text));
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

	if (!copy_message(message, msg, n))
		return client_bad(c, "message too long or with a zero byte");
	if (!c->proved)
		return client_bad(c, "server spoke its last word before our proof");
	if (take_attribute(&at, 'e', &value))
	{
		c->error = "server reports an error";
		return SCRAM_DENIED;
	}
	if (!take_attribute(&at, 'v', &value) || value.p[value.n] != '\0' ||
		!base64_decode_key(value.p, value.n, signature))
		return client_bad(c, "malformed server signature");
	if (!str_equal_secret(signature, c->server_signature, SCRAM_KEY_LEN))
	{
		c->error = "wrong server signature";
		return SCRAM_DENIED;
	}
	return SCRAM_DONE;
}
