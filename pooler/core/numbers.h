/*
 * numbers.h - what the pooler knows about itself at one moment, pool by pool: the one source of
 * /metrics (core/metrics), of performance_log's rows (core/readings) and of SHOW ERRORS.
 *
 * Each loop copies what it has counted, and they are added up by name: so the replication pool that
 * stands beside an ordinary one is one with it, as in SHOW POOLS. A pool has a part in it only if
 * it is among the oldest prometheus_max_pools: how many there are is for those who connect to say
 * where the * entry makes databases of every name, and a series that comes and goes is worth
 * little.
 */
#ifndef PERFKIT_CORE_NUMBERS_H
#define PERFKIT_CORE_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/meter.h"
#include "core/pool.h"
#include "core/stats.h"

struct loop;
struct registry;

struct pool_numbers
{
	char *database; /* owned; NULL: of those who have no pool, and then nothing but counters */
	char *user;
	struct pool_counts counts;
	double oldest_wait_s;
	int64_t pins;        /* clients that keep a server at the moment */
	struct stats total;  /* since the start */
	struct stats period; /* of the last whole stats period */
	struct meter_kept measured;
	double latest_s[METER_TIMES][METER_SHARES]; /* percentiles of that period; 0: none */
};

struct numbers
{
	uint64_t wall_us;
	uint64_t period_us; /* length of the last whole stats period; 0: none has ended yet */
	uint64_t up_us;     /* since the start */
	int64_t clients;    /* logged in or about to be, without the console's */
	int64_t max_clients;
	int64_t left_out; /* pools over prometheus_max_pools */
	bool paused;      /* PAUSE, KILL or SUSPEND of all */
	bool draining;    /* no new clients */
	uint64_t broken_invariants;
	double memory_bytes; /* resident; NAN: unknown */
	double cpu_s;        /* used by all threads */
	size_t n;
	struct pool_numbers *pool; /* [n], oldest first */
	struct pool_numbers no_pool;
};

/* Gathers from every loop and calls done(arg, numbers), once, on the thread of `origin` and never
 * from within; the numbers are the callee's to free. It cannot be cancelled. */
void numbers_gather(struct registry *r, struct loop *origin,
					void (*done)(void *arg, struct numbers *numbers), void *arg);

/* NULL is allowed. */
void numbers_free(struct numbers *n);

#endif
