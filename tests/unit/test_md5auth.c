/*
 * test_md5auth.c - the md5 method against what PostgreSQL itself stores and sends.
 */
#include "proto/md5auth.h"

#include "unit.h"

static void
secret_is_what_postgresql_stores(void **state)
{
	char out[MD5AUTH_TEXT];

	(void) state;
	/* select 'md5' || md5('secret' || 'alice') */
	assert_true(md5auth_secret("secret", "alice", out));
	assert_string_equal(out, "md54a0a68b43b6cd5cf266fa02f196e2371");
}

static void
secrets_are_recognised(void **state)
{
	(void) state;
	assert_true(md5auth_is_secret("md50123456789abcdef0123456789abcdef"));
	assert_false(md5auth_is_secret("md50123456789abcdef0123456789abcde"));
	assert_false(md5auth_is_secret("md50123456789abcdef0123456789abcdeF"));
	assert_false(md5auth_is_secret("md5 is a password too"));
	assert_false(md5auth_is_secret(""));
}

static void
answer_depends_on_secret_and_salt(void **state)
{
	const uint8_t salt[MD5AUTH_SALT] = {1, 2, 3, 4};
	const uint8_t other[MD5AUTH_SALT] = {1, 2, 3, 5};
	char secret[MD5AUTH_TEXT];
	char a[MD5AUTH_TEXT];
	char b[MD5AUTH_TEXT];

	(void) state;
	md5auth_secret("secret", "alice", secret);
	assert_true(md5auth_answer(secret, salt, a));
	assert_true(md5auth_is_secret(a));
	md5auth_answer(secret, other, b);
	assert_string_not_equal(a, b);
	md5auth_secret("Secret", "alice", secret);
	md5auth_answer(secret, salt, b);
	assert_string_not_equal(a, b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secret_is_what_postgresql_stores),
		cmocka_unit_test(secrets_are_recognised),
		cmocka_unit_test(answer_depends_on_secret_and_salt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
