/*
 * test_endpoint.c - where to listen, in one word.
 */
#include "conf/endpoint.h"

#include <string.h>

#include "unit.h"

static void
test_good(void **state)
{
	static const struct
	{
		const char *text;
		const char *address;
		int port;
	} rows[] = {
		{"9127", "127.0.0.1", 9127},
		{"1", "127.0.0.1", 1},
		{"0.0.0.0:65535", "0.0.0.0", 65535},
		{"10.1.2.3:80", "10.1.2.3", 80},
		{"[::1]:9127", "::1", 9127},
		{"[::]:9127", "::", 9127},
		{"[fe80::1:2]:9127", "fe80::1:2", 9127},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char address[ENDPOINT_ADDRESS_MAX];
		int port;

		if (!endpoint_split(rows[i].text, address, &port))
			fail_msg("%s", rows[i].text);
		assert_string_equal(address, rows[i].address);
		assert_int_equal(port, rows[i].port);
	}
}

static void
test_bad(void **state)
{
	static const char *const rows[] = {
		"",
		"0",
		"65536",
		"-1",
		"x",
		":",
		":80",
		"80:",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:0",
		"127.0.0.1:80x",
		"localhost:80",
		"::1:80",
		"[::1]",
		"[::1]:",
		"[]:80",
		"[:80",
		"]:80",
		"[127.0.0.1]:80",
		"[::1:80",
		"::1]:80",
		"127.0.0.1 :80",
		"*:80",
		"1111111111111111111111111111111111111111111111111111111111111111111:80"};

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char address[ENDPOINT_ADDRESS_MAX];
		int port;

		if (endpoint_split(rows[i], address, &port))
			fail_msg("%s is %s port %d", rows[i], address, port);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
