/*-------------------------------------------------------------------------
 * histogram.c
 *	  Buckets of durations, their sums and quantiles.
 *-------------------------------------------------------------------------
 */
#include "histogram.h"

#include <math.h>

/* The bucket in its octave, by the sixteenth of the octave's start that a value is in. */
const uint8_t perfkit_histogram_steps[16] = {0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9};

/* The sixteenth in which each bucket of an octave begins. */
static const uint8_t starts[10] = {0, 1, 2, 3, 4, 6, 8, 10, 12, 14};


double
perfkit_histogram_start(int bucket)
{
	int octave;

	if (bucket <= 0)
		return 0;
	if (bucket >= PERFKIT_HISTOGRAM_BUCKETS)
		return INFINITY;
	octave = PERFKIT_HISTOGRAM_FIRST_OCTAVE + (bucket - 1) / 10;
	return ldexp(1 + starts[(bucket - 1) % 10] / 16.0, octave);
}


double
perfkit_histogram_middle(int bucket)
{
	double low = perfkit_histogram_start(bucket);
	double high = perfkit_histogram_start(bucket + 1);

	if (bucket <= 0)
		return high / 2;
	if (isinf(high))
		return low;

	/* As far from one end as from the other, in proportion to each. */
	return 2 * low * high / (low + high);
}


void
perfkit_histogram_add(uint64_t *to, const uint64_t *from)
{
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
		to[i] += from[i];
}


double
perfkit_histogram_quantile(const uint64_t *counts, double q)
{
	uint64_t n = 0;
	uint64_t before = 0;
	uint64_t rank;
	int bucket = 0;

	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
		n += counts[i];
	if (n == 0)
		return -1;
	rank = (uint64_t) ceil(q * (double) n);
	rank = rank < 1 ? 1 : rank > n ? n : rank;
	while (before + counts[bucket] < rank)
		before += counts[bucket++];
	return perfkit_histogram_middle(bucket);
}


double
perfkit_histogram_stddev(const uint64_t *counts)
{
	double n = 0;
	double mean = 0;
	double squares = 0; /* of the distances to the mean so far */

	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
	{
		double more = (double) counts[i];
		double distance = perfkit_histogram_middle(i) - mean;

		if (counts[i] == 0)
			continue;
		squares += distance * distance * n * more / (n + more);
		n += more;
		mean += distance * more / n;
	}
	return n > 0 ? sqrt(squares / n) : 0;
}
