/*
 * test_relay.c - what passes between a client and its server, as scripts (replay.h).
 */
#include "core/relay.h"

#include "replay.h"

static void
a_simple_query(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: Q(select 1)", "1> Q(select 1)", "1: T D(x) C(SELECT 1) Z(I)",
							"a> T D(x) C(SELECT 1) Z(I)", "a= end=releasable", "a@-"),
					 100);
}

static void
a_named_statement_goes_under_a_shared_name(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) D(S|s) B(p|s|val) E(p) S",
							"1> P(#1|select 1) D(S|#1) B(p|#1|val) E(p) S",
							"1: 1 t n 2 C(SELECT 1) Z(I)", "a> 1 t n 2 C(SELECT 1) Z(I)",
							"a= names=1 ops=0 end=releasable", "1= known=1", "a@-"),
					 100);
}

/* The second Parse is answered by us wherever it stands. */
static void
known_statements_are_not_parsed_again(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a@-", "b@1", "b: P(t|select 1) B(|t) E P(u|select 1) S",
							"1> B(|#1) E S", "1: 2 C(SELECT 1) Z(I)", "b> 1 2 C(SELECT 1) 1 Z(I)",
							"b= names=2 ops=0", "b: P(v|select 1) C(S|v) H", "1> H", "b> 1 3",
							"b: S", "1> S", "1: Z(I)", "b> Z(I)", "b= names=2 ops=0", "b@-"),
					 100);
}

/* Ours may not stand within a message of the server's. */
static void
answers_of_ours_wait_for_the_end_of_a_message(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) B(|s) E H", "1> P(#1|select 1) B(|#1) E H",
							"1[ 1 2 D(row) C(SELECT 1)", "a: P(t|select 1) C(S|x) H", "1> H", "1]",
							"a> 1 2 D(row) C(SELECT 1) 1 3", "1[ N(00000|hello|)",
							"a: P(u|select 1) H", "1> H", "1]", "a> N(00000|hello) 1", "a: S",
							"1> S", "1: Z(I)", "a> Z(I)", "a= names=3 ops=0", "a@-"),
					 100);
}

static void
a_statement_is_prepared_on_another_server(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a@-", "a@2", "a: B(|s) E S",
							"2> P(#1|select 1) B(|#1) E S", "2: 1 2 C(SELECT 1) Z(I)",
							"a> 2 C(SELECT 1) Z(I)", "a= ops=0", "2= known=1", "a@-"),
					 100);
}

/* W1 */
static void
unknown_names_are_the_servers_to_refuse(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: B(|nosuch) E S", "1> B(|nosuch) E S",
							"1: E(26000|no nosuch) Z(I)", "a> E(26000|no nosuch) Z(I)",
							"a: D(S|nosuch) S", "1> D(S|nosuch) S", "1: E(26000|no nosuch) Z(E)",
							"a> E(26000|no nosuch) Z(E)", "a= end=go_on"),
					 100);
}

/* W2: also where the server does not know the statement yet. */
static void
duplicates_are_the_servers_to_refuse(void **state)
{
	(void) state;
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)", "a> 1 Z(I)",
			   "a: P(s|select 2) B(|s) E S", "1> P(#1|select 2) B(|#1) E S",
			   "1: E(42P05|prepared statement \"#1\" already exists) Z(I)",
			   "a> E(42P05|prepared statement \"s\" already exists) Z(I)", "a= names=1 ops=0",
			   "a@-", "a@2", "a: P(s|select 3) S", "2> P(#1|select 1) P(#1|select 3) S",
			   "2: 1 E(42P05|prepared statement \"#1\" already exists) Z(I)",
			   "a> E(42P05|prepared statement \"s\" already exists) Z(I)", "a= names=1 ops=0",
			   "2= known=1", "a@-"),
		100);
}

static void
a_failed_parse_frees_the_name(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|selec) B(|s) E S", "1> P(#1|selec) B(|#1) E S",
							"1: E(42601|syntax error) Z(I)", "a> E(42601|syntax error) Z(I)",
							"a= names=0 ops=0", "1= known=0", "a: P(s|select 1) S",
							"1> P(#2|select 1) S", "1: 1 Z(I)", "a> 1 Z(I)", "a= names=1 ops=0",
							"1= known=1", "a@-"),
					 100);
}

/* An error undoes what stands in its batch and nothing of the next one. */
static void
an_error_undoes_its_own_batch(void **state)
{
	(void) state;
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(k|select 0) S P(s|selec) C(S|k) P(k|select 9) C(S|x) S P(t|select 2) S",
			   "1> P(#1|select 0) S P(#2|selec)", "1: 1 Z(I)",
			   "1> P(#3|select 9) S P(#4|select 2) S", "1: E(42601|syntax error) Z(I) 1 Z(I)",
			   "a> 1 Z(I) E(42601|syntax error) Z(I) 1 Z(I)", "a= names=2 ops=0", "1= known=0",
			   "a: B(|k) B(|t) S",
			   "1> C(S|#1) P(#1|select 0) B(|#1) C(S|#4) P(#4|select 2) B(|#4) S",
			   "1: 3 1 2 3 1 2 Z(I)", "a> 2 2 Z(I)", "a@-"),
		100);
}

/* W7: what a name stands for is the server's to say first. */
static void
a_name_given_again_behind_a_sync(void **state)
{
	(void) state;
	/* In vain the first time. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: B(|nosuch) P(s|select 2) S P(s|select 4) B(|s) E S",
							"1> B(|nosuch) P(#1|select 2) S", "1: E(26000|no nosuch) Z(I)",
							"1> P(#2|select 4) B(|#2) E S", "1: 1 2 C(SELECT 1) Z(I)",
							"a> E(26000|no nosuch) Z(I) 1 2 C(SELECT 1) Z(I)", "a= names=1 ops=0",
							"1= known=1", "a@-"),
					 100);
	/* Given. */
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(s|select 2) S P(s|select 4) S B(|s) S", "1> P(#1|select 2) S",
			   "1: 1 Z(I)", "1> P(#1|select 4) S B(|#1) S", "1: E(42P05|\"#1\" exists) Z(I) 2 Z(I)",
			   "a> 1 Z(I) E(42P05|\"s\" exists) Z(I) 2 Z(I)", "a= names=1 ops=0", "a@-"),
		100);
	/* Within one batch the second is skipped where the first fails. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 2) P(s|select 4) S",
							"1> P(#1|select 2) P(#1|select 4) S",
							"1: 1 E(42P05|\"#1\" exists) Z(I)", "a> 1 E(42P05|\"s\" exists) Z(I)",
							"a= names=1 ops=0", "1= known=1", "a@-"),
					 100);
	/* What follows a Parse kept back, of any kind and length, is kept with it. */
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(s|selec) S P(s|select 4) S Q(select 5) Q(select 6)", "1> P(#1|selec) S",
			   "1: E(42601|syntax error) Z(I)", "1> P(#2|select 4) S Q(select 5) Q(select 6)",
			   "1: 1 Z(I) C(SELECT 1) Z(I) C(SELECT 1) Z(I)",
			   "a> E(42601|syntax error) Z(I) 1 Z(I) C(SELECT 1) Z(I) C(SELECT 1) Z(I)", "a@-"),
		100);
}

/* W7: a Close may have been skipped, and what has been taken for known may not be. */
static void
a_name_used_behind_a_sync(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: B(|nosuch) C(S|s) S B(|s) E S", "1> B(|nosuch) S",
							"1: E(26000|no nosuch) Z(I)", "1> B(|#1) E S", "1: 2 C(SELECT 1) Z(I)",
							"a> E(26000|no nosuch) Z(I) 2 C(SELECT 1) Z(I)", "a= names=1 ops=0",
							"a: C(S|s) S D(S|s) S", "1> S D(S|s) S", "1: Z(I) E(26000|no s) Z(I)",
							"a> 3 Z(I) E(26000|no s) Z(I)", "a= names=0 ops=0", "a@-"),
					 100);
	/* The server knows the text already, so that no Parse of it goes there. */
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)", "a> 1 Z(I)",
			   "a: B(|nosuch) P(t|select 1) S B(|t) E S", "1> B(|nosuch) S",
			   "1: E(26000|no nosuch) Z(I)", "1> B(|t) E S", "1: E(26000|no t) Z(I)",
			   "a> E(26000|no nosuch) Z(I) E(26000|no t) Z(I)", "a= names=1 ops=0", "a@-"),
		100);
	/* A DEALLOCATE that is not answered yet. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: Q(deallocate s) P(s|select 2) S",
							"1> Q(DEALLOCATE \"#1\")", "1: C(DEALLOCATE) Z(I)",
							"1> P(#2|select 2) S", "1: 1 Z(I)", "a> C(DEALLOCATE) Z(I) 1 Z(I)",
							"a= names=1 ops=0", "a@-"),
					 100);
}

/* W7: what a batch in front may have failed to prepare. */
static void
a_statement_told_behind_an_unseen_failure(void **state)
{
	(void) state;
	/* The same text under another name, good in its own batch. */
	replay_whole(&loop,
				 SCRIPT("a@1", "a: B(|nosuch) P(s|select 1) S P(t|select 1) B(|t) E S",
						"1> B(|nosuch) P(#1|select 1) S C(S|#1) P(#1|select 1) B(|#1) E S",
						"1: E(26000|no nosuch) Z(I) 3 1 2 C(SELECT 1) Z(I)",
						"a> E(26000|no nosuch) Z(I) 1 2 C(SELECT 1) Z(I)", "a= names=1 ops=0",
						"a: B(|t) S", "1> C(S|#1) P(#1|select 1) B(|#1) S", "1: 3 1 2 Z(I)",
						"a> 2 Z(I)", "1= known=1", "a@-"),
				 100);
	/* And where nothing fails. */
	replay_whole(&loop,
				 SCRIPT("a@1", "a: P(s|select 1) S P(t|select 1) B(|t) E S",
						"1> P(#1|select 1) S C(S|#1) P(#1|select 1) B(|#1) E S",
						"1: 1 Z(I) 3 1 2 C(SELECT 1) Z(I)", "a> 1 Z(I) 1 2 C(SELECT 1) Z(I)",
						"a= names=2 ops=0", "1= known=1", "a: B(|s) B(|t) S", "1> B(|#1) B(|#1) S",
						"1: 2 2 Z(I)", "a> 2 2 Z(I)", "a@-"),
				 100);
	/* A name that the client has had for long, on a server that is new to it. */
	replay_whole(&loop,
				 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
						"a> 1 Z(I)", "a@-", "a@2", "a: B(|nosuch) B(|s) S B(|s) E S",
						"2> B(|nosuch) P(#1|select 1) B(|#1) S C(S|#1) P(#1|select 1) B(|#1) E S",
						"2: E(26000|no nosuch) Z(I) 3 1 2 C(SELECT 1) Z(I)",
						"a> E(26000|no nosuch) Z(I) 2 C(SELECT 1) Z(I)", "a= names=1 ops=0", "a@-"),
				 100);
	/* One that the batch in front gives: it waits until PostgreSQL has said whether it has. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: B(|nosuch) P(s|select 1) S B(|s) E S",
							"1> B(|nosuch) P(#1|select 1) S", "1: E(26000|no nosuch) Z(I)",
							"1> B(|s) E S", "1: E(26000|no s) Z(I)",
							"a> E(26000|no nosuch) Z(I) E(26000|no s) Z(I)", "a= names=0 ops=0",
							"1= known=0", "a@-"),
					 100);
}

/* W2: a Parse that we could answer, in a transaction that may have failed by then. */
static void
a_known_statement_behind_an_unseen_failure(void **state)
{
	(void) state;
	replay_whole(&loop,
				 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
						"a> 1 Z(I)", "a: Q(begin)", "1> Q(begin)", "1: C(BEGIN) Z(T)",
						"a> C(BEGIN) Z(T)", "a: B(|nosuch) S P(t|select 1) B(|t) E S",
						"1> B(|nosuch) S P(PERFKIT_PROBE|select 1) C(S|PERFKIT_PROBE) B(|#1) E S",
						"1: E(26000|no nosuch) Z(E) E(25P02|aborted) Z(E)",
						"a> E(26000|no nosuch) Z(E) E(25P02|aborted) Z(E)", "a= names=1 ops=0",
						"a: Q(rollback)", "1> Q(rollback)", "1: C(ROLLBACK) Z(I)",
						"a> C(ROLLBACK) Z(I)", "a: P(t|select 1) S", "1> C(S|#1) P(#1|select 1) S",
						"1: 3 1 Z(I)", "a> 1 Z(I)", "a= names=2 ops=0", "a@-"),
				 100);
	/* Nothing fails; the transaction itself is not seen yet. */
	replay_whole(&loop,
				 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
						"a> 1 Z(I)", "a: Q(begin) P(t|select 1) B(|t) E S",
						"1> Q(begin) P(PERFKIT_PROBE|select 1) C(S|PERFKIT_PROBE) B(|#1) E S",
						"1: C(BEGIN) Z(T) 1 3 2 C(SELECT 1) Z(T)",
						"a> C(BEGIN) Z(T) 1 2 C(SELECT 1) Z(T)", "a= names=2 ops=0", "a: Q(commit)",
						"1> Q(commit)", "1: C(COMMIT) Z(I)", "a> C(COMMIT) Z(I)", "a@-"),
				 100);
	/* Settings of ours in front are no reason. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a@-", "b@1", "b^set x to 1", "b: P(t|select 1) B(|t) E S",
							"1> Q(set x to 1) B(|#1) E S", "1: C(SET) Z(I) 2 C(SELECT 1) Z(I)",
							"b> 1 2 C(SELECT 1) Z(I)", "b@-"),
					 100);
}

/* W3 */
static void
nothing_is_mapped_while_the_server_skips(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(k|select 0) S", "1> P(#1|select 0) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: P(s|selec) H", "1> P(#2|selec) H",
							"1: E(42601|syntax error)", "a> E(42601|syntax error)",
							"a: P(s|select 1) B(|s) C(S|k) Q(deallocate k)",
							"1> P(s|select 1) B(|s) C(S|k) Q(deallocate k)", "a= names=1 ops=0",
							"a: S", "1> S", "1: Z(I)", "a> Z(I)", "a@-"),
					 100);
}

static void
a_closed_name_is_free(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) C(S|s) P(s|select 2) B(|s) E S",
							"1> P(#1|select 1) P(#2|select 2) B(|#2) E S",
							"1: 1 1 2 C(SELECT 1) Z(I)", "a> 1 3 1 2 C(SELECT 1) Z(I)",
							"a= names=1 ops=0", "1= known=2",
							"a: C(S|s) C(S|s) C(S|nosuch) C(P|portal) S", "1> C(P|portal) S",
							"1: 3 Z(I)", "a> 3 3 3 3 Z(I)", "a= names=0 ops=0", "a@-"),
					 100);
}

static void
the_longest_unused_is_evicted(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) P(t|select 2) B(|s) P(u|select 3) S",
							"1> P(#1|select 1) P(#2|select 2) B(|#1) C(S|#2) P(#3|select 3) S",
							"1: 1 1 2 3 1 Z(I)", "a> 1 1 2 1 Z(I)", "a= names=3 ops=0",
							"1= known=2", "a: B(|t) S", "1> C(S|#1) P(#2|select 2) B(|#2) S",
							"1: 3 1 2 Z(I)", "a> 2 Z(I)", "a@-"),
					 2);
	replay_every_way(
		&loop,
		SCRIPT("a@1", "a: P(s|select 1) P(t|select 2) B(|s) S",
			   "1> P(#1|select 1) C(S|#1) P(#2|select 2) C(S|#2) P(#1|select 1) B(|#1) S",
			   "1: 1 3 1 3 1 2 Z(I)", "a> 1 1 2 Z(I)", "1= known=1", "a= ops=0", "a@-"),
		1);
}

static void
an_eviction_that_was_skipped_is_undone(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: B(|nosuch) P(t|select 2) B(|t) S",
							"1> B(|nosuch) C(S|#1) P(#2|select 2) B(|#2) S",
							"1: E(26000|no nosuch) Z(I)", "a> E(26000|no nosuch) Z(I)",
							"a= names=1 ops=0", "1= known=1", "a: B(|s) S", "1> B(|#1) S",
							"1: 2 Z(I)", "a> 2 Z(I)", "a@-"),
					 1);
	/* The next batch, sent already, wants it. */
	replay_whole(
		&loop,
		SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)", "a> 1 Z(I)",
			   "a: B(|nosuch) P(t|select 2) S B(|s) S",
			   "1> B(|nosuch) C(S|#1) P(#2|select 2) S C(S|#1) C(S|#2) P(#1|select 1) B(|#1) S",
			   "1: E(26000|no nosuch) Z(I) 3 3 1 2 Z(I)", "a> E(26000|no nosuch) Z(I) 2 Z(I)",
			   "a= names=1 ops=0", "a@-"),
		1);
	/* The Close was carried out, the Parse failed. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: P(t|selec) S", "1> C(S|#1) P(#2|selec) S",
							"1: 3 E(42601|syntax error) Z(I)", "a> E(42601|syntax error) Z(I)",
							"a= names=1 ops=0", "1= known=0", "a: B(|s) S",
							"1> P(#1|select 1) B(|#1) S", "1: 1 2 Z(I)", "a> 2 Z(I)", "a@-"),
					 1);
}

/* W5 */
static void
a_statement_with_another_result_type_is_retired(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: B(|s) E S", "1> B(|#1) E S",
							"1: E(0A000|cached plan|RevalidateCachedQuery) Z(I)",
							"a> E(0A000|cached plan|RevalidateCachedQuery) Z(I)", "a: B(|s) S",
							"1> B(|#1) S", "1: E(0A000|cached plan|RevalidateCachedQuery) Z(I)",
							"a> E(0A000|cached plan|RevalidateCachedQuery) Z(I)", "a@-", "b@1",
							"b: P(s|select 1) S", "1> P(#2|select 1) S", "1: 1 Z(I)", "b> 1 Z(I)",
							"b@-"),
					 100);
	/* Another 0A000 says nothing about the statement. */
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) S", "1> P(#1|select 1) S", "1: 1 Z(I)",
							"a> 1 Z(I)", "a: B(|s) E S", "1> B(|#1) E S",
							"1: E(0A000|not supported|ExecX) Z(I)",
							"a> E(0A000|not supported|ExecX) Z(I)", "a: P(t|select 1) S", "1> S",
							"1: Z(I)", "a> 1 Z(I)", "a@-"),
					 100);
}

static void
max_0_passes_everything_through(void **state)
{
	(void) state;
	replay_every_way(&loop,
					 SCRIPT("a@1", "a: P(s|select 1) B(|s) D(S|s) C(S|s) S",
							"1> P(s|select 1) B(|s) D(S|s) C(S|s) S", "1: 1 2 n 3 Z(I)",
							"a> 1 2 n 3 Z(I)", "a= names=0", "1= known=0", "a@-"),
					 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_simple_query),
		cmocka_unit_test(a_named_statement_goes_under_a_shared_name),
		cmocka_unit_test(known_statements_are_not_parsed_again),
		cmocka_unit_test(answers_of_ours_wait_for_the_end_of_a_message),
		cmocka_unit_test(a_statement_is_prepared_on_another_server),
		cmocka_unit_test(unknown_names_are_the_servers_to_refuse),
		cmocka_unit_test(duplicates_are_the_servers_to_refuse),
		cmocka_unit_test(a_failed_parse_frees_the_name),
		cmocka_unit_test(an_error_undoes_its_own_batch),
		cmocka_unit_test(a_name_given_again_behind_a_sync),
		cmocka_unit_test(a_name_used_behind_a_sync),
		cmocka_unit_test(a_statement_told_behind_an_unseen_failure),
		cmocka_unit_test(a_known_statement_behind_an_unseen_failure),
		cmocka_unit_test(nothing_is_mapped_while_the_server_skips),
		cmocka_unit_test(a_closed_name_is_free),
		cmocka_unit_test(the_longest_unused_is_evicted),
		cmocka_unit_test(an_eviction_that_was_skipped_is_undone),
		cmocka_unit_test(a_statement_with_another_result_type_is_retired),
		cmocka_unit_test(max_0_passes_everything_through),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
