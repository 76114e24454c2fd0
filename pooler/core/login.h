/*
 * login.h - logging in to PostgreSQL: the conversation, without the socket.
 *
 * The happy path: StartupMessage -> AuthenticationSASL -> SASLInitialResponse -> …Continue ->
 * SASLResponse -> …Final, AuthenticationOk -> ParameterStatus…, BackendKeyData, ReadyForQuery.
 * -> [Query(connect_query) -> its results, ReadyForQuery].
 * Failure: ErrorResponse at any point (REFUSED), a password or method that we lack (UNABLE), or
 * nonsense (BAD). That connect_query fails is logged and does no harm, as in PgBouncer, unless it
 * leaves a transaction open.
 */
#ifndef PERFKIT_CORE_LOGIN_H
#define PERFKIT_CORE_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/params.h"
#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/scram.h"

#define LOGIN_TEXT_MAX 256

enum login_result
{
	LOGIN_MORE,
	LOGIN_OK,
	LOGIN_REFUSED, /* PostgreSQL said no: sqlstate, text */
	LOGIN_UNABLE,  /* it asks for what we do not have: sqlstate, text */
	LOGIN_BAD      /* it does not speak our language: sqlstate, text */
};

struct login
{
	char *user;
	char *database;       /* NULL: none is named */
	const uint8_t *asked; /* more for the startup packet; not owned */
	size_t asked_len;
	char *password;               /* NULL: none known; wiped when freed */
	struct scram_binding binding; /* of the channel; set by the owner */
	bool has_keys;                /* instead of a password, for SCRAM alone: wiped when freed */
	uint8_t client_key[SCRAM_KEY_LEN];
	uint8_t server_key[SCRAM_KEY_LEN];
	struct scram_client scram;
	struct buf welcome;  /* the ParameterStatus messages as they came */
	bool sasl;           /* a SCRAM exchange was begun … */
	bool proven;         /* … and the server has proven that it knows the password */
	bool authenticated;  /* AuthenticationOk has come */
	char *connect_query; /* NULL: none */
	bool connect_query_sent;
	uint32_t backend_pid;
	uint32_t key_len;
	uint8_t key[256];
	char sqlstate[6];
	char text[LOGIN_TEXT_MAX];
};

struct login *login_new(const char *user, const char *database, const char *password);

/* What a client's own proof has revealed, in place of a password. */
void login_keys(struct login *l, const uint8_t client_key[SCRAM_KEY_LEN],
				const uint8_t server_key[SCRAM_KEY_LEN]);

/* Parameters to stand in the first packet, names and values by turns; kept by the caller until
 * then. */
void login_ask(struct login *l, const uint8_t *params, size_t n);
void login_free(struct login *l);

/* connect_query, to be run when the server has let us in (NULL: none). At most
 * CONF_CONNECT_QUERY_MAX bytes. */
void login_then_run(struct login *l, const char *connect_query);

/* The first packet. settings: values to log in with (NULL ones are left to the server). */
void login_startup(struct login *l, const struct params *settings, struct pgwriter *out);

/* Whether an error of PostgreSQL is one that no second attempt will cure: authentication,
 * authorisation, unknown database or role. */
bool login_hopeless(const char *sqlstate);

/* One whole message of the server; what is to be sent back is appended to reply. params collects
 * what the server reports. */
enum login_result login_message(struct login *l, const struct pgmsg *m, struct params *params,
								struct pgwriter *reply);

/*
 * Bytes that are no message, before we are let in: whether they are the words of a postmaster that
 * cannot start a process for us. It says them in the way of protocol 2, 'E' and a line of text (its
 * report_fork_failure_to_client()). True: text.
 */
bool login_without_frame(struct login *l, const uint8_t *p, size_t n);

/* The same for an ErrorResponse behind LOGIN_OK: LOGIN_REFUSED with sqlstate and text, or
 * LOGIN_BAD. */
enum login_result login_last_words(struct login *l, const struct pgmsg *m);

#endif
