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

#include "proto/pgmsg.h"
#include "proto/pgwrite.h"

struct conf;

enum auth_result
{
	AUTH_MORE,
	AUTH_OK,
	AUTH_FAILED,  /* 28P01: password authentication failed for user "x" */
	AUTH_NO_USER, /* 28000: the method asks for no password, but the user is unknown */
	AUTH_BAD      /* 08P01: not the message that belongs here */
};

struct auth;

/* The method that the configuration asks for. mock_key: 32 bytes that never leave the process. */
struct auth *auth_new(const struct conf *conf, const char *user, const uint8_t *mock_key);
void auth_free(struct auth *a);

/* Forgets what the calling thread has derived. */
void auth_thread_fini(void);

enum auth_result auth_begin(struct auth *a, struct pgwriter *out);
enum auth_result auth_message(struct auth *a, const struct pgmsg *m, struct pgwriter *out);

#endif
