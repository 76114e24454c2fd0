/*
 * registry.h - who is there: the loops, what belongs to each of them, and the pools they share.
 *
 * A shard is all that belongs to one worker loop and is touched by its thread alone (P1, P10). The
 * registry is the process: made before the threads start, its array of shards never changes. Pools
 * are found by name at login, under a lock of the table's own.
 *
 * A pool lives as long as a session has it (registry_pool() to registry_leave()) or a server is
 * left of it; then core/forget may take it out. Whoever meets a pool by a walk may use it until the
 * event that he works off has ended, and no longer: before a pool is freed every loop has answered
 * a mail.
 */
#ifndef PERFKIT_CORE_REGISTRY_H
#define PERFKIT_CORE_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/list.h"
#include "base/lock.h"
#include "conf/conf.h"
#include "core/client_limits.h"
#include "core/credentials.h"
#include "core/meter.h"
#include "core/pool.h"
#include "core/rates.h"
#include "core/stats.h"
#include "core/welcome.h"
#include "net/loop.h"

struct encryption;
struct lookups;
struct past;
struct registry;
struct slot;

struct shard
{
	struct loop loop;
	struct registry *registry;
	const struct conf *conf;             /* this loop's view of the snapshot (P9) */
	struct list sessions;                /* struct session */
	bool suspended;                      /* SUSPEND: clients and their servers are not read */
	struct list walks;                   /* over the sessions, or the servers: core/walk */
	struct list servers;                 /* struct server owned by this loop: not the idle ones */
	struct list logins;                  /* attempts of core/server_login.c */
	struct list abandoned;               /* servers of core/abandon.c */
	struct list cancels;                 /* connections of core/cancel.c */
	struct slot *by_key;                 /* sessions by pid and secret of their cancel key */
	struct client_limits *client_limits; /* of those who have sessions here */
	struct past *past;                   /* counters of pools that are gone, by database */
	struct stats_kept *no_pool;          /* of sessions that have none: they log in, or are on the
										  * console; owned */
	struct meter no_pool_meter;          /* likewise */
	uint32_t conf_serial;                /* counts the snapshots */
	uint32_t next_serial;
	_Atomic int n_sessions;  /* and those on their way here: core/porter */
	struct lookups *lookups; /* core/lookup; NULL until the first */
	/* Of the same snapshot as conf; NULL: none. */
	const struct encryption *encryption;
};

/* One entry in a shard's table of sessions, embedded in the session. */
struct slot
{
	UT_hash_handle hh;
	uint32_t pid;    /* hash key: this and the next; 0: in no table */
	uint32_t secret; /* the first bytes of the cancel key */
};

struct registry
{
	struct shard *shards;
	int n_shards;
	struct loop main_loop;
	const struct conf *conf; /* the newest snapshot; main thread */
	struct lock pools_lock;  /* by_name only; held for look-ups at login, never with another lock */
	struct pool_entry *by_name;         /* pools_lock */
	_Atomic(struct pool_entry *) pools; /* newest first; changed under pools_lock */
	struct pool_entry *left;            /* out of pools, not freed yet; main thread */
	_Atomic int64_t n_clients;          /* logged in or logging in, against max_client_conn */
	_Atomic uint64_t next_id;           /* SHOW's id column */
	_Atomic bool shutting_down;         /* no new clients */
	_Atomic bool serving_arrived;       /* but those who are connected over TCP: core/retire */
	_Atomic int64_t n_consoles;         /* sessions on the console */
	struct quota *quotas[QUOTA_LOGINS]; /* by name: of databases, of users; pools_lock */
	struct quota logins;                /* max_server_logins */
	struct rates rates;                 /* of users and addresses */
	struct marked_database *paused;     /* PAUSE db: their new pools start paused too; pools_lock */
	struct marked_database *disabled;   /* DISABLE db: nobody logs in; pools_lock */
	_Atomic bool paused_all;            /* new pools start paused */
	_Atomic bool suspended;             /* SUSPEND; the loops are told by core/operate */
	uint8_t mock_key[32];               /* for users who do not exist */
	_Atomic uint64_t
		stats_period_us; /* length of the last whole stats period; 0: none has ended yet */
	uint64_t started_us;
	/* Of the newest snapshot; owned, main thread. */
	struct encryption *encryption;
	/* Takes an order of the console to the main thread's work: core/housekeep.c. */
	void (*take_order)(struct mail *mail);
	/* Starts the login for a slot that a pool reserved (pool_todo.dial): core/server_login.c, which
	 * stands above those who ask. */
	void (*start_login)(struct shard *shard, struct pool *pool);
};

/* What a loop keeps for itself of one pool. */
struct pool_local
{
	struct shard *shard;
	struct pool *pool;
	struct conf_limits limits; /* of its servers, in force on this loop (P9) */
	ev_timer reap;             /* an idle server may be idle for too long, or too old */
	uint64_t reap_at_us;       /* when it fires, while it runs */
	ev_timer retry;            /* login back-off is over */
	ev_timer reserve;          /* the oldest waiter may have a server of the reserve */
	ev_timer refill;           /* there may be a place for what min_pool_size keeps */
	struct stats_kept stats;   /* this loop's counters (P10) */
	struct meter meter;        /* likewise */
} __attribute__((aligned(STATS_ALIGN)));

struct pool_entry
{
	struct pool pool;
	struct welcome_box welcome;        /* what its clients are greeted with */
	_Atomic(struct pool_entry *) next; /* stays when it is dropped: for those who stand on it */
	struct pool_entry *next_left;      /* registry->left */
	struct pool_local *local;          /* [n_shards] */
	UT_hash_handle hh;
	char *name;                     /* hash key: database, zero byte, user */
	struct credentials credentials; /* for its servers, where no file has any */
	struct pool_entry *ordinary;    /* of one for replication: that beside it, once it is known */
	_Atomic int64_t users;      /* who found it and has not left; it rises under pools_lock alone */
	_Atomic uint64_t uses;      /* how often it was found */
	int standing;               /* walks that rest before it; pools_lock */
	_Atomic bool leaving;       /* not found any more */
	bool last_of_database;      /* leaving, and no other pool of its database is there; likewise */
	uint64_t idle_since_us;     /* core/forget; 0: in use when it was looked at last */
	uint64_t idle_uses;         /* core/forget: `uses` then */
	_Atomic uint32_t host_turn; /* core/hosts: where its list of hosts stands */
	struct meter_latest latest; /* percentiles of the last stats period */
};

bool registry_init(struct registry *r, int n_shards, const struct conf *conf);
void registry_fini(struct registry *r);

/* The pool whose servers serve this client of a database, made when it is new: that of the user
 * whom the database forces on its servers, or of the client's own. It stays until the caller leaves
 * it. */
struct pool *registry_pool(struct registry *r, const struct conf *conf,
						   const struct conf_database *db, const char *database, const char *user);

/* The one beside it for clients that replicate: their servers are their own (core/server_own). SHOW
 * POOLS adds it to the row of the ordinary one. */
struct pool *registry_replication_pool(struct registry *r, const struct conf *conf,
									   const struct conf_database *db, const char *database,
									   const char *user);

/* The last that is done with it. */
void registry_leave(struct pool *p);

/* Limits from a snapshot, for registry_pool and RELOAD. */
void registry_pool_limits(const struct conf *conf, const struct conf_limits *limits,
						  struct pool_limits *out);

/* The quota of a database or user, made when it is new; it stays until the caller leaves it. Its
 * limit is the snapshot's. */
struct quota *registry_quota(struct registry *r, const struct conf *conf, enum quota_kind kind,
							 const char *name);

void registry_quota_leave(struct registry *r, struct quota **q);

/* How many places of it are taken, and how many clients it has; 0 of one that does not exist yet.
 */
void registry_quota_counts(struct registry *r, enum quota_kind kind, const char *name,
						   int64_t *servers, int64_t *clients);

/* The pools that min_pool_size fills although nobody has asked for them yet: those of a forced
 * user.
 */
void registry_add_kept(struct registry *r, const struct conf *conf);

/* RELOAD: the limits of every quota. Main thread, after all loops have adopted the snapshot. */
void registry_set_quotas(struct registry *r, const struct conf *conf);

/* Names of the databases that have pools, each with its zero byte. */
void registry_database_names(struct registry *r, struct buf *out);

/* For a pool that is made (pools_lock is held), and one that is freed. */
void registry_seat(struct registry *r, const struct conf *conf, struct pool *p);
void registry_unseat(struct registry *r, struct pool *p);

/* Both at the registry's birth and end. */
void registry_init_quotas(struct registry *r, const struct conf *conf);
void registry_free_quotas(struct registry *r);

/*
 * PAUSE and RESUME of one database or of all (""), for pools that exist and for those to come. wake
 * is called for every pool that goes on.
 */
void registry_pause(struct registry *r, const char *database);
bool registry_resume(struct registry *r, const char *database,
					 void (*wake)(const struct pool_todo *todo));

/* Whether its pools are paused, by its own name or with all others. */
bool registry_is_paused(struct registry *r, const char *database);
/* Whether any database is paused by its own name. */
bool registry_any_paused(struct registry *r);

/* DISABLE and ENABLE of one database, be it configured or not. */
void registry_disable(struct registry *r, const char *database, bool disable);
bool registry_is_disabled(struct registry *r, const char *database);

/* Whether a pool is one of this database; "": any. */
bool registry_matches(const struct pool *p, const char *database);

/* Walks all pools; safe in any thread. */
#define registry_foreach_pool(e, r)                                                                \
	for (struct pool_entry *e = atomic_load(&(r)->pools); e != NULL; e = e->next)

/*
 * A walk over all pools that goes on in a later turn of its loop; all zero before its first. In
 * each turn registry_walk_on(), then registry_walk_next() as often as is wanted, and, if that has
 * not come to the end (NULL), registry_walk_rest(): the pool that is next stays there until then.
 * Pools that are made meanwhile are not met, nor are those that nobody finds any more.
 */
struct registry_walk
{
	struct pool_entry *next;
	bool begun;
	bool held; /* next is: it is what registry_walk_next() answers, whatever becomes of it */
};
void registry_walk_on(struct registry *r, struct registry_walk *w);
struct pool_entry *registry_walk_next(struct registry *r, struct registry_walk *w);
void registry_walk_rest(struct registry *r, struct registry_walk *w);

/*
 * The end of a pool, in steps (core/forget): take_out() if nobody has it and nobody found it beyond
 * that many times: from then on it is found by walks alone. drop() ends that; the caller has seen
 * to it that no timer of it runs. free_left() frees those dropped before. Main thread; between two
 * steps every loop has answered a mail.
 */
bool registry_take_out(struct registry *r, struct pool_entry *e, uint64_t uses);
void registry_drop(struct registry *r, struct pool_entry *e);
void registry_free_left(struct registry *r);

/* What the clients of a pool are greeted with. */
struct welcome_box *registry_welcome(struct pool *p);

/* What its clients have shown to know. */
struct credentials *registry_credentials(struct pool *p);

/* Where the list of its hosts stands. */
_Atomic uint32_t *registry_host_turn(struct pool *p);

/* This loop's part of a pool. */
struct pool_local *registry_local(struct shard *s, struct pool *p);

/* Before the threads start: the first snapshot's TLS. */
void registry_encrypt(struct registry *r, struct encryption *e);

/* A loop takes over a new snapshot: its limits of every pool follow. */
void registry_adopt(struct shard *s, const struct conf *conf, const struct encryption *encryption);

/* Gives a session's slot a pid that names its shard, and its peer_id where there is one. key: the
 * secret of its cancel key, at least 4 bytes. No other live session has the same pid and secret. */
void registry_add(struct shard *s, struct slot *slot, const uint8_t *key);
void registry_remove(struct shard *s, struct slot *slot);
struct slot *registry_find(struct shard *s, uint32_t pid, const uint8_t *key);
/* The peer whose session a pid belongs to, if that one has a peer_id. */
int registry_peer_of(uint32_t pid);
/* The shard that a pid belongs to; any thread. */
struct shard *registry_shard(struct registry *r, uint32_t pid);

#endif
