/*
 * test_relay_deallocate.c - statements that end by SQL (W6) through the relay.
 */
#include "core/relay.h"

#include "replay.h"

static void
deallocate_of_a_name(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) P(t|select 2) S",
							"1> P(#1|select 1) P(#2|select 2) S", "1: 1 1 Z(I)", "a> 1 1 Z(I)",
							"a: Q(DEALLOCATE s)", "1> Q(DEALLOCATE \"#1\")",
							"1: C(DEALLOCATE) Z(I)", "a> C(DEALLOCATE) Z(I)", "a= names=1 ops=0",
							"1= known=1", "a: P(s|select 3) B(|s) S", "1> P(#3|select 3) B(|#3) S",
							"1: 1 2 Z(I)", "a> 1 2 Z(I)", "a: Q(deallocate prepare \"nosuch\")",
							"1> Q(deallocate prepare \"nosuch\")", "1: E(26000|no nosuch) Z(I)",
							"a> E(26000|no nosuch) Z(I)", "a= names=2 ops=0", "a@-"),
					 100);
}

/* The answer is one CommandComplete all the same. */
static void
deallocate_where_the_server_does_not_know_it(void **state)
{
	(void) state;
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)", "a> 1 Z(I)", "a@-",
			   "a@2", "a: Q(DEALLOCATE s)",
			   "2> Q(PREPARE \"PERFKIT_PROBE\" AS SELECT;DEALLOCATE \"PERFKIT_PROBE\")",
			   "2: C(PREPARE) C(DEALLOCATE) Z(I)", "a> C(DEALLOCATE) Z(I)", "a= names=0 ops=0",
			   "a@-"),
		100);
}

static void
a_deallocate_that_fails_changes_nothing(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) Q(begin)", "1> P(#1|select 1) Q(begin)",
							"1: 1 C(BEGIN) Z(T)", "a> 1 C(BEGIN) Z(T)", "a: Q(x)", "1> Q(x)",
							"1: E(42601|x) Z(E)", "a> E(42601|x) Z(E)", "a: Q(DEALLOCATE s)",
							"1> Q(DEALLOCATE \"#1\")", "1: E(25P02|aborted) Z(E)",
							"a> E(25P02|aborted) Z(E)", "a= names=1 ops=0", "1= known=1"),
					 100);
}

/* By the extended protocol; whether it is executed is not known, so a Close goes in front of what
 * is prepared later. */
static void
deallocate_by_the_extended_protocol(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: P(|DEALLOCATE s) B(|) E P(t|select 1) B(|t) S",
							"1> P(|DEALLOCATE \"#1\") B(|) E C(S|#1) P(#1|select 1) B(|#1) S",
							"1: 1 2 C(DEALLOCATE) 3 1 2 Z(I)", "a> 1 2 C(DEALLOCATE) 1 2 Z(I)",
							"a= names=1 ops=0", "1= known=1", "a@-"),
					 100);
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: B(|nosuch) P(|DEALLOCATE s) B(|) E S",
							"1> B(|nosuch) P(|DEALLOCATE \"#1\") B(|) E S",
							"1: E(26000|no nosuch) Z(I)", "a> E(26000|no nosuch) Z(I)",
							"a= names=1 ops=0", "1= known=1", "a: B(|s) S", "1> B(|#1) S",
							"1: 2 Z(I)", "a> 2 Z(I)", "a@-"),
					 100);
}

static void
discard_all_and_deallocate_all(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: Q(discard all;)", "1> Q(discard all;)",
							"1: C(DISCARD ALL) Z(I)", "a> C(DISCARD ALL) Z(I)", "a= names=0 ops=0",
							"1= known=0", "a: B(|s) S", "1> B(|s) S", "1: E(26000|no s) Z(I)",
							"a> E(26000|no s) Z(I)", "a: P(s|select 1) S", "1> P(#2|select 1) S",
							"1: 1 Z(I)", "a> 1 Z(I)", "a@-"),
					 100);
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: Q(DEALLOCATE PREPARE ALL)",
							"1> Q(DEALLOCATE PREPARE ALL)", "1: C(DEALLOCATE ALL) Z(I)",
							"a> C(DEALLOCATE ALL) Z(I)", "a= names=0 ops=0", "1= known=0",
							"a: B(|s) S", "1> B(|s) S", "1: E(26000|no s) Z(I)",
							"a> E(26000|no s) Z(I)", "a: P(s|select 1) S", "1> P(#2|select 1) S",
							"1: 1 Z(I)", "a> 1 Z(I)", "a@-"),
					 100);
}

/* What is prepared behind it in the same breath is there afterwards. */
static void
prepared_behind_discard_all(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: P(|DEALLOCATE ALL) B(|) E P(t|select 1) B(|t) S",
							"1> P(|DEALLOCATE ALL) B(|) E C(S|#1) P(#1|select 1) B(|#1) S",
							"1: 1 2 C(DEALLOCATE ALL) 3 1 2 Z(I)",
							"a> 1 2 C(DEALLOCATE ALL) 1 2 Z(I)", "a= names=1 ops=0", "1= known=1",
							"a: B(|t) S", "1> B(|#1) S", "1: 2 Z(I)", "a> 2 Z(I)",
							"a: P(u|select 1) S", "1> S", "1: Z(I)", "a> 1 Z(I)", "a@-"),
					 100);
}

static void
discard_all_that_fails(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: Q(begin) Q(DISCARD ALL) Q(rollback)",
							"1> Q(begin) Q(DISCARD ALL) Q(rollback)",
							"1: C(BEGIN) Z(T) E(25001|cannot) Z(E) C(ROLLBACK) Z(I)",
							"a> C(BEGIN) Z(T) E(25001|cannot) Z(E) C(ROLLBACK) Z(I)", "a= names=1",
							"a: B(|s) S", "1> C(S|#1) P(#1|select 1) B(|#1) S", "1: 3 1 2 Z(I)",
							"a> 2 Z(I)", "a: Q(DEALLOCATE s)", "1> Q(DEALLOCATE \"#1\")",
							"1: C(DEALLOCATE) Z(I)", "a> C(DEALLOCATE) Z(I)", "a@-"),
					 100);
}

/* In a failed transaction PostgreSQL decides, also about what it knows. */
static void
a_known_statement_in_a_failed_transaction(void **state)
{
	(void) state;
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(s|select 1) Q(x)", "1> P(#1|select 1) Q(x)", "1: 1 E(42601|x) Z(E)",
			   "a> 1 E(42601|x) Z(E)", "a: P(t|select 1) S",
			   "1> P(PERFKIT_PROBE|select 1) C(S|PERFKIT_PROBE) S", "1: E(25P02|aborted) Z(E)",
			   "a> E(25P02|aborted) Z(E)", "a= names=1 ops=0", "a: C(S|s) P(s|select 1) S",
			   "1> P(PERFKIT_PROBE|select 1) C(S|PERFKIT_PROBE) S", "1: 1 3 Z(I)", "a> 3 1 Z(I)",
			   "a= names=1 ops=0", "a: S", "1> S", "1: Z(I)", "a> Z(I)"),
		100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deallocate_of_a_name),
		cmocka_unit_test(deallocate_where_the_server_does_not_know_it),
		cmocka_unit_test(a_deallocate_that_fails_changes_nothing),
		cmocka_unit_test(deallocate_by_the_extended_protocol),
		cmocka_unit_test(discard_all_and_deallocate_all),
		cmocka_unit_test(prepared_behind_discard_all),
		cmocka_unit_test(discard_all_that_fails),
		cmocka_unit_test(a_known_statement_in_a_failed_transaction),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
