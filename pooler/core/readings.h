/*
 * readings.h - the pooler's numbers at one moment, flat, under the names of performance_log.
 *
 *     readings_gather() -> numbers_gather(): every loop, by mail -> struct numbers -> the readings
 *     the period's end -> core/durations                                           -^
 *
 * The table is core/metrics.def, the same that the text of /metrics is written from (core/metrics),
 * so both tell the same. What cannot be told is absent: a percentile of a period in which nothing
 * was measured, a class of errors that never was.
 */
#ifndef PERFKIT_CORE_READINGS_H
#define PERFKIT_CORE_READINGS_H

#include <stddef.h>
#include <stdint.h>

struct durations;
struct numbers;
struct registry;

enum reading_kind
{
	READING_GAUGE,
	READING_COUNTER
};

struct reading
{
	const char *metric; /* as in performance_log: pool_clients_waiting, pool_wait_p95_seconds; those
						 * of counters end in _per_second. Static */
	enum reading_kind kind;
	/* A flat JSON object of strings, valid UTF-8, its keys in ASCII and in a fixed order:
	 * {"database": "app", "user": "joe"}, and {"database": …, "user": …, "class": "57"} of errors,
	 * "setting" of timeouts, "reason" of pins; {} of what is the whole process's. The batch's. */
	const char *labels;
	double value;      /* gauge: as it is now; counter: so many since the pooler was started */
	double per_second; /* counter: over the last whole stats_period; gauge: 0 */
	/* Gauge of durations, whose value is their mean: all of them in that period, as core/durations
	 * tells them. NULL: none. The batch's. */
	const char *histogram;
};

/* What performance_log keeps of it: rates of counters, gauges as they are. */
static inline double
reading_logged(const struct reading *r)
{
	return r->kind == READING_COUNTER ? r->per_second : r->value;
}

/* Immutable once it is handed over. Times are base units: seconds, bytes. Finite numbers only. */
struct readings
{
	uint64_t wall_us;   /* when they were read */
	uint64_t period_us; /* length of the last whole stats_period; 0: none has ended yet, and there
						 * are neither rates nor percentiles */
	int64_t left_out;   /* pools beyond prometheus_max_pools, of which nothing is told */
	size_t n;
	struct reading *reading; /* [n] */
	char *text;              /* of labels and histograms */
};

/* Made of what was gathered, with the durations of the last period (NULL: none), for
 * readings_free(). */
struct readings *readings_new(const struct numbers *n, const struct durations *d);

/* NULL is allowed. */
void readings_free(struct readings *r);

/* Gathers from every loop and calls done(readings), once and never from within; the readings are
 * the callee's to free, the durations the caller's, and there until then. It cannot be cancelled.
 * Main thread. */
void readings_gather(struct registry *r, const struct durations *d,
					 void (*done)(struct readings *readings));

#endif
