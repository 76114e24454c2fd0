/*-------------------------------------------------------------------------
 * histogramsql.h
 *	  Histograms as SQL sees them: bigint[] {bucket, count, bucket, count, ...}, without
 *	  empty buckets.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_HISTOGRAMSQL_H
#define PERFKIT_HISTOGRAMSQL_H

#include "postgres.h"

#include "histogram.h"

/* The array of PERFKIT_HISTOGRAM_BUCKETS counts. */
extern Datum perfkit_histogram_datum(const uint64 *counts);

#endif /* PERFKIT_HISTOGRAMSQL_H */
