/*
 * pool.h - the servers of one (database, user) and the sessions that wait for one, shared by all
 * loops.
 *
 * A pool knows members (the part of a server that pools care about) and waiters (the part of a
 * session), never sockets, so that it is tested without one. Every call takes pool->lock for a few
 * pointer moves and answers in a struct pool_todo what the caller must do after the lock is
 * released: wake a waiter, start a dial, arm a retry, stop or start a park watcher. A pool takes
 * places of the quotas it has a seat in (core/quota) when it reserves a login and gives them back
 * with pool_discard() and pool_login_failed().
 *
 *                 pool_reserve (todo.dial)            pool_login_done
 *     (nothing) ----------------------> LOGIN ------------------------+
 *                                          | pool_login_failed        v
 *                                          v            +---- checkin: idle or granted ----+
 *                                        GONE           v                                  v
 *                                          ^          IDLE --- checkout / claim ------> ACTIVE,
 * TESTED |            ^                                  |
 *                                          +-- discard -+--- checkin --- RESETTING, CANCELLING
 */
#ifndef PERFKIT_CORE_POOL_H
#define PERFKIT_CORE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/lock.h"
#include "core/quota.h"
#include "core/walk.h"

#define POOL_NO_LOOP (-1)
#define POOL_ERROR_MAX 256

enum member_state
{
	MEMBER_LOGIN,      /* being connected and authenticated by its owner */
	MEMBER_IDLE,       /* in idle[home], owned by the pool */
	MEMBER_ACTIVE,     /* linked to a session, or granted to one */
	MEMBER_RESETTING,  /* reset query runs */
	MEMBER_CANCELLING, /* released, but a cancel is in flight (P8) */
	MEMBER_DRAINING,   /* its client has left; what it still says is thrown away */
	MEMBER_TESTED,     /* taken out by its home loop: something came while idle, or it is too old */
	MEMBER_CLOSING,    /* its owner was told to close it: not counted any more */
	MEMBER_GONE,       /* left the pool; freed by whoever holds the last reference */
	MEMBER_STATES
};

struct pool;

struct pool_member
{
	struct list node; /* idle[home] while IDLE; pool->lock */
	struct pool *pool;
	enum member_state state; /* pool->lock */
	int owner;               /* loop index, or POOL_NO_LOOP when the pool owns it; pool->lock */
	int home;                /* loop that last owned it; pool->lock */
	int parked_at;           /* loop where the park watcher is armed, or POOL_NO_LOOP; pool->lock */
	bool park_mail;          /* mail to a home loop is under way; pool->lock */
	bool logging_in;         /* has a place among the logins under way; pool->lock */
	bool used;               /* a session has had it; pool->lock */
	uint32_t generation;     /* pool's when it was made */
	uint64_t born_us;        /* set once */
	uint64_t idle_since_us;  /* pool->lock */
	uint64_t backoff_us;     /* the pool's delay that its login has ended; pool->lock */
};

enum waiter_state
{
	WAITER_NONE,
	WAITER_QUEUED,
	WAITER_GRANTED, /* `member` is the waiter's; take it when the mail comes (P7) */
	WAITER_REFUSED  /* the server refused every login: pool_refusal() tells why */
};

struct pool_waiter
{
	struct list node;        /* pool->waiters; pool->lock */
	enum waiter_state state; /* pool->lock; its own loop may read it after the mail */
	int loop;
	bool posted;       /* mail is under way: the object must not be freed; pool->lock */
	uint64_t since_us; /* when it first asked */
	struct pool_member *member;
	/* Called without the lock by any thread, at most once until pool_waiter_woken(): posts mail to
	 * its loop. */
	void (*wake)(struct pool_waiter *w);
};

struct pool_name
{
	const char *database; /* as the client asked for it */
	const char *user;     /* as the client logged in */
	bool replication;     /* the pool beside theirs whose servers are one session's each */
};

/* What may change at RELOAD; set under the lock. */
struct pool_limits
{
	int64_t size;
	int64_t reserve;             /* more when the oldest waiter waits long */
	uint64_t reserve_timeout_us; /* that is how long; 0: never */
	int64_t min;                 /* kept open */
	bool min_always;             /* also while no session is there */
	int64_t max_waiting;         /* waiters; 0: no limit */
	int64_t login_concurrency;   /* logins at once */
	bool round_robin;            /* idle servers oldest first */
	uint64_t login_retry_us;     /* back-off ceiling */
};

struct pool_counts
{
	int64_t by_state[MEMBER_STATES];
	int64_t total; /* all but CLOSING and GONE */
	int64_t waiters;
	int64_t sessions;
	uint64_t oldest_wait_us; /* since when the oldest waiter waits, or 0 */
	int64_t stale;           /* of total, without LOGIN: made before the last pool_retire() */
	bool paused;
	bool away;                 /* no login has got through to a server since one failed to */
	uint64_t backoff_until_us; /* until then no other is tried; 0: no back-off */
};

struct pool
{
	struct lock lock;
	char *database;
	char *user;
	bool replication;              /* struct pool_name; set once by core/registry.c */
	_Atomic(struct pool *) beside; /* of the same names, for replication; NULL: none yet */
	int n_loops;
	struct pool_limits limits; /* lock */
	struct list *idle;         /* [n_loops]; lock */
	struct list walks;         /* over what is idle: core/walk; lock */
	struct list waiters;       /* oldest first; lock */
	struct pool_counts counts; /* lock */
	_Atomic uint32_t
		generation; /* written under the lock; members older than this close at checkin */
	uint64_t backoff_until_us; /* lock; 0: none */
	uint64_t backoff_us;       /* lock; the last delay */
	bool retry_armed;          /* lock; some loop's timer will call pool_retry() */
	bool reserve_armed;        /* lock; some loop's timer will call pool_reserve_due() */
	bool refill_armed;         /* lock; some loop's timer will call pool_refill_due() */
	struct quota *blocked_by;  /* lock; the quota without room for a server that is wanted */
	struct quota_seat seat[QUOTA_KINDS];
	bool resuming;            /* lock; paused until the last idle server is closed */
	bool refused;             /* lock; the login that fails next failed because a server said so */
	char refusal_sqlstate[6]; /* lock; of the last refused login */
	char refusal[POOL_ERROR_MAX];
	_Atomic int64_t held; /* members that are not freed, and logins reserved: who may still call */
	_Atomic int64_t pins; /* sessions that keep their server: core/sticky */
	void *local;          /* core/registry.c: one struct pool_local per loop */
};

/* What the caller does after the call. All zero: nothing. */
struct pool_todo
{
	struct pool_waiter *wake; /* call wake->wake(wake) */
	bool granted;             /* checkin: the member went to a waiter on granted_loop */
	int granted_loop;
	bool dial;             /* a login slot is reserved: start a login or call pool_login_failed */
	uint64_t retry_us;     /* arm a timer that calls pool_retry after so long */
	uint64_t reserve_us;   /* arm a timer that calls pool_reserve_due after so long */
	uint64_t refill_us;    /* arm a timer that calls pool_refill_due after so long */
	bool full;             /* checkout: max_waiting is reached, the waiter is not queued */
	struct quota *blocked; /* no place in it: enlist the pool's seat */
	bool newly_blocked;    /* afterwards pool_want() once more, and where that is blocked too, close
							* an idle server of another pool that has a seat there */
	unsigned freed; /* bit per quota_kind: a place came free that blocked pools want; offer it */
	bool park;      /* start the park watcher on the own loop */
	bool unpark;    /* stop the park watcher on the own loop */
	int mail_home;  /* post the member's park mail to this loop, or POOL_NO_LOOP */
	bool close;     /* checkin refused: discard the member */
	bool destroy;   /* nobody refers to the member any more: free it */
};

bool pool_init(struct pool *p, const struct pool_name *name, const struct pool_limits *limits,
			   int n_loops);
void pool_fini(struct pool *p);

/* ---- sessions ---- */

/* A session of this pool logged in / is gone: for SHOW POOLS. */
void pool_session_count(struct pool *p, int delta);

/*
 * A session on loop `w->loop` needs a server. Returns a member that it owns now, or NULL: the
 * waiter is queued and its mail will come. Strict order: with waiters in the queue nobody passes
 * them (P6).
 */
struct pool_member *pool_checkout(struct pool *p, struct pool_waiter *w, uint64_t now_us,
								  struct pool_todo *todo);

/*
 * The same for a session that was given a server which turned out to be dead before it was of any
 * use: it waits since w->since_us, in front of all who came after that, and is not shed for
 * max_waiting.
 */
struct pool_member *pool_checkout_again(struct pool *p, struct pool_waiter *w, uint64_t now_us,
										struct pool_todo *todo);

/* The mail has arrived: answers the state. GRANTED and REFUSED are turned into NONE; the member is
 * the caller's. */
enum waiter_state pool_waiter_woken(struct pool *p, struct pool_waiter *w, uint64_t now_us,
									struct pool_member **member, struct pool_todo *todo);

/* The session gives up. True: it is out of the queue and no mail will come. False: wait for the
 * mail, which may bring a member to be given back. */
bool pool_leave(struct pool *p, struct pool_waiter *w, uint64_t now_us, struct pool_todo *todo);

/* Why logins are refused: copies the last error. */
void pool_refusal(struct pool *p, char sqlstate[6], char text[POOL_ERROR_MAX]);

/* ---- servers ---- */

/* generation: pool_generation() when its login began, so that a RELOAD in between is noticed. */
uint32_t pool_generation(struct pool *p);
void pool_member_init(struct pool_member *m, struct pool *p, int loop, uint32_t generation,
					  uint64_t now_us);

/* The owner says what it does with its member: ACTIVE, RESETTING or CANCELLING. */
void pool_member_state(struct pool_member *m, enum member_state state);

/*
 * The owner gives its member back (after a login too). It is granted to the oldest waiter
 * (todo->wake), or idle in the pool (todo->park), or not wanted any more (todo->close: the caller
 * still owns it and discards it). The caller has stopped its watchers before.
 */
void pool_checkin(struct pool_member *m, int loop, uint64_t now_us, struct pool_todo *todo);

/* The owner's member is closed. todo->destroy: free it now, else its park mail does. todo may ask
 * for a dial in its place. */
void pool_discard(struct pool_member *m, uint64_t now_us, struct pool_todo *todo);

/* The same for one that ended by itself. Right behind its login, before anybody has had it, that is
 * a login that did not succeed: back-off. */
void pool_lost(struct pool_member *m, uint64_t now_us, struct pool_todo *todo);

/* The login of a reserved slot did not succeed; no member remains. Arms back-off. */
void pool_login_failed(struct pool *p, uint64_t now_us, struct pool_todo *todo);
/*
 * The same when the server itself refused (wrong password, no such database): the next call takes
 * one waiter after the other out of the queue, to be told so. NULL: nobody waits any more, or there
 * are servers that serve those who do when they come back.
 */
void pool_login_refused(struct pool *p, const char *sqlstate, const char *text);
struct pool_waiter *pool_refuse_next(struct pool *p);

/* The back-off timer fired. */
void pool_retry(struct pool *p, uint64_t now_us, struct pool_todo *todo);

/* The oldest waiter may have waited long enough for the reserve. */
void pool_reserve_due(struct pool *p, uint64_t now_us, struct pool_todo *todo);

/* There may be a place by now for a server that is only to be kept open. */
void pool_refill_due(struct pool *p, uint64_t now_us, struct pool_todo *todo);

/* Something outside may have changed for the better: a place came free, a session came, limits were
 * raised. Asks for a login where one is wanted. */
void pool_want(struct pool *p, uint64_t now_us, struct pool_todo *todo);

/* The park watcher of loop fired and has been stopped: true when the member was idle there and is
 * now TESTED and owned by loop. */
bool pool_claim(struct pool_member *m, int loop);

/*
 * The member's park mail arrived on loop, which has stopped its park watcher already: once the lock
 * is released another loop may arm it. todo: park it here, pass the mail on, or free what is gone.
 */
void pool_park_mail(struct pool_member *m, int loop, struct pool_todo *todo);

/* Since when the longest idle server of this loop is idle, and when the oldest of the idle ones was
 * made; 0: there is none. */
void pool_oldest_idle(struct pool *p, int loop, uint64_t *idle_since_us, uint64_t *born_us);

/* ---- operation ---- */

/* A waiter may be woken to dial for the new room: it finds itself QUEUED. */
void pool_set_limits(struct pool *p, const struct pool_limits *limits, struct pool_todo *todo);
/* Every server made before now closes when it is released; idle ones are found by pool_take_idle.
 */
void pool_retire(struct pool *p);
/* Pausing lets nobody out of the queue and closes what comes back; every loop must take what is
 * idle there afterwards (pool_take_idle). A resume that comes before that takes effect after it. */
void pool_pause(struct pool *p);
void pool_resume(struct pool *p, struct pool_todo *todo);
/*
 * Takes the longest idle member whose home is loop if it is idle since before the given time
 * (UINT64_MAX: in any case) or superfluous (retired, or over the size or a quota); else NULL. It is
 * owned by loop, and TESTED; or CLOSING when the pool is over its size: then it must be closed.
 * What min_pool_size keeps is not taken for its age.
 */
struct pool_member *pool_take_idle(struct pool *p, int loop, uint64_t idle_before_us,
								   struct pool_todo *todo);
/* The same for one made before the given time. What min_pool_size keeps is taken too: it is
 * replaced.
 */
struct pool_member *pool_take_old(struct pool *p, int loop, uint64_t born_before_us,
								  struct pool_todo *todo);
/* An idle member of any home, for loop, to be closed for another pool's sake; or NULL. */
struct pool_member *pool_evict(struct pool *p, int loop, struct pool_todo *todo);
void pool_counts(struct pool *p, struct pool_counts *out);

/*
 * A walk over the members that are idle with loop as their home, for who only looks: see is called
 * for each of them, under the lock (for an administrator's look P4 is stretched), and *left counts
 * down. True: *left is 0 and there may be more; the walk goes on there with the next call, and the
 * caller has seen to it that the pool stays. It begins with walk_init().
 */
bool pool_some_idle(struct pool *p, int loop, struct walk *w, int *left,
					void (*see)(void *arg, const struct pool_member *m), void *arg);
/* It does not go on. */
void pool_end_walk(struct pool *p, struct walk *w);

/* Without sessions, which the caller knows about, nothing happens in it any more: no server is left
 * of it, and none is kept. For the thread that sets its limits. */
bool pool_at_rest(const struct pool *p);

#endif
