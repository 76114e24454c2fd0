/*
 * test_txstate.c - the rules X1 to X10 as short conversations.
 *
 * A script is a row of words:
 *
 *     c:PBES   the client sends these messages         o:Q   so do we, and want no part of the
 * answer s:12CZI  the server answers; Z carries a status  c!:y  s!:1  each of them must be nonsense
 *     v:..     as s:, all of it must be for the client w:..  as s:, all of it must be swallowed
 *     ->R      the server may be released              ->H   quiet, but held for this client
 *     ->B      busy: an answer is outstanding          ->D   as H, in doubt: only good for closing
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "proto/txstate.h"

struct script
{
	const char *name;
	const char *text;
};

/* A conversation under test; `grown` is the queue's memory when it is not inline. */
struct talk
{
	const struct script *script;
	struct txstate tx;
	uint32_t next_tag;
	struct tx_request *grown;
};

static void
fail_at(const struct talk *t, const char *at, const char *what)
{
	fail_msg("%s: %s at \"%s\" in \"%s\"", t->script->name, what, at, t->script->text);
}

static void
feed_client(struct talk *t, const char *at, enum tx_action action, enum tx_verdict expected)
{
	enum tx_verdict verdict = txstate_frontend(&t->tx, (uint8_t) *at, action, t->next_tag);

	if (verdict == TX_FULL)
	{
		uint32_t cap = t->tx.cap * 2;
		struct tx_request *mem = malloc(cap * sizeof(*mem));

		free(txstate_grow(&t->tx, mem, cap));
		t->grown = mem;
		verdict = txstate_frontend(&t->tx, (uint8_t) *at, action, t->next_tag);
	}
	t->next_tag++;
	if (verdict != expected)
		fail_at(t, at, "unexpected verdict on the client");
}

/* Feeds one backend message and returns how many characters of the script it took. */
static size_t
feed_server(struct talk *t, const char *at, char mode, enum tx_verdict expected)
{
	bool has_status = *at == 'Z' && strchr("ITEx", at[1]) != NULL && at[1] != '\0';
	const uint8_t *status = has_status ? (const uint8_t *) at + 1 : NULL;
	struct tx_reply reply;

	if (txstate_backend(&t->tx, (uint8_t) *at, status, has_status ? 1 : 0, &reply) != expected)
		fail_at(t, at, "unexpected verdict on the server");
	if ((mode == 'v' && reply.action != TX_FORWARD) || (mode == 'w' && reply.action != TX_SWALLOW))
		fail_at(t, at, "reply goes to the wrong one");
	return has_status ? 2 : 1;
}

static void
check_state(struct talk *t, const char *at)
{
	bool releasable = txstate_releasable(&t->tx);
	bool quiet = txstate_quiet(&t->tx);
	bool ok;

	switch (*at)
	{
		case 'R':
			ok = releasable && quiet && !t->tx.doubt;
			break;
		case 'H':
			ok = !releasable && quiet && !t->tx.doubt;
			break;
		case 'B':
			ok = !releasable && !quiet;
			break;
		case 'D':
			ok = !releasable && quiet && t->tx.doubt;
			break;
		default:
			ok = false;
	}
	if (!ok)
		fail_at(t, at, "wrong state");
}

static void
run_word(struct talk *t, const char *at, const char *end)
{
	bool nonsense = at[1] == '!';
	enum tx_verdict expected = nonsense ? TX_NONSENSE : TX_OK;
	char mode = *at;

	if (at[0] == '-' && at[1] == '>')
	{
		check_state(t, at + 2);
		return;
	}
	at += nonsense ? 3 : 2;
	while (at < end)
	{
		if (mode == 'c' || mode == 'o')
			feed_client(t, at++, mode == 'o' ? TX_SWALLOW : TX_FORWARD, expected);
		else
			at += feed_server(t, at, mode, expected);
	}
}

static void
run_scripts(const struct script *scripts, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		struct talk t = {.script = &scripts[i]};
		const char *at = scripts[i].text;

		txstate_init(&t.tx);
		while (*at != '\0')
		{
			size_t len = strcspn(at, " ");

			run_word(&t, at, at + len);
			at += len + strspn(at + len, " ");
		}
		free(t.grown);
	}
}

#define RUN(...)                                                                                   \
	static const struct script scripts[] = {__VA_ARGS__};                                          \
	(void) state;                                                                                  \
	run_scripts(scripts, sizeof(scripts) / sizeof(scripts[0]))

static void
x1_every_request_has_its_answer(void **state)
{
	RUN({"nothing sent", "->R"}, {"simple query", "c:Q ->B s:TDDC ->B s:ZI ->R"},
		{"empty query", "c:Q s:I ->B s:ZI ->R"},
		{"several statements in one query", "c:Q s:CTDCCTDDDC ->B s:ZI ->R"},
		{"two queries in flight", "c:QQ s:CZI ->B s:CZI ->R"},
		{"function call", "c:F ->B s:V ->B s:ZI ->R"},
		{"extended query", "c:PBDES s:12TDC ->B s:ZI ->R"},
		{"describe a statement without rows", "c:PDS s:1tnZI ->R"},
		{"describe a statement with rows", "c:PDS s:1tTZI ->R"},
		{"execute of an empty string", "c:PBES s:12IZI ->R"},
		{"portal suspended and gone on with", "c:PBES s:12DDs ->B s:ZT ->H c:ES s:DDCZI ->R"},
		{"close", "c:CS s:3ZI ->R"},
		{"pipeline of two batches", "c:PBDESPBES s:12TDDCZI ->B s:12CZI ->R"},
		{"sync alone", "c:S ->B s:ZI ->R"},
		{"transaction block", "c:Q s:CZT ->H c:Q s:EZE ->H c:Q s:CZI ->R"},
		{"query behind a batch", "c:PBESQ s:12CZI ->B s:TDCZI ->R"});
}

static void
x2_an_error_drops_the_rest_of_its_batch(void **state)
{
	RUN({"error in execute", "c:PBESPBES s:12E ->B s:ZI ->B s:12CZI ->R"},
		{"error in parse", "c:PBDES s:E ->B s:ZI ->R"},
		{"error in bind, nothing behind it", "c:PB s:1E ->H c:S ->B s:ZI ->R"},
		{"requests fed while the server skips", "c:P s:E c:BDECH ->H c:S ->B s:ZI ->R"},
		{"query and call fed while it skips", "c:P s:E c:QF ->H c:S s:ZI ->R"},
		{"query queued in the broken batch", "c:PQFS s:E ->B s:ZI ->R"},
		{"copy end in the broken batch", "c:PcS s:E ->B s:ZI ->R"},
		{"error inside a transaction block", "c:Q s:CZT c:PBES s:EZE ->H c:Q s:CZI ->R"},
		{"next batch after the skip", "c:P s:E c:SPBES s:ZI ->B s:12CZI ->R"});
}

static void
x3_an_error_in_a_query_or_sync_drops_nothing(void **state)
{
	RUN({"query", "c:QQ s:E ->B s:ZI ->B s:CZI ->R"},
		{"second statement of a query", "c:Q s:TDCE ->B s:ZI ->R"},
		{"function call", "c:F s:E ->B s:ZI ->R"},
		{"sync (deferred constraint)", "c:PBESQ s:12CE ->B s:ZI ->B s:CZI ->R"});
}

static void
x4_a_sync_inside_copy_in_is_lost(void **state)
{
	RUN({"sync fed before the answer", "c:PBES s:12G ->B c:ddcS s:C ->B s:ZI ->R"},
		{"sync fed while copying", "c:PBE s:12G c:SdSdcS s:C ->B s:ZI ->R"},
		{"copy sent blindly", "c:PBEdcS s:12GC ->B s:ZI ->R"},
		{"blindly, a sync on each side", "c:PBESdcS s:12GC ->B s:ZI ->R"},
		{"answered, but the batch is open again", "c:PBES s:12G c:dc s:C ->H c:S ->B s:ZI ->R"},
		{"blind, open again", "c:PBESdc s:12GC ->H c:S s:ZI ->R"},
		{"flush while copying", "c:PBE s:12G c:HdHcS s:CZI ->R"},
		{"two copies in two batches", "c:PBESdcSBESdcS s:12GCZI ->B s:2GC ->B s:ZI ->R"},
		{"two copies in one batch", "c:PBEdcBEdcS s:12GC2GC ->B s:ZI ->R"},
		{"no copy after all", "c:PBEScS s:12CZI ->B s:ZI ->R"},
		{"simple query", "c:Q s:G ->B c:ddc s:C ->B s:ZI ->R"},
		{"simple query, sent blindly", "c:Qdc s:GCZI ->R"},
		{"simple query, sync inside", "c:QSdc s:GCZI ->R"},
		{"simple query, sync inside and behind", "c:QSdcS s:GCZI ->B s:ZI ->R"},
		{"simple query, flush inside", "c:Q s:G c:HdHc s:CZI ->R"},
		{"two copies in one query", "c:Q s:G c:dc s:CG ->B c:dc s:CZI ->R"},
		{"two copies in one query, blindly", "c:QdcdcS s:GCGCZI ->B s:ZI ->R"},
		{"two copies, syncs inside both", "c:QSdcSdcS s:GCGCZI ->B s:ZI ->R"},
		{"three copies, blindly", "c:QcccS s:GCGCGCZI ->B s:ZI ->R"},
		{"query behind a copy", "c:QdcQ s:GCZI ->B s:CZI ->R"},
		{"more copies ended than begun", "c:QccQ s:GCZI ->B s:CZI ->R"},
		{"a copy that fails unseen, the next one's end", "c:QBEcS s:GEZI2GC ->B s:ZI ->R"},
		{"a request fed while copying ends it", "c:Q s:G c:PS s:EZI1 ->B s:ZI ->R"},
		{"two syncs lost, the batch open again", "c:PQScSc s:1GCGCZI ->H c:S s:ZI ->R"});
}

static void
x5_a_failed_copy_that_lost_a_sync_is_in_doubt(void **state)
{
	RUN({"sync read inside the copy", "c:PBES s:12G c:d s:E c:cS ->B s:ZI ->D"},
		{"sync read after the error", "c:PBES s:12GE s:ZI ->D"},
		{"both answered", "c:PBES s:12GE c:S s:ZIZI ->D"},
		{"surplus in front of the next batch", "c:PBES s:12GE c:SPS s:ZIZI ->B s:1ZI ->D"},
		{"sync fed while copying", "c:PBE s:12G c:Sf s:E c:S s:ZI ->D"},
		{"end of copy fed already", "c:PBESdcS s:12GEZI ->D"},
		{"simple query that lost a sync", "c:QSdc s:GEZI ->D s:ZI ->D"},
		{"the status of the surplus counts", "c:Q s:CZT c:PBES s:12GEZE ->D"},
		{"no sync lost: no doubt", "c:PBE s:12G c:d s:E c:dcS ->B s:ZI ->R"},
		{"no sync lost, sent blindly", "c:PBEdcS s:12GE ->B s:ZI ->R"},
		{"simple query: no doubt", "c:Qdf s:GEZI ->R"},
		{"a copy that went well takes it with it", "c:PBESdcS s:12GCZI c:Q s:EZI ->R"},
		{"lost in the first copy, the second fails", "c:QSdcdc s:GCGEZI ->R"});
}

static void
x6_asynchronous_messages_change_nothing(void **state)
{
	RUN({"while idle", "s:NAS ->R"}, {"in a transaction", "c:Q s:CZT s:NAS ->H c:Q s:CZI s:S ->R"},
		{"between answers", "c:PBES s:N1S2ACNZI ->R"}, {"while copying", "c:Q s:HdNdScCZI ->R"},
		{"for the client, whoever asked", "o:Q v:NAS w:C v:S w:ZI ->R"},
		{"while the server skips", "c:P s:E s:NAS ->H c:S s:ZI ->R"});
}

static void
x7_what_nothing_explains_is_nonsense(void **state)
{
	RUN({"answers to nobody", "s!:TDCIZI12tn3sVGHWdcRKv ->R"},
		{"error to nobody is the dying server's", "s:E ->R"}, {"unknown types", "c:Q s!:xyz0 ->B"},
		{"ready without or with a wrong status", "c:Q s!:ZZx ->B s:ZI ->R"},
		{"ready in the middle of a batch", "c:PBES s!:ZI s:1 s!:ZI s:2 s!:ZI s:C s:ZI ->R"},
		{"answers out of order", "c:PBES s!:2CTD s:1 s!:1 s:2C s!:C s:ZI ->R"},
		{"two ready for one sync", "c:S s:ZI s!:ZI ->R"},
		{"rows of a query for a function call", "c:F s!:TDC s:VZI ->R"},
		{"rows of a query for a sync", "c:S s!:TDCI s:ZI ->R"},
		{"row description for an execute", "c:E s!:T s:DC c:S s:ZI ->R"},
		{"copy data without a copy", "c:Q s!:dc s:CZI ->R"},
		{"rows inside a copy", "c:Q s:H s!:TDI s:dc s:CZI ->R"},
		{"copy data behind its end", "c:Q s:Hdc s!:dc s:CZI ->R"},
		{"a copy inside a copy", "c:Q s:G s!:GHW c:c s:CZI ->R"},
		{"copy data from the server in copy in", "c:Q s:G s!:dc c:c s:CZI ->R"},
		{"suspended while copying", "c:E s:G s!:sI c:cS s:CZI ->R"},
		{"types no client may send", "c!:XpZ1KRyz ->R"});
}

static void
x8_late_copy_messages_are_ignored(void **state)
{
	RUN({"to an idle server", "c:dddcf ->R"}, {"after the error", "c:Q s:GE c:ddc s:ZI c:df ->R"},
		{"queued behind an error", "c:PBEcS s:E s:ZI ->R"},
		{"in front of the next query", "c:Qdc s:E c:cc s:ZI c:cQ s:CZI ->R"},
		{"behind a request that copies nothing", "c:PcBcEcScQc s:12CZICZI ->R"},
		{"belongs to the request in front", "c:QcPBES s:CZI12G c:dcS s:CZI ->R"});
}

static void
x9_unsynced_requests_hold_the_server(void **state)
{
	RUN({"all answered", "c:PBE s:12C ->H c:S s:ZI ->R"}, {"flush", "c:PH s:1 ->H c:S s:ZI ->R"},
		{"flush alone", "c:H ->H c:S s:ZI ->R"},
		{"sync behind, one more behind that", "c:PSP s:1ZI1 ->H c:S s:ZI ->R"},
		{"after an error", "c:P s:E ->H c:S s:ZI ->R"});
}

static void
copy_out_and_copy_both(void **state)
{
	RUN({"copy out", "c:Q s:Hdd ->B s:dcC ->B s:ZI ->R"},
		{"copy out, extended", "c:PBES s:12HddcC ->B s:ZI ->R"},
		{"copy out, no rows", "c:Q s:HcCZI ->R"}, {"error in copy out", "c:Q s:HddEZI ->R"},
		{"error in copy out, extended", "c:PBESS s:12HdE ->B s:ZI ->B s:ZI ->R"},
		{"both, ended by the client", "c:Q s:Wdd c:ddc ->B s:ddcC ->B s:ZI ->R"},
		{"both, ended by the server", "c:Q s:Wdc c:ddc s:CZI ->R"},
		{"both, a keep-alive behind the end", "c:Q s:Wd c:c s:dcddCZI ->R"},
		{"both, timeline follows", "c:Q s:Wdc c:c s:TDC ->B s:CZI ->R"},
		{"both, end fed before the answer", "c:Qc s:Wdc ->B s:CZI ->R"},
		{"both, server shuts down", "c:Q s:WddC ->B"}, {"both, error", "c:Q s:WdEZI ->R"},
		{"both, then more queries", "c:QcQ s:WcCZI ->B s:CZI ->R"},
		{"both, ended like no COPY ends", "c:E s:WcI ->H c:S s:ZI ->R"});
}

static void
our_own_requests_are_swallowed(void **state)
{
	RUN({"query in front of the client's", "o:Q c:Q w:CZI ->B v:TDCZI ->R"},
		{"batch in front of the client's", "o:PBES c:BES w:12CZI v:2CZI ->R"},
		{"error in ours", "o:Q c:Q w:EZI v:CZI ->R"}, {"ours last", "c:Q o:Q v:CZI w:CZI ->R"},
		{"copy in ours", "o:Q w:HdcCZI ->R"});
}

static void
the_queue_grows_and_wraps(void **state)
{
	RUN({"more than fits inline", "c:PBDESPBDESPBDESPBDESPBDES "
								  "s:12TCZI12TCZI12TCZI12TCZI ->B s:12TCZI ->R"},
		{"grown while wrapped", "c:QQQQQQQQQQ s:CZICZICZICZICZICZICZICZI ->B "
								"c:QQQQQQQQQQQQQQQQ s:ZIZIZIZIZIZIZIZIZI ->B "
								"s:ZIZIZIZIZIZIZIZIZI ->R"},
		{"copy while wrapped", "c:QQQQQQQQQQQQQ s:ZIZIZIZIZIZIZIZIZIZIZIZIZI ->R "
							   "c:PBESScQQ s:12GC ->B s:ZIZI ->H c:S s:ZI ->R"});
}

static void
full_queue_changes_nothing(void **state)
{
	struct txstate tx;

	(void) state;
	txstate_init(&tx);
	for (uint32_t i = 0; i < TX_INLINE; i++)
	{
		assert_false(txstate_full(&tx));
		assert_int_equal(txstate_frontend(&tx, 'Q', TX_FORWARD, i), TX_OK);
	}
	assert_true(txstate_full(&tx));
	assert_int_equal(txstate_frontend(&tx, 'P', TX_FORWARD, 99), TX_FULL);
	assert_int_equal(txstate_frontend(&tx, 'S', TX_FORWARD, 99), TX_FULL);
	assert_int_equal(txstate_frontend(&tx, 'c', TX_FORWARD, 99), TX_FULL);
	assert_false(tx.unsynced);
	assert_int_equal(tx.count, TX_INLINE);
	assert_int_equal(txstate_frontend(&tx, 'd', TX_FORWARD, 99), TX_OK);
}

static void
grow_keeps_the_order_and_shrink_gives_back(void **state)
{
	struct tx_request mem[2 * TX_INLINE];
	struct tx_request more[4 * TX_INLINE];
	struct tx_reply reply;
	struct txstate tx;

	(void) state;
	txstate_init(&tx);
	for (uint32_t i = 0; i < TX_INLINE; i++)
		assert_int_equal(txstate_frontend(&tx, 'P', TX_FORWARD, i), TX_OK);
	/* a few leave, so that the ring wraps before it grows */
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(txstate_backend(&tx, '1', NULL, 0, &reply), TX_OK);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(txstate_frontend(&tx, 'P', TX_SWALLOW, TX_INLINE + i), TX_OK);

	assert_null(txstate_grow(&tx, mem, 2 * TX_INLINE));
	assert_ptr_equal(txstate_grow(&tx, more, 4 * TX_INLINE), mem);
	assert_null(txstate_shrink(&tx));
	for (uint32_t i = 5; i < TX_INLINE + 5; i++)
	{
		assert_int_equal(txstate_backend(&tx, '1', NULL, 0, &reply), TX_OK);
		assert_true(reply.completes);
		assert_int_equal(reply.kind, 'P');
		assert_int_equal(reply.tag, i);
		assert_int_equal(reply.action, i < TX_INLINE ? TX_FORWARD : TX_SWALLOW);
	}
	assert_ptr_equal(txstate_shrink(&tx), more);
	assert_null(txstate_shrink(&tx));
	assert_int_equal(tx.cap, TX_INLINE);
}

static void
replies_tell_what_they_complete(void **state)
{
	static const uint8_t in_block = 'T';
	static const uint8_t idle = 'I';
	struct tx_reply r;
	struct txstate tx;

	(void) state;
	txstate_init(&tx);
	txstate_frontend(&tx, 'P', TX_FORWARD, 7);
	txstate_frontend(&tx, 'B', TX_FORWARD, 8);
	txstate_frontend(&tx, 'S', TX_FORWARD, 9);
	txstate_frontend(&tx, 'Q', TX_FORWARD, 10);

	/* the error completes the oldest request and takes B along */
	assert_int_equal(txstate_backend(&tx, 'E', NULL, 0, &r), TX_OK);
	assert_true(r.completes && r.kind == 'P' && r.tag == 7 && !r.query_done);
	assert_int_equal(txstate_backend(&tx, 'Z', &in_block, 1, &r), TX_OK);
	assert_true(r.completes && r.kind == 'S' && r.tag == 9 && r.query_done && !r.xact_done);
	assert_int_equal(txstate_backend(&tx, 'T', NULL, 0, &r), TX_OK);
	assert_true(!r.completes && r.kind == 'Q' && r.tag == 10 && !r.query_done);
	assert_int_equal(txstate_backend(&tx, 'E', NULL, 0, &r), TX_OK);
	assert_true(!r.completes && r.kind == 'Q');
	assert_int_equal(txstate_backend(&tx, 'Z', &idle, 1, &r), TX_OK);
	assert_true(r.completes && r.kind == 'Q' && r.query_done && r.xact_done);
	assert_int_equal(txstate_backend(&tx, 'E', NULL, 0, &r), TX_OK);
	assert_true(!r.completes && r.kind == 0 && r.action == TX_FORWARD);
	assert_int_equal(tx.status, 'I');
}

/* Which requests an error in front of them, not seen yet, may have skipped. */
static void
what_is_never_skipped(void **state)
{
	struct tx_reply r;
	struct txstate tx;

	(void) state;
	txstate_init(&tx);
	assert_false(txstate_never_skipped(&tx, 1)); /* there is none */
	assert_int_equal(txstate_frontend(&tx, 'Q', TX_FORWARD, 1), TX_OK);
	assert_int_equal(txstate_frontend(&tx, 'Q', TX_FORWARD, 2), TX_OK);
	assert_true(txstate_never_skipped(&tx, 1));
	assert_true(txstate_never_skipped(&tx, 2));
	assert_int_equal(txstate_frontend(&tx, 'P', TX_FORWARD, 3), TX_OK);
	assert_int_equal(txstate_frontend(&tx, 'Q', TX_FORWARD, 4), TX_OK);
	assert_true(txstate_never_skipped(&tx, 3));
	assert_false(txstate_never_skipped(&tx, 4));
	assert_int_equal(txstate_frontend(&tx, 'S', TX_FORWARD, 0), TX_OK);
	assert_int_equal(txstate_frontend(&tx, 'Q', TX_FORWARD, 5), TX_OK);
	assert_true(txstate_never_skipped(&tx, 5));
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(txstate_backend(&tx, 'C', NULL, 0, &r), TX_OK);
		assert_int_equal(txstate_backend(&tx, 'Z', (const uint8_t *) "I", 1, &r), TX_OK);
	}
	assert_int_equal(txstate_backend(&tx, 'E', NULL, 0, &r), TX_OK);
	assert_false(txstate_never_skipped(&tx, 4)); /* it is gone */
	assert_true(txstate_never_skipped(&tx, 5));
}

/* What a Sync in between keeps from being skipped, and whether the status is to be trusted. */
static void
what_is_not_known_yet(void **state)
{
	static const uint8_t idle = 'I';
	struct tx_reply r;
	struct txstate tx;

	(void) state;
	txstate_init(&tx);
	assert_false(txstate_synced_since(&tx, 1));
	assert_false(txstate_status_unknown(&tx));
	assert_int_equal(txstate_frontend(&tx, 'Q', TX_SWALLOW, 9), TX_OK);
	assert_false(txstate_status_unknown(&tx)); /* ours: no client's transaction fails by it */
	assert_int_equal(txstate_frontend(&tx, 'P', TX_FORWARD, 1), TX_OK);
	assert_int_equal(txstate_frontend(&tx, 'B', TX_FORWARD, 0), TX_OK);
	assert_false(txstate_synced_since(&tx, 1));
	assert_false(txstate_status_unknown(&tx));
	assert_int_equal(txstate_frontend(&tx, 'S', TX_FORWARD, 0), TX_OK);
	assert_int_equal(txstate_frontend(&tx, 'P', TX_FORWARD, 2), TX_OK);
	assert_true(txstate_synced_since(&tx, 1));
	assert_false(txstate_synced_since(&tx, 2));
	assert_false(txstate_synced_since(&tx, 3)); /* there is none */
	assert_true(txstate_status_unknown(&tx));
	assert_int_equal(txstate_backend(&tx, 'C', NULL, 0, &r), TX_OK);
	assert_int_equal(txstate_backend(&tx, 'Z', &idle, 1, &r), TX_OK);
	assert_int_equal(txstate_backend(&tx, '1', NULL, 0, &r), TX_OK);
	assert_false(txstate_synced_since(&tx, 1)); /* it is answered */
	assert_int_equal(txstate_backend(&tx, '2', NULL, 0, &r), TX_OK);
	assert_int_equal(txstate_backend(&tx, 'Z', &idle, 1, &r), TX_OK);
	assert_false(txstate_status_unknown(&tx));
	for (const char *kind = "QF"; *kind != '\0'; kind++)
	{
		txstate_init(&tx);
		assert_int_equal(txstate_frontend(&tx, (uint8_t) *kind, TX_FORWARD, 0), TX_OK);
		assert_true(txstate_status_unknown(&tx));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(x1_every_request_has_its_answer),
		cmocka_unit_test(x2_an_error_drops_the_rest_of_its_batch),
		cmocka_unit_test(x3_an_error_in_a_query_or_sync_drops_nothing),
		cmocka_unit_test(x4_a_sync_inside_copy_in_is_lost),
		cmocka_unit_test(x5_a_failed_copy_that_lost_a_sync_is_in_doubt),
		cmocka_unit_test(x6_asynchronous_messages_change_nothing),
		cmocka_unit_test(x7_what_nothing_explains_is_nonsense),
		cmocka_unit_test(x8_late_copy_messages_are_ignored),
		cmocka_unit_test(x9_unsynced_requests_hold_the_server),
		cmocka_unit_test(copy_out_and_copy_both),
		cmocka_unit_test(our_own_requests_are_swallowed),
		cmocka_unit_test(the_queue_grows_and_wraps),
		cmocka_unit_test(full_queue_changes_nothing),
		cmocka_unit_test(grow_keeps_the_order_and_shrink_gives_back),
		cmocka_unit_test(replies_tell_what_they_complete),
		cmocka_unit_test(what_is_never_skipped),
		cmocka_unit_test(what_is_not_known_yet),
	};

	return cmocka_run_group_tests_name("txstate", tests, NULL, NULL);
}
