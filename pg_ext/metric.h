/*-------------------------------------------------------------------------
 * metric.h
 *	  What perfkit measures of the server and of a database: tables, no code of
 *	  their own.  A probe is a query; each of its columns is a metric by that name,
 *	  each row a series.
 *
 * Where to add a metric: a column of a probe, and a row of perfkit_metrics.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_METRIC_H
#define PERFKIT_METRIC_H

#include "postgres.h"

typedef enum PerfkitMetricKind
{
	PERFKIT_GAUGE,   /* a state: logged as it is */
	PERFKIT_COUNTER, /* grows, but for resets: logged as <name>_per_second */
	PERFKIT_EVENTS   /* how many since the last look: logged as <name>_per_second too */
} PerfkitMetricKind;

typedef struct PerfkitMetric
{
	const char *name; /* snake case, with its base unit, without _total or _per_second */
	PerfkitMetricKind kind;
	const char *help; /* as in metrics() */
} PerfkitMetric;

/*
 * A share, of what has happened since the last look: the rate of `part` by the sum of those of
 * `part` and `rest`; absent while nothing has happened.  `name` is a gauge of perfkit_metrics.
 */
typedef struct PerfkitShare
{
	const char *name;
	const char *part;
	const char *rest;
} PerfkitShare;

/*
 * Columns label_x are the labels of a row; NULL is absent.  $1 is the time of the last look,
 * $2 that of this one.
 */
typedef struct PerfkitProbe
{
	const char *name;
	bool server;     /* of all databases: run by one worker only */
	int period_s;    /* not more often than that; 0: each perfkit.sample_interval */
	bool on_standby; /* makes sense there */
	const char *sql;
} PerfkitProbe;

extern const PerfkitMetric perfkit_metrics[];
extern const int perfkit_n_metrics;
extern const PerfkitShare perfkit_shares[];
extern const int perfkit_n_shares;
extern const PerfkitProbe perfkit_probes[];
extern const int perfkit_n_probes;

/* The number of a metric, by its name; -1 if there is none. */
extern int perfkit_metric_find(const char *name);

/* Its name in performance_log; palloc'd or constant. */
extern const char *perfkit_metric_logged_name(const PerfkitMetric *metric);

#endif /* PERFKIT_METRIC_H */
