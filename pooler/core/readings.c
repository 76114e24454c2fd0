/*
 * readings.c - see readings.h.
 *
 * The labels are made once for each pool and extra label, in one text that all readings point into;
 * while it grows they hold where in it.
 */
#include "core/readings.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "core/durations.h"
#include "core/escape.h"
#include "core/metrics.h"
#include "core/numbers.h"
#include "core/registry.h"

/* Where the texts of a reading begin. */
struct at
{
	size_t labels;
	size_t histogram; /* SIZE_MAX: none */
};

struct growing
{
	struct readings *r;
	struct buf text;
	struct at *at; /* [room] */
	size_t room;
	double period_s;
};

/* Makes room for n readings more. */
static void
reserve(struct growing *g, size_t n)
{
	g->room += n;
	g->r->reading = mem_realloc(g->r->reading, g->room * sizeof(*g->r->reading));
	g->at = mem_realloc(g->at, g->room * sizeof(*g->at));
}

static void
put_pair(struct growing *g, const char **between, const char *key, const char *text)
{
	escape_none(&g->text, *between);
	*between = ", ";
	escape_none(&g->text, "\"");
	escape_none(&g->text, key);
	escape_none(&g->text, "\": \"");
	escape_json(&g->text, text);
	escape_none(&g->text, "\"");
}

static size_t
put_labels(struct growing *g, const struct pool_numbers *p, const char *label, const char *value)
{
	size_t at = buf_len(&g->text);
	const char *between = "";

	escape_none(&g->text, "{");
	if (p != NULL && p->database != NULL)
	{
		put_pair(g, &between, "database", p->database);
		put_pair(g, &between, "user", p->user);
	}
	if (label != NULL)
		put_pair(g, &between, label, value);
	buf_append(&g->text, "}", 2);
	return at;
}

static void
put_rows(struct growing *g, const struct pool_numbers *p, const struct metric *rows, int n,
		 const struct sample *samples)
{
	size_t plain = SIZE_MAX; /* the labels of this pool, without more */
	size_t labels;

	reserve(g, (size_t) n);
	for (int i = 0; i < n; i++)
	{
		bool counter = rows[i].counter;

		/* Without a period there are no rates, and counters are stored as such. */
		if (isnan(samples[i].value) || rows[i].log[0] == '\0' || (counter && g->period_s == 0))
			continue;
		if (rows[i].label != NULL)
			labels = put_labels(g, p, rows[i].label, rows[i].label_value);
		else
			labels = plain = plain == SIZE_MAX ? put_labels(g, p, NULL, NULL) : plain;
		g->at[g->r->n] = (struct at){labels, SIZE_MAX};
		g->r->reading[g->r->n++] = (struct reading){
			.metric = rows[i].log,
			.kind = counter ? READING_COUNTER : READING_GAUGE,
			.value = samples[i].value,
			.per_second = counter ? samples[i].period / g->period_s : 0,
		};
	}
}

static void
put_time(struct growing *g, const struct pool_numbers *p, const struct durations *d,
		 const struct metric_time *row)
{
	size_t histogram = buf_len(&g->text);
	uint64_t n = durations_tell(d, p->database, p->user, row->what, &g->text);

	if (n == 0)
		return;
	g->at[g->r->n] = (struct at){put_labels(g, p, NULL, NULL), histogram};
	g->r->reading[g->r->n++] = (struct reading){
		.metric = row->log,
		.kind = READING_GAUGE,
		.value = metrics_sum_of_times(row, &p->period) / (double) n,
	};
}

struct readings *
readings_new(const struct numbers *n, const struct durations *d)
{
	struct readings *r = mem_zalloc(sizeof(*r));
	struct growing g = {.r = r, .period_s = (double) n->period_us / 1e6};
	struct sample *samples =
		mem_zalloc((size_t) (metrics_n_of_pools + metrics_n_of_process) * sizeof(*samples));

	r->wall_us = n->wall_us;
	r->period_us = n->period_us;
	r->left_out = n->left_out;
	buf_init(&g.text);
	metrics_read_process(n, samples);
	put_rows(&g, NULL, metrics_of_process, metrics_n_of_process, samples);
	for (size_t i = 0; i <= n->n; i++)
	{
		const struct pool_numbers *p = i < n->n ? &n->pool[i] : &n->no_pool;

		metrics_read_pool(p, samples);
		put_rows(&g, p, metrics_of_pools, metrics_n_of_pools, samples);
		reserve(&g, METER_TIMES);
		for (int k = 0; k < METER_TIMES && p->database != NULL; k++)
			put_time(&g, p, d, &metrics_of_times[k]);
	}
	r->text = mem_alloc(buf_len(&g.text) + 1);
	memcpy(r->text, buf_data(&g.text), buf_len(&g.text));
	for (size_t i = 0; i < r->n; i++)
	{
		r->reading[i].labels = r->text + g.at[i].labels;
		if (g.at[i].histogram != SIZE_MAX)
			r->reading[i].histogram = r->text + g.at[i].histogram;
	}
	buf_fini(&g.text);
	free(g.at);
	free(samples);
	return r;
}

void
readings_free(struct readings *r)
{
	if (r == NULL)
		return;
	free(r->reading);
	free(r->text);
	free(r);
}

struct request
{
	const struct durations *durations;
	void (*done)(struct readings *readings);
};

static void
gathered(void *arg, struct numbers *numbers)
{
	struct request q = *(struct request *) arg;
	struct readings *r = readings_new(numbers, q.durations);

	free(arg);
	numbers_free(numbers);
	q.done(r);
}

void
readings_gather(struct registry *r, const struct durations *d,
				void (*done)(struct readings *readings))
{
	struct request *q = mem_alloc(sizeof(*q));

	q->done = done;
	q->durations = d;
	numbers_gather(r, &r->main_loop, gathered, q);
}
