/*
 * txstate.h - may this server be given to another client? Pure.
 *
 * Fed with the types of the messages that go to a server and come from it, in order, it keeps the
 * queue of outstanding requests. That queue is the truth, not ReadyForQuery: with pipelining a
 * ReadyForQuery may answer a Sync whose successors are already on their way.
 *
 * The happy path of a pipeline
 *
 *     client:  P B D E S  P B E S            queue  P B D E S P B E S
 *     server:  1 2 T D D C Z                 pops   P B D   E S
 *     server:  1 2 E            (error in Execute: everything up to the next Sync is dropped)
 *     server:  Z                             pops   S        -> empty, status I -> releasable
 *
 * Rules (PostgreSQL: "Message Flow"; what it leaves open is src/backend/tcop/postgres.c,
 * SocketBackend() and the error branch of PostgresMain(), and src/backend/commands/copyfromparse.c,
 * CopyGetData())
 *
 *   X1  Q and F are answered by exactly one Z, whatever comes before it. P B D E C are answered by
 *       1, 2, (T|n), (C|I|s), 3; S by Z.
 *   X2  An ErrorResponse while P B D E C is the oldest request drops all requests up to the next S.
 *       If none is queued the server skips: until a Sync is fed nothing is queued, not even Q or F,
 *       since the server ignores them all.
 *   X3  An ErrorResponse while Q, F or S is the oldest request drops nothing: their Z follows.
 *   X4  After CopyInResponse the server ignores Sync and Flush until CopyDone or CopyFail. Syncs
 *       queued behind the request that began the COPY (an Execute or a Query) and in front of the
 *       client's CopyDone/CopyFail are therefore dropped when CopyInResponse arrives; those fed
 *       later while copying are not queued. Another request in front of the CopyDone ends this: the
 *       server does not survive to read it in the COPY. A Sync so lost ends no batch (X9).
 *       CopyBothResponse drops nothing: there the server does not survive a Sync either.
 *   X5  If a COPY fails that has lost a Sync to X4, it cannot be known whether the server had read
 *       that Sync before the error: `doubt` is set, the server must not be reused, and a Z that the
 *       queue does not explain is passed on. The server may be closed as soon as a Z has come
 *       (tx_reply.query_done) and nothing is outstanding (txstate_quiet).
 *   X6  N, A, S (ParameterStatus) may come at any time and change nothing.
 *   X7  Bytes that no queued request explains are TX_NONSENSE: the server is closed. An
 *       ErrorResponse with an empty queue is not: a server that ends says so before it closes.
 *   X8  Late CopyData, CopyDone, CopyFail after the COPY ended are ignored by the server and change
 *       nothing here.
 *   X9  A client that has sent P B D E C or H without Sync since keeps the server, even when all
 *       was answered.
 *   X10 In CopyBoth CopyData may come behind the server's CopyDone: a WAL sender that has read the
 *       client's CopyDone says its own at once, and a keep-alive that was due may follow
 *       (WalSndWaitForWal()). Clients ignore it.
 *
 * A CopyDone or CopyFail that is fed while a request may yet begin a COPY stands in the queue as a
 * marker behind that request; `tag` counts neighbours. Markers are never the oldest entry.
 *
 * Memory: the queue starts inside the struct, which therefore must not be moved by memcpy(); the
 * caller grows it before feeding (txstate_full, txstate_grow).
 */
#ifndef PERFKIT_PROTO_TXSTATE_H
#define PERFKIT_PROTO_TXSTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TX_INLINE 16

enum tx_action
{
	TX_FORWARD, /* the answer goes to the client */
	TX_SWALLOW, /* the request was ours: no part of its answer is shown to the client */
	TX_FAKE     /* never sent: we answer it when its turn has come (txstate_fake_due) */
};

struct tx_request
{
	uint8_t kind;    /* Q F P B D E C S, or 'c' for a CopyDone/CopyFail marker */
	uint8_t action;  /* enum tx_action */
	bool ends_batch; /* S: the client was unsynced (X9) when it was fed */
	uint32_t tag;    /* the caller's */
};

struct txstate
{
	struct tx_request *queue; /* inline_queue or the caller's memory; a ring */
	uint32_t cap;
	uint32_t head;
	uint32_t count;
	char status;     /* of the last Z: I, T, E; 'I' after login */
	bool copy_in;    /* G or W seen: server reads CopyData */
	bool copy_out;   /* H or W seen, c not yet: server sends CopyData */
	bool copy_both;  /* it was W */
	bool copy_ended; /* the client ended this COPY, or went on without doing so */
	bool sync_lost;  /* X4 took a Sync during this COPY */
	bool skipping;   /* X2: server ignores until Sync */
	bool unsynced;   /* X9 */
	bool doubt;      /* X5 */
	struct tx_request inline_queue[TX_INLINE];
};

/* What a backend message meant. An error that drops requests (X2) names the oldest of them only. */
struct tx_reply
{
	enum tx_action action; /* of the request it belongs to; FORWARD for asynchronous ones */
	bool completes;        /* the oldest request is answered and gone; `kind` and `tag` are its */
	uint8_t kind;          /* of the oldest request, 0 when there was none */
	uint32_t tag;
	bool query_done; /* Z: the answer to a Q, F or S, or the surplus one of X5 */
	bool xact_done;  /* that Z says I */
};

enum tx_verdict
{
	TX_OK,
	TX_NONSENSE, /* impossible at this point: close the peer that sent it */
	TX_FULL      /* frontend only: txstate_grow first, then feed again */
};

void txstate_init(struct txstate *tx);

/* True when one more request may not fit. */
bool txstate_full(const struct txstate *tx);

/*
 * Moves the queue into mem (cap entries, more than now), which stays the caller's to free after
 * txstate_shrink(). Returns the memory that held it before, or NULL if that was inline.
 */
struct tx_request *txstate_grow(struct txstate *tx, struct tx_request *mem, uint32_t cap);

/* Back to the inline queue when nothing is queued; returns memory to free, or NULL. */
struct tx_request *txstate_shrink(struct txstate *tx);

/*
 * A message of this type goes to the server. TX_NONSENSE: a type that no client may send here, 'X'
 * and 'p' among them, which are never fed. TX_FULL: nothing has changed. `action` and `tag` come
 * back with each reply; those of H d c f are not used.
 */
enum tx_verdict txstate_frontend(struct txstate *tx, uint8_t type, enum tx_action action,
								 uint32_t tag);

/*
 * A message came from the server. Only of Z is the body looked at: its one byte, the status; that
 * of other types may be NULL or cut. TX_NONSENSE: nothing has changed and `out` is empty.
 */
enum tx_verdict txstate_backend(struct txstate *tx, uint8_t type, const uint8_t *body, size_t n,
								struct tx_reply *out);

/*
 * True when the oldest request is a fake: it is taken out, and its answer belongs here. To be asked
 * after each feeding, until false, so that a fake is never the oldest when a message is fed.
 */
bool txstate_fake_due(struct txstate *tx, struct tx_reply *out);

/* Whether that would be true. */
static inline bool
txstate_fake_waits(const struct txstate *tx)
{
	return tx->count > 0 && tx->queue[tx->head].action == TX_FAKE;
}

/* The i-th oldest request, NULL past the newest. */
const struct tx_request *txstate_request(const struct txstate *tx, uint32_t i);

/* How many requests stand in front of the oldest Sync in the queue; all when there is none. */
uint32_t txstate_before_sync(const struct txstate *tx);

/* A Sync was fed behind the request with this tag: an error in front of that does not make the
 * server skip what is fed now. False when there is no such request. */
bool txstate_synced_since(const struct txstate *tx, uint32_t tag);

/* The request with this tag will be answered, whatever fails in front of it: what is skipped ends
 * there. False when there is no such request. */
bool txstate_never_skipped(const struct txstate *tx, uint32_t tag);

/* A ReadyForQuery of the client's is to come: what its transaction's status will be is not known.
 */
bool txstate_status_unknown(const struct txstate *tx);

/* An error in what is outstanding would make the server skip what is fed now (X2). */
bool txstate_may_skip(const struct txstate *tx);

/*
 * Queue empty, nothing unsynced, skipped or in doubt, no COPY, status I. Partial messages are the
 * relay's to know.
 */
bool txstate_releasable(const struct txstate *tx);

/* It would be releasable, were it not for X5: its client needs it no more, but it must be closed.
 */
bool txstate_doubtful(const struct txstate *tx);

/*
 * Nothing outstanding, whatever the transaction status: the server waits for the client. If it is
 * unsynced or skips, a Sync must go first before anything else is answered.
 */
static inline bool
txstate_quiet(const struct txstate *tx)
{
	return tx->count == 0;
}

#endif
