/*
 * test_scram_binding.c - who may bind, who must, and what a third party in between achieves.
 */
#include "proto/scram.h"

#include <stdio.h>
#include <string.h>

#include "scram_rfc.h"
#include "unit.h"

static const struct scram_binding ours = {"digest of our certificate", 32};
static const struct scram_binding theirs = {"digest of another's certificate", 32};

/* A whole exchange with the right password; returns the server's verdict. */
static enum scram_result
exchange(const struct scram_binding *client, bool offered, const struct scram_binding *server,
		 const char **error)
{
	static struct scram_server s;
	const struct scram_identity who = {.password = "pencil"};
	const struct scram_secret secret = rfc_secret();
	struct scram_client c;
	struct scram_out a;
	struct scram_out b;
	enum scram_result result;

	scram_server_init(&s, &secret, false);
	assert_int_equal(scram_client_first(&c, RFC_CLIENT_NONCE, client, offered, &a), SCRAM_CONTINUE);
	scram_server_bind(&s, server, c.plus);
	result = scram_server_first(&s, (const uint8_t *) a.text, a.len, RFC_SERVER_NONCE, &b);
	if (result == SCRAM_CONTINUE)
	{
		assert_int_equal(scram_client_final(&c, &who, (const uint8_t *) b.text, b.len, &a),
						 SCRAM_CONTINUE);
		result = scram_server_final(&s, (const uint8_t *) a.text, a.len, &b);
	}
	if (result == SCRAM_DONE)
		assert_int_equal(scram_client_verify(&c, (const uint8_t *) b.text, b.len), SCRAM_DONE);
	*error = s.error;
	return result;
}

static void
who_is_bound_and_who_is_not(void **state)
{
	static const struct scram_binding none;
	const struct
	{
		const struct scram_binding *client;
		bool offered; /* as the client has heard it */
		const struct scram_binding *server;
		enum scram_result result;
		const char *error;
	} rows[] = {
		{&none, false, &none, SCRAM_DONE, NULL},
		{&ours, true, &ours, SCRAM_DONE, NULL},
		/* A certificate without a digest on one side or the other. */
		{&none, true, &ours, SCRAM_DONE, NULL},
		{&ours, false, &none, SCRAM_DONE, NULL},
		/* Somebody in between, with a certificate of his own … */
		{&theirs, true, &ours, SCRAM_BAD, "channel binding check failed"},
		/* … who has taken the offer out of the list. */
		{&theirs, false, &ours, SCRAM_BAD,
		 "the client supports SCRAM channel binding but thinks the server does not"},
		/* What was not offered cannot be chosen by a server that minds (core/auth does). */
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		const char *error;

		if (exchange(rows[i].client, rows[i].offered, rows[i].server, &error) != rows[i].result)
			fail_msg("row %zu: %s", i, error);
		if (rows[i].error != NULL)
			assert_string_equal(error, rows[i].error);
	}
}

static void
first_messages_that_do_not_fit_the_mechanism(void **state)
{
	static const struct
	{
		const char *text;
		bool plus;
		bool good;
	} rows[] = {
		{"p=tls-server-end-point,,n=,r=abc", true, true},
		{"p=tls-server-end-point,,n=,r=abc", false, false},
		{"n,,n=,r=abc", true, false},
		{"n,,n=,r=abc", false, true},
		{"y,,n=,r=abc", true, false},
		{"y,,n=,r=abc", false, false},
		{"p=tls-unique,,n=,r=abc", true, false},
		{"p=tls-exporter,,n=,r=abc", true, false},
		{"p=tls-server-end-pointx,,n=,r=abc", true, false},
		{"p=tls-server-end-point,", true, false},
		{"p=tls-server-end-point", true, false},
		{"p=tls-server-end-point,a=joe,n=,r=abc", true, false},
		{"p=", true, false},
		{"p", true, false},
		{"p=,,n=,r=abc", true, false},
	};
	const struct scram_secret secret = rfc_secret();

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		struct scram_server s;
		struct scram_out out;
		enum scram_result result;

		scram_server_init(&s, &secret, false);
		scram_server_bind(&s, &ours, rows[i].plus);
		result = server_first(&s, rows[i].text, &out);
		if (result != (rows[i].good ? SCRAM_CONTINUE : SCRAM_BAD))
			fail_msg("row %zu", i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_bound_and_who_is_not),
		cmocka_unit_test(first_messages_that_do_not_fit_the_mechanism),
	};

	return cmocka_run_group_tests_name("scram binding", tests, NULL, NULL);
}
