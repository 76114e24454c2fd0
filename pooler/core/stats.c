/*
 * stats.c - see stats.h.
 */
#include "core/stats.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define STAT(field, doc) #field,
#include "core/stats.def"
};

struct stats_kept *
stats_kept_new(void)
{
	struct stats_kept *k = aligned_alloc(STATS_ALIGN, sizeof(*k));

	if (k == NULL)
		abort();
	memset(k, 0, sizeof(*k));
	return k;
}

void
stats_end_period(struct stats_kept *k)
{
#define STAT(field, doc) k->last_period.field = k->now.field - k->at_period.field;
#include "core/stats.def"
	k->at_period = k->now;
}

void
stats_add(struct stats *a, const struct stats *b)
{
#define STAT(field, doc) a->field += b->field;
#include "core/stats.def"
}

uint64_t
stats_get(const struct stats *s, int i)
{
	const uint64_t values[] = {
#define STAT(field, doc) s->field,
#include "core/stats.def"
	};

	return values[i];
}

const char *
stats_name(int i)
{
	return names[i];
}
