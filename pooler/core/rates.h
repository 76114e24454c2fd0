/*
 * rates.h - how often a user or an address may connect and ask, in the long run and at once.
 *
 * A token bucket, kept as one number: the time at which all that was taken will have been earned
 * (the "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371). Taking moves it
 * on by 1/rate; what would move it further ahead of now than the burst is refused. A bucket that
 * was left alone fills up without anybody doing anything, and those who take need no lock.
 *
 *     due                       now           now + burst
 *  ────┼─────────────────────────┼──────────────────┼────>     full: due lies in the past
 *                                          due                  half empty
 *
 * Everybody who has clients here has an entry (rates_join … rates_leave); of those who have left,
 * the last RATES_KEPT of each kind are remembered, so memory is bounded by max_client_conn and not
 * by who knocks. Whoever takes brings the rate along: users and databases may have different ones,
 * and a reload changes them; a bucket is in time, not in tokens, and means the same under all.
 */
#ifndef PERFKIT_CORE_RATES_H
#define PERFKIT_CORE_RATES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/list.h"
#include "base/lock.h"

#define RATES_KEPT 4096

/* Nobody owes for longer than this, whatever was done before it was counted. */
#define RATES_DEBT_MAX_US 60000000

enum rate_kind
{
	RATE_USER,
	RATE_ADDRESS,
	RATE_KINDS
};

enum rate_measure
{
	RATE_CONNECTIONS,
	RATE_QUERIES,
	RATE_MEASURES
};

/* What is allowed. */
struct rate
{
	int64_t per_s;     /* more than 0 */
	uint64_t burst_us; /* this long's worth may be taken at once, and one in any case */
};

struct rate_entry
{
	_Atomic uint64_t due_us[RATE_MEASURES];  /* monotonic */
	_Atomic uint64_t refused[RATE_MEASURES]; /* how often */
	_Atomic uint64_t refused_wall_us;        /* when last; 0: never */
	_Atomic uint64_t told_us;                /* rate_tell() */
	enum rate_kind kind;
	int64_t clients;  /* who have joined; rates->lock */
	struct list node; /* in rates->left, when there are none; rates->lock */
	UT_hash_handle hh;
	char name[];
};

struct rates
{
	struct lock lock;
	struct rate_entry *by_name[RATE_KINDS];
	struct list left[RATE_KINDS]; /* without clients, the one that left first in front */
	int n_left[RATE_KINDS];
	_Atomic uint64_t refused[RATE_KINDS][RATE_MEASURES]; /* with those of entries that are gone */
};

void rates_init(struct rates *r);
void rates_fini(struct rates *r);

/* The entry of this name, made when it is new; the caller's until rates_leave(), which nulls it.
 * Any thread. */
struct rate_entry *rates_join(struct rates *r, enum rate_kind kind, const char *name);
void rates_leave(struct rates *r, struct rate_entry **e);

/* One more at now_us. False, with *wait_us until it would be allowed, when it is too many; that is
 * counted. No lock; any thread. */
bool rate_take(struct rates *r, struct rate_entry *e, enum rate_measure m, const struct rate *rate,
			   uint64_t now_us, uint64_t *wait_us);

/* It was not used. */
void rate_give_back(struct rate_entry *e, enum rate_measure m, const struct rate *rate);

/* n more have been done without asking: the next ones wait for it, RATES_DEBT_MAX_US at most. */
void rate_owe(struct rate_entry *e, enum rate_measure m, const struct rate *rate, uint64_t n,
			  uint64_t now_us);

/* True once in a while: a line in the log about it is not too many. */
bool rate_tell(struct rate_entry *e, uint64_t now_us);

/* For SHOW: a copy of what stands in the table now. */
struct rate_row
{
	enum rate_kind kind;
	int64_t clients;
	uint64_t refused[RATE_MEASURES];
	uint64_t ahead_us[RATE_MEASURES]; /* how far its due time lies ahead of now */
	uint64_t refused_wall_us;
	char name[64];
};

/* The rows, for the caller to free(); *n of them, first of all one a kind with an empty name: what
 * was refused to all of it, also to those who are forgotten. */
struct rate_row *rates_rows(struct rates *r, uint64_t now_us, int *n);

#endif
