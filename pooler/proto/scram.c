/*
 * scram.c - SCRAM-SHA-256: secrets, and what both sides of an exchange need. The sides are in
 * scram_server.c and scram_client.c.
 *
 * The exchange, in RFC 5802's words:
 *
 *     client-first    gs2,n=user,r=cnonce
 *     server-first    r=cnonce+snonce,s=salt,i=iterations
 *     client-final    c=base64(gs2,binding),r=cnonce+snonce,p=proof
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
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"
#include "proto/scram_parts.h"

#define VERIFIER_PREFIX SCRAM_MECHANISM "$"
#define MOCK_SALT_LEN 16 /* as PostgreSQL's own salts */

/* Attribute, "=" and separators of each message, and the two parts of the peer's, fit into it. */
#define AUTH_MESSAGE_MAX (3 * SCRAM_MAX_MESSAGE)

/* -- keys ------------------------------------------------------------------ */

bool
scram_decode_key(const char *in, size_t n, uint8_t out[SCRAM_KEY_LEN])
{
	return base64_decode(in, n, out, SCRAM_KEY_LEN) == SCRAM_KEY_LEN;
}

/* SHA-256 as OpenSSL's providers have it, looked up once: EVP_sha256() is looked up anew each time
 * it is used, and HMAC() looks three things up, which costs more than all its hashing. */
static const EVP_MD *
sha256(void)
{
	static _Atomic(EVP_MD *) known;
	EVP_MD *md = atomic_load_explicit(&known, memory_order_acquire);
	EVP_MD *none = NULL;

	if (md != NULL)
		return md;
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (md == NULL || atomic_compare_exchange_strong(&known, &none, md))
		return md;
	EVP_MD_free(md);
	return none; /* another thread's */
}

/* RFC 2104's H(K XOR pad, ...), once for each pad. */
static bool
padded_hash(EVP_MD_CTX *ctx, const uint8_t key[SCRAM_KEY_LEN], uint8_t pad, const void *p, size_t n,
			uint8_t out[SCRAM_KEY_LEN])
{
	uint8_t block[SHA256_CBLOCK];
	bool ok;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t) ((i < SCRAM_KEY_LEN ? key[i] : 0) ^ pad);
	ok = EVP_DigestInit_ex2(ctx, sha256(), NULL) == 1 &&
		 EVP_DigestUpdate(ctx, block, sizeof(block)) == 1 && EVP_DigestUpdate(ctx, p, n) == 1 &&
		 EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

static bool
hmac(const uint8_t key[SCRAM_KEY_LEN], const void *p, size_t n, uint8_t out[SCRAM_KEY_LEN])
{
	EVP_MD_CTX *ctx = sha256() == NULL ? NULL : EVP_MD_CTX_new();
	uint8_t inner[SCRAM_KEY_LEN];
	bool ok = ctx != NULL && padded_hash(ctx, key, 0x36, p, n, inner) &&
			  padded_hash(ctx, key, 0x5c, inner, sizeof(inner), out);

	EVP_MD_CTX_free(ctx);
	OPENSSL_cleanse(inner, sizeof(inner));
	return ok;
}

bool
scram_hash(const uint8_t in[SCRAM_KEY_LEN], uint8_t out[SCRAM_KEY_LEN])
{
	const EVP_MD *md = sha256();

	return md != NULL && EVP_Digest(in, SCRAM_KEY_LEN, out, NULL, md, NULL) == 1;
}

/* The two keys of a password; the caller wipes them. */
bool
scram_derive_keys(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
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
bool
scram_parse_iterations(const char *p, size_t n, uint32_t *out)
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

bool
scram_parse_salt(const char *p, size_t n, struct scram_secret *out)
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
	if (!scram_parse_iterations(iterations, (size_t) (salt - iterations), &out->iterations))
		return false;
	salt++;
	if (!scram_parse_salt(salt, (size_t) (stored_key - salt), out))
		return false;
	stored_key++;
	if (!scram_decode_key(stored_key, (size_t) (server_key - stored_key), out->stored_key))
		return false;
	server_key++;
	return scram_decode_key(server_key, strlen(server_key), out->server_key);
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
	ok = scram_derive_keys(password, salt, salt_len, iterations, keys) &&
		 scram_hash(keys[0], out->stored_key);
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

size_t
scram_binding_text(const char *gs2, const struct scram_binding *b, bool plus, char *out)
{
	uint8_t bytes[SCRAM_MAX_GS2 + SCRAM_MAX_BINDING];
	size_t n;

	for (n = 0; gs2[n] != '\0'; n++)
		bytes[n] = (uint8_t) gs2[n];
	if (plus)
	{
		memcpy(bytes + n, b->data, b->len);
		n += b->len;
	}
	base64_encode(bytes, n, out);
	return strlen(out);
}

void
scram_nonce(const uint8_t random[18], char out[SCRAM_NONCE_LEN + 1])
{
	base64_encode(random, 18, out);
}

/* -- reading attributes ---------------------------------------------------- */

/* Copies a message and terminates it; false when it is too long or holds a NUL. */
bool
scram_copy_message(char dst[SCRAM_MAX_MESSAGE], const uint8_t *msg, size_t n)
{
	if (n >= SCRAM_MAX_MESSAGE || memchr(msg, '\0', n) != NULL)
		return false;
	memcpy(dst, msg, n);
	dst[n] = '\0';
	return true;
}

/* Reads "name=value" up to the next comma or the end, and steps over the comma. */
bool
scram_take_attribute(const char **at, char name, struct span *value)
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
bool
scram_nonce_is_clean(struct span nonce)
{
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.p[i] < 0x21 || nonce.p[i] > 0x7e)
			return false;
	return nonce.n > 0;
}

/* Signs the AuthMessage with both keys: out[0] by the stored key, out[1] by the server key. */
bool
scram_sign(const char *client_first_bare, const char *server_first, struct span final_without_proof,
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

void
scram_xor_keys(uint8_t dst[SCRAM_KEY_LEN], const uint8_t a[SCRAM_KEY_LEN],
			   const uint8_t b[SCRAM_KEY_LEN])
{
	for (int i = 0; i < SCRAM_KEY_LEN; i++)
		dst[i] = a[i] ^ b[i];
}
