/*-------------------------------------------------------------------------
 * tally.h
 *	  What is counted of one statement, over many executions.  Pure C.
 *
 * All of it is integers: tallies are added in any order and any grouping and give
 * the same sum, to the last digit, standard deviation included.  One of all
 * zeroes is empty.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_TALLY_H
#define PERFKIT_TALLY_H

#include <stdbool.h>
#include <stdint.h>

/* What a sum is shown as. */
typedef enum PerfkitTallyUnit
{
	PERFKIT_TALLY_COUNT,
	PERFKIT_TALLY_NS /* shown in ms */
} PerfkitTallyUnit;

/*
 * The sums of a tally, in the order in which perfkit._statements() gives those
 * after ROWS.  The blocks stand as in BufferUsage, so that they can be added in
 * one loop.  CALLS to ROWS are those of successes, ERROR_NS that of failures.
 */
#define PERFKIT_TALLY_SUMS(X)                                                                      \
	X(CALLS, COUNT)                                                                                \
	X(ERRORS, COUNT)                                                                               \
	X(EXEC_NS, NS)                                                                                 \
	X(ROWS, COUNT)                                                                                 \
	X(SHARED_BLKS_HIT, COUNT)                                                                      \
	X(SHARED_BLKS_READ, COUNT)                                                                     \
	X(SHARED_BLKS_DIRTIED, COUNT)                                                                  \
	X(SHARED_BLKS_WRITTEN, COUNT)                                                                  \
	X(LOCAL_BLKS_HIT, COUNT)                                                                       \
	X(LOCAL_BLKS_READ, COUNT)                                                                      \
	X(LOCAL_BLKS_DIRTIED, COUNT)                                                                   \
	X(LOCAL_BLKS_WRITTEN, COUNT)                                                                   \
	X(TEMP_BLKS_READ, COUNT)                                                                       \
	X(TEMP_BLKS_WRITTEN, COUNT)                                                                    \
	X(SHARED_READ_NS, NS)                                                                          \
	X(SHARED_WRITE_NS, NS)                                                                         \
	X(LOCAL_READ_NS, NS)                                                                           \
	X(LOCAL_WRITE_NS, NS)                                                                          \
	X(TEMP_READ_NS, NS)                                                                            \
	X(TEMP_WRITE_NS, NS)                                                                           \
	X(WAL_RECORDS, COUNT)                                                                          \
	X(WAL_FPI, COUNT)                                                                              \
	X(WAL_BYTES, COUNT)                                                                            \
	X(WAL_BUFFERS_FULL, COUNT)                                                                     \
	X(JIT_FUNCTIONS, COUNT)                                                                        \
	X(JIT_GENERATION_NS, NS)                                                                       \
	X(JIT_INLINING_COUNT, COUNT)                                                                   \
	X(JIT_INLINING_NS, NS)                                                                         \
	X(JIT_OPTIMIZATION_COUNT, COUNT)                                                               \
	X(JIT_OPTIMIZATION_NS, NS)                                                                     \
	X(JIT_EMISSION_COUNT, COUNT)                                                                   \
	X(JIT_EMISSION_NS, NS)                                                                         \
	X(JIT_DEFORM_COUNT, COUNT)                                                                     \
	X(JIT_DEFORM_NS, NS)                                                                           \
	X(WORKERS_PLANNED, COUNT)                                                                      \
	X(WORKERS_LAUNCHED, COUNT)                                                                     \
	X(PLANS, COUNT)                                                                                \
	X(PLAN_NS, NS)                                                                                 \
	X(ERROR_NS, NS)

typedef enum PerfkitTallySum
{
#define PERFKIT_TALLY_ENUM(symbol, unit) PERFKIT_TALLY_##symbol,
	PERFKIT_TALLY_SUMS(PERFKIT_TALLY_ENUM)
#undef PERFKIT_TALLY_ENUM
	PERFKIT_N_TALLY_SUMS
} PerfkitTallySum;

typedef struct PerfkitTally
{
	int64_t sums[PERFKIT_N_TALLY_SUMS];
	uint64_t squares_low; /* of the durations of successes, ns²: 128 bits */
	uint64_t squares_high;
	int64_t min_ns; /* of the successes, if there are any */
	int64_t max_ns;
} PerfkitTally;

/* Counts a success that took so long; whatever else it has used is added by the caller. */
static inline void
perfkit_tally_success(PerfkitTally *t, int64_t ns)
{
	uint64_t n = ns < 0 ? 0 : (uint64_t) ns;
	uint64_t square;

	if (t->sums[PERFKIT_TALLY_CALLS]++ == 0)
		t->min_ns = t->max_ns = (int64_t) n;
	else if ((int64_t) n < t->min_ns)
		t->min_ns = (int64_t) n;
	else if ((int64_t) n > t->max_ns)
		t->max_ns = (int64_t) n;
	t->sums[PERFKIT_TALLY_EXEC_NS] += (int64_t) n;

	/* (a * 2^32 + b)^2; a is 0 below four seconds. */
	square = (n & UINT32_MAX) * (n & UINT32_MAX);
	t->squares_low += square;
	t->squares_high += t->squares_low < square;
	if (n > UINT32_MAX)
	{
		uint64_t a = n >> 32;
		uint64_t twice = 2 * a * (n & UINT32_MAX);

		t->squares_high += a * a + (twice >> 32);
		t->squares_low += twice << 32;
		t->squares_high += t->squares_low < twice << 32;
	}
}

/* Adds one to the other. */
extern void perfkit_tally_add(PerfkitTally *to, const PerfkitTally *from);

/* Mean and standard deviation (of the population) of the successes in ns; 0 without any. */
extern double perfkit_tally_mean(const PerfkitTally *t);
extern double perfkit_tally_stddev(const PerfkitTally *t);

extern PerfkitTallyUnit perfkit_tally_unit(PerfkitTallySum sum);

#endif /* PERFKIT_TALLY_H */
