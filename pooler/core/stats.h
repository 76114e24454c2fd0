/*
 * stats.h - counters of one pool on one loop, after the table in stats.def.
 */
#ifndef PERFKIT_CORE_STATS_H
#define PERFKIT_CORE_STATS_H

#include <stdint.h>

#define STATS_ALIGN 128 /* two cache lines: neighbouring loops do not share one */

struct stats
{
#define STAT(field, doc) uint64_t field;
#include "core/stats.def"
} __attribute__((aligned(STATS_ALIGN)));

enum
{
#define STAT(field, doc) STATS_##field,
#include "core/stats.def"
	STATS_FIELDS,
	STATS_OURS = STATS_pin_listen_count /* from here on PgBouncer has no column: shown last */
};

/* The same with what the averages are made of. */
struct stats_kept
{
	struct stats now;
	struct stats at_period;   /* as they were when the last stats period ended */
	struct stats last_period; /* what was added in it */
};

/* A set of its own, all 0, for free(). */
struct stats_kept *stats_kept_new(void);

/* A stats period has ended. */
void stats_end_period(struct stats_kept *k);

/* Adds every counter of b to a. */
void stats_add(struct stats *a, const struct stats *b);

/* Counter i, in the order of stats.def. */
uint64_t stats_get(const struct stats *s, int i);

/* Name of counter i without prefix. */
const char *stats_name(int i);

#endif
