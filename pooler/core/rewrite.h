/*
 * rewrite.h - prepared statements of clients that share servers.
 *
 * A client's name stands for a shared statement (core/statement), which every server knows under a
 * name of its own (core/stmt_cache). So Parse, Bind, Describe and Close of named statements are
 * sent on under that name; a Parse of what the server knows is not sent at all and is answered by
 * us (TX_FAKE); what the server does not know yet is prepared in front of its use, and the answer
 * to that is swallowed.
 *
 * What may still fail is noted down (core/undo) with the tag of the request that decides about it.
 *
 *   W1  An unknown name is sent as it is: PostgreSQL says 26000 and its transaction fails as it
 *       should.
 *   W2  A name that is taken is prepared again under the server's own name for it, so that
 *       PostgreSQL says 42P05; the client's name is put back into the text. In a failed transaction
 *       even a known statement is prepared anew, for a moment: PostgreSQL may say 25P02. So it is
 *       where the transaction may have failed by then.
 *   W3  While the server skips to Sync (X2) nothing is mapped: it ignores what is sent.
 *   W4  The unnamed statement is sent as it is. Its text is kept only if it was not used in the
 *       same breath; when the client comes back for it on another server it is prepared there anew.
 *       Nobody ever gets another client's, not even where an error made the server skip a Parse.
 *   W5  A statement whose result type has changed is retired: its users keep getting PostgreSQL's
 *       error, and the next Parse of the text makes a new one.
 *   W6  DISCARD ALL and DEALLOCATE ALL count when their command tag comes. Until then what the
 *       server knows is uncertain, and what follows in a pipeline is closed before it is prepared.
 *       DEALLOCATE of a name is seen by its text.
 *   W7  What is pipelined behind a Sync is sent before it is known whether the batch in front of it
 *       fails. Where that decides what a name stands for, what uses it is kept back, with all that
 *       follows, until the batch is answered (rewrite_waits). A statement that was prepared there
 *       is prepared anew for a name that was there before, and if the batch does fail what the
 *       server knows is uncertain as in W6.
 */
#ifndef PERFKIT_CORE_REWRITE_H
#define PERFKIT_CORE_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "core/names.h"
#include "proto/pgmsg.h"
#include "proto/txstate.h"

struct outgoing;
struct pgwriter;
struct server;
struct statement;
struct stats;

#define REWRITE_DEALLOCATE_MAX 256 /* bytes of a text that may be a DEALLOCATE of a name */

struct rewrite
{
	bool on;     /* the client shares its servers, and max_prepared_statements is not 0 */
	uint64_t id; /* of the session */
	size_t max;  /* statements a server may know */
	struct stats *stats;
	struct names names;
	struct statement *unnamed; /* W4: kept text, or NULL */
	const uint8_t *fresh;      /* W4: text in the bytes at hand */
	size_t fresh_len;
	bool fresh_used;
	uint32_t unnamed_tag; /* W4: of an unnamed Parse that an error may skip; 0: none */
	struct list ops;      /* oldest first */
	uint32_t serial;
};

void rewrite_init(struct rewrite *w);
void rewrite_fini(struct rewrite *w);

enum rewrite_result
{
	REWRITE_PASS,   /* not concerned: the caller feeds it and passes it on */
	REWRITE_DONE,   /* fed and written; *taken bytes of the message are used up, the rest passes on
					   unchanged */
	REWRITE_HIDDEN, /* fed, nothing of it goes to the server */
	REWRITE_MORE,   /* must be seen whole (or up to its name) first */
	REWRITE_BAD
};

/* One message of the client, of which the first `there` body bytes are at hand. */
enum rewrite_result rewrite_message(struct rewrite *w, struct server *s, const struct pgmsg *m,
									size_t there, struct outgoing *out, size_t *taken);

/*
 * W7: the message must wait until the server has said more; it will without it. To be asked before
 * rewrite_message(), with what of the body is there.
 */
bool rewrite_in_doubt(const struct rewrite *w, const struct server *s, const struct pgmsg *m,
					  size_t there);

static inline bool
rewrite_waits(const struct rewrite *w, const struct server *s, const struct pgmsg *m, size_t there)
{
	return !list_empty(&w->ops) && rewrite_in_doubt(w, s, m, there);
}

/* The bytes at hand are about to go. */
void rewrite_chunk_ends(struct rewrite *w);

/* Tags: 0, the serial of an operation, or a statement in use with this bit (so that an error can
 * tell which one it was). */
#define REWRITE_TAG_USES 0x80000000u

/* The request with this serial was answered. */
void rewrite_settle(struct rewrite *w, uint32_t serial);

/* The request with this tag was answered. */
static inline void
rewrite_answered(struct rewrite *w, uint32_t tag)
{
	if (tag != 0 && (tag & REWRITE_TAG_USES) == 0)
		rewrite_settle(w, tag);
}

/* An ErrorResponse is about to be fed: undoes what the requests that it drops would have done.
 * True: `renamed` holds the error as the client is to see it. */
bool rewrite_error(struct rewrite *w, struct server *s, const struct pgmsg *m,
				   struct pgwriter *renamed);

/* A CommandComplete came, of the request with this tag. True: the client is not to see it. */
bool rewrite_command_tag(struct rewrite *w, struct server *s, const struct pgmsg *m, uint32_t tag);

/* The session leaves its server in the middle of something: what the server knows is not known any
 * more. */
void rewrite_abandon(struct rewrite *w, struct server *s);

/* Makes room in the queue when it is full and feeds. */
enum tx_verdict rewrite_feed(struct txstate *tx, uint8_t type, enum tx_action action, uint32_t tag);

#endif
