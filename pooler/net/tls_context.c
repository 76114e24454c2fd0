/*
 * tls_context.c - from settings to an SSL_CTX, and whether two of them are the same.
 *
 * The words are PgBouncer's. protocols: a list of tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3, or secure
 * (the two newest), all, legacy (all four); a ! in front takes one away. ciphers: an OpenSSL list,
 * or default, secure, fast, normal (the library's), all. dheparams: auto, none, legacy (1024 bits).
 * ecdhcurve: auto, none, or names.
 *
 * Off for everybody: compression (CRIME), renegotiation, and resumption, which would bring sessions
 * back whose client certificate was never looked at by this process, and costs memory.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "net/tls.h"
#include "net/tls_parts.h"

#define FILE_MAX (1 << 20) /* bytes of a certificate file */

/* What is needed while a context is built. */
struct build
{
	const struct tls_settings *s;
	struct tls_context *c;
	EVP_MD_CTX *digest; /* of all that goes into it */
	char *error;
	size_t cap;
};

static bool
is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* Fills in the error line: the option, its value, the cause. Always false. */
static bool
fail(const struct build *b, const char *option, const char *value, const char *cause)
{
	snprintf(b->error, b->cap, "%s_%s = %s: %s", b->s->prefix, option, value, cause);
	ERR_clear_error();
	return false;
}

/* ---- fingerprint ---- */

static void
digest_text(struct build *b, const char *text)
{
	if (text == NULL)
		text = "";
	EVP_DigestUpdate(b->digest, text, strlen(text) + 1);
}

/* The contents of a file go into the fingerprint, and whether it can be read is found out here,
 * where the cause has a name. */
static bool
digest_file(struct build *b, const char *option, const char *path)
{
	char block[4096];
	size_t total = 0;
	size_t n;
	FILE *f;
	bool ok;

	if (!is_set(path))
		return true;
	f = fopen(path, "re");
	if (f == NULL)
		return fail(b, option, path, strerror(errno));
	while ((n = fread(block, 1, sizeof(block), f)) > 0 && (total += n) <= FILE_MAX)
		EVP_DigestUpdate(b->digest, block, n);
	ok = !ferror(f) && total <= FILE_MAX;
	fclose(f);
	OPENSSL_cleanse(block, sizeof(block));
	return ok || fail(b, option, path, total > FILE_MAX ? "too large" : "cannot be read");
}

static bool
digest_all(struct build *b)
{
	const struct tls_settings *s = b->s;
	const char *const texts[] = {s->ca_file, s->cert_file,     s->key_file,  s->protocols,
								 s->ciphers, s->tls13_ciphers, s->ecdhcurve, s->dheparams};

	EVP_DigestInit_ex(b->digest, EVP_sha256(), NULL);
	EVP_DigestUpdate(b->digest, &s->verify, sizeof(s->verify));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		digest_text(b, texts[i]);
	if (!digest_file(b, "ca_file", s->ca_file) || !digest_file(b, "cert_file", s->cert_file) ||
		!digest_file(b, "key_file", s->key_file))
		return false;
	EVP_DigestFinal_ex(b->digest, b->c->fingerprint, NULL);
	return true;
}

bool
tls_context_same(const struct tls_context *a, const struct tls_context *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->accepts == b->accepts && memcmp(a->fingerprint, b->fingerprint, TLS_FINGERPRINT) == 0;
}

/* ---- versions ---- */

static const struct
{
	const char *name;
	unsigned bits; /* of the versions 1.0 to 1.3 */
} versions[] = {
	{"tlsv1.0", 1}, {"tlsv1.1", 2}, {"tlsv1.2", 4},  {"tlsv1.3", 8}, {"tlsv1", 15},
	{"all", 15},    {"legacy", 15}, {"default", 12}, {"secure", 12},
};

/* Adds one word to the set, or takes it away; false when it is unknown. */
static bool
add_version(char *word, unsigned *set)
{
	bool away = word[0] == '!';

	word = str_trim(word + away);
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (str_equal_nocase(word, versions[i].name))
		{
			*set = away ? *set & ~versions[i].bits : *set | versions[i].bits;
			return true;
		}
	return false;
}

static bool
set_versions(struct build *b)
{
	static const uint64_t off[] = {SSL_OP_NO_TLSv1, SSL_OP_NO_TLSv1_1, SSL_OP_NO_TLSv1_2,
								   SSL_OP_NO_TLSv1_3};
	const char *list = is_set(b->s->protocols) ? b->s->protocols : "secure";
	char *copy = mem_strdup(list);
	char *rest = copy;
	char *word;
	unsigned set = 0;
	bool ok = true;

	while (ok && (word = strsep(&rest, ",:")) != NULL)
		ok = add_version(str_trim(word), &set);
	free(copy);
	if (!ok || set == 0)
		return fail(b, "protocols", list,
					ok ? "leaves no version" : "is not a list of TLS versions");
	for (int i = 0; i < 4; i++)
		if ((set & (1u << i)) == 0)
			SSL_CTX_set_options(b->c->ctx, off[i]);
	/* The system's configuration may hold a lower limit that the file's words mean to lift. */
	SSL_CTX_set_min_proto_version(b->c->ctx, TLS1_VERSION);
	return true;
}

/* ---- ciphers, curves ---- */

static bool
set_ciphers(struct build *b)
{
	static const char *const usual[] = {"default", "secure", "fast", "normal"};
	const char *list = b->s->ciphers;
	bool library = !is_set(list);

	for (size_t i = 0; !library && i < sizeof(usual) / sizeof(usual[0]); i++)
		library = str_equal_nocase(list, usual[i]);
	if (!library && SSL_CTX_set_cipher_list(
						b->c->ctx, str_equal_nocase(list, "all") ? "ALL:!aNULL:!eNULL" : list) != 1)
		return fail(b, "ciphers", list, tls_library_error());
	if (is_set(b->s->tls13_ciphers) &&
		SSL_CTX_set_ciphersuites(b->c->ctx, b->s->tls13_ciphers) != 1)
	{
		/* Its options have no underscore between their prefix and the version. */
		snprintf(b->error, b->cap, "%.6s_tls13_ciphers = %s: %s", b->s->prefix, b->s->tls13_ciphers,
				 tls_library_error());
		return false;
	}
	return true;
}

static bool
set_key_exchange(struct build *b)
{
	const char *curve = b->s->ecdhcurve;
	const char *dhe = b->s->dheparams;

	if (is_set(curve) && !str_equal_nocase(curve, "auto") && !str_equal_nocase(curve, "none") &&
		SSL_CTX_set1_groups_list(b->c->ctx, curve) != 1)
		return fail(b, "ecdhcurve", curve, "is no curve that OpenSSL knows");
	if (!is_set(dhe) || str_equal_nocase(dhe, "auto"))
		SSL_CTX_set_dh_auto(b->c->ctx, 1);
	else if (str_equal_nocase(dhe, "legacy"))
		SSL_CTX_set_dh_auto(b->c->ctx, 2); /* OpenSSL: always 1024 bits */
	else if (!str_equal_nocase(dhe, "none"))
		return fail(b, "dheparams", dhe, "is not auto, none or legacy");
	return true;
}

/* ---- certificates ---- */

/* A passphrase cannot be asked for: there is nobody at the terminal, and the loop must not wait. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void) buf;
	(void) size;
	(void) writing;
	(void) arg;
	return -1;
}

static bool
load_own(struct build *b)
{
	const struct tls_settings *s = b->s;

	if (!is_set(s->cert_file) && !is_set(s->key_file) && !s->accepts)
		return true;
	if (!is_set(s->cert_file) || !is_set(s->key_file))
	{
		snprintf(b->error, b->cap, "TLS needs both %s_cert_file and %s_key_file", s->prefix,
				 s->prefix);
		return false;
	}
	SSL_CTX_set_default_passwd_cb(b->c->ctx, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(b->c->ctx, s->cert_file) != 1)
		return fail(b, "cert_file", s->cert_file, tls_library_error());
	if (SSL_CTX_use_PrivateKey_file(b->c->ctx, s->key_file, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(b->c->ctx) != 1)
		return fail(b, "key_file", s->key_file, tls_library_error());
	return true;
}

/* TLS_VERIFY_ASK: goes on with whatever certificate it is, and remembers that it was bad. */
static int
take_note(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);

	if (!ok)
		t->distrusted = true;
	return 1;
}

static bool
load_trusted(struct build *b)
{
	const struct tls_settings *s = b->s;
	SSL_CTX *ctx = b->c->ctx;

	if (is_set(s->ca_file))
	{
		STACK_OF(X509_NAME) * names;

		if (SSL_CTX_load_verify_locations(ctx, s->ca_file, NULL) != 1)
			return fail(b, "ca_file", s->ca_file, tls_library_error());
		/* Clients with several certificates choose by it. */
		names = s->accepts ? SSL_load_client_CA_file(s->ca_file) : NULL;
		if (names != NULL)
			SSL_CTX_set_client_CA_list(ctx, names);
	}
	else if (s->accepts && s->verify >= TLS_VERIFY_CHAIN)
	{
		snprintf(b->error, b->cap, "%s_sslmode asks for certificates: %s_ca_file must be set",
				 s->prefix, s->prefix);
		return false;
	}
	else if (s->verify >= TLS_VERIFY_CHAIN && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return fail(b, "ca_file", "", "the system's certificates cannot be loaded");

	if (s->verify >= TLS_VERIFY_CHAIN)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else if (s->verify == TLS_VERIFY_ASK && is_set(s->ca_file))
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, take_note);
	return true;
}

/* ---- application protocol ---- */

static const unsigned char protocol_list[] = "\012" TLS_PROTOCOL;

/* A client that speaks of protocols must speak of ours: else bytes meant for another kind of server
 * would be taken for PostgreSQL's (ALPACA). */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
				const unsigned char *in, unsigned in_len, void *arg)
{
	unsigned char *chosen;

	(void) ssl;
	(void) arg;
	if (SSL_select_next_proto(&chosen, out_len, protocol_list, sizeof(protocol_list) - 1, in,
							  in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* ---- all together ---- */

static void
set_fixed(struct tls_context *c)
{
	SSL_CTX *ctx = c->ctx;

	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
							  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
								 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	if (c->accepts)
		SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	else
		SSL_CTX_set_alpn_protos(ctx, protocol_list, sizeof(protocol_list) - 1);
}

struct tls_context *
tls_context_new(const struct tls_settings *s, char *error, size_t cap)
{
	struct tls_context *c = mem_zalloc(sizeof(*c));
	struct build b = {.s = s, .c = c, .digest = EVP_MD_CTX_new(), .error = error, .cap = cap};
	bool ok;

	ERR_clear_error();
	c->accepts = s->accepts;
	c->verify = s->verify;
	c->ctx = SSL_CTX_new(s->accepts ? TLS_server_method() : TLS_client_method());
	ok = c->ctx != NULL && b.digest != NULL;
	if (!ok)
		fail(&b, "sslmode", "", tls_library_error());
	else
		set_fixed(c);
	ok = ok && digest_all(&b) && set_versions(&b) && set_ciphers(&b) && set_key_exchange(&b) &&
		 load_own(&b) && load_trusted(&b);
	EVP_MD_CTX_free(b.digest);
	if (ok)
		return c;
	tls_context_free(c);
	return NULL;
}

void
tls_context_free(struct tls_context *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ctx);
	free(c);
}
