/*
 * server.h - one connection to PostgreSQL: login, life in the pool, reset, end.
 *
 *                     +-------- server_attach -- session uses it -- server_release --------+
 *                     |                                                                    v
 * server_login -> LOGIN -> checkin -> (granted | IDLE, parked) <---- checkin <- RESETTING,
 * CANCELLING |                          | closed                 closed by the other side, too old,
 * paused
 *
 * While a session has it, the session's callback gets the events of `conn`. In every other state
 * they are handled here.
 */
#ifndef PERFKIT_CORE_SERVER_H
#define PERFKIT_CORE_SERVER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "core/params.h"
#include "core/pool.h"
#include "core/settings.h"
#include "core/stmt_cache.h"
#include "net/conn.h"
#include "net/loop.h"
#include "proto/txstate.h"

struct conf;
struct shard;

#define SERVER_MESSAGE_MAX                                                                         \
	65536 /* largest message that a server may send while no session has it */

struct server
{
	struct pool_member member;
	struct shard *shard; /* of the owner; of the home while idle */
	struct conn conn;
	struct list node; /* shard->servers while owned */
	ev_io park;       /* home loop's watcher while idle */
	struct mail park_mail;
	struct shard *park_mail_to;
	struct txstate tx;
	struct params params; /* as the server reported them last */
	uint32_t left;       /* bytes of the message under way from the server that are still to come */
	bool left_swallow;   /* and they are not the client's */
	bool partial_in;     /* a message towards the server stands half-sent */
	bool reset_wanted;   /* run the reset query once no cancel is in flight */
	bool connects_anew;  /* connect_query was sent behind the reset query */
	const char *spoiled; /* why it must not be handed on, or NULL (P8) */
	bool closed;         /* only waits for its cancels to end */
	bool spoke;          /* while idle: its end may be on its way behind what it said */
	int n_cancels;       /* cancel connections in flight (P8) */
	uint32_t heard;      /* reads that brought its session something; for core/cancel */
	ev_timer reset_timer; /* the reset query, the check, or a message begun must end in time */
	void (*checked)(void *arg, bool alive); /* server_check.c: who waits for it; NULL: nobody */
	void *checked_arg;
	void *link;                   /* struct session, while it has the server */
	struct stmt_cache statements; /* shared prepared statements that it knows */
	bool statements_lost; /* not known any more: DEALLOCATE ALL before anyone else gets it */
	uint64_t unnamed_of;  /* session whose unnamed statement it has, 0: nobody's */
	uint64_t id;
	uint64_t connected_wall_us;
	uint64_t request_wall_us; /* last given to a session */
	uint32_t backend_pid;
	uint32_t key_len;
	uint8_t *key;            /* for cancel requests; owned */
	const char *replication; /* kind of its session's replication; NULL: shared, as most are */
	char *host;              /* where it is connected: an address or a socket directory; owned */
	char *host_name;         /* the same as configured: whom its certificate is for; owned */
	int port;
	uint32_t moves_seen;      /* dns_moves() when its address was last compared with its name's */
	struct settings settings; /* what its clients have set beside `params` (core/sticky) */
	bool state_doubt; /* what else they have left is not known: DISCARD ALL before anyone else */
};

/* One that is not connected yet and in no pool. */
struct server *server_new(struct shard *shard, uint64_t id);

/*
 * False when a server that pool_checkout() took out of an idle list has something to say, most
 * likely its end: server_look_into() it and check out another. To be asked before server_todo().
 * Costs a system call when it was idle for long or was watched by another loop, which may not have
 * looked yet.
 */
bool server_fresh(struct server *s, const struct pool_todo *todo);

/* The same of a server that a grant has brought; to be asked before server_attach(). Costs a system
 * call when it comes from another loop. */
bool server_arrived(struct server *s, const struct shard *shard);

/* One that is not is looked into: what it says is taken in, and it goes back to the pool or is
 * closed. Reads into the loop's buffer. */
void server_look_into(struct server *s, struct shard *shard);

/* Whether a RELOAD or RECONNECT has been answered since its login that wants other servers: its
 * home loop has not come round to closing it. server_retire() does, right after a checkout. */
bool server_is_stale(const struct server *s);
void server_retire(struct server *s, struct shard *shard);

/* The first half of it: it is TESTED on this loop, and goes back when it has nothing outstanding.
 */
void server_look_after(struct server *s, struct shard *shard);

/* A new server, with what it has said behind its login: taken in, then into the pool. */
void server_logged_in(struct server *s, uint8_t *rest, size_t n);

/* The session that was given the member takes it over on its own loop. */
void server_attach(struct server *s, struct shard *shard, void (*on_event)(struct conn *, int),
				   void *link);

/* The session is done with it: back to the pool, after the reset query when `reset`. The caller has
 * made sure that txstate_releasable(). */
void server_release(struct server *s, bool reset);

/* Closes it whatever it does. polite: it is our wish, and PostgreSQL is told where nothing stands
 * half-sent; else it has ended, or cannot be talked to any more. */
void server_close(struct server *s, const char *reason, bool polite);

/* A cancel connection starts or ends. settled: false when it was sent but nobody knows whether it
 * has been carried out. */
void server_cancel_begin(struct server *s);
void server_cancel_end(struct server *s, bool settled);

/* Does what a pool call asked for. `s` may be NULL when no member is concerned. */
void server_todo(struct shard *shard, struct pool *pool, struct server *s,
				 const struct pool_todo *todo);

/* The part of it that concerns quotas. */
void server_places(struct shard *shard, struct pool *pool, const struct pool_todo *todo);

/* Something outside may have changed for the better: logs in where a server is wanted and possible.
 */
void server_want(struct shard *shard, struct pool *pool);

/* Closes the idle servers whose home is this loop that have no place any more: all of them, or
 * those retired or over the size. */
void server_trim(struct shard *shard, struct pool *pool, bool all);

/* Idle servers whose home is this loop leave the pool and come back, except those whose host name
 * stands for other addresses by now. */
void server_review(struct shard *shard, struct pool *pool);

/* Out of its loop's list of servers, over which somebody may be walking. */
void server_unlist(struct server *s);

/* All its prepared statements are gone. */
void server_forget_statements(struct server *s);

/* Frees a server that is in no pool any more. */
void server_destroy(struct server *s);

/* Records a ParameterStatus body; false when malformed. changed: which tracked parameter, or -1. */
bool server_parameter(struct server *s, const uint8_t *body, size_t n, int *changed);

/* "s17 app/orders" for log lines. */
const char *server_label(const struct server *s, char *text, size_t cap);

static inline struct server *
server_of(struct pool_member *m)
{
	return list_entry(m, struct server, member);
}

/* ---- server_check.c ---- */

/* Whether a server that was just checked out must answer server_check_query before it is used. */
bool server_check_due(const struct server *s, const struct conf *conf, uint64_t now_us);

/* Asks it; it is nobody's meanwhile. done(arg, true): the caller has it as after a checkout.
 * done(arg, false): it is closed. May be called from within. */
void server_check_start(struct server *s, struct shard *shard, void (*done)(void *arg, bool alive),
						void *arg);

/* Nobody waits for it any more: it goes back to the pool when it has answered. */
void server_check_forget(struct server *s);

/* server.c: it has answered. */
void server_check_over(struct server *s);

/* ---- server_timers.c ---- */

/* pool_retry() after so long. */
void server_timers_retry(struct shard *shard, struct pool *pool, uint64_t after_us);

/* pool_reserve_due() after so long. */
void server_timers_reserve(struct shard *shard, struct pool *pool, uint64_t after_us);

/* pool_refill_due() after so long. */
void server_timers_refill(struct shard *shard, struct pool *pool, uint64_t after_us);

/* A server that nobody has has said half a message: it has server_connect_timeout for the rest,
 * unless something else limits its time already. */
void server_timers_rest(struct server *s);

/* A server lies idle at this loop: server_idle_timeout counts, and so does server_lifetime. */
void server_timers_reap(struct shard *shard, const struct server *s);

#endif
