/*-------------------------------------------------------------------------
 * parameters.h
 *	  Bind values of a captured statement as flat text.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PARAMETERS_H
#define PERFKIT_PARAMETERS_H

#include "postgres.h"

#include "nodes/params.h"
#include "utils/snapshot.h"

/* Bytes of all values of a statement; each has perfkit.max_parameter_size. */
#define PERFKIT_MAX_PARAMETERS_SIZE (32 * 1024)

typedef struct PerfkitParameters
{
	/* given */
	char *out;
	Size size; /* of out */

	/* result */
	Size length; /* bytes written: for each n\0 (NULL), ?\0 (unknown) or =value\0 */
	bool cut;    /* a value was cut or could not be told */
} PerfkitParameters;

/*
 * Writes the values of $1, $2, ...; of a list that is made on demand, as
 * PL/pgSQL's, those the statement uses, in order.  With `healthy` output functions
 * are called where needed, guarded (guard.h), so that only a cancel is thrown;
 * without it nothing is allocated, raised or looked up, and what cannot be told
 * that way is unknown.
 */
extern void perfkit_parameters_take(PerfkitParameters *p, ParamListInfo params, bool healthy,
									Snapshot snapshot);

#endif /* PERFKIT_PARAMETERS_H */
