/*-------------------------------------------------------------------------
 * probe.h
 *	  Runs the probes of metric.h, each in a subtransaction and under a timeout of its own.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PROBE_H
#define PERFKIT_PROBE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "metric.h"

/* Called for each number; labels are as jsonb prints them, and live as long as the call. */
typedef void (*PerfkitProbeSink)(const PerfkitProbe *probe, int metric, const char *labels,
								 double value);

/*
 * Runs the probe of this number, in the caller's transaction, with SPI.  False when it has failed:
 * it is logged the first time, and what it would have measured is absent.
 */
extern bool perfkit_probe_run(int number, TimestampTz last, TimestampTz now, PerfkitProbeSink sink);

#endif /* PERFKIT_PROBE_H */
