/*
 * past.h - what the pools of a database that are gone have counted, so that SHOW STATS does not
 * fall when one is forgotten. One loop's, like the counters themselves (P10).
 */
#ifndef PERFKIT_CORE_PAST_H
#define PERFKIT_CORE_PAST_H

#include "base/hash.h"
#include <uthash.h>

#include "core/stats.h"

struct past
{
	UT_hash_handle hh;
	struct stats_kept kept;
	char database[];
};

/* Adds what a pool of the database has counted, and empties that. */
void past_add(struct past **table, const char *database, struct stats_kept *from);

/* The database itself is forgotten. */
void past_drop(struct past **table, const char *database);

void past_clear(struct past **table);

#endif
