/*
 * durations.c - see durations.h.
 */
#include "core/durations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include <uthash.h>

#include "base/buf.h"
#include "base/log.h"

struct filled
{
	int bucket;
	uint64_t count; /* never 0 */
};

struct pool_durations
{
	UT_hash_handle hh;
	struct filled *filled; /* owned: those of each time, buckets rising, one time after the other */
	int n[METER_TIMES];
	char name[]; /* database, zero byte, user */
};

struct durations
{
	struct pool_durations *pools; /* by name */
};

/* The key in the table, to be freed. */
static char *
name_of(const char *database, const char *user, size_t *len)
{
	size_t front = strlen(database) + 1;
	char *name = mem_alloc(front + strlen(user) + 1);

	memcpy(name, database, front);
	strcpy(name + front, user);
	*len = front + strlen(user);
	return name;
}

static struct pool_durations *
find(const struct durations *d, const char *name, size_t len)
{
	struct pool_durations *p;

	HASH_FIND(hh, d->pools, name, len, p);
	return p;
}

static void
pack(struct pool_durations *p, const struct meter_sum *sum)
{
	struct filled *at;
	size_t n = 0;

	for (int what = 0; what < METER_TIMES; what++)
		for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
			n += sum->count[what][i] > 0;
	p->filled = at = mem_realloc(p->filled, (n + 1) * sizeof(*at));
	for (int what = 0; what < METER_TIMES; what++)
	{
		struct filled *first = at;

		for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
			if (sum->count[what][i] > 0)
				*at++ = (struct filled){i, sum->count[what][i]};
		p->n[what] = (int) (at - first);
	}
}

/* Adds what is packed. */
static void
unpack(const struct pool_durations *p, struct meter_sum *sum)
{
	const struct filled *at = p->filled;

	for (int what = 0; what < METER_TIMES; what++)
		for (int i = 0; i < p->n[what]; i++, at++)
			sum->count[what][at->bucket] += at->count;
}

void
durations_add(struct durations *d, const char *database, const char *user,
			  const struct meter_sum *sum)
{
	struct meter_sum all = *sum;
	size_t len;
	char *name = name_of(database, user, &len);
	struct pool_durations *p = find(d, name, len);

	if (p == NULL)
	{
		p = mem_zalloc(sizeof(*p) + len + 1);
		memcpy(p->name, name, len);
		HASH_ADD_KEYPTR(hh, d->pools, p->name, len, p);
	}
	unpack(p, &all);
	pack(p, &all);
	free(name);
}

uint64_t
durations_tell(const struct durations *d, const char *database, const char *user,
			   enum meter_time what, struct buf *out)
{
	const struct pool_durations *p = NULL;
	const struct filled *at;
	uint64_t n = 0;
	char text[48];

	if (d != NULL)
	{
		size_t len;
		char *name = name_of(database, user, &len);

		p = find(d, name, len);
		free(name);
	}
	if (p == NULL || p->n[what] == 0)
		return 0;
	at = p->filled;
	for (int before = 0; before < (int) what; before++)
		at += p->n[before];
	for (int i = 0; i < p->n[what]; i++)
	{
		int size = snprintf(text, sizeof(text), "%c%d,%llu", i == 0 ? '[' : ',', at[i].bucket,
							(unsigned long long) at[i].count);

		buf_append(out, text, (size_t) size);
		n += at[i].count;
	}
	buf_append(out, "]", 2);
	return n;
}

struct durations *
durations_new(void)
{
	return mem_zalloc(sizeof(struct durations));
}

void
durations_free(struct durations *d)
{
	struct pool_durations *p;
	struct pool_durations *next;

	if (d == NULL)
		return;
	HASH_ITER(hh, d->pools, p, next)
	{
		HASH_DEL(d->pools, p);
		free(p->filled);
		free(p);
	}
	free(d);
}
