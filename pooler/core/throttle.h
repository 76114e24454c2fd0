/*
 * throttle.h - a client against the rates of its user and of its address (core/rates).
 *
 *     startup packet ── address: connections ──> password ── user: connections ──> logged in
 *     request outside a transaction ── what it did before is paid, then user: queries, address:
 * queries
 *
 * The address is asked before anything is looked up or proved, so that guessing passwords is slow;
 * the user afterwards, so that nobody can use up another's rate without its password. A query is
 * what SHOW STATS counts as one: a simple query, or a batch up to its Sync.
 *
 * Nothing is refused in a transaction, since that would undo work done before: what is asked there
 * is owed, and the next request outside waits for it. Unix sockets have no address; the console has
 * no rates.
 */
#ifndef PERFKIT_CORE_THROTTLE_H
#define PERFKIT_CORE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rates.h"
#include "proto/pgwrite.h"

struct conf_limits;

/* One client's. All zero: nobody has asked yet. */
struct throttle
{
	struct rates *rates;
	const char *user;                  /* the session's */
	const char *addr;                  /* likewise; NULL: a unix socket */
	struct rate_entry *of[RATE_KINDS]; /* joined when first asked for */
	uint32_t serial;                   /* of the snapshot when it was asked last */
	bool paid;                         /* the query under way has been counted in advance */
};

/* What a client hears of whom it is one too many. */
struct throttle_error
{
	struct pgw_error e;
	char message[160];
	char hint[64];
	bool tell; /* it is worth a line in the log: not each of many is */
};

/* Once its names are known. */
void throttle_init(struct throttle *t, struct rates *rates, const char *user, const char *addr);

/* One connection more of its user or of its address. False with the error filled in (FATAL). */
bool throttle_connection(struct throttle *t, const struct conf_limits *limits, enum rate_kind kind,
						 struct throttle_error *error);

/*
 * One request more, for those whose limits->query_rates is set; false with the error filled in.
 * *answered, which is set to 0, is how many queries have been answered since the last time; serial
 * is the snapshot's that the limits are of: what was done under another one is forgiven.
 */
bool throttle_request(struct throttle *t, const struct conf_limits *limits, uint32_t serial,
					  uint64_t *answered, struct throttle_error *error);

/* The client leaves, and pays; limits NULL: it had no session yet. Legal in every state. */
void throttle_leave(struct throttle *t, const struct conf_limits *limits, uint32_t serial,
					uint64_t answered);

#endif
