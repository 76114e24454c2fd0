/*
 * tls.c - see tls.h.
 *
 * OpenSSL keeps its errors in a queue of the thread, and SSL_get_error() looks into it: whatever
 * somebody else left there must go before each call.
 *
 * Failure: a struct tls that was BROKEN once is only good to be freed. It says no goodbye then, as
 * OpenSSL forbids to go on after a fatal error.
 */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "net/tls_parts.h"

#define ERROR_MAX 256

static _Thread_local char error_text[ERROR_MAX];

/* ---- errors ---- */

const char *
tls_error(void)
{
	return error_text;
}

void
tls_note_error(const char *text)
{
	str_copy(error_text, sizeof(error_text), text);
}

/* The oldest error in the queue is the cause of the others. */
const char *
tls_library_error(void)
{
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return reason != NULL ? reason : "unknown TLS error";
}

/* What a call that returned no success came to. */
static enum tls_io
outcome(struct tls *t, int result)
{
	int cause = errno;
	long verdict;

	switch (SSL_get_error(t->ssl, result))
	{
		case SSL_ERROR_WANT_READ:
			return TLS_WANT_READ;
		case SSL_ERROR_WANT_WRITE:
			return TLS_WANT_WRITE;
		case SSL_ERROR_ZERO_RETURN:
			return TLS_EOF;
		case SSL_ERROR_SYSCALL:
			t->broken = true;
			ERR_clear_error();
			tls_note_error(cause != 0 ? strerror(cause) : "connection closed");
			return cause != 0 ? TLS_BROKEN : TLS_EOF;
		default:
			t->broken = true;
			verdict = SSL_get_verify_result(t->ssl);
			if (verdict != X509_V_OK && !SSL_is_init_finished(t->ssl))
				tls_note_error(X509_verify_cert_error_string(verdict));
			else
				tls_note_error(tls_library_error());
			ERR_clear_error();
			return TLS_BROKEN;
	}
}

/* ---- life ---- */

/* Whom the certificate must be for. */
static bool
expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return true;
	ERR_clear_error();
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

/* Server Name Indication is for names alone (RFC 6066 3). */
static bool
is_address(const char *host)
{
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);

	ERR_clear_error();
	ASN1_OCTET_STRING_free(ip);
	return ip != NULL;
}

struct tls *
tls_new(struct tls_context *c, int fd, const char *host)
{
	struct tls *t = mem_zalloc(sizeof(*t));

	ERR_clear_error();
	t->accepts = c->accepts;
	t->ssl = SSL_new(c->ctx);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1 || SSL_set_app_data(t->ssl, t) != 1)
		goto err_free;
	if (c->accepts)
		SSL_set_accept_state(t->ssl);
	else
	{
		SSL_set_connect_state(t->ssl);
		if (!is_address(host) && SSL_set_tlsext_host_name(t->ssl, host) != 1)
			goto err_free;
		if (c->verify == TLS_VERIFY_NAME && !expect_host(t->ssl, host))
			goto err_free;
	}
	return t;

err_free:
	tls_note_error(tls_library_error());
	tls_free(t);
	return NULL;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	free(t);
}

/* ---- bytes ---- */

enum tls_io
tls_handshake(struct tls *t)
{
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(t->ssl);
	return result == 1 ? TLS_DONE : outcome(t, result);
}

enum tls_io
tls_read(struct tls *t, void *p, size_t room, size_t *n)
{
	int result;

	*n = 0;
	ERR_clear_error();
	errno = 0;
	result = SSL_read_ex(t->ssl, p, room, n);
	return result == 1 ? TLS_DONE : outcome(t, result);
}

enum tls_io
tls_write(struct tls *t, const void *p, size_t n, size_t *written)
{
	int result;

	*written = 0;
	ERR_clear_error();
	errno = 0;
	result = SSL_write_ex(t->ssl, p, n, written);
	return result == 1 ? TLS_DONE : outcome(t, result);
}

void
tls_bye(struct tls *t)
{
	/* A second call would wait for the other side's goodbye. */
	if (t->broken || t->said_bye || !SSL_is_init_finished(t->ssl))
		return;
	t->said_bye = true;
	ERR_clear_error();
	(void) SSL_shutdown(t->ssl);
	ERR_clear_error();
}

/* ---- what has come of it ---- */

bool
tls_agreed_on_protocol(const struct tls *t)
{
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(t->ssl, &name, &len);
	return len == strlen(TLS_PROTOCOL) && memcmp(name, TLS_PROTOCOL, len) == 0;
}

void
tls_describe(const struct tls *t, char *text, size_t cap)
{
	snprintf(text, cap, "%s/%s", SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl));
}

size_t
tls_binding(const struct tls *t, uint8_t out[TLS_BINDING_MAX])
{
	X509 *cert = t->accepts ? SSL_get_certificate(t->ssl) : SSL_get0_peer_certificate(t->ssl);
	const EVP_MD *md;
	unsigned len = 0;
	int nid;

	if (cert == NULL || X509_get_signature_info(cert, &nid, NULL, NULL, NULL) != 1)
	{
		ERR_clear_error();
		return 0;
	}
	/* RFC 5929: where the signature's hash is one of these SHA-256 takes its place. */
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	md = EVP_get_digestbynid(nid);
	if (md == NULL || EVP_MD_get_size(md) > TLS_BINDING_MAX ||
		X509_digest(cert, md, out, &len) != 1)
		len = 0;
	ERR_clear_error();
	return len;
}

bool
tls_peer_trusted(const struct tls *t)
{
	return SSL_get0_peer_certificate(t->ssl) != NULL && !t->distrusted &&
		   SSL_get_verify_result(t->ssl) == X509_V_OK;
}

/* A name as a C string: none that hides something behind a zero byte, none that is cut off. */
static bool
plain_name(const ASN1_STRING *s, char out[TLS_NAME_MAX])
{
	unsigned char *utf8;
	int len = ASN1_STRING_to_UTF8(&utf8, s);
	bool ok;

	if (len < 0)
	{
		ERR_clear_error();
		return false;
	}
	ok = len > 0 && len < TLS_NAME_MAX && memchr(utf8, '\0', (size_t) len) == NULL;
	if (ok)
	{
		memcpy(out, utf8, (size_t) len);
		out[len] = '\0';
	}
	OPENSSL_free(utf8);
	return ok;
}

bool
tls_peer_common_name(const struct tls *t, char out[TLS_NAME_MAX])
{
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	const X509_NAME *subject = cert == NULL ? NULL : X509_get_subject_name(cert);
	int last = -1;
	int i = -1;

	if (subject == NULL)
		return false;
	/* Of several the last is the most specific. */
	while ((i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0)
		last = i;
	return last >= 0 &&
		   plain_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)), out);
}

bool
tls_peer_is_named(const struct tls *t, const char *name)
{
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	GENERAL_NAMES *names;
	char text[TLS_NAME_MAX];
	bool found = tls_peer_common_name(t, text) && strcmp(text, name) == 0;

	if (cert == NULL || found)
		return found;
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++)
	{
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		found = n->type == GEN_DNS && plain_name(n->d.dNSName, text) && strcmp(text, name) == 0;
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
	return found;
}
