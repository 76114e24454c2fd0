/*-------------------------------------------------------------------------
 * histogram.h
 *	  How long executions took: counts in log-linear buckets.  Pure C.
 *
 *	  0: below 512 ns | 31 octaves of 10 buckets, 2^9 to 2^40 ns | 2^40 ns (1100 s) and more
 *
 * An octave is cut finer at its lower end, [1, 1.25) in sixteenths and [1.25, 2)
 * in eighths of its start, so that no bucket is wider than 10 % of its upper end:
 * what stands for a bucket is at most 4.8 % away from any value in it.
 *
 * Histograms are added count by count: the sum is that of all values, in any
 * order and any grouping.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_HISTOGRAM_H
#define PERFKIT_HISTOGRAM_H

#include <stdint.h>

#define PERFKIT_HISTOGRAM_BUCKETS 312

/* 2 to this power ns: the lower end of the first octave, the upper end of the last. */
#define PERFKIT_HISTOGRAM_FIRST_OCTAVE 9
#define PERFKIT_HISTOGRAM_LAST_OCTAVE 40

/* Private to perfkit_histogram_bucket(). */
extern const uint8_t perfkit_histogram_steps[16];

/* The bucket of a duration; negative ones count as 0. */
static inline int
perfkit_histogram_bucket(int64_t ns)
{
	int octave;

	if (ns < INT64_C(1) << PERFKIT_HISTOGRAM_FIRST_OCTAVE)
		return 0;
	if (ns >= INT64_C(1) << PERFKIT_HISTOGRAM_LAST_OCTAVE)
		return PERFKIT_HISTOGRAM_BUCKETS - 1;
	octave = 63 - __builtin_clzll((unsigned long long) ns);
	return 1 + (octave - PERFKIT_HISTOGRAM_FIRST_OCTAVE) * 10 +
		   perfkit_histogram_steps[(ns >> (octave - 4)) & 15];
}

/* Lower end of a bucket in ns; that of the bucket after the last is infinite. */
extern double perfkit_histogram_start(int bucket);

/* The duration in ns that stands for all in a bucket. */
extern double perfkit_histogram_middle(int bucket);

extern void perfkit_histogram_add(uint64_t *to, const uint64_t *from);

/*
 * The duration in ns that a share q (0 to 1) of the values does not exceed: the
 * middle of the bucket in which the value of rank ceil(q * n) is; n is at least 1.
 * Returns -1 if there is no value.
 */
extern double perfkit_histogram_quantile(const uint64_t *counts, double q);

/* Standard deviation (of the population) in ns, as far as buckets tell it; 0 without a value. */
extern double perfkit_histogram_stddev(const uint64_t *counts);

#endif /* PERFKIT_HISTOGRAM_H */
