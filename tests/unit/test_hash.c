/*
 * test_hash.c - SipHash-1-3 against values of an independent implementation (CPython 3.11's hash()
 * of bytes, PYTHONHASHSEED=0 and 1, whose keys are zero and the first of its linear congruential
 * generator).
 */
#include "unit.h"

#include <string.h>

#include "base/hash.h"

struct vector
{
	size_t len;
	uint64_t hash;
};

/* The input of each vector is the bytes 0, 1, 2 … up to its length. */
static void
check_vectors(const struct vector *vectors, size_t n)
{
	uint8_t input[257];

	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t) i;
	for (size_t i = 0; i < n; i++)
		assert_true(hash_bytes(input, vectors[i].len) == vectors[i].hash);
}

static void
vectors_with_a_zero_key(void **state)
{
	static const struct vector vectors[] = {
		{0, 0xd1fba762150c532c},   {1, 0x68a914128e01e473},   {2, 0x010bac45c41e3669},
		{3, 0x4d4c9a4a8ef6e0ad},   {7, 0x2f098ab0c751325a},   {8, 0xead411e67ebe2eea},
		{9, 0x75927f9d95124362},   {15, 0xf30eb725bb91c9ea},  {16, 0x8972188433a5c5b7},
		{17, 0x4883c49a2c009c1d},  {63, 0x385d3e39e5f37359},  {64, 0x75e05fd5bbc870c6},
		{255, 0x5dc1f93ea135eb43}, {256, 0x31ae646afba70308}, {257, 0xef7cec81c6f56af4},
	};

	(void) state;
	hash_set_key(0, 0);
	check_vectors(vectors, sizeof(vectors) / sizeof(vectors[0]));
}

static void
vectors_with_a_key(void **state)
{
	static const struct vector vectors[] = {{1, 0xecd3e5afcecda4b9},  {5, 0xbbda3b5f513c3d69},
											{8, 0xc0b5739e7e28dd01},  {13, 0x75973ed5708eb192},
											{16, 0x12e9d283f9f37002}, {100, 0x84ac259fc754e778}};

	(void) state;
	hash_set_key(0xaed66ce184be2329, 0xebe9bbf1f1499052);
	check_vectors(vectors, sizeof(vectors) / sizeof(vectors[0]));
	hash_set_key(0, 0);
}

static void
unaligned_input_hashes_the_same(void **state)
{
	uint8_t bytes[40];
	uint64_t expected;

	(void) state;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "application_name", 17);
	expected = hash_bytes(bytes, 17);
	for (size_t shift = 1; shift < 16; shift++)
	{
		memmove(bytes + shift, bytes + shift - 1, 17);
		assert_true(hash_bytes(bytes + shift, 17) == expected);
	}
}

static void
the_table_macro_uses_it(void **state)
{
	unsigned hashv = 0;

	(void) state;
	HASH_FUNCTION("abc", 3, hashv);
	assert_int_equal(hashv, (unsigned) hash_bytes("abc", 3));
	assert_int_not_equal(hashv, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_with_a_zero_key),
		cmocka_unit_test(vectors_with_a_key),
		cmocka_unit_test(unaligned_input_hashes_the_same),
		cmocka_unit_test(the_table_macro_uses_it),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
