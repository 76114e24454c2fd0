/*
 * test_intern.c - equal texts are one, for as long as somebody uses them, from any thread.
 */
#include "base/intern.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#define THREADS 4
#define ROUNDS 20000
#define TEXTS 8

static void
equal_texts_are_one(void **state)
{
	char mine[] = "UTC";
	const char *a = intern_get(mine);
	const char *b = intern_get("UTC");
	const char *c = intern_get("UTC ");

	(void) state;
	mine[0] = 'x'; /* it is a copy */
	assert_string_equal(a, "UTC");
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_int_equal(intern_count(), 2);
	intern_drop(&a);
	assert_null(a);
	assert_string_equal(b, "UTC");
	intern_drop(&b);
	intern_drop(&c);
	intern_drop(&c);
	assert_int_equal(intern_count(), 0);
}

static void *
take_and_drop(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
	{
		char name[16];
		const char *text;

		snprintf(name, sizeof(name), "%d", i % TEXTS);
		text = intern_get(name);
		if (strcmp(text, name) != 0)
			return arg;
		intern_drop(&text);
	}
	return NULL;
}

static void
threads_share_them(void **state)
{
	pthread_t threads[THREADS];
	void *wrong;

	(void) state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_drop, threads), 0);
	for (int i = 0; i < THREADS; i++)
	{
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	assert_int_equal(intern_count(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_texts_are_one),
		cmocka_unit_test(threads_share_them),
	};

	return cmocka_run_group_tests_name("intern", tests, NULL, NULL);
}
