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
#include "core/escape.h"
#include "core/metrics.h"
#include "core/numbers.h"

struct growing
{
	struct readings *r;
	struct buf text;
	size_t *at; /* [room] of each reading's labels */
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
put_labels(struct growing *g, const struct pool_numbers *p, const struct metric *m)
{
	size_t at = buf_len(&g->text);
	const char *between = "";

	escape_none(&g->text, "{");
	if (p != NULL && p->database != NULL)
	{
		put_pair(g, &between, "database", p->database);
		put_pair(g, &between, "user", p->user);
	}
	if (m->label != NULL)
		put_pair(g, &between, m->label, m->label_value);
	buf_append(&g->text, "}", 2);
	return at;
}

static void
put_rows(struct growing *g, const struct pool_numbers *p, const struct metric *rows, int n,
		 const struct sample *samples)
{
	size_t plain = SIZE_MAX; /* the labels of this pool, without more */

	reserve(g, (size_t) n);
	for (int i = 0; i < n; i++)
	{
		struct reading *r = &g->r->reading[g->r->n];
		bool counter = rows[i].counter;

		/* Without a period there are no rates, and counters are stored as such. */
		if (isnan(samples[i].value) || rows[i].log[0] == '\0' || (counter && g->period_s == 0))
			continue;
		r->metric = rows[i].log;
		r->kind = counter ? READING_COUNTER : READING_GAUGE;
		r->value = samples[i].value;
		r->per_second = counter ? samples[i].period / g->period_s : 0;
		if (rows[i].label != NULL)
			g->at[g->r->n] = put_labels(g, p, &rows[i]);
		else
			g->at[g->r->n] = plain = plain == SIZE_MAX ? put_labels(g, p, &rows[i]) : plain;
		g->r->n++;
	}
}

struct readings *
readings_new(const struct numbers *n)
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
	}
	r->text = mem_alloc(buf_len(&g.text) + 1);
	memcpy(r->text, buf_data(&g.text), buf_len(&g.text));
	for (size_t i = 0; i < r->n; i++)
		r->reading[i].labels = r->text + g.at[i];
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
	void (*done)(void *arg, struct readings *readings);
	void *arg;
};

static void
gathered(void *arg, struct numbers *numbers)
{
	struct request q = *(struct request *) arg;
	struct readings *r = readings_new(numbers);

	free(arg);
	numbers_free(numbers);
	q.done(q.arg, r);
}

void
readings_gather(struct registry *r, struct loop *origin,
				void (*done)(void *arg, struct readings *readings), void *arg)
{
	struct request *q = mem_alloc(sizeof(*q));

	q->done = done;
	q->arg = arg;
	numbers_gather(r, origin, gathered, q);
}
