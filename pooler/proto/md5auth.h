/*
 * md5auth.h - PostgreSQL's md5 password method. Pure but for OpenSSL's hash function.
 *
 * Source: "Frontend/Backend Protocol", AuthenticationMD5Password. A secret is "md5" and the hash of
 * password and user name; the answer to a challenge is "md5" and the hash of the secret's digits
 * and the salt.
 */
#ifndef PERFKIT_PROTO_MD5AUTH_H
#define PERFKIT_PROTO_MD5AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MD5AUTH_SALT 4
#define MD5AUTH_TEXT 36 /* "md5", 32 digits, terminator */

/* True for "md5" and 32 hexadecimal digits. */
bool md5auth_is_secret(const char *text);

/* False: no MD5 to be had (a FIPS provider). */
bool md5auth_secret(const char *password, const char *user, char out[MD5AUTH_TEXT]);
bool md5auth_answer(const char secret[MD5AUTH_TEXT], const uint8_t salt[MD5AUTH_SALT],
					char out[MD5AUTH_TEXT]);

#endif
