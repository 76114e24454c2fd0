/*
 * md5auth.c - see md5auth.h.
 */
#include "proto/md5auth.h"

#include <openssl/evp.h>
#include <string.h>

#define DIGEST 16

/* "md5" and the digits of the hash of two pieces. */
static bool
hash_two(const void *a, size_t a_len, const void *b, size_t b_len, char out[MD5AUTH_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 &&
			  EVP_DigestUpdate(ctx, a, a_len) == 1 && EVP_DigestUpdate(ctx, b, b_len) == 1 &&
			  EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (!ok)
		return false;
	memcpy(out, "md5", 3);
	for (int i = 0; i < DIGEST; i++)
	{
		out[3 + 2 * i] = digits[digest[i] >> 4];
		out[4 + 2 * i] = digits[digest[i] & 15];
	}
	out[MD5AUTH_TEXT - 1] = '\0';
	return true;
}

bool
md5auth_is_secret(const char *text)
{
	return strncmp(text, "md5", 3) == 0 && strlen(text) == MD5AUTH_TEXT - 1 &&
		   strspn(text + 3, "0123456789abcdef") == MD5AUTH_TEXT - 4;
}

bool
md5auth_secret(const char *password, const char *user, char out[MD5AUTH_TEXT])
{
	return hash_two(password, strlen(password), user, strlen(user), out);
}

bool
md5auth_answer(const char secret[MD5AUTH_TEXT], const uint8_t salt[MD5AUTH_SALT],
			   char out[MD5AUTH_TEXT])
{
	return hash_two(secret + 3, MD5AUTH_TEXT - 4, salt, MD5AUTH_SALT, out);
}
