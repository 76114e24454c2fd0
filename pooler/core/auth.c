/*
 * auth.c - see auth.h.
 *
 * A plain password in auth_file has to be turned into a SCRAM secret, which costs thousands of
 * hashes. That is done once per user and password and kept, by the thread that needed it: an event
 * loop must not spend milliseconds on every login.
 */
#include "core/auth.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/log.h"
#include "base/random.h"
#include "base/saslprep.h"
#include "conf/conf.h"
#include "proto/md5auth.h"
#include "proto/scram.h"
#include "base/str.h"

#define CACHE_MAX 10000 /* users; then it starts anew */

enum step
{
	STEP_TRUST,
	STEP_REFUSE, /* no password method, unknown user */
	STEP_PLAIN,
	STEP_MD5,
	STEP_SASL_FIRST,
	STEP_SASL_FINAL,
	STEP_DONE /* by SCRAM */
};

struct auth
{
	enum step step;
	bool unknown;                 /* deny whatever comes */
	uint8_t salt[MD5AUTH_SALT];   /* MD5 */
	char md5[MD5AUTH_TEXT];       /* PLAIN, MD5: the secret, when it is or can be made one */
	struct scram_secret verifier; /* PLAIN: the secret, when it is a verifier */
	bool has_verifier;            /* PLAIN, SCRAM: it was one, not made from a password by us */
	struct scram_binding binding; /* SCRAM */
	char user[64];
	char *password; /* PLAIN: the right one; wiped */
	struct scram_server scram;
};

/* One derived secret; the key is a digest-like hash chain of user and password kept only in memory.
 */
struct derived
{
	UT_hash_handle hh;
	struct scram_secret secret;
	char *key; /* user, zero byte, password; wiped when freed */
	size_t key_len;
};

static _Thread_local struct derived *cache;

static void
clear_cache(void)
{
	struct derived *d;
	struct derived *next;

	HASH_ITER(hh, cache, d, next)
	{
		HASH_DEL(cache, d);
		OPENSSL_cleanse(d->key, d->key_len);
		free(d->key);
		free(d);
	}
}

/*
 * The salt is the one that scram_secret_mock() would make up, so that it tells nothing about
 * whether there is such a user.
 */
static bool
derive(const char *user, const char *password, const uint8_t *mock_key, uint32_t iterations,
	   struct scram_secret *out)
{
	size_t user_len = strlen(user) + 1;
	size_t key_len = user_len + strlen(password);
	char *key = mem_alloc(key_len + 1);
	struct scram_secret mock;
	struct derived *d;
	char *prepared;
	bool ok;

	memcpy(key, user, user_len);
	memcpy(key + user_len, password, key_len - user_len + 1);
	HASH_FIND(hh, cache, key, key_len, d);
	if (d != NULL && d->secret.iterations == iterations)
	{
		*out = d->secret;
		OPENSSL_cleanse(key, key_len);
		free(key);
		return true;
	}
	prepared = saslprep(password);
	ok = scram_secret_mock(user, mock_key, iterations, &mock) &&
		 scram_secret_derive(prepared, mock.salt, mock.salt_len, iterations, out);
	saslprep_free(&prepared);
	if (!ok)
	{
		OPENSSL_cleanse(key, key_len);
		free(key);
		return false;
	}
	if (d != NULL || HASH_COUNT(cache) >= CACHE_MAX)
		clear_cache();
	d = mem_zalloc(sizeof(*d));
	d->secret = *out;
	d->key = key;
	d->key_len = key_len;
	HASH_ADD_KEYPTR(hh, cache, d->key, d->key_len, d);
	return true;
}

void
auth_thread_fini(void)
{
	clear_cache();
}

/*
 * The secret to check against; *mock: the user is to fail like anybody with a wrong password.
 * Nobody there costs as much time as somebody does.
 */
static bool
secret_of(const struct conf *conf, const struct auth_who *who, const uint8_t *mock_key,
		  struct scram_secret *out, bool *mock)
{
	uint32_t iterations = (uint32_t) conf->scram_iterations;

	*mock = who->secret == NULL || who->secret[0] == '\0' || md5auth_is_secret(who->secret);
	if (!*mock && scram_is_verifier(who->secret))
		return scram_secret_parse(who->secret, out);
	if (!*mock)
		return derive(who->user, who->secret, mock_key, iterations, out);
	if (conf->has_plain_secrets) /* a first login costs a derivation */
		return derive(who->user, "", mock_key, iterations, out);
	return scram_secret_mock(who->user, mock_key, iterations, out);
}

void
auth_who(const struct conf *conf, const char *user, struct auth_who *who)
{
	const struct conf_user *u = conf_find_user(conf, user);

	/* Without an auth_file there is no list that a user could be missing from. */
	*who = (struct auth_who){
		.user = user,
		.type = conf->auth_type,
		.known = u != NULL || conf->auth_type == AUTH_ANY || conf->auth_file == NULL ||
				 conf->auth_file[0] == '\0',
		.secret = u == NULL ? NULL : u->secret,
		.scram_is_usual = conf->has_only_verifiers,
	};
}

/* Whether SCRAM is what the md5 method means for this user: for one with a verifier, and for one
 * who does not exist where everybody has one. */
static bool
md5_means_scram(const struct auth_who *who)
{
	return who->secret != NULL ? scram_is_verifier(who->secret) : who->scram_is_usual;
}

/* PLAIN and MD5: what the password is compared with. False: no random numbers, or no MD5. */
static bool
take_secret(struct auth *a, const struct auth_who *who)
{
	const char *secret = who->secret == NULL ? "" : who->secret;

	str_copy(a->user, sizeof(a->user), who->user);
	a->unknown = secret[0] == '\0';
	a->has_verifier = scram_is_verifier(secret) && scram_secret_parse(secret, &a->verifier);
	if (!random_bytes(a->salt, sizeof(a->salt)))
		return false;
	if (md5auth_is_secret(secret))
		return str_copy(a->md5, sizeof(a->md5), secret);
	return md5auth_secret(secret, who->user, a->md5);
}

static bool
start_scram(struct auth *a, const struct conf *conf, const struct auth_who *who,
			const uint8_t *mock_key)
{
	struct scram_secret secret;
	bool mock;

	if (!secret_of(conf, who, mock_key, &secret, &mock))
		return false;
	scram_server_init(&a->scram, &secret, mock);
	a->binding = who->binding;
	a->has_verifier = !mock && scram_is_verifier(who->secret);
	OPENSSL_cleanse(&secret, sizeof(secret));
	return true;
}

struct auth *
auth_new(const struct conf *conf, const struct auth_who *who, const uint8_t *mock_key)
{
	struct auth *a = mem_zalloc(sizeof(*a));
	enum auth_type type = who->type;
	bool ok = true;

	if (type == AUTH_MD5 && md5_means_scram(who))
		type = AUTH_SCRAM_SHA_256;
	switch (type)
	{
		case AUTH_ANY:
		case AUTH_TRUST:
			a->step = who->known ? STEP_TRUST : STEP_REFUSE;
			return a;
		case AUTH_PLAIN:
			a->step = STEP_PLAIN;
			ok = take_secret(a, who);
			break;
		case AUTH_MD5:
			a->step = STEP_MD5;
			ok = take_secret(a, who);
			break;
		default:
			a->step = STEP_SASL_FIRST;
			ok = start_scram(a, conf, who, mock_key);
			break;
	}
	if (!ok)
		a->step = STEP_REFUSE;
	return a;
}

const char *
auth_password(const struct auth *a)
{
	return a->password;
}

bool
auth_keys(const struct auth *a, uint8_t client_key[SCRAM_KEY_LEN],
		  uint8_t server_key[SCRAM_KEY_LEN])
{
	/* A verifier that we have made up ourselves has a salt that nobody else knows. */
	if (a->step != STEP_DONE || !a->has_verifier)
		return false;
	memcpy(client_key, a->scram.client_key, SCRAM_KEY_LEN);
	memcpy(server_key, a->scram.secret.server_key, SCRAM_KEY_LEN);
	return true;
}

void
auth_free(struct auth *a)
{
	if (a == NULL)
		return;
	if (a->password != NULL)
		OPENSSL_cleanse(a->password, strlen(a->password));
	free(a->password);
	if (a->step != STEP_TRUST) /* some kilobytes, and no secret in them */
		OPENSSL_cleanse(a, sizeof(*a));
	free(a);
}

enum auth_result
auth_begin(struct auth *a, struct pgwriter *out)
{
	static const char *const mechanisms[] = {SCRAM_MECHANISM_PLUS, SCRAM_MECHANISM};
	int unbound = a->binding.len > 0 ? 0 : 1;

	switch (a->step)
	{
		case STEP_TRUST:
			return AUTH_OK;
		case STEP_REFUSE:
			return AUTH_NO_USER;
		case STEP_PLAIN:
			pgw_auth_plain(out);
			return AUTH_MORE;
		case STEP_MD5:
			pgw_auth_md5(out, a->salt);
			return AUTH_MORE;
		default:
			pgw_auth_sasl(out, mechanisms + unbound, 2 - unbound);
			return AUTH_MORE;
	}
}

/* SASLInitialResponse: mechanism, length, client-first-message. */
static enum auth_result
sasl_first(struct auth *a, const struct pgmsg *m, struct pgwriter *out)
{
	struct pgreader r;
	struct scram_out reply;
	uint8_t random[18];
	char nonce[SCRAM_NONCE_LEN + 1];
	const char *mechanism;
	const uint8_t *payload;
	uint32_t len;
	bool plus;

	pgr_init(&r, m->body, m->body_len);
	mechanism = pgr_cstr(&r);
	len = pgr_u32(&r);
	if (r.bad || len != pgr_left(&r))
		return AUTH_BAD;
	plus = a->binding.len > 0 && strcmp(mechanism, SCRAM_MECHANISM_PLUS) == 0;
	if (!plus && strcmp(mechanism, SCRAM_MECHANISM) != 0)
		return AUTH_BAD;
	scram_server_bind(&a->scram, &a->binding, plus);
	payload = pgr_bytes(&r, len);
	if (payload == NULL || !random_bytes(random, sizeof(random)))
		return AUTH_BAD;
	scram_nonce(random, nonce);
	if (scram_server_first(&a->scram, payload, len, nonce, &reply) != SCRAM_CONTINUE)
		return AUTH_BAD;
	pgw_auth_sasl_continue(out, reply.text, reply.len);
	a->step = STEP_SASL_FINAL;
	return AUTH_MORE;
}

static enum auth_result
sasl_final(struct auth *a, const struct pgmsg *m, struct pgwriter *out)
{
	struct scram_out reply;

	switch (scram_server_final(&a->scram, m->body, m->body_len, &reply))
	{
		case SCRAM_DONE:
			pgw_auth_sasl_final(out, reply.text, reply.len);
			a->step = STEP_DONE;
			return AUTH_OK;
		case SCRAM_DENIED:
			return AUTH_FAILED;
		default:
			return AUTH_BAD;
	}
}

/* The password of a PasswordMessage, or NULL when it is malformed. */
static const char *
password_in(const struct pgmsg *m)
{
	struct pgreader r;
	const char *password;

	pgr_init(&r, m->body, m->body_len);
	password = pgr_cstr(&r);
	return r.bad || pgr_left(&r) > 0 ? NULL : password;
}

/* All comparisons take their time, whoever it is. */
static enum auth_result
plain_password(struct auth *a, const struct pgmsg *m)
{
	const char *password = password_in(m);
	struct scram_secret derived;
	char md5[MD5AUTH_TEXT];
	bool ok;

	if (password == NULL)
		return AUTH_BAD;
	if (a->has_verifier)
	{
		char *prepared = saslprep(password);

		ok = scram_secret_derive(prepared, a->verifier.salt, a->verifier.salt_len,
								 a->verifier.iterations, &derived) &&
			 str_equal_secret(derived.stored_key, a->verifier.stored_key, SCRAM_KEY_LEN);
		saslprep_free(&prepared);
	}
	else
		ok = md5auth_secret(password, a->user, md5) && str_equal_secret(md5, a->md5, sizeof(md5));
	if (!ok || a->unknown || password[0] == '\0')
		return AUTH_FAILED;
	a->password = mem_strdup(password);
	return AUTH_OK;
}

static enum auth_result
md5_password(struct auth *a, const struct pgmsg *m)
{
	const char *answer = password_in(m);
	char expected[MD5AUTH_TEXT];

	if (answer == NULL)
		return AUTH_BAD;
	if (strlen(answer) != MD5AUTH_TEXT - 1 || !md5auth_answer(a->md5, a->salt, expected) ||
		!str_equal_secret(answer, expected, MD5AUTH_TEXT) || a->unknown)
		return AUTH_FAILED;
	return AUTH_OK;
}

enum auth_result
auth_message(struct auth *a, const struct pgmsg *m, struct pgwriter *out)
{
	if (m->type != 'p')
		return AUTH_BAD;
	switch (a->step)
	{
		case STEP_PLAIN:
			return plain_password(a, m);
		case STEP_MD5:
			return md5_password(a, m);
		case STEP_SASL_FIRST:
			return sasl_first(a, m, out);
		case STEP_SASL_FINAL:
			return sasl_final(a, m, out);
		default:
			return AUTH_BAD;
	}
}
