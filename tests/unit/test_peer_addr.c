/*
 * test_peer_addr.c - addresses to and from text.
 */
#include "net/peer_addr.h"

#include <netinet/in.h>
#include <string.h>

#include "unit.h"

static void
addresses_are_read_and_written(void **state)
{
	static const char *const good[] = {"127.0.0.1", "255.255.255.255", "0.9.10.99",   "100.200.1.0",
									   "::1",       "fe80::1",         "2001:db8::ff"};
	static const char *const bad[] = {"",          "localhost",  "127.1",        "1.2.3.4.5",
									  "256.1.1.1", ":::1",       "::1%nosuchif", "::1%0",
									  "[::1]",     " 127.0.0.1", "127.0.0.1 "};
	struct peer_addr a;
	char text[PEER_ADDR_TEXT_MAX];
	int port;

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		assert_true(peer_addr_literal(&a, good[i], 6432));
		peer_addr_text(&a.ss, text, sizeof(text), &port);
		assert_string_equal(text, good[i]);
		assert_int_equal(port, 6432);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (peer_addr_literal(&a, bad[i], 6432))
			fail_msg("taken for an address: \"%s\"", bad[i]);

	assert_true(peer_addr_literal(&a, "fe80::1%7", 6432));
	assert_int_equal(((struct sockaddr_in6 *) &a.ss)->sin6_scope_id, 7);
	assert_true(peer_addr_literal(&a, "::ffff:10.0.0.7", 1));
	peer_addr_text(&a.ss, text, sizeof(text), &port);
	assert_string_equal(text, "10.0.0.7");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
