/*
 * test_relay_unnamed.c - the unnamed statement (W4) through the relay: nobody ever gets another's.
 */
#include "core/relay.h"

#include "replay.h"

static void
parse_bind_execute_passes_as_it_is(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(|select 1) B(||v) D(P|) E C(P|) S",
							"1> P(|select 1) B(||v) D(P|) E C(P|) S", "1: 1 2 n C(SELECT 1) 3 Z(I)",
							"a> 1 2 n C(SELECT 1) 3 Z(I)", "a= names=0 ops=0", "1= known=0", "a@-"),
					 100);
}

/* Its text is kept when it was not used at once. */
static void
it_follows_its_client_to_another_server(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(|select 1) D(S|) S", "1> P(|select 1) D(S|) S",
							"1: 1 t n Z(I)", "a> 1 t n Z(I)", "a= unnamed=1", "a@-", "a@2",
							"a: B(|) E S", "2> P(|select 1) B(|) E S", "2: 1 2 C(SELECT 1) Z(I)",
							"a> 2 C(SELECT 1) Z(I)", "a@-", "a@2", "a: B(|) E S", "2> B(|) E S",
							"2: 2 C(SELECT 1) Z(I)", "a> 2 C(SELECT 1) Z(I)", "a= ops=0", "a@-"),
					 100);
}

/* The text that is put in front outlives its being replaced in the same breath. */
static void
it_is_replaced_behind_its_use(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(|select 1) D(S|) S", "1> P(|select 1) D(S|) S",
							"1: 1 t n Z(I)", "a> 1 t n Z(I)", "a@-", "a@2",
							"a: B(|) E S P(|select 2) D(S|) S",
							"2> P(|select 1) B(|) E S P(|select 2) D(S|) S",
							"2: 1 2 C(SELECT 1) Z(I) 1 t n Z(I)",
							"a> 2 C(SELECT 1) Z(I) 1 t n Z(I)", "a= ops=0", "a@-"),
					 100);
}

static void
another_clients_is_not_found(void **state)
{
	(void) state;
	replay_whole(&loop,
				 SCRIPT("a@1", "a: P(|select 1) B(|) E S", "1> P(|select 1) B(|) E S",
						"1: 1 2 C(SELECT 1) Z(I)", "a> 1 2 C(SELECT 1) Z(I)", "a= unnamed=0", "a@-",
						"b@1", "b: B(|) E S", "1> C(S|) B(|) E S", "1: 3 E(26000|no unnamed) Z(I)",
						"b> E(26000|no unnamed) Z(I)", "b@-", "a@1", "a: D(S|) S",
						"1> C(S|) D(S|) S", "1: 3 E(26000|no unnamed) Z(I)",
						"a> E(26000|no unnamed) Z(I)", "a@-"),
				 100);
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(|select 1) D(S|) S", "1> P(|select 1) D(S|) S",
							"1: 1 t n Z(I)", "a> 1 t n Z(I)", "a@-", "b@1",
							"b: P(|select 2) B(|) E S", "1> P(|select 2) B(|) E S",
							"1: 1 2 C(SELECT 1) Z(I)", "b> 1 2 C(SELECT 1) Z(I)", "b@-", "a@1",
							"a: B(|) E S", "1> P(|select 1) B(|) E S", "1: 1 2 C(SELECT 1) Z(I)",
							"a> 2 C(SELECT 1) Z(I)", "a@-"),
					 100);
}

/* A Parse that an error made the server skip: the next batch, sent already, must not find what
 * the server had before. */
static void
a_skipped_parse_leaves_nobodys_to_the_next_batch(void **state)
{
	(void) state;
	replay_whole(&loop,
				 SCRIPT("b@1", "b: P(|select 666) D(S|) S", "1> P(|select 666) D(S|) S",
						"1: 1 t n Z(I)", "b> 1 t n Z(I)", "b@-", "a@1",
						"a: P(s|selec) P(|select 1) S B(|) E S",
						"1> P(#1|selec) P(|select 1) S P(|select 1) B(|) E S",
						"1: E(42601|syntax error) Z(I) 1 2 C(SELECT 1) Z(I)",
						"a> E(42601|syntax error) Z(I) 2 C(SELECT 1) Z(I)", "a= ops=0", "a@-"),
				 100);
	replay_every_way(&loop,
					 SCRIPT("b@1", "b: P(|select 666) D(S|) S", "1> P(|select 666) D(S|) S",
							"1: 1 t n Z(I)", "b> 1 t n Z(I)", "b@-", "a@1",
							"a: P(s|selec) P(|select 1) S", "1> P(#1|selec) P(|select 1) S",
							"1: E(42601|syntax error) Z(I)", "a> E(42601|syntax error) Z(I)",
							"a: B(|) E S", "1> C(S|) B(|) E S", "1: 3 E(26000|no unnamed) Z(I)",
							"a> E(26000|no unnamed) Z(I)", "a= ops=0", "a@-"),
					 100);
}

static void
a_query_or_a_close_ends_it(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(|select 1) D(S|) S", "1> P(|select 1) D(S|) S",
							"1: 1 t n Z(I)", "a> 1 t n Z(I)", "a: Q(select 2)", "1> Q(select 2)",
							"1: C(SELECT 1) Z(I)", "a> C(SELECT 1) Z(I)", "a= unnamed=0",
							"a: B(|) S", "1> C(S|) B(|) S", "1: 3 E(26000|no unnamed) Z(I)",
							"a> E(26000|no unnamed) Z(I)", "a@-", "b@2", "b: P(|select 1) D(S|) S",
							"2> P(|select 1) D(S|) S", "2: 1 t n Z(I)", "b> 1 t n Z(I)", "b@-",
							"a@2", "a: C(S|) S", "2> C(S|) S", "2: 3 Z(I)", "a> 3 Z(I)", "a@-",
							"b@2", "b: B(|) S", "2> P(|select 1) B(|) S", "2: 1 2 Z(I)",
							"b> 2 Z(I)", "b@-"),
					 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_bind_execute_passes_as_it_is),
		cmocka_unit_test(it_follows_its_client_to_another_server),
		cmocka_unit_test(it_is_replaced_behind_its_use),
		cmocka_unit_test(another_clients_is_not_found),
		cmocka_unit_test(a_skipped_parse_leaves_nobodys_to_the_next_batch),
		cmocka_unit_test(a_query_or_a_close_ends_it),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
