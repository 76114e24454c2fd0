/*-------------------------------------------------------------------------
 * sampler.h
 *	  Each perfkit.sample_interval: the state of the database, and of the server, into
 *	  performance_log.  Called by the database's worker.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SAMPLER_H
#define PERFKIT_SAMPLER_H

#include "postgres.h"

#include "shmem.h"

/* Milliseconds until the next sample is due; a long time when there is none to come. */
extern long perfkit_sampler_nap_ms(void);

/*
 * Measures, if it is due, and writes rows, unless in recovery; throws what their transaction
 * throws.  True when it was due: rows are there to be judged.
 */
extern bool perfkit_sampler_run(PerfkitDatabase *db);

/* Whether this worker measured the server at the last sample. */
extern bool perfkit_sampler_of_server(void);

#endif /* PERFKIT_SAMPLER_H */
