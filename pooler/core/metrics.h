/*
 * metrics.h - the table in metrics.def: its rows, and their values out of what was gathered.
 */
#ifndef PERFKIT_CORE_METRICS_H
#define PERFKIT_CORE_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/meter.h"

struct buf;
struct numbers;
struct pool_numbers;
struct stats;

struct metric
{
	bool counter;     /* else a gauge */
	const char *log;  /* in performance_log; "": not there */
	const char *text; /* in /metrics, behind METRICS_PREFIX */
	const char *unit; /* "seconds", "bytes", "" */
	const char *label;
	const char *label_value;
	const char *help; /* of the family; its first row has it */
};

#define METRICS_PREFIX "perfkit_pooler_"

struct sample
{
	double value;  /* NAN: there is none */
	double period; /* of a counter: in the last stats period */
};

/* Rows of a pool, and of those who have none. */
extern const struct metric metrics_of_pools[];
extern const int metrics_n_of_pools;

/* samples[metrics_n_of_pools] */
void metrics_read_pool(const struct pool_numbers *p, struct sample *samples);

/* Rows of durations, one of each time of core/meter; in performance_log their mean, with the
 * histogram. */
struct metric_time
{
	const char *log; /* in performance_log */
	const char *text;
	const char *help;
	enum meter_time what;
	size_t sum; /* where in struct stats their sum is, in microseconds */
};

extern const struct metric_time metrics_of_times[METER_TIMES];

/* Their sum, in seconds. */
double metrics_sum_of_times(const struct metric_time *row, const struct stats *stats);

/* Rows of the process. */
extern const struct metric metrics_of_process[];
extern const int metrics_n_of_process;

/* samples[metrics_n_of_process] */
void metrics_read_process(const struct numbers *n, struct sample *samples);

/* All of it as Prometheus text, version 0.0.4, or as OpenMetrics 1.0 (with its # EOF). */
void metrics_text(const struct numbers *n, bool openmetrics, struct buf *out);

#endif
