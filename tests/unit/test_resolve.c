/*
 * test_resolve.c - look-ups in /etc/hosts and at a name server, answered, refused, unanswered and
 * cancelled.
 */
#include "net/resolve.h"

#include <netinet/in.h>

#include "fake_dns.h"
#include "turning.h"

#define PORT 5432

struct fixture
{
	struct loop loop;
	struct fake_dns dns;
	struct resolve *lookup;
	struct dns_answer result;
	bool done;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL || !loop_init(&f->loop, 0, NULL))
		return -1;
	fake_dns_start(&f->dns, &f->loop);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	resolve_cancel(&f->lookup);
	resolve_fini(&f->loop);
	resolve_fini(&f->loop);
	dns_fini();
	fake_dns_stop(&f->dns);
	loop_fini(&f->loop);
	free(f);
	return 0;
}

static void
note(void *arg, const struct dns_answer *result)
{
	struct fixture *f = arg;

	f->lookup = NULL;
	f->result = *result;
	f->done = true;
}

static void
start(struct fixture *f, const char *host)
{
	f->done = false;
	f->lookup = resolve_start(&f->loop, host, PORT, note, f);
	assert_non_null(f->lookup);
	assert_false(f->done); /* never from within */
}

static void
look_up(struct fixture *f, const char *host)
{
	start(f, host);
	turn_until(&f->loop, is_true, &f->done, host);
}

/* True when the result holds an IPv4 address, with the port that was asked for. */
static bool
has(const struct dns_answer *r, const char *address)
{
	for (int i = 0; i < r->n; i++)
	{
		char text[PEER_ADDR_TEXT_MAX];
		int port;

		peer_addr_text(&r->addr[i].ss, text, sizeof(text), &port);
		if (strcmp(text, address) == 0 && port == PORT)
			return true;
	}
	return false;
}

static void
localhost_needs_no_server(void **state)
{
	struct fixture *f = *state;

	look_up(f, "localhost");
	assert_true(f->result.n >= 1);
	assert_true(has(&f->result, "127.0.0.1") || has(&f->result, "::1"));
	assert_int_equal(f->dns.questions, 0);
}

static void
a_name_has_all_its_addresses(void **state)
{
	struct fixture *f = *state;

	look_up(f, "127.0.0.5.127.0.0.6.test");
	assert_int_equal(f->result.n, 2);
	assert_true(has(&f->result, "127.0.0.5"));
	assert_true(has(&f->result, "127.0.0.6"));
	assert_true(f->dns.questions > 0);
}

static void
more_addresses_than_fit_are_left_out(void **state)
{
	struct fixture *f = *state;

	char name[256] = "";

	for (int i = 0; i < DNS_MAX_ADDRS + 2; i++)
		strcat(name, "1.2.3.4.");
	look_up(f, strcat(name, "test"));
	assert_int_equal(f->result.n, DNS_MAX_ADDRS);
}

static void
a_name_that_does_not_exist_fails(void **state)
{
	struct fixture *f = *state;

	look_up(f, "nobody.example");
	assert_int_equal(f->result.n, 0);
	assert_non_null(f->result.error);
	assert_true(strlen(f->result.error) > 0);
}

static void
a_silent_server_is_a_failure_in_the_end(void **state)
{
	struct fixture *f = *state;

	look_up(f, "silent.test");
	assert_int_equal(f->result.n, 0);
	assert_non_null(f->result.error);
	/* It was asked again before that. */
	assert_true(f->dns.questions >= 2);
}

static void
names_that_cannot_be_fail(void **state)
{
	struct fixture *f = *state;
	char longest[400];

	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	look_up(f, longest);
	assert_int_equal(f->result.n, 0);
	look_up(f, "two..dots");
	assert_int_equal(f->result.n, 0);
	look_up(f, "");
	assert_int_equal(f->result.n, 0);
}

static void
nothing_is_said_after_cancel(void **state)
{
	struct fixture *f = *state;

	/* Before the question has left. */
	start(f, "127.0.0.5.test");
	resolve_cancel(&f->lookup);
	assert_null(f->lookup);
	resolve_cancel(&f->lookup); /* legal */

	/* The answer is there (/etc/hosts gives it at once), its delivery waits. */
	start(f, "localhost");
	resolve_cancel(&f->lookup);

	/* A look-up after them brings the answers of the cancelled ones with it; they reach nobody. */
	assert_false(f->done);
	look_up(f, "127.0.0.6.test");
	assert_int_equal(f->result.n, 1);
	assert_true(has(&f->result, "127.0.0.6"));
}

static void
many_look_ups_run_side_by_side(void **state)
{
	struct fixture *f = *state;
	static struct fixture many[50];

	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
	{
		char name[64];

		memset(&many[i], 0, sizeof(many[i]));
		snprintf(name, sizeof(name), "127.0.1.%zu.test", i);
		many[i].lookup = resolve_start(&f->loop, name, PORT, note, &many[i]);
		assert_non_null(many[i].lookup);
	}
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
	{
		char address[32];

		turn_until(&f->loop, is_true, &many[i].done, "one of many");
		snprintf(address, sizeof(address), "127.0.1.%zu", i);
		assert_int_equal(many[i].result.n, 1);
		assert_true(has(&many[i].result, address));
	}
}

static void
fini_silences_what_is_under_way(void **state)
{
	struct fixture *f = *state;
	struct resolve *cancelled;

	start(f, "silent.test");
	cancelled = resolve_start(&f->loop, "silent.test", PORT, note, f);
	resolve_cancel(&cancelled);
	turn_once(&f->loop);
	resolve_fini(&f->loop);
	assert_null(f->loop.resolver);
	turn_once(&f->loop);
	assert_false(f->done);
	resolve_cancel(&f->lookup); /* the handle is still ours to cancel */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(localhost_needs_no_server, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_has_all_its_addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(more_addresses_than_fit_are_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_that_does_not_exist_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_silent_server_is_a_failure_in_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_that_cannot_be_fail, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_said_after_cancel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_look_ups_run_side_by_side, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fini_silences_what_is_under_way, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
