/*
 * test_relay_edges.c - large messages, settings in front, COPY and departures through the relay.
 */
#include "core/relay.h"

#include "replay.h"

static void
a_parse_larger_than_the_read_buffer(void **state)
{
	(void) state;
	replay_whole(&loop,
				 SCRIPT("a@1", "a: P(s|{x70000}) B(|s) E S", "1> P(#1|{x70000}) B(|#1) E S",
						"1: 1 2 C(SELECT 1) Z(I)", "a> 1 2 C(SELECT 1) Z(I)", "a= names=1 ops=0",
						"a: P(s|{y200000}) S", "1> P(#1|{y200000}) S",
						"1: E(42P05|\"#1\" exists) Z(I)", "a> E(42P05|\"s\" exists) Z(I)",
						"a: P(|{z70000}) B(||{v100000}) E S", "1> P(|{z70000}) B(||{v100000}) E S",
						"1: 1 2 C(SELECT 1) Z(I)", "a> 1 2 C(SELECT 1) Z(I)", "a@-", "a@2",
						"a: B({p200}|s|{v300000}) E S",
						"2> P(#1|{x70000}) "
						"B("
						"pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
						"pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
						"pppppppppppppppppppppppppppppppppppppppppppppppppppp|#1|{v300000}) E S",
						"2: 1 2 C(SELECT 1) Z(I)", "a> 2 C(SELECT 1) Z(I)", "a@-"),
				 100);
}

static void
large_answers_pass_in_pieces(void **state)
{
	(void) state;
	replay_whole(&loop,
				 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
						"a> 1 Z(I)", "a: B(|s) E P(t|select 1) S", "1> B(|#1) E S",
						"1: 2 D({r300000}) D({q100000}) C(SELECT 2) Z(I)",
						"a> 2 D({r300000}) D({q100000}) C(SELECT 2) 1 Z(I)", "a: Q(x)", "1> Q(x)",
						"1: E(42601|{e70000}) Z(I)", "a> E(42601|{e70000}) Z(I)", "a@-"),
				 100);
}

static void
settings_go_in_front(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a^set x to 1", "a: P(s|select 1) B(|s) E S",
							"1> Q(set x to 1) P(#1|select 1) B(|#1) E S",
							"1: C(SET) Z(I) 1 2 C(SELECT 1) Z(I)", "a> 1 2 C(SELECT 1) Z(I)",
							"a@-"),
					 100);
}

static void
a_refused_setting_ends_the_answers(void **state)
{
	(void) state;
	replay_whole(&loop,
				 SCRIPT("a@1", "a^set x to 1", "a: P(s|select 1) B(|s) E S",
						"1> Q(set x to 1) P(#1|select 1) B(|#1) E S",
						"1: E(22023|no such x) Z(I) 1 2 C(SELECT 1) Z(I)", "a>",
						"a= end=setting_refused sqlstate=22023", "a!", "1= lost=0"),
				 100);
}

static void
copy_by_the_extended_protocol(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|copy) S", "1> P(#1|copy) S", "1: 1 Z(I)", "a> 1 Z(I)",
							"a: B(|s) E S", "1> B(|#1) E S", "1: 2 G", "a> 2 G",
							"a: d(row) S d(row) c S", "1> d(row) S d(row) c S", "1: C(COPY 2) Z(I)",
							"a> C(COPY 2) Z(I)", "a: d(late) c P(t|copy) S", "1> d(late) c S",
							"1: Z(I)", "a> 1 Z(I)", "a@-"),
					 100);
}

static void
asynchronous_messages_at_any_time(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S",
							"1: N(00000|x) 1 A(n) Z(I)", "a> N(00000|x) 1 A(n) Z(I)",
							"a: P(t|select 1) B(|t) P(u|select 1) S", "1> B(|#1) S",
							"1: S(x|y) N(00000|a) 2 N(00000|b) S(x|z) Z(I)",
							"a> 1 S(x|y) N(00000|a) 2 1 N(00000|b) S(x|z) Z(I)", "a@-"),
					 100);
}

/* What the server knows is in doubt when its client leaves before the answer. */
static void
leaving_before_the_answer(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) B(|s) E S", "1> P(#1|select 1) B(|#1) E S",
							"a!", "1= lost=1"),
					 100);
	replay_every_way(
		&loop, SCRIPT("a@1", "a: Q(deallocate all)", "1> Q(deallocate all)", "a!", "1= lost=1"),
		100);
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(T)",
							"a> 1 Z(T)", "a!", "1= lost=0"),
					 100);
}

static void
nonsense(void **state)
{
	(void) state;
	replay_every_way(
		&loop, SCRIPT("a@1", "a: Q(select 1)", "1> Q(select 1)", "1: 3", "a>", "a= end=server_bad"),
		100);
	replay_every_way(&loop, SCRIPT("a@1", "a: y", "1>", "a= end=client_bad"), 100);
	replay_every_way(&loop, SCRIPT("a@1", "a: X", "1>", "a= end=terminate"), 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_parse_larger_than_the_read_buffer),
		cmocka_unit_test(large_answers_pass_in_pieces),
		cmocka_unit_test(settings_go_in_front),
		cmocka_unit_test(a_refused_setting_ends_the_answers),
		cmocka_unit_test(copy_by_the_extended_protocol),
		cmocka_unit_test(asynchronous_messages_at_any_time),
		cmocka_unit_test(leaving_before_the_answer),
		cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
