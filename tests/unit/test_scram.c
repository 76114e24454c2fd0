/*
 * test_scram.c - RFC 7677's example, PostgreSQL's verifiers, and both sides against each other.
 */
#include "scram_rfc.h"

static void
rfc_7677_as_server(void **state)
{
	struct scram_server s = rfc_server(false);
	struct scram_out out;

	(void) state;
	assert_int_equal(server_final(&s, RFC_CLIENT_FINAL, &out), SCRAM_DONE);
	assert_string_equal(out.text, RFC_SERVER_FINAL);
	assert_int_equal(out.len, strlen(RFC_SERVER_FINAL));
}

static void
rfc_7677_as_client(void **state)
{
	struct scram_client c = rfc_client();
	struct scram_out out;

	(void) state;
	assert_int_equal(client_final(&c, "pencil", RFC_SERVER_FIRST, &out), SCRAM_CONTINUE);
	assert_string_equal(out.text, RFC_CLIENT_FINAL);
	assert_int_equal(out.len, strlen(RFC_CLIENT_FINAL));
	assert_int_equal(client_verify(&c, RFC_SERVER_FINAL), SCRAM_DONE);
}

static void
a_verifier_of_postgresql_is_parsed(void **state)
{
	struct scram_secret parsed;
	struct scram_secret derived;

	(void) state;
	assert_true(scram_is_verifier(VERIFIER));
	assert_true(scram_secret_parse(VERIFIER, &parsed));
	assert_int_equal(parsed.iterations, 4096);
	assert_int_equal(parsed.salt_len, 16);
	assert_true(scram_secret_derive("pencil", parsed.salt, parsed.salt_len, 4096, &derived));
	assert_memory_equal(parsed.stored_key, derived.stored_key, SCRAM_KEY_LEN);
	assert_memory_equal(parsed.server_key, derived.server_key, SCRAM_KEY_LEN);
}

/* 'Päßwörd 1' as PostgreSQL 15 stored it, whose preparation leaves composed characters alone. */
static void
a_password_beyond_ascii(void **state)
{
	struct scram_secret parsed;
	struct scram_secret derived;

	(void) state;
	assert_true(scram_secret_parse("SCRAM-SHA-256$4096:2SQaixexIjUJKMUXSjhPcA==$"
								   "LbW6FevI05wCK0ENrERdfzTQzeo1RGR36atGbKhtahw=:"
								   "a14Ap2aHJxQms6PvyqaGGMGwfE57KTCk0bKu9YcQ3Wg=",
								   &parsed));
	assert_true(scram_secret_derive("P\xc3\xa4\xc3\x9fw\xc3\xb6rd 1", parsed.salt, parsed.salt_len,
									parsed.iterations, &derived));
	assert_memory_equal(parsed.stored_key, derived.stored_key, SCRAM_KEY_LEN);
}

static void
a_nonce_is_24_printable_characters(void **state)
{
	uint8_t random[18];
	char nonce[SCRAM_NONCE_LEN + 1];

	(void) state;
	memset(random, 0xff, sizeof(random));
	scram_nonce(random, nonce);
	assert_string_equal(nonce, "////////////////////////");
	memset(random, 0, sizeof(random));
	scram_nonce(random, nonce);
	assert_string_equal(nonce, "AAAAAAAAAAAAAAAAAAAAAAAA");
}

static void
a_mock_denies_even_the_right_proof(void **state)
{
	struct scram_server s = rfc_server(true);
	struct scram_out out;

	(void) state;
	assert_int_equal(server_final(&s, RFC_CLIENT_FINAL, &out), SCRAM_DENIED);
	assert_int_equal(out.len, 0);
}

static void
a_mock_secret_is_stable_per_user_and_key(void **state)
{
	const uint8_t key[SCRAM_KEY_LEN] = {1};
	const uint8_t other_key[SCRAM_KEY_LEN] = {2};
	struct scram_secret a;
	struct scram_secret b;

	(void) state;
	assert_true(scram_secret_mock("joe", key, 4096, &a));
	assert_true(scram_secret_mock("joe", key, 4096, &b));
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.salt_len, 16);
	assert_int_equal(a.iterations, 4096);
	assert_true(scram_secret_mock("jim", key, 4096, &b));
	assert_memory_not_equal(a.salt, b.salt, 16);
	assert_true(scram_secret_mock("joe", other_key, 4096, &b));
	assert_memory_not_equal(a.salt, b.salt, 16);
	assert_memory_not_equal(a.stored_key, b.stored_key, SCRAM_KEY_LEN);
	assert_false(scram_secret_mock("joe", key, 0, &b));
}

/* Runs an exchange between our two sides; returns what the server says of the proof. */
static enum scram_result
exchange(const struct scram_secret *secret, const struct scram_identity *who,
		 struct scram_server *s)
{
	struct scram_client c;
	struct scram_out a;
	struct scram_out b;
	enum scram_result result;

	scram_server_init(s, secret, false);
	assert_int_equal(scram_client_first(&c, A_NONCE, &unbound, false, &a), SCRAM_CONTINUE);
	assert_int_equal(scram_server_first(s, (const uint8_t *) a.text, a.len, B_NONCE, &b),
					 SCRAM_CONTINUE);
	assert_int_equal(scram_client_final(&c, who, (const uint8_t *) b.text, b.len, &a),
					 SCRAM_CONTINUE);
	result = scram_server_final(s, (const uint8_t *) a.text, a.len, &b);
	if (result == SCRAM_DONE)
		assert_int_equal(scram_client_verify(&c, (const uint8_t *) b.text, b.len), SCRAM_DONE);
	return result;
}

static void
both_sides_agree(void **state)
{
	static const char *const passwords[] = {"", "x", "pencil", "p\xc3\xa4ss", "a,b=c'\"\\ \t"};
	uint8_t salt[SCRAM_MAX_SALT];

	(void) state;
	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (uint8_t) (i * 37);
	for (size_t i = 0; i < sizeof(passwords) / sizeof(passwords[0]); i++)
	{
		const struct scram_identity who = {.password = passwords[i]};
		const struct scram_identity liar = {.password = "something else"};
		struct scram_secret secret;
		struct scram_server s;

		assert_true(scram_secret_derive(passwords[i], salt, 1 + i * 15, 1 + (uint32_t) i, &secret));
		assert_int_equal(exchange(&secret, &who, &s), SCRAM_DONE);
		assert_int_equal(exchange(&secret, &liar, &s), SCRAM_DENIED);
	}
}

/* The keys that a client's proof reveals log in where the same secret is stored, nowhere else. */
static void
a_proof_can_be_passed_through(void **state)
{
	const struct scram_identity who = {.password = "pencil"};
	struct scram_identity revealed = {0};
	struct scram_secret secret;
	struct scram_secret other;
	struct scram_server front;
	struct scram_server back;

	(void) state;
	assert_true(scram_secret_parse(VERIFIER, &secret));
	assert_int_equal(exchange(&secret, &who, &front), SCRAM_DONE);
	revealed.client_key = front.client_key;
	revealed.server_key = front.secret.server_key;
	assert_int_equal(exchange(&secret, &revealed, &back), SCRAM_DONE);
	assert_true(scram_secret_derive("pencil", (const uint8_t *) "other salt", 10, 4096, &other));
	assert_int_equal(exchange(&other, &revealed, &back), SCRAM_DENIED);
}

static void
the_y_flag_and_extensions_are_signed(void **state)
{
	const struct scram_secret secret = rfc_secret();
	struct scram_server s;
	struct scram_out out;

	(void) state;
	scram_server_init(&s, &secret, false);
	assert_int_equal(server_first(&s, "y,,n=user,r=" RFC_CLIENT_NONCE ",x=ignored", &out),
					 SCRAM_CONTINUE);
	assert_string_equal(s.client_first_bare, "n=user,r=" RFC_CLIENT_NONCE ",x=ignored");
	/* read well, with the flag repeated, but signed for another conversation */
	assert_int_equal(server_final(&s, "c=biws,r=" RFC_NONCE ",p=" RFC_PROOF, &out), SCRAM_BAD);
	assert_int_equal(server_final(&s, "c=eSws,r=" RFC_NONCE ",x=y,p=" RFC_PROOF, &out),
					 SCRAM_DENIED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_7677_as_server),
		cmocka_unit_test(rfc_7677_as_client),
		cmocka_unit_test(a_verifier_of_postgresql_is_parsed),
		cmocka_unit_test(a_password_beyond_ascii),
		cmocka_unit_test(a_nonce_is_24_printable_characters),
		cmocka_unit_test(a_mock_denies_even_the_right_proof),
		cmocka_unit_test(a_mock_secret_is_stable_per_user_and_key),
		cmocka_unit_test(both_sides_agree),
		cmocka_unit_test(a_proof_can_be_passed_through),
		cmocka_unit_test(the_y_flag_and_extensions_are_signed),
	};

	return cmocka_run_group_tests_name("scram", tests, NULL, NULL);
}
