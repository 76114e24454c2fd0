/*
 * fuzz_scram.c - every reader of SCRAM text. The first byte chooses the reader, the rest is its
 * message.
 *
 * The client side logs in with ready keys: a password would cost as many rounds as the message
 * asks.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/scram.h"

#define CHECK(cond)                                                                                \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
			abort();                                                                               \
	} while (0)

#define NONCE "fyko+d2lbbFgONRv9qkxdawL"
#define CLIENT_FIRST "n,,n=,r=" NONCE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct scram_binding unbound;
static const struct scram_binding bound = {{1, 2, 3, 4}, 32};
static const uint8_t key[SCRAM_KEY_LEN] = {1, 2, 3};

static void
check_out(enum scram_result result, const struct scram_out *out, const char *error)
{
	CHECK(result == SCRAM_BAD || result == SCRAM_CONTINUE || result == SCRAM_DENIED);
	CHECK((result == SCRAM_BAD) == (error != NULL));
	CHECK((out->len > 0) == (result == SCRAM_CONTINUE));
	if (result == SCRAM_CONTINUE)
		CHECK(out->len < SCRAM_MAX_MESSAGE && strlen(out->text) == out->len);
}

/* The random messages come first, then, where they were understood, nothing can be proven by them.
 */
static void
as_server(const uint8_t *p, size_t n, bool first, int plus)
{
	struct scram_secret secret;
	struct scram_server s;
	struct scram_out out;
	enum scram_result result;

	CHECK(scram_secret_mock("joe", key, 4096, &secret));
	scram_server_init(&s, &secret, false);
	if (plus >= 0)
		scram_server_bind(&s, &bound, plus != 0);
	if (first)
	{
		result = scram_server_first(&s, p, n, NONCE, &out);
		check_out(result, &out, s.error);
		return;
	}
	CHECK(scram_server_first(&s, (const uint8_t *) CLIENT_FIRST, strlen(CLIENT_FIRST), "x", &out) ==
		  SCRAM_CONTINUE);
	result = scram_server_final(&s, p, n, &out);
	check_out(result, &out, s.error);
	CHECK(out.len == 0);
}

static void
as_client(const uint8_t *p, size_t n, bool first)
{
	static const char server_first[] = "r=" NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1";
	const struct scram_identity who = {.client_key = key, .server_key = key};
	struct scram_client c;
	struct scram_out out;
	enum scram_result result;

	CHECK(scram_client_first(&c, NONCE, &unbound, false, &out) == SCRAM_CONTINUE);
	if (first)
	{
		result = scram_client_final(&c, &who, p, n, &out);
		check_out(result, &out, c.error);
		return;
	}
	result =
		scram_client_final(&c, &who, (const uint8_t *) server_first, strlen(server_first), &out);
	CHECK(result == SCRAM_CONTINUE);
	result = scram_client_verify(&c, p, n);
	CHECK(result == SCRAM_BAD || result == SCRAM_DENIED);
	CHECK(c.error != NULL);
}

static void
as_verifier(const uint8_t *p, size_t n)
{
	char *text = malloc(n + 1);
	struct scram_secret secret;

	CHECK(text != NULL);
	memcpy(text, p, n);
	text[n] = '\0';
	if (scram_secret_parse(text, &secret))
	{
		CHECK(scram_is_verifier(text));
		CHECK(secret.salt_len > 0 && secret.salt_len <= SCRAM_MAX_SALT);
		CHECK(secret.iterations >= SCRAM_MIN_ITERATIONS);
		CHECK(secret.iterations <= SCRAM_MAX_ITERATIONS);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 7)
	{
		case 0:
			as_server(data + 1, size - 1, true, -1);
			break;
		case 1:
			as_server(data + 1, size - 1, false, -1);
			break;
		case 2:
			as_client(data + 1, size - 1, true);
			break;
		case 3:
			as_client(data + 1, size - 1, false);
			break;
		case 4:
			as_verifier(data + 1, size - 1);
			break;
		default:
			as_server(data + 1, size - 1, true, data[0] % 7 - 5);
			break;
	}
	return 0;
}
