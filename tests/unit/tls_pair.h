/*
 * tls_pair.h - certificates made on the spot, and two conns of one loop that speak TLS with each
 * other.
 */
#ifndef PERFKIT_TEST_TLS_PAIR_H
#define PERFKIT_TEST_TLS_PAIR_H

#include "turning.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/conn.h"
#include "net/tls.h"

#define TLS_HOST "db.test"

/* Paths of a certificate that signs itself, and of its key. */
struct certificate
{
	char cert[64];
	char key[64];
};

/* digest NULL: the key's own (Ed25519). names: for subjectAltName, NULL for none. */
static inline void
certificate_make(struct certificate *c, EVP_PKEY *key, const EVP_MD *digest, const char *name,
				 const char *names)
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	FILE *f;

	assert_non_null(key);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_set_version(x, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *) name, -1, -1,
							   0);
	X509_set_issuer_name(x, subject);
	X509_set_pubkey(x, key);
	if (names != NULL)
	{
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, key, digest) > 0);
	strcpy(c->cert, "/tmp/perfkit-cert-XXXXXX");
	strcpy(c->key, "/tmp/perfkit-key-XXXXXX");
	f = fdopen(mkstemp(c->cert), "w");
	assert_true(PEM_write_X509(f, x));
	fclose(f);
	f = fdopen(mkstemp(c->key), "w");
	assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static inline void
certificate_remove(struct certificate *c)
{
	unlink(c->cert);
	unlink(c->key);
}

/* One end; what its callbacks saw. */
struct tls_end
{
	struct conn conn; /* first: the callbacks cast */
	bool over;        /* the handshake */
	char error[200];  /* of it */
	bool events;      /* has heard something */
};

static inline void
tls_end_event(struct conn *c, int revents)
{
	(void) revents;
	((struct tls_end *) c)->events = true;
}

static inline void
tls_end_secured(struct conn *c, const char *error)
{
	struct tls_end *e = (struct tls_end *) c;

	e->over = true;
	snprintf(e->error, sizeof(e->error), "%s", error == NULL ? "" : error);
}

struct tls_pair
{
	struct loop loop;
	struct certificate paper;
	struct tls_context *accepts;
	struct tls_context *connects;
	struct tls_end server;
	struct tls_end client;
};

static inline struct tls_context *
tls_pair_context(const struct certificate *c, bool accepts, enum tls_verify verify)
{
	const struct tls_settings s = {
		.prefix = accepts ? "client_tls" : "server_tls",
		.accepts = accepts,
		.verify = verify,
		.ca_file = c->cert,
		.cert_file = c->cert,
		.key_file = c->key,
	};
	char error[300];
	struct tls_context *context = tls_context_new(&s, error, sizeof(error));

	if (context == NULL)
		fail_msg("%s", error);
	return context;
}

static inline int
tls_pair_set_up(void **state)
{
	struct tls_pair *p = calloc(1, sizeof(*p));
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	if (p == NULL || !loop_init(&p->loop, 0, NULL) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return -1;
	certificate_make(&p->paper, EVP_EC_gen("P-256"), EVP_sha256(), TLS_HOST, "DNS:" TLS_HOST);
	p->accepts = tls_pair_context(&p->paper, true, TLS_VERIFY_ASK);
	p->connects = tls_pair_context(&p->paper, false, TLS_VERIFY_NAME);
	conn_open(&p->server.conn, &p->loop, nonblocking(fds[0]), tls_end_event);
	conn_open(&p->client.conn, &p->loop, nonblocking(fds[1]), tls_end_event);
	*state = p;
	return 0;
}

static inline int
tls_pair_tear_down(void **state)
{
	struct tls_pair *p = *state;

	conn_close(&p->server.conn);
	conn_close(&p->client.conn);
	tls_context_free(p->accepts);
	tls_context_free(p->connects);
	certificate_remove(&p->paper);
	loop_fini(&p->loop);
	free(p);
	return 0;
}

static inline bool
tls_pair_over(const void *arg)
{
	const struct tls_pair *p = arg;

	return p->server.over && p->client.over;
}

/* Both begin; host: whom the client expects. */
static inline void
tls_pair_begin(struct tls_pair *p, const char *host)
{
	conn_secure(&p->server.conn, tls_new(p->accepts, p->server.conn.fd, NULL), tls_end_secured);
	conn_secure(&p->client.conn, tls_new(p->connects, p->client.conn.fd, host), tls_end_secured);
}

static inline void
tls_pair_join(struct tls_pair *p, const char *host)
{
	tls_pair_begin(p, host);
	turn_until(&p->loop, tls_pair_over, p, "the handshake to end on both sides");
}

#endif
