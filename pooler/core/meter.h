/*
 * meter.h - what one pool measures on one loop beside the counters of core/stats: how long its
 * clients waited, its queries and its transactions took, and the errors that its clients were sent.
 *
 * Times go into the histogram that the extension's are in (pg_ext/histogram.h: 312 buckets, nothing
 * further than 4.8 % from what stands for it), so that theirs and ours can be added and read alike.
 * One of the period under way is all that a query touches. When the period ends its loop adds it to
 * the coarse counts that are kept for ever, and leaves it to the main thread, which makes the
 * percentiles of all loops together (core/period) and hands the sum on (core/durations).
 *
 * All of it is made when there is something to be counted: a pool that nobody uses has none of it.
 * A meter is its loop's alone (P10) but for `ended`.
 */
#ifndef PERFKIT_CORE_METER_H
#define PERFKIT_CORE_METER_H

#include <pg_ext/histogram.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/errclass.h"

enum meter_time
{
	METER_WAIT,  /* for a server; 0 when one was free */
	METER_QUERY, /* as stats.def's query_time */
	METER_XACT,  /* as its xact_time */
	METER_TIMES
};

/* What is kept of a time: how often it was up to 2^FIRST ns, and so on by factors of two up to
 * 2^LAST ns (65.5 us, 131 us … 68.7 s), and longer. */
#define METER_FIRST_BOUND 16
#define METER_LAST_BOUND 36
#define METER_BOUNDS (METER_LAST_BOUND - METER_FIRST_BOUND + 1)

/* The times of one period; a count that overflows would take 10^6 queries a second for an hour. */
struct meter_times
{
	uint32_t count[METER_TIMES][PERFKIT_HISTOGRAM_BUCKETS];
};

/* Since the start. */
struct meter_kept
{
	uint64_t upto[METER_TIMES][METER_BOUNDS + 1]; /* each without those before it */
	uint64_t errors[ERRCLASSES];
	uint64_t errors_at_period[ERRCLASSES]; /* as they were when the last stats period ended */
	uint64_t errors_in_period[ERRCLASSES]; /* what came in it */
};

struct meter
{
	struct meter_times *now;   /* of the period under way; NULL: nothing yet */
	struct meter_kept *kept;   /* NULL: nothing yet, and without it there is no `now` */
	struct meter_times *ended; /* of the last period: the main thread's, from the end of the work
								* of one end of a period to the beginning of the next */
};

/* `now` and `kept`; for meter_count(). */
void meter_begin(struct meter *m);

/* Where a time of so many microseconds is counted. */
static inline int
meter_bucket(uint64_t us)
{
	return perfkit_histogram_bucket((int64_t) (us * 1000));
}

/* A time of this bucket. */
static inline void
meter_count(struct meter *m, enum meter_time what, int bucket)
{
	if (__builtin_expect(m->now == NULL, 0))
		meter_begin(m);
	m->now->count[what][bucket]++;
}

static inline void
meter_time(struct meter *m, enum meter_time what, uint64_t us)
{
	meter_count(m, what, meter_bucket(us));
}

/* A client was sent an error. */
void meter_error(struct meter *m, const char *sqlstate);

/* A stats period has ended: leaves its times in `ended`. */
void meter_end_period(struct meter *m);

/* Adds what is kept and what the period has brought so far to a sum. */
void meter_read(const struct meter *m, struct meter_kept *sum);

void meter_add_kept(struct meter_kept *a, const struct meter_kept *b);

void meter_fini(struct meter *m);

/* The upper end of bound i in seconds. */
double meter_bound(int i);

/* Percentiles of a pool's times in the last stats period, of all loops together, in ns; 0: nothing
 * was measured in it. The main thread's, read by any. */
enum meter_share
{
	METER_P50,
	METER_P95,
	METER_P99,
	METER_SHARES
};

struct meter_latest
{
	_Atomic double ns[METER_TIMES][METER_SHARES];
};

/* The times of a period, of all loops. */
struct meter_sum
{
	uint64_t count[METER_TIMES][PERFKIT_HISTOGRAM_BUCKETS];
};

/* Adds up what n meters, `stride` bytes apart, have left in `ended`, frees that, and makes the
 * percentiles. False: nothing was measured. */
bool meter_take_ended(struct meter *first, size_t stride, int n, struct meter_latest *latest,
					  struct meter_sum *sum);

#endif
