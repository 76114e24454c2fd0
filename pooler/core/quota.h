/*
 * quota.h - how many servers the pools of one database, or of one user, may have together, and how
 * many logins all pools together may have under way.
 *
 * A pool has a seat in three quotas. It takes a place in each before it asks for a login: atomic
 * counters, no lock. A pool that finds no place is blocked: it is counted at once (quota_block) and
 * stands in the quota's list soon after (quota_enlist), oldest first, so that a place that comes
 * free is offered in turn.
 *
 *   Q1  used <= limit; after a shrinking reload it may only fall.
 *   Q2  No place is free while a pool is blocked: who gives one back and sees anybody blocked,
 *       itself included, offers it round the list; who becomes blocked tries once more when it is
 *       counted and stands in the list. One of the two sees the other.
 *
 * Clients per database and per user are counted here too; nobody waits for those.
 */
#ifndef PERFKIT_CORE_QUOTA_H
#define PERFKIT_CORE_QUOTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/list.h"
#include "base/lock.h"

struct pool;

enum quota_kind
{
	QUOTA_DATABASE, /* servers of one database */
	QUOTA_USER,     /* servers that log in as one user */
	QUOTA_LOGINS,   /* logins under way, all pools */
	QUOTA_KINDS
};

/* What a pool has of a quota. */
struct quota_seat
{
	struct quota *quota;               /* NULL: no limit of this kind; set once */
	struct pool *pool;                 /* set once */
	_Atomic(struct quota_seat *) next; /* in quota->seats */
	struct list node;                  /* in quota->waiting; quota->lock */
};

struct quota
{
	enum quota_kind kind;
	char *name;            /* of the database or user; owned */
	_Atomic int64_t limit; /* 0: none; main thread */
	_Atomic int64_t used;
	_Atomic int64_t n_blocked;  /* pools that it keeps from a server they want */
	_Atomic uint64_t handed_us; /* when a busy pool gave up a server for another's sake */
	_Atomic int64_t clients;    /* logged in */
	struct lock lock;
	struct list waiting;                /* struct quota_seat, oldest first; lock */
	_Atomic(struct quota_seat *) seats; /* of all its pools */
	/* core/registry, under its pools_lock: */
	UT_hash_handle hh;
	int64_t holders; /* pools with a seat, and clients: the last frees it */
	int64_t pools;   /* that can be found by name */
};

void quota_init(struct quota *q, enum quota_kind kind, const char *name);
void quota_fini(struct quota *q);

/* Before the pool is known to others. */
void quota_join(struct quota *q, struct quota_seat *seat, struct pool *pool);

/* Nobody finds the seat in its quota any more, but who stands on it may still go on from there. One
 * caller at a time; the pool wants no server. */
void quota_leave(struct quota_seat *seat);

/* One place. A NULL quota has room for everybody. */
bool quota_has_room(const struct quota *q);
bool quota_take(struct quota *q);
void quota_give(struct quota *q);
/* More places are taken than there are, after a reload. */
bool quota_over(const struct quota *q);

/* A pool becomes blocked, or is not any more. */
void quota_block(struct quota *q);
void quota_unblock(struct quota *q);
/* Whether anybody but the asking pool is blocked. */
bool quota_wanted(const struct quota *q, bool asker_blocked);
/* True for one of those who ask, not more often than every QUOTA_TURN_US: that busy pool gives a
 * server up. */
bool quota_hand_over(struct quota *q, uint64_t now_us);

/* Puts a seat at the end of the list; false when it stands there already. */
bool quota_enlist(struct quota_seat *seat);
/* Takes the first out of the list; NULL: it is empty. */
struct quota_seat *quota_pop(struct quota *q);

/* One client more; false with nothing done when limit (0: none) is reached. */
bool quota_take_client(struct quota *q, int64_t limit);
void quota_give_client(struct quota *q);

#define quota_foreach_seat(s, q)                                                                   \
	for (struct quota_seat *s = atomic_load(&(q)->seats); s != NULL; s = s->next)

#endif
