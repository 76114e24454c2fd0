/*
 * test_random.c - portions of every size, none twice, and none left behind.
 */
#include "base/random.h"

#include <stdint.h>
#include <string.h>

#include "unit.h"

#define PORTIONS 400
#define SIZE 20

static void
portions_differ(void **state)
{
	static uint8_t portions[PORTIONS][SIZE];

	(void) state;
	for (int i = 0; i < PORTIONS; i++)
	{
		assert_true(random_bytes(portions[i], SIZE));
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(portions[i], portions[k], SIZE);
	}
}

static void
every_size_is_filled(void **state)
{
	static uint8_t out[5000];
	const size_t sizes[] = {1, 1023, 1024, 1025, 4, 1024, 5000, 0};

	(void) state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		size_t n = sizes[i];
		int zeros = 0;

		memset(out, 0, sizeof(out));
		assert_true(random_bytes(out, n));
		/* A stretch of zeros would be what was wiped already, or never written. */
		for (size_t k = 0; k < n; k++)
		{
			zeros = out[k] == 0 ? zeros + 1 : 0;
			assert_true(zeros < 8);
		}
		for (size_t k = n; k < sizeof(out); k++)
			assert_int_equal(out[k], 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(portions_differ),
		cmocka_unit_test(every_size_is_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
