/*
 * test_dns.c - what is kept of an answer, for how long, and whom a newer one leaves behind.
 */
#include "net/dns.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "unit.h"

#define SECOND ((uint64_t) 1000000)

static uint64_t now_us = 100 * SECOND;
static int told;

static uint64_t
stepped(void)
{
	return now_us;
}

static void
count(void *arg)
{
	(*(int *) arg)++;
}

static int
set_up(void **state)
{
	(void) state;
	clock_set_source(stepped);
	dns_limits(60 * SECOND, 5 * SECOND);
	dns_on_move(count, &told);
	told = 0;
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	dns_on_move(NULL, NULL);
	dns_fini();
	clock_set_source(NULL);
	return 0;
}

/* An answer of addresses separated by blanks. */
static struct dns_answer
answer_of(const char *addrs)
{
	struct dns_answer a = {.error = *addrs == '\0' ? "no such name" : NULL};
	char copy[256];
	char *rest = NULL;

	strcpy(copy, addrs);
	for (char *one = strtok_r(copy, " ", &rest); one != NULL; one = strtok_r(NULL, " ", &rest))
		assert_true(peer_addr_literal(&a.addr[a.n++], one, 0));
	return a;
}

static void
put(const char *name, const char *addrs, uint64_t ttl_s, bool certain)
{
	struct dns_answer a = answer_of(addrs);

	dns_put(name, &a, ttl_s * SECOND, certain);
}

/* The first address of what is known, or "" when that is that there is none. */
static const char *
first(const char *name)
{
	static char text[PEER_ADDR_TEXT_MAX];
	struct dns_answer a;
	int port;

	if (!dns_get(name, &a))
		return "unknown";
	if (a.n == 0)
		return "";
	peer_addr_text(&a.addr[0].ss, text, sizeof(text), &port);
	return text;
}

static void
an_answer_lives_as_long_as_it_may(void **state)
{
	(void) state;
	assert_string_equal(first("a"), "unknown");
	put("a", "10.0.0.1", 10, true);
	put("b", "10.0.0.2", 1000, true);
	put("c", "", 1000, true);
	put("d", "10.0.0.4", 0, true);
	assert_string_equal(first("a"), "10.0.0.1");
	assert_string_equal(first("c"), "");
	assert_string_equal(first("d"), "unknown");
	now_us += 5 * SECOND;
	assert_string_equal(first("a"), "10.0.0.1");
	assert_string_equal(first("c"), "unknown"); /* dns_nxdomain_ttl */
	now_us += 5 * SECOND;
	assert_string_equal(first("a"), "unknown"); /* its own */
	now_us += 50 * SECOND - 1;
	assert_string_equal(first("b"), "10.0.0.2");
	now_us++;
	assert_string_equal(first("b"), "unknown"); /* dns_max_ttl */
	assert_int_equal(dns_count(), 4);
}

static void
addresses_take_turns(void **state)
{
	static const char *const wanted[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"};

	(void) state;
	put("a", "10.0.0.1 10.0.0.2 10.0.0.3", 60, true);
	for (int i = 0; i < 4; i++)
		assert_string_equal(first("a"), wanted[i]);
	/* A new answer does not begin anew. */
	put("a", "10.0.0.1 10.0.0.2 10.0.0.3", 60, true);
	assert_string_equal(first("a"), "10.0.0.2");
}

static void
who_has_moved(void **state)
{
	uint32_t before = dns_moves();

	(void) state;
	assert_true(dns_stands_for("a", "10.0.0.1")); /* nothing is known */
	put("a", "10.0.0.1 10.0.0.2", 60, true);
	put("a", "10.0.0.2 10.0.0.1 10.0.0.3", 60, true);
	assert_int_equal(told, 0);
	put("a", "10.0.0.2 ::1", 60, true);
	assert_int_equal(told, 1);
	assert_int_equal(dns_moves(), before + 1);
	assert_false(dns_stands_for("a", "10.0.0.1"));
	assert_true(dns_stands_for("a", "10.0.0.2"));
	assert_true(dns_stands_for("a", "::1"));
	/* No answer moves nobody. */
	put("a", "", 60, true);
	assert_int_equal(told, 1);
	assert_true(dns_stands_for("a", "10.0.0.1"));
}

static void
no_answer_keeps_what_is_known(void **state)
{
	(void) state;
	put("a", "10.0.0.1", 1, true);
	now_us += 2 * SECOND;
	assert_string_equal(first("a"), "unknown");
	put("a", "", 0, false);
	assert_string_equal(first("a"), "10.0.0.1");
	now_us += 5 * SECOND;
	assert_string_equal(first("a"), "unknown");
	put("a", "", 0, true);
	assert_string_equal(first("a"), "");
}

/* As many addresses as fit: there may be more, so none counts as gone. */
static void
an_answer_that_was_cut(void **state)
{
	char many[DNS_MAX_ADDRS * 10] = "";

	(void) state;
	for (int i = 0; i < DNS_MAX_ADDRS; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "10.0.1.%d ", i);
	put("a", "10.0.0.1", 60, true);
	put("a", many, 60, true);
	assert_int_equal(told, 0);
	assert_true(dns_stands_for("a", "10.0.0.1"));
}

static void
note_row(void *arg, const struct dns_row *row)
{
	char *text = arg;

	sprintf(text + strlen(text), "%s %d %s;", row->name, (int) row->ttl_s, row->addrs);
}

static void
rows(void **state)
{
	char text[200] = "";

	(void) state;
	put("a", "10.0.0.1 fe80::1", 10, true);
	put("b", "", 0, true);
	now_us += 7 * SECOND;
	dns_rows(note_row, text);
	assert_string_equal(text, "b 0 ;a 3 10.0.0.1,fe80::1;");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_lives_as_long_as_it_may, set_up, tear_down),
		cmocka_unit_test_setup_teardown(addresses_take_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_has_moved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_answer_keeps_what_is_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_that_was_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rows, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
