/*
 * test_relay_copy.c - COPY in, out and both through the relay, by either protocol, with errors at
 * every place; FunctionCall; names in a transaction.
 */
#include "core/relay.h"

#include "replay.h"

static void
copy_in(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy)", "1> Q(copy)", "1: G", "a> G", "a= end=go_on",
							"a: d(row) d(row) c", "1> d(row) d(row) c", "1: C(COPY 2) Z(I)",
							"a> C(COPY 2) Z(I)", "a= end=releasable", "a@-"),
					 100);
	/* All in one breath, before the server has said that it wants it, and the next behind it. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy) d(row) c Q(select 1)",
							"1> Q(copy) d(row) c Q(select 1)",
							"1: G C(COPY 1) Z(I) C(SELECT 1) Z(I)",
							"a> G C(COPY 1) Z(I) C(SELECT 1) Z(I)", "a@-"),
					 100);
	/* In a transaction the server stays. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy)", "1> Q(copy)", "1: G", "a> G", "a: c", "1> c",
							"1: C(COPY 0) Z(T)", "a> C(COPY 0) Z(T)", "a= end=go_on",
							"a: Q(commit)", "1> Q(commit)", "1: C(COMMIT) Z(I)",
							"a> C(COMMIT) Z(I)", "a= end=releasable", "a@-"),
					 100);
}

static void
copy_in_that_fails(void **state)
{
	(void) state;
	/* Before CopyDone: what comes late is the server's to ignore (X8). */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy)", "1> Q(copy)", "1: G", "a> G", "a: d(bad)",
							"1> d(bad)", "1: E(22P02|bad) Z(I)", "a> E(22P02|bad) Z(I)",
							"a: d(late) d(late) c Q(select 1)", "1> d(late) d(late) c Q(select 1)",
							"1: C(SELECT 1) Z(I)", "a> C(SELECT 1) Z(I)", "a@-"),
					 100);
	/* Behind CopyDone. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy)", "1> Q(copy)", "1: G", "a> G", "a: d(bad) c",
							"1> d(bad) c", "1: E(22P02|bad) Z(I)", "a> E(22P02|bad) Z(I)",
							"a= end=releasable", "a@-"),
					 100);
	/* By the client. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy)", "1> Q(copy)", "1: G", "a> G", "a: d(row) f(no)",
							"1> d(row) f(no)", "1: E(57014|no) Z(I)", "a> E(57014|no) Z(I)",
							"a= end=releasable", "a@-"),
					 100);
	/* Several in one query, of which the first fails. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy; copy)", "1> Q(copy; copy)", "1: G", "a> G",
							"a: d(row) c", "1> d(row) c", "1: C(COPY 1) G", "a> C(COPY 1) G",
							"a: f(no)", "1> f(no)", "1: E(57014|no) Z(E)", "a> E(57014|no) Z(E)",
							"a= end=go_on", "a: Q(rollback)", "1> Q(rollback)",
							"1: C(ROLLBACK) Z(I)", "a> C(ROLLBACK) Z(I)", "a@-"),
					 100);
}

static void
copy_in_by_the_extended_protocol_that_fails(void **state)
{
	(void) state;
	/* The Sync behind CopyDone ends the error. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|copy) B(|s) E S", "1> P(#1|copy) B(|#1) E S", "1: 1 2 G",
							"a> 1 2 G", "a: d(bad)", "1> d(bad)", "1: E(22P02|bad)",
							"a> E(22P02|bad)", "a: d(late) c S", "1> d(late) c S", "1: Z(I)",
							"a> Z(I)", "a= ops=0", "a: Q(select 1)", "1> Q(select 1)",
							"1: C(SELECT 1) Z(I)", "a> C(SELECT 1) Z(I)"),
					 100);
	/* A Sync inside, which the server ignores or not, as the error comes in front of it or behind.
	 */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|copy) B(|s) E", "1> P(#1|copy) B(|#1) E", "1: 1 2 G",
							"a> 1 2 G", "a: d(row) S d(bad)", "1> d(row) S d(bad)",
							"1: E(22P02|bad)", "a> E(22P02|bad)", "a: c S", "1> c S", "1: Z(I)",
							"a> Z(I)", "a= ops=0 end=doubtful"),
					 100);
	/* An error behind CopyDone. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|copy) B(|s) E H", "1> P(#1|copy) B(|#1) E H", "1: 1 2 G",
							"a> 1 2 G", "a: d(bad) c S", "1> d(bad) c S", "1: E(22P02|bad) Z(I)",
							"a> E(22P02|bad) Z(I)", "a= ops=0 end=releasable", "a@-"),
					 100);
	/* In front of it: there is no COPY, what was meant for it is ignored. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|copy) B(|s) E", "1> P(#1|copy) B(|#1) E",
							"1: 1 E(42P01|no table)", "a> 1 E(42P01|no table)", "a: d(row) c S",
							"1> d(row) c S", "1: Z(I)", "a> Z(I)", "a= ops=0 end=releasable",
							"a@-"),
					 100);
}

static void
copy_out(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy)", "1> Q(copy)", "1: H d(row) N(00000|x) d(row)",
							"a> H d(row) N(00000|x) d(row)", "a= end=go_on", "1: c C(COPY 2) Z(I)",
							"a> c C(COPY 2) Z(I)", "a= end=releasable", "a@-"),
					 100);
	/* An error in its middle. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy)", "1> Q(copy)",
							"1: H d(row) E(57014|cancelled) Z(I)",
							"a> H d(row) E(57014|cancelled) Z(I)", "a= end=releasable", "a@-"),
					 100);
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|copy) B(|s) E S", "1> P(#1|copy) B(|#1) E S",
							"1: 1 2 H d(row) E(57014|cancelled) Z(I)",
							"a> 1 2 H d(row) E(57014|cancelled) Z(I)", "a= ops=0 end=releasable",
							"a@-"),
					 100);
	/* With what is known already behind it: our answer waits for its turn. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|copy) S", "1> P(#1|copy) S", "1: 1 Z(I)", "a> 1 Z(I)",
							"a: B(|s) E P(t|copy) S", "1> B(|#1) E S",
							"1: 2 H d(row) c C(COPY 1) Z(I)", "a> 2 H d(row) c C(COPY 1) 1 Z(I)",
							"a@-"),
					 100);
}

static void
copy_both(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(START_REPLICATION)", "1> Q(START_REPLICATION)",
							"1: W d(w)", "a> W d(w)", "a: d(r)", "1> d(r)", "1: d(w)", "a> d(w)",
							"a: c", "1> c", "1: d(w) c C(COPY 0) Z(I)", "a> d(w) c C(COPY 0) Z(I)",
							"a@-"),
					 100);
	/* The server ends it first. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(START_REPLICATION)", "1> Q(START_REPLICATION)",
							"1: W d(w) c", "a> W d(w) c", "a= end=go_on", "a: d(r) c", "1> d(r) c",
							"1: C(COPY 0) Z(I)", "a> C(COPY 0) Z(I)", "a@-"),
					 100);
}

/* It leaves in the middle of a COPY: the server is not fit for anybody. */
static void
leaving_a_copy(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(copy)", "1> Q(copy)", "1: G", "a> G", "a: d(row)",
							"1> d(row)", "a!", "1= quiet=0"),
					 100);
}

static void
function_calls(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: F(call)", "1> F(call)", "1: V(value) Z(I)",
							"a> V(value) Z(I)", "a= end=releasable", "a@-"),
					 100);
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: F(call) F(call) Q(select 1)",
							"1> F(call) F(call) Q(select 1)",
							"1: E(42883|no such) Z(I) V(value) Z(I) C(SELECT 1) Z(I)",
							"a> E(42883|no such) Z(I) V(value) Z(I) C(SELECT 1) Z(I)",
							"a= end=releasable", "a@-"),
					 100);
}

/* Every error of a name fails its transaction, and PostgreSQL says what comes after. */
static void
names_in_a_transaction(void **state)
{
	(void) state;
	/* One that is taken. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: Q(begin)", "1> Q(begin)", "1: C(BEGIN) Z(T)",
							"a> C(BEGIN) Z(T)", "a: P(s|select 2) B(|s) E S",
							"1> P(#1|select 2) B(|#1) E S", "1: E(42P05|\"#1\" exists) Z(E)",
							"a> E(42P05|\"s\" exists) Z(E)", "a= end=go_on", "a: B(|s) E S",
							"1> B(|#1) E S", "1: E(25P02|aborted) Z(E)", "a> E(25P02|aborted) Z(E)",
							"a: Q(rollback)", "1> Q(rollback)", "1: C(ROLLBACK) Z(I)",
							"a> C(ROLLBACK) Z(I)", "a= names=1 ops=0", "1= known=1", "a: B(|s) S",
							"1> B(|#1) S", "1: 2 Z(I)", "a> 2 Z(I)", "a@-"),
					 100);
	/* One that there is not. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(begin)", "1> Q(begin)", "1: C(BEGIN) Z(T)",
							"a> C(BEGIN) Z(T)", "a: B(|nosuch) E P(s|select 1) S",
							"1> B(|nosuch) E P(#1|select 1) S", "1: E(26000|no nosuch) Z(E)",
							"a> E(26000|no nosuch) Z(E)", "a= names=0 ops=0", "1= known=0",
							"a: Q(rollback)", "1> Q(rollback)", "1: C(ROLLBACK) Z(I)",
							"a> C(ROLLBACK) Z(I)", "a@-"),
					 100);
	/* A Parse that fails: the name is free, and the statement not known. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(begin)", "1> Q(begin)", "1: C(BEGIN) Z(T)",
							"a> C(BEGIN) Z(T)", "a: P(s|selec) S", "1> P(#1|selec) S",
							"1: E(42601|syntax) Z(E)", "a> E(42601|syntax) Z(E)",
							"a= names=0 ops=0", "1= known=0", "a: Q(rollback)", "1> Q(rollback)",
							"1: C(ROLLBACK) Z(I)", "a> C(ROLLBACK) Z(I)", "a: P(s|select 1) S",
							"1> P(#2|select 1) S", "1: 1 Z(I)", "a> 1 Z(I)", "a= names=1", "a@-"),
					 100);
	/* A name that was given in a transaction stays when that is rolled back, as PostgreSQL has it.
	 */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(begin)", "1> Q(begin)", "1: C(BEGIN) Z(T)",
							"a> C(BEGIN) Z(T)", "a: P(s|select 1) S", "1> P(#1|select 1) S",
							"1: 1 Z(T)", "a> 1 Z(T)", "a: Q(rollback)", "1> Q(rollback)",
							"1: C(ROLLBACK) Z(I)", "a> C(ROLLBACK) Z(I)", "a= names=1",
							"1= known=1", "a: B(|s) S", "1> B(|#1) S", "1: 2 Z(I)", "a> 2 Z(I)",
							"a@-"),
					 100);
	/* A cached plan whose result type has changed, in one: retired all the same. */
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)", "a> 1 Z(I)",
			   "a: Q(begin)", "1> Q(begin)", "1: C(BEGIN) Z(T)", "a> C(BEGIN) Z(T)", "a: B(|s) E S",
			   "1> B(|#1) E S", "1: E(0A000|cached plan|RevalidateCachedQuery) Z(E)",
			   "a> E(0A000|cached plan|RevalidateCachedQuery) Z(E)", "a: Q(rollback)",
			   "1> Q(rollback)", "1: C(ROLLBACK) Z(I)", "a> C(ROLLBACK) Z(I)", "a@-", "b@1",
			   "b: P(t|select 1) S", "1> P(#2|select 1) S", "1: 1 Z(I)", "b> 1 Z(I)", "b@-"),
		100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copy_in),
		cmocka_unit_test(copy_in_that_fails),
		cmocka_unit_test(copy_in_by_the_extended_protocol_that_fails),
		cmocka_unit_test(copy_out),
		cmocka_unit_test(copy_both),
		cmocka_unit_test(leaving_a_copy),
		cmocka_unit_test(function_calls),
		cmocka_unit_test(names_in_a_transaction),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
