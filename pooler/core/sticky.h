/*
 * sticky.h - what a client keeps in its session while its servers change.
 *
 * What SET can say again (core/settings) is remembered and set on the client's next server, in
 * front of its bytes. What it cannot (LISTEN, temporary tables, session advisory locks, held
 * cursors, SQL PREPARE) pins the client to its server until that state has ended, is refused, or is
 * left alone: session_state = pin | error | ignore. The texts tell (proto/sqlscan); the server's
 * answers decide.
 *
 *   S1  While a session has a server, and neither a transaction nor doubt is open, server->settings
 *       equals its own settings. So a release needs no look at them.
 *   S2  What is SET counts when its transaction commits: it waits in `pending`, behind the markers
 *       of the savepoints that may take it back. An error or ROLLBACK forgets it.
 *   S3  A finding is matched with its answer by the request's tag and the number of its statement.
 *       Where the answer is not the expected one the server is in doubt: DISCARD ALL runs on it
 *       before anyone else gets it.
 *   S4  A pin begins when its statement is sent. Whether it has ended is asked of PostgreSQL, by a
 *       query of ours (the probe) that is sent when the server is at rest and something may have
 *       ended it. Settings, the session's authorization and LOAD cannot be asked about: the first
 *       two end with DISCARD ALL (settings with RESET ALL too), the last with the session.
 *   S5  At most pool_size - 1 servers of a pool are pinned. Who would pin one more is refused
 * before its statement is sent: what is sent instead fails, so that a transaction fails as it
 * should, and the client sees our words. S6  The server of a client that leaves while pinned, or in
 * the middle of something, is in doubt.
 *
 * A text over STICKY_TEXT_MAX streams through (sticky_stream.c): where it may hold something that
 * matters, the server is in doubt.
 */
#ifndef PERFKIT_CORE_STICKY_H
#define PERFKIT_CORE_STICKY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/settings.h"
#include "proto/pgmsg.h"
#include "proto/sqlscan.h"

struct conf_limits;
struct names;
struct pgw_error;
struct server;
struct sqlskim;
struct sticky_work;
struct stats;

#define STICKY_TEXT_MAX 65536
#define STICKY_REASONS_MAX 160 /* bytes of all reasons, for sticky_reasons() */

/* Tags of requests: none of rewrite.h's is as large, but for those with the highest bit. */
#define STICKY_TAG 0x40000000u
#define STICKY_TAG_PROBE 0x7fffffffu
#define STICKY_TAG_REFUSED 0x7ffffffeu

struct sticky
{
	const struct conf_limits *limits; /* in force now; NULL: nothing is followed */
	_Atomic int64_t *pool_pins;       /* sessions of the pool that are pinned */
	struct stats *stats;              /* of the pool on this loop */
	struct settings settings;         /* as committed (S1) */
	struct sticky_work *work;         /* NULL while nothing is under way */
	struct sqlskim *skim;             /* of the text that streams through; NULL: none does */
	const struct pgw_error *refusal;  /* of the request tagged STICKY_TAG_REFUSED */
	uint64_t pinned_wall_us;          /* since when */
	uint8_t pins;                     /* enum sqlscan_state: what holds the server */
	uint8_t fresh;                    /* the same, of which it is not known yet whether it is */
	uint8_t ask;                      /* which of them may have ended (S4) */
	uint8_t asked;                    /* by the probe under way; 0: none is */
	bool bad;                         /* an error or ROLLBACK came since the server was at rest */
	bool reserved;                    /* counted in pool_pins */
};

enum sticky_verdict
{
	STICKY_PASS,
	STICKY_MORE,  /* must be whole first */
	STICKY_REFUSE /* sticky_refuse() has what goes in its place */
};

struct params;

/* The session shares its servers; the limits live as long as it. Without this only what
 * sticky_greet() took is set. */
void sticky_init(struct sticky *ss, const struct conf_limits *limits);

/* Its servers are those of this pool from now on. */
void sticky_join(struct sticky *ss, _Atomic int64_t *pool_pins, struct stats *stats);
void sticky_fini(struct sticky *ss);

/* Takes over from what a client wants at startup the extra parameters that this pool's servers do
 * not report. False: they are too long. */
bool sticky_greet(struct sticky *ss, struct params *want, const struct params *reported);

/*
 * The session was given a server: writes what makes its settings the session's own, and takes it
 * for done. Length, 0 when there is nothing to do, -1 when cap is too small.
 */
int sticky_attach(struct sticky *ss, struct server *server, char *sql, size_t cap);

/*
 * One Q, P, B or E of the client, of which the first `there` body bytes are at hand; names: what it
 * has prepared, NULL: not followed. *tag: of the request; untouched when it does not matter.
 */
enum sticky_verdict sticky_message(struct sticky *ss, struct server *server,
								   const struct names *names, const struct pgmsg *m, size_t there,
								   uint32_t *tag);

/* ---- sticky_stream.c ---- */

/* A text that is not held until it is whole: what is there of it has been let through. */
void sticky_stream_begin(struct sticky *ss, struct server *server, const void *text, size_t n);

/* More of the message; last: it ends here. */
void sticky_stream_more(struct sticky *ss, struct server *server, const void *text, size_t n,
						bool last);

static inline bool
sticky_streams(const struct sticky *ss)
{
	return ss->skim != NULL;
}

/* A text of which only a part has been seen, and which may matter, has been let through. */
void sticky_doubt(struct sticky *ss, struct server *server);

/* ---- sticky.c ---- */

/* The message of this type that makes the server fail in place of a refused one. */
struct pgwriter;
void sticky_refuse(uint8_t type, struct pgwriter *out);

/* Whether the answers matter: if not, the next three need not be called. */
static inline bool
sticky_waits(const struct sticky *ss)
{
	return ss->work != NULL || ss->fresh != 0;
}

/* A CommandComplete of the request with this tag; the message is whole. */
void sticky_complete(struct sticky *ss, struct server *server, const struct pgmsg *m, uint32_t tag);
/* An ErrorResponse that is the client's. */
void sticky_error(struct sticky *ss);
/* A ReadyForQuery of a request of the client's. */
void sticky_ready(struct sticky *ss, struct server *server);

enum sticky_hold
{
	STICKY_FREE,  /* nothing holds the server */
	STICKY_HELD,  /* pinned */
	STICKY_PROBED /* pinned, and the query written to `probe` must be sent to learn more */
};

/* The server is at rest and could go back. */
enum sticky_hold sticky_hold(struct sticky *ss, struct server *server, struct pgwriter *probe);
/* The probe's DataRow, whole. An error or nonsense leaves everything as it was. */
void sticky_probed(struct sticky *ss, const struct pgmsg *m);
/* The probe is over, well or not. */
void sticky_probe_done(struct sticky *ss);

/* The session gives its server up in whatever state it is (S6). */
void sticky_leave(struct sticky *ss, struct server *server);

static inline bool
sticky_pinned(const struct sticky *ss)
{
	return (ss->pins | ss->fresh) != 0;
}

/* "listen advisory_lock"; "" when it is not pinned. Returns text. */
const char *sticky_reasons(const struct sticky *ss, char *text, size_t cap);

#endif
