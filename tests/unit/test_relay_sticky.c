/*
 * test_relay_sticky.c - what a client keeps in its session (core/sticky), through the relay.
 */
#include "core/relay.h"

#include "replay.h"

/* Lines of these scripts are put together from macros:
 * NOLINTBEGIN(bugprone-suspicious-missing-comma) */

#define PROBE_LISTEN "1> Q(SELECT EXISTS (SELECT FROM pg_catalog.pg_listening_channels()))"
#define ONE_ROW(value) "1: T(x) D({01}\x01{03}\x01" value ") C(SELECT 1) Z(I)"

/* S1: set where it is missing, put back for those who have not set it. */
static void
settings_follow(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(set x = 5)", "1> Q(set x = 5)", "1: C(SET) Z(I)",
							"a> C(SET) Z(I)", "a= work=0 set=4", "a@-", "a@1", "a: Q(select 1)",
							"1> Q(select 1)", "1: C(SELECT 1) Z(I)", "a> C(SELECT 1) Z(I)", "a@-",
							"b@1", "b: Q(select 1)", "1> Q(RESET \"x\") Q(select 1)",
							"1: C(RESET) Z(I) C(SELECT 1) Z(I)", "b> C(SELECT 1) Z(I)", "b@-",
							"a@2", "a: Q(select 1)", "2> Q(SET \"x\" TO 5) Q(select 1)",
							"2: C(SET) Z(I) C(SELECT 1) Z(I)", "a> C(SELECT 1) Z(I)",
							"a: Q(reset all)", "2> Q(reset all)", "2: C(RESET) Z(I)",
							"a> C(RESET) Z(I)", "a= set=0", "a@-", "b@2", "b: Q(select 1)",
							"2> Q(select 1)", "2: C(SELECT 1) Z(I)", "b> C(SELECT 1) Z(I)", "b@-"),
					 100);
}

/* S2: by COMMIT only. */
static void
transactions_decide(void **state)
{
	(void) state;
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: Q(begin) Q(set x = 5)", "1> Q(begin) Q(set x = 5)",
			   "1: C(BEGIN) Z(T) C(SET) Z(T)", "a> C(BEGIN) Z(T) C(SET) Z(T)", "a= work=1 set=0",
			   "a: Q(rollback)", "1> Q(rollback)", "1: C(ROLLBACK) Z(I)", "a> C(ROLLBACK) Z(I)",
			   "a= work=0 set=0", "a: Q(begin; set x = 5; commit; set y = 1; nonsense)",
			   "1> Q(begin; set x = 5; commit; set y = 1; nonsense)",
			   "1: C(BEGIN) C(SET) C(COMMIT) C(SET) E(42601|x) Z(I)",
			   "a> C(BEGIN) C(SET) C(COMMIT) C(SET) E(42601|x) Z(I)", "a= work=0 set=4", "a@-"),
		100);
	/* A transaction that has failed is not saved by COMMIT. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(begin; set x = 5; bad)", "1> Q(begin; set x = 5; bad)",
							"1: C(BEGIN) C(SET) E(42601|x) Z(E)",
							"a> C(BEGIN) C(SET) E(42601|x) Z(E)", "a: Q(commit)", "1> Q(commit)",
							"1: C(ROLLBACK) Z(I)", "a> C(ROLLBACK) Z(I)", "a= work=0 set=0", "a@-"),
					 100);
}

static void
savepoints(void **state)
{
	(void) state;
	replay_every_way(
		&loop,
		SCRIPT("a@1",
			   "a: Q(begin; set x = 1; savepoint a; set x = 22; savepoint b; set x = 333; release "
			   "b; rollback to a; set y = 1; commit)",
			   "1> Q(begin; set x = 1; savepoint a; set x = 22; savepoint b; set x = 333; release "
			   "b; rollback to a; set y = 1; commit)",
			   "1: C(BEGIN) C(SET) C(SAVEPOINT) C(SET) C(SAVEPOINT) C(SET) C(RELEASE) C(ROLLBACK) "
			   "C(SET) C(COMMIT) Z(I)",
			   "a> C(BEGIN) C(SET) C(SAVEPOINT) C(SET) C(SAVEPOINT) C(SET) C(RELEASE) C(ROLLBACK) "
			   "C(SET) C(COMMIT) Z(I)",
			   "a= work=0 set=8", "a@-", "b@1", "b: Q(select 1)",
			   "1> Q(RESET \"x\";RESET \"y\") Q(select 1)",
			   "1: C(RESET) C(RESET) Z(I) C(SELECT 1) Z(I)", "b> C(SELECT 1) Z(I)", "b@-"),
		100);
	/* One that is older than all that was set, and an error that is taken back. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(begin) Q(savepoint a) Q(set x = 1) Q(bad)",
							"1> Q(begin) Q(savepoint a) Q(set x = 1) Q(bad)",
							"1: C(BEGIN) Z(T) C(SAVEPOINT) Z(T) C(SET) Z(T) E(42601|x) Z(E)",
							"a> C(BEGIN) Z(T) C(SAVEPOINT) Z(T) C(SET) Z(T) E(42601|x) Z(E)",
							"a: Q(rollback to a) Q(set y = 1) Q(commit)",
							"1> Q(rollback to a) Q(set y = 1) Q(commit)",
							"1: C(ROLLBACK) Z(T) C(SET) Z(T) C(COMMIT) Z(I)",
							"a> C(ROLLBACK) Z(T) C(SET) Z(T) C(COMMIT) Z(I)", "a= set=4", "a@-",
							"a@2", "a: Q(x)", "2> Q(SET \"y\" TO 1) Q(x)", "2: C(SET) Z(I) I Z(I)",
							"a> I Z(I)", "a@-"),
					 100);
}

static void
extended_protocol(void **state)
{
	(void) state;
	/* Prepared once, executed twice, by the unnamed statement and by a name; not by Bind alone. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(|set x = 5) B(|) E S", "1> P(|set x = 5) B(|) E S",
							"1: 1 2 C(SET) Z(I)", "a> 1 2 C(SET) Z(I)", "a= set=4",
							"a: P(r|reset x) B(|r) S", "1> P(#1|reset x) B(|#1) S", "1: 1 2 Z(I)",
							"a> 1 2 Z(I)", "a= set=4", "a: B(|r) E S", "1> B(|#1) E S",
							"1: 2 C(RESET) Z(I)", "a> 2 C(RESET) Z(I)", "a= set=0", "a@-"),
					 100);
	/* An error in the batch takes it back; the batch behind it stands. */
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(|set x = 5) B(|) E P(|bad) B(|) E S P(|set y = 6) B(|) E S",
			   "1> P(|set x = 5) B(|) E P(|bad) B(|) E S P(|set y = 6) B(|) E S",
			   "1: 1 2 C(SET) E(42601|x) Z(I) 1 2 C(SET) Z(I)",
			   "a> 1 2 C(SET) E(42601|x) Z(I) 1 2 C(SET) Z(I)", "a= set=4", "a@-", "a@2", "a: Q(x)",
			   "2> Q(SET \"y\" TO 6) Q(x)", "2: C(SET) Z(I) I Z(I)", "a> I Z(I)", "a@-"),
		100);
}

/* S3: an answer that does not fit puts the server in doubt, and nothing is remembered. */
static void
doubt(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(set x = 5)", "1> Q(set x = 5)", "1: C(SELECT 1) Z(I)",
							"a> C(SELECT 1) Z(I)", "a= set=0 work=0", "1= doubt=1", "a@-"),
					 100);
	/* The settings in front are refused. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(set x = 5)", "1> Q(set x = 5)", "1: C(SET) Z(I)",
							"a> C(SET) Z(I)", "a@-", "a@2", "a: Q(select 1)",
							"2> Q(SET \"x\" TO 5) Q(select 1)",
							"2: E(42501|denied) Z(I) C(SELECT 1) Z(I)",
							"a= end=setting_refused sqlstate=42501", "2= doubt=1"),
					 100);
	/* A portal that is suspended has done its work, and says nothing of it. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(|set x = 5) B(|) E S", "1> P(|set x = 5) B(|) E S",
							"1: 1 2 s Z(I)", "a> 1 2 s Z(I)", "a= set=0 work=1", "1= doubt=1",
							"a@-"),
					 100);
	/* Skipped behind an error, and rolled back with it: nothing was done. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(|bad) B(|) E P(|set x = 5) B(|) E S",
							"1> P(|bad) B(|) E P(|set x = 5) B(|) E S", "1: E(42601|x) Z(I)",
							"a> E(42601|x) Z(I)", "a= set=0", "1= doubt=0", "a@-"),
					 100);
	/* It leaves in the middle. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(begin) Q(set x = 5)", "1> Q(begin) Q(set x = 5)",
							"1: C(BEGIN) Z(T) C(SET) Z(T)", "a> C(BEGIN) Z(T) C(SET) Z(T)", "a!",
							"1= doubt=1"),
					 100);
}

/* S4: pinned at once; whether it has ended is asked, and asked only where it may have. */
static void
pins(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(listen c)", "1> Q(listen c)", "a= pins=listen",
							"1: C(LISTEN) Z(I)", "a> C(LISTEN) Z(I)", "a@-", "a= pins=listen",
							"a: Q(select 1)", "1> Q(select 1)", "1: C(SELECT 1) Z(I)",
							"a> C(SELECT 1) Z(I)", "a@-", "a: Q(unlisten d)", "1> Q(unlisten d)",
							"1: C(UNLISTEN) Z(I)", "a> C(UNLISTEN) Z(I)", "a@-", PROBE_LISTEN,
							ONE_ROW("t"), "a= pins=listen", "a@-", "a: Q(unlisten c)",
							"1> Q(unlisten c)", "1: C(UNLISTEN) Z(I)", "a> C(UNLISTEN) Z(I)", "a@-",
							PROBE_LISTEN, ONE_ROW("f"), "a= pins= end=releasable", "1= doubt=0",
							"a@-", "b@1", "b: Q(select 1)", "1> Q(select 1)", "1: C(SELECT 1) Z(I)",
							"b> C(SELECT 1) Z(I)", "b@-"),
					 100);
	/* Something new on its way behind the question is not ended by its answer. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(listen c; unlisten c)", "1> Q(listen c; unlisten c)",
							"1: C(LISTEN) C(UNLISTEN) Z(I)", "a> C(LISTEN) C(UNLISTEN) Z(I)", "a@-",
							PROBE_LISTEN, "a: Q(listen d)", "1> Q(listen d)", ONE_ROW("f"),
							"a= pins=listen", "1: C(LISTEN) Z(I)", "a> C(LISTEN) Z(I)", "a@-",
							"a= pins=listen"),
					 100);
	/* The question fails: nothing is known. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(listen c; unlisten c)", "1> Q(listen c; unlisten c)",
							"1: C(LISTEN) C(UNLISTEN) Z(I)", "a> C(LISTEN) C(UNLISTEN) Z(I)", "a@-",
							PROBE_LISTEN, "1: E(57014|canceled) Z(I)",
							"a= pins=listen end=releasable", "a@-", "a= pins=listen"),
					 100);
	/* Rolled back: asked. */
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: Q(begin; listen c; rollback)", "1> Q(begin; listen c; rollback)",
			   "1: C(BEGIN) C(LISTEN) C(ROLLBACK) Z(I)", "a> C(BEGIN) C(LISTEN) C(ROLLBACK) Z(I)",
			   "a@-", PROBE_LISTEN, ONE_ROW("f"), "a= pins=", "a@-"),
		100);
}

static void
pin_ends_with_the_session(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(load 'x')", "1> Q(load 'x')", "1: C(LOAD) Z(I)",
							"a> C(LOAD) Z(I)", "a@-", "a= pins=load", "a!",
							"a= pins=", "1= doubt=1"),
					 100);
	/* DISCARD ALL ends what cannot be asked about. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(set x)", "1> Q(set x)", "1: C(SET) Z(I)", "a> C(SET) Z(I)",
							"a@-", "a= pins=setting", "a: Q(discard all)", "1> Q(discard all)",
							"1: C(DISCARD ALL) Z(I)", "a> C(DISCARD ALL) Z(I)", "a= pins=", "a@-",
							"1= doubt=0"),
					 100);
}

#define REFUSED_FULL                                                                               \
	"53400|the statement keeps state in its session, and no server connection can be set aside "   \
	"for that"

/* S5: the server fails in its place, whatever the protocol; the client sees our words. */
static void
refused(void **state)
{
	static const char *const full[] = {
		"a@1",
		"a: Q(listen c)",
		"1> Q(listen c)",
		"1: C(LISTEN) Z(I)",
		"a> C(LISTEN) Z(I)",
		"b@2",
		"b: Q(begin) Q(listen d)",
		"2> Q(begin) Q(refused by session_state)",
		"2: C(BEGIN) Z(T) E(42601|syntax) Z(E)",
		"b> C(BEGIN) Z(T) E(" REFUSED_FULL ") Z(E)",
		"b: Q(rollback)",
		"2> Q(rollback)",
		"2: C(ROLLBACK) Z(I)",
		"b> C(ROLLBACK) Z(I)",
		"b= pins=",
		"b: P(|listen d) B(|) E P(|select 1) B(|) E S Q(select 2)",
		"2> P(|listen d) B(|) E(PERFKIT_REFUSED) P(|select 1) B(|) E S Q(select 2)",
		"2: 1 2 E(34000|no portal) Z(I) C(SELECT 1) Z(I)",
		"b> 1 2 E(" REFUSED_FULL ") Z(I) C(SELECT 1) Z(I)",
		"b@-",
		NULL,
	};

	(void) state;
	replay_every_way(&loop, full, 100);
}

#define REFUSED_ALWAYS "0A000|the statement keeps state in its session, which is refused here"

static void
policies(void **state)
{
	(void) state;
	replay_policy = STATE_POLICY_ERROR;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(listen c)", "1> Q(refused by session_state)",
							"1: E(42601|syntax) Z(I)", "a> E(" REFUSED_ALWAYS ") Z(I)", "a= pins="),
					 100);
	replay_policy = STATE_POLICY_IGNORE;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(listen c)", "1> Q(listen c)", "1: C(LISTEN) Z(I)",
							"a> C(LISTEN) Z(I)", "a= pins=", "a@-", "1= doubt=0"),
					 100);
	replay_policy = STATE_POLICY_PIN;
}

/* Bytes whose meaning hangs on client_encoding are not repeated elsewhere. */
static void
not_ascii(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(set x = '\xc3\xa9')", "1> Q(set x = '\xc3\xa9')",
							"1: C(SET) Z(I)", "a> C(SET) Z(I)", "a= set=0 pins=setting", "a@-",
							"a= pins=setting"),
					 100);
}

/* A portal with a name: refused, or the server is in doubt, as its execution is not followed. */
static void
named_portals(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|set x = 5) B(p|s) E(p) S",
							"1> P(#1|set x = 5) B(p|#1) E(p) S", "1: 1 2 C(SET) Z(I)",
							"a> 1 2 C(SET) Z(I)", "a= set=0", "1= doubt=1", "a@-"),
					 100);
}

/* Too long to be held: skimmed as it passes. */
static void
streams(void **state)
{
	(void) state;
	replay_whole(&loop,
				 SCRIPT("a@1", "a: Q(select '{x70000}')", "1> Q(select '{x70000}')",
						"1: C(SELECT 1) Z(I)", "a> C(SELECT 1) Z(I)", "1= doubt=0", "a@-", "a@1",
						"a: Q(select '{x70000}'; set x = 5)", "1> Q(select '{x70000}'; set x = 5)",
						"1: C(SELECT 1) C(SET) Z(I)", "a> C(SELECT 1) C(SET) Z(I)", "a= set=0",
						"1= doubt=1", "a@-"),
				 100);
	replay_whole(&loop,
				 SCRIPT("a@1", "a: P(|set x = 5) S", "1> P(|set x = 5) S", "1: 1 Z(I)", "a> 1 Z(I)",
						"a: P(|select '{x70000}') B(|) E S", "1> P(|select '{x70000}') B(|) E S",
						"1: 1 2 C(SELECT 1) Z(I)", "a> 1 2 C(SELECT 1) Z(I)", "1= doubt=0", "a@-",
						"a@1", "a: P(|select '{x70000}' into temp t) B(|) E S",
						"1> P(|select '{x70000}' into temp t) B(|) E S", "1: 1 2 C(SELECT 1) Z(I)",
						"a> 1 2 C(SELECT 1) Z(I)", "1= doubt=1", "a@-"),
				 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_follow),
		cmocka_unit_test(transactions_decide),
		cmocka_unit_test(savepoints),
		cmocka_unit_test(extended_protocol),
		cmocka_unit_test(doubt),
		cmocka_unit_test(pins),
		cmocka_unit_test(pin_ends_with_the_session),
		cmocka_unit_test(refused),
		cmocka_unit_test(policies),
		cmocka_unit_test(named_portals),
		cmocka_unit_test(streams),
		cmocka_unit_test(not_ascii),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* NOLINTEND(bugprone-suspicious-missing-comma) */
