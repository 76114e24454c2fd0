/*
 * test_startup.c - the first packet: each kind, each truncation, each lie about a length.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "proto/pgwrite.h"
#include "proto/startup.h"

#define PROTOCOL_3_0 (3u << 16)

struct packet
{
	uint8_t bytes[STARTUP_MAX_LEN + 100];
	size_t len;
};

/* A packet with a correct length word around the code and the body. */
static struct packet
make_packet(uint32_t code, const void *body, size_t n)
{
	struct packet p;
	struct pgwriter w;

	pgw_init(&w, p.bytes, sizeof(p.bytes));
	pgw_begin(&w, 0);
	pgw_u32(&w, code);
	pgw_bytes(&w, body, n);
	pgw_end(&w);
	assert_false(w.overflow);
	p.len = w.len;
	return p;
}

#define PACKET(code, body) make_packet((code), (body), sizeof(body) - 1)

static void
assert_bad(struct packet p)
{
	struct startup s;

	assert_int_equal(startup_parse(p.bytes, p.len, &s), STARTUP_BAD);
	assert_non_null(s.error);
}

static void
a_startup_message_has_its_parameters(void **state)
{
	struct packet p = PACKET(PROTOCOL_3_0, "user\0joe\0database\0orders\0options\0-c a=b\0\0");
	struct startup s;

	(void) state;
	assert_int_equal(startup_parse(p.bytes, p.len, &s), STARTUP_PROTOCOL);
	assert_int_equal(s.total, p.len);
	assert_int_equal(s.major, 3);
	assert_int_equal(s.minor, 0);
	assert_int_equal(s.n_params, 3);
	assert_int_equal(s.n_pq_options, 0);
	assert_string_equal(startup_param(&s, "user"), "joe");
	assert_string_equal(startup_param(&s, "database"), "orders");
	assert_string_equal(startup_param(&s, "options"), "-c a=b");
	assert_null(startup_param(&s, "replication"));
}

static void
the_minor_version_and_pq_options_are_told(void **state)
{
	struct packet p = PACKET(PROTOCOL_3_0 | 2, "_pq_.x\0on\0user\0joe\0_pq_.\0\0\0");
	struct startup s;

	(void) state;
	assert_int_equal(startup_parse(p.bytes, p.len, &s), STARTUP_PROTOCOL);
	assert_int_equal(s.minor, 2);
	assert_int_equal(s.n_params, 1);
	assert_int_equal(s.n_pq_options, 2);
	assert_string_equal(s.pq_options[0], "_pq_.x");
	assert_string_equal(s.pq_options[1], "_pq_.");
	assert_null(startup_param(&s, "_pq_.x"));
}

static void
the_last_of_repeated_parameters_counts(void **state)
{
	struct packet p = PACKET(PROTOCOL_3_0, "user\0a\0user\0b\0\0");
	struct startup s;

	(void) state;
	assert_int_equal(startup_parse(p.bytes, p.len, &s), STARTUP_PROTOCOL);
	assert_string_equal(startup_param(&s, "user"), "b");
}

static void
no_parameters_and_empty_values_are_legal(void **state)
{
	struct packet none = PACKET(PROTOCOL_3_0, "\0");
	struct packet empty = PACKET(PROTOCOL_3_0, "user\0\0\0");
	struct startup s;

	(void) state;
	assert_int_equal(startup_parse(none.bytes, none.len, &s), STARTUP_PROTOCOL);
	assert_int_equal(s.n_params, 0);
	assert_int_equal(startup_parse(empty.bytes, empty.len, &s), STARTUP_PROTOCOL);
	assert_string_equal(startup_param(&s, "user"), "");
}

static void
requests_for_encryption(void **state)
{
	struct packet ssl = PACKET(80877103, "");
	struct packet gss = PACKET(80877104, "");
	struct startup s;

	(void) state;
	assert_int_equal(startup_parse(ssl.bytes, ssl.len, &s), STARTUP_SSL);
	assert_int_equal(s.total, 8);
	assert_int_equal(startup_parse(gss.bytes, gss.len, &s), STARTUP_GSSENC);
	assert_bad(PACKET(80877103, "x"));
	assert_bad(PACKET(80877104, "x"));
}

static void
cancel_requests_have_a_key_of_4_to_256_bytes(void **state)
{
	uint8_t body[4 + STARTUP_MAX_CANCEL_KEY + 1] = {0x12, 0x34, 0x56, 0x78};

	(void) state;
	for (size_t key_len = 0; key_len <= STARTUP_MAX_CANCEL_KEY + 1; key_len++)
	{
		struct packet p = make_packet(80877102, body, 4 + key_len);
		struct startup s;

		if (key_len < 4 || key_len > STARTUP_MAX_CANCEL_KEY)
		{
			assert_bad(p);
			continue;
		}
		assert_int_equal(startup_parse(p.bytes, p.len, &s), STARTUP_CANCEL);
		assert_int_equal(s.cancel_pid, 0x12345678);
		assert_int_equal(s.cancel_key_len, key_len);
		assert_ptr_equal(s.cancel_key, p.bytes + 12);
	}
	assert_bad(make_packet(80877102, body, 3));
}

static void
other_versions_are_unsupported(void **state)
{
	struct packet two = PACKET(2u << 16, "anything");
	struct packet four = PACKET(4u << 16 | 7, "\0");
	struct packet odd = PACKET(1234u << 16 | 5681, "");
	struct startup s;

	(void) state;
	assert_int_equal(startup_parse(two.bytes, two.len, &s), STARTUP_UNSUPPORTED);
	assert_int_equal(s.major, 2);
	assert_int_equal(startup_parse(four.bytes, four.len, &s), STARTUP_UNSUPPORTED);
	assert_int_equal(s.major, 4);
	assert_int_equal(s.minor, 7);
	assert_int_equal(startup_parse(odd.bytes, odd.len, &s), STARTUP_UNSUPPORTED);
}

static void
impossible_lengths_are_bad_at_once(void **state)
{
	static const uint8_t heads[][4] = {
		{0, 0, 0, 0},    {0, 0, 0, 7}, {0, 0, 0x27, 0x11},      {0xff, 0xff, 0xff, 0xff},
		{0x80, 0, 0, 0}, "GET ",       {0x16, 0x03, 0x01, 0x02}};
	struct startup s;

	(void) state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
	{
		assert_int_equal(startup_parse(heads[i], 3, &s), STARTUP_NEED_MORE);
		assert_int_equal(startup_parse(heads[i], 4, &s), STARTUP_BAD);
		assert_non_null(s.error);
	}
}

static void
the_largest_packet_is_legal(void **state)
{
	struct packet p = {.len = STARTUP_MAX_LEN};
	struct startup s;

	(void) state;
	memcpy(p.bytes, (const uint8_t[]){0, 0, 0x27, 0x10, 0, 3, 0, 0}, 8);
	memset(p.bytes + 8, 'a', STARTUP_MAX_LEN - 8);
	p.bytes[20] = '\0';
	p.bytes[STARTUP_MAX_LEN - 2] = '\0';
	p.bytes[STARTUP_MAX_LEN - 1] = '\0';
	assert_int_equal(startup_parse(p.bytes, p.len - 1, &s), STARTUP_NEED_MORE);
	assert_int_equal(startup_parse(p.bytes, p.len, &s), STARTUP_PROTOCOL);
	assert_int_equal(strlen(s.params[0].value), STARTUP_MAX_LEN - 21 - 2);
}

static void
malformed_parameters_are_bad(void **state)
{
	(void) state;
	assert_bad(PACKET(PROTOCOL_3_0, ""));
	assert_bad(PACKET(PROTOCOL_3_0, "user"));
	assert_bad(PACKET(PROTOCOL_3_0, "user\0"));
	assert_bad(PACKET(PROTOCOL_3_0, "user\0joe"));
	assert_bad(PACKET(PROTOCOL_3_0, "user\0joe\0"));
	assert_bad(PACKET(PROTOCOL_3_0, "user\0joe\0database"));
	assert_bad(PACKET(PROTOCOL_3_0, "user\0joe\0\0x"));
	assert_bad(PACKET(PROTOCOL_3_0, "\0\0"));
}

static void
too_many_parameters_are_bad(void **state)
{
	char body[4 * (STARTUP_MAX_PARAMS + 1) + 1];
	struct startup s;

	(void) state;
	for (size_t n = STARTUP_MAX_PARAMS; n <= STARTUP_MAX_PARAMS + 1; n++)
	{
		struct packet p;

		memset(body, 0, sizeof(body));
		for (size_t i = 0; i < n; i++)
			memcpy(body + 4 * i, "n\0v", 4);
		p = make_packet(PROTOCOL_3_0, body, 4 * n + 1);
		assert_int_equal(startup_parse(p.bytes, p.len, &s),
						 n == STARTUP_MAX_PARAMS ? STARTUP_PROTOCOL : STARTUP_BAD);
	}
	assert_string_equal(s.error, "too many parameters in startup packet");
}

/* Each prefix lies in memory of exactly its size, so that a sanitizer sees a read behind it. */
static void
every_truncation_needs_more(void **state)
{
	struct packet p = PACKET(PROTOCOL_3_0, "user\0joe\0_pq_.a\0b\0\0");
	struct startup s;

	(void) state;
	for (size_t n = 0; n < p.len; n++)
	{
		uint8_t *cut = malloc(n > 0 ? n : 1);

		memcpy(cut, p.bytes, n);
		assert_int_equal(startup_parse(cut, n, &s), STARTUP_NEED_MORE);
		free(cut);
	}
}

/* What follows the packet is not looked at: a client may send its password early. */
static void
bytes_behind_the_packet_do_not_matter(void **state)
{
	struct packet p = PACKET(PROTOCOL_3_0, "user\0joe\0\0");
	struct startup s;
	size_t len = p.len;

	(void) state;
	memcpy(p.bytes + p.len, "trailing", 8);
	assert_int_equal(startup_parse(p.bytes, p.len + 8, &s), STARTUP_PROTOCOL);
	assert_int_equal(s.total, len);
	assert_int_equal(s.n_params, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_startup_message_has_its_parameters),
		cmocka_unit_test(the_minor_version_and_pq_options_are_told),
		cmocka_unit_test(the_last_of_repeated_parameters_counts),
		cmocka_unit_test(no_parameters_and_empty_values_are_legal),
		cmocka_unit_test(requests_for_encryption),
		cmocka_unit_test(cancel_requests_have_a_key_of_4_to_256_bytes),
		cmocka_unit_test(other_versions_are_unsupported),
		cmocka_unit_test(impossible_lengths_are_bad_at_once),
		cmocka_unit_test(the_largest_packet_is_legal),
		cmocka_unit_test(malformed_parameters_are_bad),
		cmocka_unit_test(too_many_parameters_are_bad),
		cmocka_unit_test(every_truncation_needs_more),
		cmocka_unit_test(bytes_behind_the_packet_do_not_matter),
	};

	return cmocka_run_group_tests_name("startup", tests, NULL, NULL);
}
