/*
 * test_scram_bad.c - every way to get SCRAM wrong: forged, malformed, truncated, too long, out of
 * turn.
 */
#include "scram_rfc.h"

#include <stdio.h>
#include <stdlib.h>

static void
what_is_no_verifier_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"pencil",
		"md5a3556571e93b0d20722ba62be61e8c2d",
		"SCRAM-SHA-1$4096:" VERIFIER_SALT "$" VERIFIER_STORED_KEY ":" VERIFIER_SERVER_KEY,
		"SCRAM-SHA-256$0:" VERIFIER_SALT "$" VERIFIER_STORED_KEY ":" VERIFIER_SERVER_KEY,
		"SCRAM-SHA-256$-1:" VERIFIER_SALT "$" VERIFIER_STORED_KEY ":" VERIFIER_SERVER_KEY,
		"SCRAM-SHA-256$+9:" VERIFIER_SALT "$" VERIFIER_STORED_KEY ":" VERIFIER_SERVER_KEY,
		"SCRAM-SHA-256$:" VERIFIER_SALT "$" VERIFIER_STORED_KEY ":" VERIFIER_SERVER_KEY,
		"SCRAM-SHA-256$99999999999999999999:" VERIFIER_SALT "$" VERIFIER_STORED_KEY
		":" VERIFIER_SERVER_KEY,
		"SCRAM-SHA-256$4096:$" VERIFIER_STORED_KEY ":" VERIFIER_SERVER_KEY,
		"SCRAM-SHA-256$4096:" VERIFIER_SALT "$" VERIFIER_STORED_KEY ":" VERIFIER_SALT,
		"SCRAM-SHA-256$4096:" VERIFIER_SALT "$" VERIFIER_SALT ":" VERIFIER_SERVER_KEY,
		"SCRAM-SHA-256$4096:" VERIFIER_SALT "$" VERIFIER_STORED_KEY ":" VERIFIER_SERVER_KEY " ",
		"SCRAM-SHA-256$4096$" VERIFIER_SALT ":" VERIFIER_STORED_KEY "$" VERIFIER_SERVER_KEY,
	};
	struct scram_secret secret;

	(void) state;
	assert_false(scram_is_verifier("SCRAM-SHA-256"));
	assert_false(scram_is_verifier("pencil"));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (scram_secret_parse(wrong[i], &secret))
			fail_msg("'%s' was accepted", wrong[i]);
	for (size_t n = 0; n < strlen(VERIFIER); n++)
	{
		char *cut = strndup(VERIFIER, n);

		assert_false(scram_secret_parse(cut, &secret));
		free(cut);
	}
}

static void
the_longest_salt_is_64_bytes(void **state)
{
	uint8_t salt[SCRAM_MAX_SALT + 1] = {1};
	struct scram_secret secret;

	(void) state;
	assert_true(scram_secret_derive("x", salt, SCRAM_MAX_SALT, 1, &secret));
	assert_false(scram_secret_derive("x", salt, SCRAM_MAX_SALT + 1, 1, &secret));
	assert_false(scram_secret_derive("x", salt, 0, 1, &secret));
	assert_false(scram_secret_derive("x", salt, 16, 0, &secret));
	assert_false(scram_secret_derive("x", salt, 16, SCRAM_MAX_ITERATIONS + 1, &secret));
}

static void
a_wrong_password_is_denied(void **state)
{
	struct scram_server s = rfc_server(false);
	struct scram_client c = rfc_client();
	struct scram_out out;
	static const uint8_t zero[SCRAM_KEY_LEN];

	(void) state;
	assert_int_equal(client_final(&c, "pencil2", RFC_SERVER_FIRST, &out), SCRAM_CONTINUE);
	assert_int_equal(scram_server_final(&s, (const uint8_t *) out.text, out.len, &out),
					 SCRAM_DENIED);
	assert_int_equal(out.len, 0);
	assert_memory_equal(s.client_key, zero, SCRAM_KEY_LEN);
}

/* Any bit of the proof or of what it signs. */
static void
a_forged_proof_is_denied(void **state)
{
	uint8_t proof[SCRAM_KEY_LEN];
	struct scram_out out;

	(void) state;
	assert_int_equal(base64_decode(RFC_PROOF, strlen(RFC_PROOF), proof, sizeof(proof)),
					 SCRAM_KEY_LEN);
	for (int bit = 0; bit < SCRAM_KEY_LEN * 8; bit += 5)
	{
		struct scram_server s = rfc_server(false);
		char text[BASE64_LEN(SCRAM_KEY_LEN) + 1];
		char message[SCRAM_MAX_MESSAGE];

		proof[bit / 8] ^= (uint8_t) (1 << bit % 8);
		base64_encode(proof, sizeof(proof), text);
		proof[bit / 8] ^= (uint8_t) (1 << bit % 8);
		snprintf(message, sizeof(message), "%s,p=%s", RFC_WITHOUT_PROOF, text);
		assert_int_equal(server_final(&s, message, &out), SCRAM_DENIED);
	}
}

static void
malformed_first_messages_are_bad(void **state)
{
	static const char *const wrong[] = {"",
										"n",
										"n,",
										"n,,",
										"x,,n=,r=abc",
										"p=tls-unique,,n=,r=abc",
										"n,a=joe,n=,r=abc",
										"n,x,n=,r=abc",
										"n,,m=ext,n=,r=abc",
										"n,,r=abc,n=",
										"n,,n=user",
										"n,,n=,r",
										"n,,n=,r=",
										"n,,n=,r=a b",
										"n,,n=,r=a\x7f",
										"n,,n=,r=\xc3\xa4"};
	const struct scram_secret secret = rfc_secret();

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		struct scram_server s;
		struct scram_out out;

		scram_server_init(&s, &secret, false);
		if (server_first(&s, wrong[i], &out) != SCRAM_BAD || s.error == NULL || out.len != 0)
			fail_msg("'%s' was accepted", wrong[i]);
		/* and the exchange does not go on */
		assert_int_equal(server_final(&s, RFC_CLIENT_FINAL, &out), SCRAM_BAD);
	}
}

static void
malformed_final_messages_are_bad(void **state)
{
	static const char *const wrong[] = {"",
										"c=biws",
										"c=biws,r=" RFC_NONCE,
										RFC_WITHOUT_PROOF ",",
										RFC_WITHOUT_PROOF ",p=",
										RFC_WITHOUT_PROOF ",p=AAAA",
										RFC_WITHOUT_PROOF ",p=" RFC_PROOF "AAAA",
										RFC_CLIENT_FINAL ",",
										RFC_CLIENT_FINAL ",x=y",
										RFC_CLIENT_FINAL " ",
										"c=eSws,r=" RFC_NONCE ",p=" RFC_PROOF,
										"c=,r=" RFC_NONCE ",p=" RFC_PROOF,
										"c=biws,r=" RFC_CLIENT_NONCE ",p=" RFC_PROOF,
										"c=biws,r=" RFC_NONCE "x,p=" RFC_PROOF,
										"r=" RFC_NONCE ",c=biws,p=" RFC_PROOF,
										RFC_WITHOUT_PROOF ",,p=" RFC_PROOF};

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		struct scram_server s = rfc_server(false);
		struct scram_out out;

		if (server_final(&s, wrong[i], &out) != SCRAM_BAD || s.error == NULL || out.len != 0)
			fail_msg("'%s' was accepted", wrong[i]);
	}
}

/* Every prefix, in memory of exactly its size, to each of the four readers. */
static void
every_truncation_is_bad(void **state)
{
	struct scram_out out;

	(void) state;
	for (size_t n = 0; n < strlen(RFC_CLIENT_FINAL); n++)
	{
		struct scram_server s = rfc_server(false);
		uint8_t *cut = malloc(n > 0 ? n : 1);

		memcpy(cut, RFC_CLIENT_FINAL, n);
		assert_int_equal(scram_server_final(&s, cut, n, &out), SCRAM_BAD);
		free(cut);
	}
	/* a cut inside the iteration count leaves a message that means something else */
	for (size_t n = 0; n <= strlen(RFC_SERVER_FIRST) - strlen("4096"); n++)
	{
		const struct scram_identity who = {.password = "pencil"};
		struct scram_client c = rfc_client();
		uint8_t *cut = malloc(n > 0 ? n : 1);

		memcpy(cut, RFC_SERVER_FIRST, n);
		assert_int_equal(scram_client_final(&c, &who, cut, n, &out), SCRAM_BAD);
		free(cut);
	}
	for (size_t n = 0; n < strlen(RFC_SERVER_FINAL); n++)
	{
		struct scram_client c = rfc_client();
		uint8_t *cut = malloc(n > 0 ? n : 1);

		assert_int_equal(client_final(&c, "pencil", RFC_SERVER_FIRST, &out), SCRAM_CONTINUE);
		memcpy(cut, RFC_SERVER_FINAL, n);
		assert_int_equal(scram_client_verify(&c, cut, n), SCRAM_BAD);
		free(cut);
	}
}

static void
nonces_and_messages_have_a_longest_length(void **state)
{
	const struct scram_secret secret = rfc_secret();
	char message[2 * SCRAM_MAX_MESSAGE];
	size_t longest = SCRAM_MAX_NONCE - strlen(RFC_SERVER_NONCE);
	struct scram_server s;
	struct scram_client c;
	struct scram_out out;

	(void) state;
	for (size_t n = longest; n <= longest + 1; n++)
	{
		strcpy(message, "n,,n=,r=");
		memset(message + 8, 'x', n);
		message[8 + n] = '\0';
		scram_server_init(&s, &secret, false);
		assert_int_equal(server_first(&s, message, &out),
						 n == longest ? SCRAM_CONTINUE : SCRAM_BAD);
	}
	memset(message, 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	memcpy(message, "n,,n=", 5);
	scram_server_init(&s, &secret, false);
	assert_int_equal(server_first(&s, message, &out), SCRAM_BAD);
	memcpy(message, "n,,n=a\0r=abc", 12);
	assert_int_equal(scram_server_first(&s, (const uint8_t *) message, 12, A_NONCE, &out),
					 SCRAM_BAD);

	/* a server's nonce that would overflow the client */
	c = rfc_client();
	memset(message, 'y', sizeof(message));
	memcpy(message, "r=" RFC_CLIENT_NONCE, 2 + strlen(RFC_CLIENT_NONCE));
	strcpy(message + 2 + SCRAM_MAX_NONCE + 1, ",s=QSXCR+Q6sek8bf92,i=1");
	assert_int_equal(client_final(&c, "pencil", message, &out), SCRAM_BAD);
	strcpy(message + 2 + SCRAM_MAX_NONCE, ",s=QSXCR+Q6sek8bf92,i=1");
	c = rfc_client();
	assert_int_equal(client_final(&c, "pencil", message, &out), SCRAM_CONTINUE);
}

static void
malformed_server_first_messages_are_bad(void **state)
{
	static const char *const wrong[] = {
		"m=x," RFC_SERVER_FIRST,
		"r=" RFC_CLIENT_NONCE ",s=QSXCR+Q6sek8bf92,i=1", /* nothing added to our nonce */
		"r=" RFC_SERVER_NONCE ",s=QSXCR+Q6sek8bf92,i=1", /* ours is not in front */
		"r=" RFC_NONCE "\x01,s=QSXCR+Q6sek8bf92,i=1",    /* not printable */
		"r=" RFC_NONCE ",s=,i=1",
		"r=" RFC_NONCE ",s=Q,i=1", /* salt */
		"r=" RFC_NONCE ",s=QSXCR+Q6sek8bf92,i=0",
		"r=" RFC_NONCE ",s=QSXCR+Q6sek8bf92,i=-1",
		"r=" RFC_NONCE ",s=QSXCR+Q6sek8bf92,i=10000001",
		"r=" RFC_NONCE ",s=QSXCR+Q6sek8bf92,i=",
		"r=" RFC_NONCE ",s=QSXCR+Q6sek8bf92,i=4096x",
		"r=" RFC_NONCE ",i=1,s=QSXCR+Q6sek8bf92",
		"e=other-error"};

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		struct scram_client c = rfc_client();
		struct scram_out out;

		if (client_final(&c, "pencil", wrong[i], &out) != SCRAM_BAD || c.error == NULL ||
			out.len != 0)
			fail_msg("'%s' was accepted", wrong[i]);
	}
}

static void
a_server_that_cannot_sign_is_denied(void **state)
{
	struct scram_client c = rfc_client();
	struct scram_out out;

	(void) state;
	assert_int_equal(client_verify(&c, RFC_SERVER_FINAL), SCRAM_BAD); /* before our proof */
	assert_int_equal(client_final(&c, "pencil", RFC_SERVER_FIRST, &out), SCRAM_CONTINUE);
	assert_int_equal(client_verify(&c, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
					 SCRAM_DENIED);
	assert_int_equal(client_verify(&c, "e=invalid-proof"), SCRAM_DENIED);
	assert_non_null(c.error);
	assert_int_equal(client_verify(&c, RFC_SERVER_FINAL ","), SCRAM_BAD);
	assert_int_equal(client_verify(&c, RFC_SERVER_FINAL), SCRAM_DONE);
}

static void
an_identity_without_keys_is_bad(void **state)
{
	const uint8_t key[SCRAM_KEY_LEN] = {0};
	const struct scram_identity none = {0};
	const struct scram_identity half = {.client_key = key};
	struct scram_client c = rfc_client();
	struct scram_out out;

	(void) state;
	assert_int_equal(scram_client_final(&c, &none, (const uint8_t *) RFC_SERVER_FIRST,
										strlen(RFC_SERVER_FIRST), &out),
					 SCRAM_BAD);
	assert_int_equal(scram_client_final(&c, &half, (const uint8_t *) RFC_SERVER_FIRST,
										strlen(RFC_SERVER_FIRST), &out),
					 SCRAM_BAD);
	assert_int_equal(out.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_verifier_is_refused),
		cmocka_unit_test(the_longest_salt_is_64_bytes),
		cmocka_unit_test(a_wrong_password_is_denied),
		cmocka_unit_test(a_forged_proof_is_denied),
		cmocka_unit_test(malformed_first_messages_are_bad),
		cmocka_unit_test(malformed_final_messages_are_bad),
		cmocka_unit_test(every_truncation_is_bad),
		cmocka_unit_test(nonces_and_messages_have_a_longest_length),
		cmocka_unit_test(malformed_server_first_messages_are_bad),
		cmocka_unit_test(a_server_that_cannot_sign_is_denied),
		cmocka_unit_test(an_identity_without_keys_is_bad),
	};

	return cmocka_run_group_tests_name("scram_bad", tests, NULL, NULL);
}
