/*
 * auth.h - who is the client? The conversation, without the socket.
 *
 * auth_begin() says what to send first; each password message goes to auth_message() until the
 * result is not AUTH_MORE. A user who does not exist walks through the same steps as one with a
 * wrong password, and both hear the same words.
 */
#ifndef PERFKIT_CORE_AUTH_H
#define PERFKIT_CORE_AUTH_H

#include <stdint.h>

#include "conf/conf.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/scram.h"

enum auth_result
{
	AUTH_MORE,
	AUTH_OK,
	AUTH_FAILED,  /* 28P01: password authentication failed for user "x" */
	AUTH_NO_USER, /* 28000: the method asks for no password, but the user is unknown */
	AUTH_BAD      /* 08P01: not the message that belongs here */
};

struct auth;

/* Whom it is about, and how it is to be found out. Nothing of it is kept. */
struct auth_who
{
	const char *user;
	enum auth_type type; /* ANY, TRUST, PLAIN, MD5 or SCRAM_SHA_256 */
	bool known;          /* there is such a user … */
	const char *secret;  /* … with this secret: plain, md5… or SCRAM-SHA-256$…; NULL: none */
	bool scram_is_usual; /* MD5 means SCRAM for who has a verifier: so do others, as a rule */
	struct scram_binding binding; /* of the channel */
};

/* What the configuration alone says: auth_type and auth_file. */
void auth_who(const struct conf *conf, const char *user, struct auth_who *who);

/* mock_key: 32 bytes that never leave the process. */
struct auth *auth_new(const struct conf *conf, const struct auth_who *who, const uint8_t *mock_key);
void auth_free(struct auth *a);

/* The password that a client has sent in clear, after AUTH_OK; NULL: it sent none. */
const char *auth_password(const struct auth *a);

/* The keys that a client has shown to have, after AUTH_OK by SCRAM: with them one can log in
 * elsewhere where its verifier is the same (RFC 5802 9). False: none. */
bool auth_keys(const struct auth *a, uint8_t client_key[SCRAM_KEY_LEN],
			   uint8_t server_key[SCRAM_KEY_LEN]);

/* Forgets what the calling thread has derived. */
void auth_thread_fini(void);

enum auth_result auth_begin(struct auth *a, struct pgwriter *out);
enum auth_result auth_message(struct auth *a, const struct pgmsg *m, struct pgwriter *out);

#endif
