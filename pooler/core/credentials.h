/*
 * credentials.h - what a pool's clients have shown to know, for logging in to the server as they.
 *
 * A verifier (in auth_file, or from auth_query) lets a client in, but nobody log in with it. The
 * client's own proof reveals the keys behind it, and these log in wherever the verifier is the same
 * (RFC 5802 9); a password that it sends in clear does so everywhere. The last that was proven
 * counts, so that a changed password works from its owner's next login on.
 */
#ifndef PERFKIT_CORE_CREDENTIALS_H
#define PERFKIT_CORE_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "proto/scram.h"

#define CREDENTIALS_PASSWORD_MAX 1024

struct credentials
{
	struct lock lock;
	bool has_keys; /* lock, like all below */
	uint8_t client_key[SCRAM_KEY_LEN];
	uint8_t server_key[SCRAM_KEY_LEN];
	char password[CREDENTIALS_PASSWORD_MAX]; /* plain or md5…; "": none */
};

/* Any thread. */
void credentials_init(struct credentials *c);
void credentials_fini(struct credentials *c);
void credentials_set_keys(struct credentials *c, const uint8_t client_key[SCRAM_KEY_LEN],
						  const uint8_t server_key[SCRAM_KEY_LEN]);
void credentials_set_password(struct credentials *c, const char *password);

/* A copy, without its lock; the caller wipes it. */
void credentials_get(struct credentials *c, struct credentials *out);

#endif
