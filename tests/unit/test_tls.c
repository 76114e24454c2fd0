/*
 * test_tls.c - contexts: what they are made of, and when two are the same; certificates: whose they
 * are and what binds a channel to them.
 */
#include "net/tls.h"

#include <openssl/rsa.h>

#include "tls_pair.h"

static struct tls_settings
settings_of(const struct certificate *c)
{
	return (struct tls_settings){
		.prefix = "client_tls",
		.accepts = true,
		.verify = TLS_VERIFY_ASK,
		.ca_file = c->cert,
		.cert_file = c->cert,
		.key_file = c->key,
		.ecdhcurve = "auto",
		.dheparams = "auto",
		.protocols = "secure",
		.ciphers = "default",
	};
}

/* What no context can be made from is told by the option's name. */
static void
settings_that_will_not_do(void **state)
{
	struct tls_pair *p = *state;
	char error[300];
	struct
	{
		size_t field;
		const char *value;
		const char *complaint;
	} rows[] = {
		{offsetof(struct tls_settings, ca_file), "/nowhere/x", "client_tls_ca_file = /nowhere/x: "},
		{offsetof(struct tls_settings, ca_file), "/dev/null", "client_tls_ca_file = /dev/null: "},
		{offsetof(struct tls_settings, cert_file), "", "TLS needs both client_tls_cert_file"},
		{offsetof(struct tls_settings, key_file), NULL, "TLS needs both client_tls_cert_file"},
		{offsetof(struct tls_settings, cert_file), p->paper.key, "client_tls_cert_file = "},
		{offsetof(struct tls_settings, key_file), p->paper.cert, "client_tls_key_file = "},
		{offsetof(struct tls_settings, protocols), "tlsv1.2,", "client_tls_protocols = tlsv1.2,:"},
		{offsetof(struct tls_settings, protocols), "secure,!all", "client_tls_protocols = "},
		{offsetof(struct tls_settings, ciphers), "nothing", "client_tls_ciphers = nothing: "},
		{offsetof(struct tls_settings, tls13_ciphers), "x", "client_tls13_ciphers = x: "},
		{offsetof(struct tls_settings, ecdhcurve), "x", "client_tls_ecdhcurve = x: "},
		{offsetof(struct tls_settings, dheparams), "x", "client_tls_dheparams = x: "},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		struct tls_settings s = settings_of(&p->paper);

		*(const char **) ((char *) &s + rows[i].field) = rows[i].value;
		assert_null(tls_context_new(&s, error, sizeof(error)));
		if (strncmp(error, rows[i].complaint, strlen(rows[i].complaint)) != 0)
			fail_msg("row %zu: %s", i, error);
	}
}

/* Settings and contents of files count, names of files too. */
static void
the_same_and_not_the_same(void **state)
{
	struct tls_pair *p = *state;
	struct certificate other;
	struct tls_settings s = settings_of(&p->paper);
	char error[300];
	struct tls_context *a = tls_context_new(&s, error, sizeof(error));
	struct tls_context *b = tls_context_new(&s, error, sizeof(error));

	assert_true(tls_context_same(a, b));
	assert_true(tls_context_same(NULL, NULL));
	assert_false(tls_context_same(a, NULL));
	tls_context_free(b);
	s.protocols = "tlsv1.3";
	b = tls_context_new(&s, error, sizeof(error));
	assert_false(tls_context_same(a, b));
	tls_context_free(b);

	/* Another certificate in the same file. */
	s.protocols = "secure";
	certificate_make(&other, EVP_EC_gen("P-256"), EVP_sha256(), "x", NULL);
	assert_int_equal(rename(other.cert, p->paper.cert), 0);
	assert_int_equal(rename(other.key, p->paper.key), 0);
	b = tls_context_new(&s, error, sizeof(error));
	assert_non_null(b);
	assert_false(tls_context_same(a, b));
	tls_context_free(a);
	tls_context_free(b);
}

/* RFC 5929: the digest of the certificate by its signature's hash; both sides find the same. */
static void
a_binding_is_the_digest_of_the_certificate(void **state)
{
	struct tls_pair *p = *state;
	const struct
	{
		EVP_PKEY *key;
		const EVP_MD *signed_by;
		size_t len;
	} rows[] = {
		{EVP_EC_gen("P-256"), EVP_sha256(), 32},
		{EVP_EC_gen("P-256"), EVP_sha384(), 48},
		{EVP_RSA_gen(2048), EVP_sha512(), 64},
		{EVP_EC_gen("P-256"), EVP_sha1(), 32},
		{EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		struct certificate c;
		uint8_t ours[TLS_BINDING_MAX];
		uint8_t theirs[TLS_BINDING_MAX];
		int fds[2];

		certificate_make(&c, rows[i].key, rows[i].signed_by, TLS_HOST, NULL);
		tls_context_free(p->accepts);
		tls_context_free(p->connects);
		p->accepts = tls_pair_context(&c, true, TLS_VERIFY_ASK);
		p->connects = tls_pair_context(&c, false, TLS_VERIFY_NONE);
		conn_close(&p->server.conn);
		conn_close(&p->client.conn);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		conn_open(&p->server.conn, &p->loop, nonblocking(fds[0]), tls_end_event);
		conn_open(&p->client.conn, &p->loop, nonblocking(fds[1]), tls_end_event);
		p->server.over = p->client.over = false;
		tls_pair_join(p, TLS_HOST);
		assert_string_equal(p->client.error, "");
		assert_int_equal(tls_binding(p->server.conn.tls, ours), rows[i].len);
		assert_int_equal(tls_binding(p->client.conn.tls, theirs), rows[i].len);
		assert_memory_equal(ours, theirs, rows[i].len);
		certificate_remove(&c);
	}
}

/* A reload changes the context; a connection made before is bound to what it was made with. */
static void
a_binding_outlives_its_context(void **state)
{
	struct tls_pair *p = *state;
	uint8_t before[TLS_BINDING_MAX];
	uint8_t after[TLS_BINDING_MAX];

	tls_pair_join(p, TLS_HOST);
	assert_int_equal(tls_binding(p->server.conn.tls, before), 32);
	tls_context_free(p->accepts);
	p->accepts = NULL;
	assert_int_equal(tls_binding(p->server.conn.tls, after), 32);
	assert_memory_equal(before, after, 32);
}

static void
names_are_matched_whole(void **state)
{
	struct tls_pair *p = *state;
	struct certificate c;
	char name[TLS_NAME_MAX];
	struct tls *t;

	certificate_make(&c, EVP_EC_gen("P-256"), EVP_sha256(), "alice",
					 "DNS:second,DNS:*.wild,IP:10.0.0.1,email:mail@x");
	tls_context_free(p->connects);
	p->connects = tls_pair_context(&c, false, TLS_VERIFY_NONE);
	tls_pair_join(p, TLS_HOST);
	t = p->server.conn.tls;
	assert_true(tls_peer_common_name(t, name));
	assert_string_equal(name, "alice");
	assert_true(tls_peer_is_named(t, "alice"));
	assert_true(tls_peer_is_named(t, "second"));
	assert_false(tls_peer_is_named(t, "alic"));
	assert_false(tls_peer_is_named(t, "alice2"));
	assert_false(tls_peer_is_named(t, "a.wild"));
	assert_false(tls_peer_is_named(t, "10.0.0.1"));
	assert_false(tls_peer_is_named(t, "mail@x"));
	assert_false(tls_peer_is_named(t, ""));
	/* Nobody has vouched for it: it was accepted only to be looked at. */
	assert_false(tls_peer_trusted(t));
	certificate_remove(&c);
}

static void
a_certificate_of_our_authority_is_trusted(void **state)
{
	struct tls_pair *p = *state;

	tls_pair_join(p, TLS_HOST);
	assert_true(tls_peer_trusted(p->server.conn.tls));
	assert_true(tls_peer_trusted(p->client.conn.tls));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, tls_pair_set_up, tls_pair_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(settings_that_will_not_do),
		TEST(the_same_and_not_the_same),
		TEST(a_binding_is_the_digest_of_the_certificate),
		TEST(a_binding_outlives_its_context),
		TEST(names_are_matched_whole),
		TEST(a_certificate_of_our_authority_is_trusted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
