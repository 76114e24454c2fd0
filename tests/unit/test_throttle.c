/*
 * test_throttle.c - which rate counts for whom, and what a query that was done already costs.
 */
#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "conf_files.h"
#include "core/throttle.h"
#include "net/peer_addr.h"

#define S 1000000ull

static uint64_t now_us;
static struct rates rates;
static struct throttle throttle;
static struct throttle_error error;

static uint64_t
stepped(void)
{
	return now_us;
}

static int
set_up(void **state)
{
	(void) state;
	now_us = 1000 * S;
	clock_set_source(stepped);
	rates_init(&rates);
	memset(&throttle, 0, sizeof(throttle));
	throttle_init(&throttle, &rates, "alice", "10.0.0.7");
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	rates_fini(&rates);
	clock_set_source(NULL);
	return 0;
}

/* Requests that are let through now, each answered at once. */
static int
ask(const struct conf_limits *l, uint32_t serial)
{
	uint64_t answered = 0;
	int n = 0;

	while (n < 1000 && throttle_request(&throttle, l, serial, &answered, &error))
	{
		answered++;
		n++;
	}
	return n;
}

static void
test_whose_rate(void **state)
{
	static const char text[] =
		"[databases]\nplain =\nslow = max_user_query_rate=7 rate_burst=3\n"
		"[users]\nalice = max_user_query_rate=9 max_address_connection_rate=4\n"
		"[pgbouncer]\nauth_type = trust\nmax_user_query_rate = 5\nmax_user_connection_rate = 6\n"
		"max_address_query_rate = 8\n";
	struct conf_error err;
	struct conf *conf = conf_text_load(text, &err);
	struct conf_limits l;

	(void) state;
	assert_non_null(conf);
	conf_limits(conf, conf_find_database(conf, "plain"), "bob", &l);
	assert_int_equal(l.max_user_query_rate, 5);
	assert_int_equal(l.max_user_connection_rate, 6);
	assert_int_equal(l.max_address_query_rate, 8);
	assert_int_equal(l.max_address_connection_rate, 0);
	assert_int_equal(l.rate_burst_us, S);
	assert_true(l.query_rates);
	conf_limits(conf, conf_find_database(conf, "slow"), "bob", &l);
	assert_int_equal(l.max_user_query_rate, 7);
	assert_int_equal(l.rate_burst_us, 3 * S);
	conf_limits(conf, conf_find_database(conf, "slow"), "alice", &l);
	assert_int_equal(l.max_user_query_rate, 9);
	assert_int_equal(l.max_address_connection_rate, 4);
	conf_free(conf);
	conf = conf_text_load("[databases]\n[pgbouncer]\nauth_type = trust\n", &err);
	conf_limits(conf, NULL, "bob", &l);
	assert_false(l.query_rates);
	conf_free(conf);
}

static void
test_both_are_asked(void **state)
{
	const struct conf_limits l = {
		.max_user_query_rate = 10, .max_address_query_rate = 4, .rate_burst_us = S};
	struct throttle other = {0};
	uint64_t none = 0;

	(void) state;
	assert_int_equal(ask(&l, 1), 4);
	assert_string_equal(error.e.severity, "ERROR");
	assert_string_equal(error.e.sqlstate, "53400");
	assert_string_equal(error.message, "too many queries of this address: 4 per second are allowed "
									   "(max_address_query_rate)");
	assert_string_equal(error.hint, "Try again in 251 ms.");
	/* What the address was refused the user has not used: six are left from elsewhere. */
	throttle_init(&other, &rates, "alice", "10.0.0.8");
	for (int i = 0; i < 4; i++)
		assert_true(throttle_request(&other, &l, 1, &none, &error));
	throttle_leave(&other, &l, 1, 0);
	throttle_init(&other, &rates, "alice", NULL);
	for (int i = 0; i < 2; i++)
		assert_true(throttle_request(&other, &l, 1, &none, &error));
	assert_false(throttle_request(&other, &l, 1, &none, &error));
	assert_non_null(strstr(error.message, "this user"));
	throttle_leave(&other, &l, 1, 0);
	throttle_leave(&throttle, &l, 1, 0);
}

static void
test_what_was_done_is_owed(void **state)
{
	const struct conf_limits l = {
		.max_user_query_rate = 10, .rate_burst_us = S, .query_rates = true};
	uint64_t answered = 0;

	(void) state;
	assert_true(throttle_request(&throttle, &l, 1, &answered, &error));
	answered = 30; /* a transaction of thirty: one was paid for */
	assert_false(throttle_request(&throttle, &l, 1, &answered, &error));
	assert_int_equal(answered, 0);
	assert_string_equal(error.hint, "Try again in 2101 ms.");
	now_us += 2 * S;
	assert_false(throttle_request(&throttle, &l, 1, &answered, &error));
	now_us += S / 10;
	assert_true(throttle_request(&throttle, &l, 1, &answered, &error));
	/* Leaving is no way out of it. */
	throttle_leave(&throttle, &l, 1, 31);
	throttle_init(&throttle, &rates, "alice", NULL);
	now_us += 2 * S;
	assert_false(throttle_request(&throttle, &l, 1, &answered, &error));
	throttle_leave(&throttle, &l, 1, 0);
}

/* A rate that comes with a reload is not for what was done before. */
static void
test_a_reload_forgives(void **state)
{
	const struct conf_limits l = {
		.max_user_query_rate = 10, .rate_burst_us = S, .query_rates = true};
	uint64_t answered = 1000000;

	(void) state;
	assert_true(throttle_request(&throttle, &l, 2, &answered, &error));
	answered = 1000;
	assert_true(throttle_request(&throttle, &l, 3, &answered, &error));
	throttle_leave(&throttle, &l, 4, 1000);
	throttle_init(&throttle, &rates, "alice", NULL);
	assert_int_equal(ask(&l, 4), 8);
	throttle_leave(&throttle, &l, 4, 0);
}

static void
test_connections(void **state)
{
	const struct conf_limits l = {
		.max_user_connection_rate = 2, .max_address_connection_rate = 1, .rate_burst_us = S};

	(void) state;
	assert_true(throttle_connection(&throttle, &l, RATE_ADDRESS, &error));
	assert_true(throttle_connection(&throttle, &l, RATE_USER, &error));
	assert_true(throttle_connection(&throttle, &l, RATE_USER, &error));
	assert_false(throttle_connection(&throttle, &l, RATE_USER, &error));
	assert_string_equal(error.e.severity, "FATAL");
	assert_string_equal(error.e.sqlstate, "53300");
	assert_string_equal(error.message, "too many new connections of this user: 2 per second are "
									   "allowed (max_user_connection_rate)");
	assert_true(error.tell);
	assert_false(throttle_connection(&throttle, &l, RATE_ADDRESS, &error));
	assert_non_null(strstr(error.message, "max_address_connection_rate"));
	now_us += S;
	assert_true(throttle_connection(&throttle, &l, RATE_ADDRESS, &error));
	throttle_leave(&throttle, NULL, 0, 0);
}

/* Nothing asked, nothing kept: for those without rates there is no entry. */
static void
test_off(void **state)
{
	const struct conf_limits l = {.rate_burst_us = S};

	(void) state;
	assert_true(throttle_connection(&throttle, &l, RATE_ADDRESS, &error));
	assert_int_equal(ask(&l, 1), 1000);
	assert_null(throttle.of[RATE_USER]);
	assert_null(throttle.of[RATE_ADDRESS]);
	throttle_leave(&throttle, &l, 1, 5);
	memset(&throttle, 0, sizeof(throttle));
	throttle_leave(&throttle, NULL, 0, 0);
}

static void
test_networks(void **state)
{
	static const struct
	{
		const char *from;
		const char *to;
	} cases[] = {
		{"10.0.0.7", "10.0.0.7"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"},
		{"::1", "::/64"},
		{"unix", "unix"},
	};
	char network[PEER_ADDR_TEXT_MAX];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		peer_addr_network(cases[i].from, network);
		assert_string_equal(network, cases[i].to);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whose_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_both_are_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_was_done_is_owed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_reload_forgives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connections, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_networks, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
