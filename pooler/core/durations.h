/*
 * durations.h - how long things took in one stats period, pool by pool: what its loops have
 * measured (core/meter), added up, and of the histograms the buckets that are not empty.
 *
 *     core/period, at its end -> durations_add() of each pool -> core/readings -> a batch
 *
 * So a period of many pools takes some hundred bytes for each, and until its batch is made. One
 * thread's.
 */
#ifndef PERFKIT_CORE_DURATIONS_H
#define PERFKIT_CORE_DURATIONS_H

#include <stdint.h>

#include "core/meter.h"

struct buf;
struct durations;

struct durations *durations_new(void);

/* NULL is allowed. */
void durations_free(struct durations *d);

/* What a pool's time is added to what has been added under the same name: a pool for replication
 * stands beside the ordinary one. */
void durations_add(struct durations *d, const char *database, const char *user,
				   const struct meter_sum *sum);

/* Appends the histogram of a pool's times as log_pooler() of the extension takes it,
 * [bucket,count,bucket,count,...], and a terminator. Returns how many times are in it; 0: there are
 * none, and nothing is appended. No durations (NULL) have none. */
uint64_t durations_tell(const struct durations *d, const char *database, const char *user,
						enum meter_time what, struct buf *out);

#endif
