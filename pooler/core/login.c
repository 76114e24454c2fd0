/*
 * login.c - see login.h.
 */
#include "core/login.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "base/saslprep.h"
#include "base/str.h"
#include "proto/md5auth.h"

#define PROTOCOL_3_0 (3u << 16)

enum auth_request
{
	AUTH_REQ_OK = 0,
	AUTH_REQ_PASSWORD = 3,
	AUTH_REQ_MD5 = 5,
	AUTH_REQ_SASL = 10,
	AUTH_REQ_SASL_CONT = 11,
	AUTH_REQ_SASL_FIN = 12
};

struct login *
login_new(const char *user, const char *database, const char *password)
{
	struct login *l = mem_zalloc(sizeof(*l));

	l->user = mem_strdup(user);
	l->database = database == NULL ? NULL : mem_strdup(database);
	l->password = password == NULL ? NULL : mem_strdup(password);
	buf_init(&l->welcome);
	return l;
}

void
login_free(struct login *l)
{
	if (l == NULL)
		return;
	free(l->user);
	free(l->database);
	free(l->connect_query);
	if (l->password != NULL)
		OPENSSL_cleanse(l->password, strlen(l->password));
	free(l->password);
	OPENSSL_cleanse(l->client_key, sizeof(l->client_key));
	OPENSSL_cleanse(l->server_key, sizeof(l->server_key));
	buf_fini(&l->welcome);
	free(l);
}

void
login_keys(struct login *l, const uint8_t client_key[SCRAM_KEY_LEN],
		   const uint8_t server_key[SCRAM_KEY_LEN])
{
	memcpy(l->client_key, client_key, SCRAM_KEY_LEN);
	memcpy(l->server_key, server_key, SCRAM_KEY_LEN);
	l->has_keys = true;
}

void
login_ask(struct login *l, const uint8_t *params, size_t n)
{
	l->asked = params;
	l->asked_len = n;
}

void
login_then_run(struct login *l, const char *connect_query)
{
	if (connect_query != NULL && connect_query[0] != '\0')
		l->connect_query = mem_strdup(connect_query);
}

void
login_startup(struct login *l, const struct params *settings, struct pgwriter *out)
{
	pgw_startup_begin(out, PROTOCOL_3_0);
	pgw_cstr(out, "user");
	pgw_cstr(out, l->user);
	if (l->database != NULL)
	{
		pgw_cstr(out, "database");
		pgw_cstr(out, l->database);
	}
	for (int i = 0; i < PARAMS; i++)
	{
		if (settings->value[i] == NULL)
			continue;
		pgw_cstr(out, params_name(i));
		pgw_cstr(out, settings->value[i]);
	}
	pgw_bytes(out, l->asked, l->asked_len);
	pgw_startup_end(out);
}

bool
login_hopeless(const char *sqlstate)
{
	static const char *const classes[] = {"28", "3D", "42", "22"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

static enum login_result
bad(struct login *l, const char *text)
{
	str_copy(l->sqlstate, sizeof(l->sqlstate), "08P01");
	str_copy(l->text, sizeof(l->text), text);
	return LOGIN_BAD;
}

/* It speaks our language, and asks for what we do not have. */
static enum login_result
unable(struct login *l, const char *text)
{
	bad(l, text);
	return LOGIN_UNABLE;
}

enum login_result
login_last_words(struct login *l, const struct pgmsg *m)
{
	struct pgerror e;

	if (pgmsg_error_fields(m->body, m->body_len, &e) != PGMSG_OK)
		return bad(l, "malformed ErrorResponse during login");
	str_copy(l->sqlstate, sizeof(l->sqlstate), e.sqlstate[0] != '\0' ? e.sqlstate : "08P01");
	str_copy(l->text, sizeof(l->text), e.message);
	return LOGIN_REFUSED;
}

/* AuthenticationSASL: the list of mechanisms must hold the one we speak. */
static enum login_result
sasl_begin(struct login *l, struct pgreader *r, struct pgwriter *reply)
{
	uint8_t random[18];
	char nonce[SCRAM_NONCE_LEN + 1];
	struct scram_out out;
	bool plain = false;
	bool plus = false;

	while (!r->bad && pgr_left(r) > 1)
	{
		const char *mechanism = pgr_cstr(r);

		plain = plain || strcmp(mechanism, SCRAM_MECHANISM) == 0;
		plus = plus || strcmp(mechanism, SCRAM_MECHANISM_PLUS) == 0;
	}
	if (!plain && (!plus || l->binding.len == 0))
		return unable(l, "server offers no SASL mechanism that we know");
	if (!l->has_keys && (l->password == NULL || md5auth_is_secret(l->password)))
		return unable(l, "server asks for a password, but none is known for the user");
	if (!random_bytes(random, sizeof(random)))
		return unable(l, "no random numbers");
	scram_nonce(random, nonce);
	if (scram_client_first(&l->scram, nonce, &l->binding, plus, &out) != SCRAM_CONTINUE)
		return unable(l, "SCRAM exchange could not be started");
	l->sasl = true;
	pgw_sasl_initial(reply, l->scram.plus ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM, out.text,
					 out.len);
	return LOGIN_MORE;
}

static enum login_result
md5(struct login *l, struct pgreader *r, struct pgwriter *reply)
{
	const uint8_t *salt = pgr_bytes(r, MD5AUTH_SALT);
	char secret[MD5AUTH_TEXT];
	char answer[MD5AUTH_TEXT];
	bool ok;

	if (salt == NULL)
		return bad(l, "malformed authentication request");
	if (l->password == NULL)
		return unable(l, "server asks for a password, but none is known for the user");
	ok = md5auth_is_secret(l->password) ? str_copy(secret, sizeof(secret), l->password)
										: md5auth_secret(l->password, l->user, secret);
	if (!ok || !md5auth_answer(secret, salt, answer))
		return unable(l, "MD5 is not available");
	pgw_password(reply, answer);
	return LOGIN_MORE;
}

static enum login_result
sasl_continue(struct login *l, struct pgreader *r, struct pgwriter *reply)
{
	char *prepared = l->has_keys || l->password == NULL ? NULL : saslprep(l->password);
	const struct scram_identity who = {
		.password = prepared,
		.client_key = l->client_key,
		.server_key = l->server_key,
	};
	struct scram_out out;
	enum scram_result result = scram_client_final(&l->scram, &who, r->p, pgr_left(r), &out);

	saslprep_free(&prepared);
	if (result != SCRAM_CONTINUE)
		return bad(l, l->scram.error != NULL ? l->scram.error : "malformed SCRAM message");
	pgw_sasl_response(reply, out.text, out.len);
	return LOGIN_MORE;
}

static enum login_result
authentication(struct login *l, const struct pgmsg *m, struct pgwriter *reply)
{
	struct pgreader r;
	uint32_t request;
	char text[LOGIN_TEXT_MAX];

	pgr_init(&r, m->body, m->body_len);
	request = pgr_u32(&r);
	if (r.bad)
		return bad(l, "malformed authentication request");
	switch (request)
	{
		case AUTH_REQ_OK:
			if (l->sasl && !l->proven)
				return bad(
					l,
					"server ended the SCRAM exchange without proving that it knows the password");
			l->authenticated = true;
			return LOGIN_MORE;
		case AUTH_REQ_PASSWORD:
			if (l->password == NULL || md5auth_is_secret(l->password))
				return unable(l, "server asks for a password, but none is known for the user");
			pgw_password(reply, l->password);
			return LOGIN_MORE;
		case AUTH_REQ_MD5:
			return md5(l, &r, reply);
		case AUTH_REQ_SASL:
			return sasl_begin(l, &r, reply);
		case AUTH_REQ_SASL_CONT:
			return sasl_continue(l, &r, reply);
		case AUTH_REQ_SASL_FIN:
			if (scram_client_verify(&l->scram, r.p, pgr_left(&r)) != SCRAM_DONE)
				return bad(l, "the server could not prove that it knows the password");
			l->proven = true;
			return LOGIN_MORE;
		default:
			snprintf(text, sizeof(text),
					 "server asks for authentication method %u, which is not supported", request);
			return unable(l, text);
	}
}

static enum login_result
parameter_status(struct login *l, const struct pgmsg *m, const uint8_t *whole,
				 struct params *params)
{
	struct pgreader r;
	const char *name;
	const char *value;
	int i;

	pgr_init(&r, m->body, m->body_len);
	name = pgr_cstr(&r);
	value = pgr_cstr(&r);
	if (r.bad)
		return bad(l, "malformed ParameterStatus during login");
	i = params_find(name);
	if (i >= 0)
		params_set(params, i, value);
	buf_append(&l->welcome, whole, m->total);
	return LOGIN_MORE;
}

static enum login_result
backend_key(struct login *l, const struct pgmsg *m)
{
	struct pgreader r;
	const uint8_t *key;

	pgr_init(&r, m->body, m->body_len);
	l->backend_pid = pgr_u32(&r);
	l->key_len = (uint32_t) pgr_left(&r);
	if (r.bad || l->key_len == 0 || l->key_len > sizeof(l->key))
		return bad(l, "malformed BackendKeyData");
	key = pgr_bytes(&r, l->key_len);
	memcpy(l->key, key, l->key_len);
	return LOGIN_MORE;
}

/* What connect_query is answered with up to ReadyForQuery. */
static enum login_result
connect_query_message(struct login *l, const struct pgmsg *m, struct params *params)
{
	struct pgerror e;

	switch (m->type)
	{
		case 'T':
		case 'D':
		case 'C':
		case 'I':
		case 'N':
		case 'A':
			return LOGIN_MORE;
		case 'S':
			return parameter_status(l, m, m->body - PGMSG_HEADER, params);
		case 'E':
			if (pgmsg_error_fields(m->body, m->body_len, &e) != PGMSG_OK)
				return bad(l, "malformed ErrorResponse during login");
			log_warning("%s/%s: connect_query failed: %s (%s)",
						l->database == NULL ? "" : l->database, l->user, e.message, e.sqlstate);
			return LOGIN_MORE;
		case 'Z':
			if (m->body_len != 1 || m->body[0] != 'I')
				return unable(l, "connect_query leaves a transaction open");
			return LOGIN_OK;
		default:
			return bad(l, "connect_query is answered with something else than rows");
	}
}

static enum login_result
ready(struct login *l, const struct pgmsg *m, struct pgwriter *reply)
{
	if (!l->authenticated || m->body_len != 1)
		return bad(l, "server says that it is ready before it let us in");
	if (l->connect_query == NULL)
		return LOGIN_OK;
	pgw_query(reply, l->connect_query);
	l->connect_query_sent = true;
	return LOGIN_MORE;
}

enum login_result
login_message(struct login *l, const struct pgmsg *m, struct params *params, struct pgwriter *reply)
{
	if (l->connect_query_sent)
		return connect_query_message(l, m, params);
	switch (m->type)
	{
		case 'R':
			return authentication(l, m, reply);
		case 'S':
			return parameter_status(l, m, m->body - PGMSG_HEADER, params);
		case 'K':
			return backend_key(l, m);
		case 'N':
		case 'v':
			return LOGIN_MORE;
		case 'E':
			return login_last_words(l, m);
		case 'Z':
			return ready(l, m, reply);
		default:
			return bad(l, "unexpected message during login: is this a PostgreSQL server?");
	}
}

bool
login_without_frame(struct login *l, const uint8_t *p, size_t n)
{
	size_t len = 0;

	if (l->authenticated || n <= PGMSG_HEADER || p[0] != 'E')
		return false;
	for (p++, n--; len < n && len < sizeof(l->text) - 1; len++)
	{
		if (p[len] < ' ' || p[len] == 0x7f)
			break;
		l->text[len] = (char) p[len];
	}
	l->text[len] = '\0';
	return len > 0;
}
