/*-------------------------------------------------------------------------
 * tally.c
 *	  Adding tallies, and what is computed from their sums.
 *-------------------------------------------------------------------------
 */
#include "tally.h"

#include <math.h>

static const PerfkitTallyUnit units[] = {
#define PERFKIT_TALLY_UNIT_OF(symbol, unit) PERFKIT_TALLY_##unit,
	PERFKIT_TALLY_SUMS(PERFKIT_TALLY_UNIT_OF)
#undef PERFKIT_TALLY_UNIT_OF
};


PerfkitTallyUnit
perfkit_tally_unit(PerfkitTallySum sum)
{
	return units[sum];
}


void
perfkit_tally_add(PerfkitTally *to, const PerfkitTally *from)
{
	if (from->sums[PERFKIT_TALLY_CALLS] > 0)
	{
		bool first = to->sums[PERFKIT_TALLY_CALLS] == 0;

		if (first || from->min_ns < to->min_ns)
			to->min_ns = from->min_ns;
		if (first || from->max_ns > to->max_ns)
			to->max_ns = from->max_ns;
	}
	for (int i = 0; i < PERFKIT_N_TALLY_SUMS; i++)
		to->sums[i] += from->sums[i];
	to->squares_low += from->squares_low;
	to->squares_high += from->squares_high + (to->squares_low < from->squares_low);
}


double
perfkit_tally_mean(const PerfkitTally *t)
{
	int64_t calls = t->sums[PERFKIT_TALLY_CALLS];

	return calls == 0 ? 0 : (double) t->sums[PERFKIT_TALLY_EXEC_NS] / (double) calls;
}


double
perfkit_tally_stddev(const PerfkitTally *t)
{
	/* What little the deviation of nearly equal durations is would be lost in a double. */
	long double calls = (long double) t->sums[PERFKIT_TALLY_CALLS];
	long double squares = (long double) t->squares_high * 0x1p64L + (long double) t->squares_low;
	long double mean;
	long double variance;

	if (calls < 2)
		return 0;
	mean = (long double) t->sums[PERFKIT_TALLY_EXEC_NS] / calls;
	variance = squares / calls - mean * mean;
	return variance > 0 ? (double) sqrtl(variance) : 0;
}
