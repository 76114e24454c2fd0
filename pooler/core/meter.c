/*
 * meter.c - see meter.h.
 */
#include "core/meter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define BUCKETS_OF_OCTAVE 10

static struct meter_kept *
kept(struct meter *m)
{
	if (m->kept == NULL)
		m->kept = mem_zalloc(sizeof(*m->kept));
	return m->kept;
}

void
meter_begin(struct meter *m)
{
	kept(m);
	m->now = mem_zalloc(sizeof(*m->now));
}

void
meter_error(struct meter *m, const char *sqlstate)
{
	kept(m)->errors[errclass_of(sqlstate)]++;
}

/* The bound that a bucket lies below: every bound is the beginning of an octave of buckets. */
static int
bound_of(int bucket)
{
	int octave = bucket == 0 ? PERFKIT_HISTOGRAM_FIRST_OCTAVE - 1
							 : PERFKIT_HISTOGRAM_FIRST_OCTAVE + (bucket - 1) / BUCKETS_OF_OCTAVE;

	if (octave < METER_FIRST_BOUND)
		return 0;
	return octave < METER_LAST_BOUND ? octave + 1 - METER_FIRST_BOUND : METER_BOUNDS;
}

static void
add_coarse(struct meter_kept *to, const struct meter_times *t)
{
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
	{
		int bound = bound_of(i);

		for (int what = 0; what < METER_TIMES; what++)
			to->upto[what][bound] += t->count[what][i];
	}
}

void
meter_end_period(struct meter *m)
{
	free(m->ended);
	m->ended = m->now;
	m->now = NULL;
	if (m->kept == NULL)
		return;
	if (m->ended != NULL)
		add_coarse(m->kept, m->ended);
	for (int i = 0; i < ERRCLASSES; i++)
	{
		m->kept->errors_in_period[i] = m->kept->errors[i] - m->kept->errors_at_period[i];
		m->kept->errors_at_period[i] = m->kept->errors[i];
	}
}

void
meter_add_kept(struct meter_kept *a, const struct meter_kept *b)
{
	for (int what = 0; what < METER_TIMES; what++)
		for (int i = 0; i <= METER_BOUNDS; i++)
			a->upto[what][i] += b->upto[what][i];
	for (int i = 0; i < ERRCLASSES; i++)
	{
		a->errors[i] += b->errors[i];
		a->errors_at_period[i] += b->errors_at_period[i];
		a->errors_in_period[i] += b->errors_in_period[i];
	}
}

void
meter_read(const struct meter *m, struct meter_kept *sum)
{
	if (m->kept != NULL)
		meter_add_kept(sum, m->kept);
	if (m->now != NULL)
		add_coarse(sum, m->now);
}

void
meter_fini(struct meter *m)
{
	free(m->now);
	free(m->kept);
	free(m->ended);
}

double
meter_bound(int i)
{
	return ldexp(1e-9, METER_FIRST_BOUND + i);
}

static void
add_times(struct meter_sum *sum, const struct meter_times *t)
{
	for (int what = 0; what < METER_TIMES; what++)
		for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
			sum->count[what][i] += t->count[what][i];
}

bool
meter_take_ended(struct meter *first, size_t stride, int n, struct meter_latest *latest,
				 struct meter_sum *sum)
{
	static const double shares[METER_SHARES] = {0.5, 0.95, 0.99};
	bool any = false;

	memset(sum, 0, sizeof(*sum));
	for (int i = 0; i < n; i++)
	{
		struct meter *m = (struct meter *) (void *) ((char *) first + (size_t) i * stride);

		if (m->ended == NULL)
			continue;
		any = true;
		add_times(sum, m->ended);
		free(m->ended);
		m->ended = NULL;
	}
	for (int what = 0; what < METER_TIMES; what++)
		for (int i = 0; i < METER_SHARES; i++)
		{
			double ns = any ? perfkit_histogram_quantile(sum->count[what], shares[i]) : 0;

			atomic_store_explicit(&latest->ns[what][i], ns > 0 ? ns : 0, memory_order_relaxed);
		}
	return any;
}
