/*
 * metrics_text.c - the numbers as Prometheus text and as OpenMetrics.
 *
 * Sources: Prometheus, "Exposition formats", text format 0.0.4; OpenMetrics 1.0.0. They differ in
 * the names of counters (a family of OpenMetrics has no _total), in the unit, which only the newer
 * tells, and in its end.
 *
 * All series of a family stand together, so each family goes through all pools.
 */
#include "core/metrics.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "core/escape.h"
#include "core/numbers.h"

#ifndef PERFKIT_VERSION
#define PERFKIT_VERSION "0.1.0"
#endif

#define LINE_MAX_BYTES 512

struct text
{
	struct buf *out;
	bool openmetrics;
};

static void __attribute__((format(printf, 2, 3))) put(struct text *t, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	buf_append(t->out, line, (size_t) n < sizeof(line) ? (size_t) n : sizeof(line) - 1);
}

/* type: gauge, counter or histogram. */
static void
family(struct text *t, const char *name, const char *type, const char *unit, const char *help)
{
	const char *total = !t->openmetrics && strcmp(type, "counter") == 0 ? "_total" : "";

	put(t, "# HELP " METRICS_PREFIX "%s%s %s\n", name, total, help);
	put(t, "# TYPE " METRICS_PREFIX "%s%s %s\n", name, total, type);
	if (t->openmetrics && unit[0] != '\0')
		put(t, "# UNIT " METRICS_PREFIX "%s %s\n", name, unit);
}

/* Name and labels of a sample; `more` is a label beside the pool's, NULL: none. */
static void
series(struct text *t, const char *name, const char *suffix, const struct pool_numbers *p,
	   const char *more, const char *more_value)
{
	const char *between = "{";

	put(t, METRICS_PREFIX "%s%s", name, suffix);
	if (p != NULL && p->database != NULL)
	{
		put(t, "{database=\"");
		escape_label(t->out, p->database);
		put(t, "\",user=\"");
		escape_label(t->out, p->user);
		put(t, "\"");
		between = ",";
	}
	if (more != NULL)
		put(t, "%s%s=\"%s\"", between, more, more_value);
	put(t, more != NULL || between[0] == ',' ? "} " : " ");
}

static void
value(struct text *t, double v)
{
	put(t, "%.15g\n", v);
}

static void
sample(struct text *t, const struct metric *m, const struct pool_numbers *p, const struct sample *s)
{
	if (isnan(s->value))
		return;
	series(t, m->text, m->counter ? "_total" : "", p, m->label, m->label_value);
	value(t, s->value);
}

static void
begin_family(struct text *t, const struct metric *rows, int i)
{
	const struct metric *m = &rows[i];

	if (i == 0 || strcmp(m->text, rows[i - 1].text) != 0)
		family(t, m->text, m->counter ? "counter" : "gauge", m->unit, m->help);
}

static void
process_rows(struct text *t, const struct numbers *n)
{
	struct sample *samples = mem_zalloc((size_t) metrics_n_of_process * sizeof(*samples));

	metrics_read_process(n, samples);
	for (int i = 0; i < metrics_n_of_process; i++)
	{
		begin_family(t, metrics_of_process, i);
		sample(t, &metrics_of_process[i], NULL, &samples[i]);
	}
	free(samples);
}

static void
pool_rows(struct text *t, const struct numbers *n)
{
	size_t rows = (size_t) metrics_n_of_pools;
	struct sample *samples = mem_zalloc((n->n + 1) * rows * sizeof(*samples));

	for (size_t k = 0; k < n->n; k++)
		metrics_read_pool(&n->pool[k], samples + k * rows);
	metrics_read_pool(&n->no_pool, samples + n->n * rows);
	for (size_t i = 0; i < rows; i++)
	{
		begin_family(t, metrics_of_pools, (int) i);
		for (size_t k = 0; k < n->n; k++)
			sample(t, &metrics_of_pools[i], &n->pool[k], &samples[k * rows + i]);
		sample(t, &metrics_of_pools[i], &n->no_pool, &samples[n->n * rows + i]);
	}
	free(samples);
}

static void
histogram(struct text *t, const struct metric_time *m, const struct pool_numbers *p)
{
	uint64_t sofar = 0;
	char bound[32];

	for (int i = 0; i <= METER_BOUNDS; i++)
	{
		sofar += p->measured.upto[m->what][i];
		if (i < METER_BOUNDS)
			snprintf(bound, sizeof(bound), "%.12g", meter_bound(i));
		else
			snprintf(bound, sizeof(bound), "+Inf");
		series(t, m->text, "_bucket", p, "le", bound);
		value(t, (double) sofar);
	}
	series(t, m->text, "_count", p, NULL, NULL);
	value(t, (double) sofar);
	series(t, m->text, "_sum", p, NULL, NULL);
	value(t, metrics_sum_of_times(m, &p->total));
}

static void
histograms(struct text *t, const struct numbers *n)
{
	for (int k = 0; k < METER_TIMES; k++)
	{
		const struct metric_time *m = &metrics_of_times[k];

		family(t, m->text, "histogram", "seconds", m->help);
		for (size_t i = 0; i < n->n; i++)
			histogram(t, m, &n->pool[i]);
	}
}

/* OpenMetrics has a type for it. */
static void
info(struct text *t)
{
	if (t->openmetrics)
		put(t, "# HELP perfkit_pooler The version of the pooler.\n# TYPE perfkit_pooler info\n");
	else
		family(t, "info", "gauge", "", "The version of the pooler.");
	put(t, METRICS_PREFIX "info{version=\"" PERFKIT_VERSION "\"} 1\n");
}

void
metrics_text(const struct numbers *n, bool openmetrics, struct buf *out)
{
	struct text t = {out, openmetrics};

	info(&t);
	process_rows(&t, n);
	pool_rows(&t, n);
	histograms(&t, n);
	if (openmetrics)
		put(&t, "# EOF\n");
}
