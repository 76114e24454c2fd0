/*
 * test_hosts.c - the order in which the hosts of a list are tried, and what failures do to it
 * (core/hosts, net/outage); name servers with a port (net/nameservers).
 */
#include "core/hosts.h"

#include <string.h>

#include "base/clock.h"
#include "net/nameservers.h"
#include "net/outage.h"
#include "unit.h"

#define SECOND ((uint64_t) 1000000)

static uint64_t now_us = 100 * SECOND;
static struct conf conf = {
	.unix_socket_dir = "/run/x",
	.server_login_retry_us = 15 * SECOND,
	.server_connect_timeout_us = 9 * SECOND,
};

static uint64_t
stepped(void)
{
	return now_us;
}

static int
set_up(void **state)
{
	(void) state;
	clock_set_source(stepped);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	outage_fini();
	clock_set_source(NULL);
	return 0;
}

/* Tries the hosts up to the one that works; all of them, in order, separated by blanks. */
static const char *
tried(const struct conf_database *db, _Atomic uint32_t *turn, const char *works)
{
	static char text[200];
	struct hosts h;

	text[0] = '\0';
	hosts_begin(&h, &conf, db, turn);
	do
	{
		strcat(strcat(text, text[0] != '\0' ? " " : ""), hosts_current(&h));
		if (strcmp(hosts_current(&h), works) == 0)
		{
			hosts_worked(&h);
			break;
		}
	} while (hosts_next(&h));
	hosts_fini(&h);
	hosts_fini(&h); /* legal */
	return text;
}

static void
round_robin(void **state)
{
	const struct conf_database db = {.host = "a, b ,c", .port = 1, .load_balance_hosts = -1};
	_Atomic uint32_t turn = 0;

	(void) state;
	assert_string_equal(tried(&db, &turn, "a"), "a");
	assert_string_equal(tried(&db, &turn, "b"), "b");
	assert_string_equal(tried(&db, &turn, "c"), "c");
	assert_string_equal(tried(&db, &turn, "c"), "a b c");
	/* Both have failed: for so long they stand behind the one that works, but are not left out. */
	assert_string_equal(tried(&db, &turn, "c"), "c");
	assert_string_equal(tried(&db, &turn, "b"), "c a b");
	assert_string_equal(tried(&db, &turn, "b"), "b");
	now_us += 15 * SECOND;
	assert_string_equal(tried(&db, &turn, "none"), "b c a");
}

static void
turns_may_run_over(void **state)
{
	const struct conf_database db = {.host = "a,b", .port = 1, .load_balance_hosts = 1};
	_Atomic uint32_t turn = UINT32_MAX;

	(void) state;
	assert_string_equal(tried(&db, &turn, "b"), "b");
	assert_string_equal(tried(&db, &turn, "a"), "a");
}

static void
disabled(void **state)
{
	const struct conf_database db = {.host = "a,b,c", .port = 1, .load_balance_hosts = 0};
	_Atomic uint32_t turn = 0;

	(void) state;
	for (int i = 0; i < 3; i++)
		assert_string_equal(tried(&db, &turn, "a"), "a");
	assert_string_equal(tried(&db, &turn, "b"), "a b");
	now_us += 15 * SECOND;
	/* It stays where it went. */
	assert_string_equal(tried(&db, &turn, "b"), "b");
	assert_string_equal(tried(&db, &turn, "a"), "b c a");
}

static void
another_port_is_another_host(void **state)
{
	const struct conf_database one = {.host = "a,b", .port = 1, .load_balance_hosts = 1};
	const struct conf_database two = {.host = "a,b", .port = 2, .load_balance_hosts = 1};
	_Atomic uint32_t turn = 0;

	(void) state;
	assert_string_equal(tried(&one, &turn, "b"), "a b");
	assert_string_equal(tried(&one, &turn, "b"), "b");
	assert_string_equal(tried(&two, &turn, "a"), "a");
}

static void
one_host_is_no_list(void **state)
{
	const struct conf_database none = {.port = 1};
	const struct conf_database one = {.host = "a", .port = 1};
	_Atomic uint32_t turn = 0;
	struct hosts h;

	(void) state;
	assert_string_equal(tried(&none, &turn, ""), "/run/x");
	assert_string_equal(tried(&one, &turn, ""), "a");
	assert_false(outage_is("a", 1, now_us)); /* the pool's back-off is enough */
	hosts_begin(&h, &conf, &one, &turn);
	assert_int_equal(hosts_time_us(&h, &conf), 9 * SECOND);
	hosts_fini(&h);
}

static void
hosts_share_the_time(void **state)
{
	const struct conf_database db = {.host = "a,b,c", .port = 1};
	_Atomic uint32_t turn = 0;
	struct hosts h;

	(void) state;
	hosts_begin(&h, &conf, &db, &turn);
	assert_int_equal(hosts_time_us(&h, &conf), 3 * SECOND);
	hosts_fini(&h);
}

static void
outages_end(void **state)
{
	(void) state;
	outage_note("a", 1, now_us + SECOND);
	outage_note("b", 1, now_us + SECOND);
	outage_note("a", 1, now_us + 2 * SECOND);
	assert_true(outage_is("a", 1, now_us + SECOND));
	assert_false(outage_is("b", 1, now_us + SECOND));
	outage_over("a", 1);
	outage_over("a", 1);
	assert_false(outage_is("a", 1, now_us));
	assert_true(outage_is("b", 1, now_us));
}

static void
name_servers(void **state)
{
	static const struct
	{
		const char *line;
		const char *wanted;
		bool port;
	} rows[] = {
		{"nameserver 10.0.0.1\n", "10.0.0.1", false},
		{"nameserver\t[10.0.0.1]:8600 # consul\n", "10.0.0.1:8600", true},
		{"nameserver [::1]:53", "[::1]:53", true},
		{"nameserver ::1", "[::1]", false},
		{"nameserver [::1]", "[::1]", false},
		{"nameserver [::1]:0", "", false},
		{"nameserver [::1]:65536", "", false},
		{"nameserver [::1]x", "", false},
		{"nameserver [::1", "", false},
		{"nameserver 10.0.0.1:53", "", false},
		{"nameserver name", "", false},
		{"nameserver", "", false},
		{"search [::1]:53", "", false},
		{"", "", false},
	};
	char out[NAMESERVERS_TEXT_MAX] = "";
	char tight[24] = "";
	bool port = false;

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		out[0] = '\0';
		port = false;
		nameservers_line(rows[i].line, out, sizeof(out), &port);
		assert_string_equal(out, rows[i].wanted);
		assert_int_equal(port, rows[i].port);
	}
	/* One behind the other; what does not fit is left out whole. */
	nameservers_line("nameserver 10.0.0.1", tight, sizeof(tight), &port);
	nameservers_line("nameserver [10.0.0.2]:5", tight, sizeof(tight), &port);
	nameservers_line("nameserver 10.0.0.3", tight, sizeof(tight), &port);
	assert_string_equal(tight, "10.0.0.1,10.0.0.2:5");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_robin, set_up, tear_down),
		cmocka_unit_test_setup_teardown(turns_may_run_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(disabled, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_port_is_another_host, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_host_is_no_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hosts_share_the_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(outages_end, set_up, tear_down),
		cmocka_unit_test(name_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
