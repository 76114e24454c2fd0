/*-------------------------------------------------------------------------
 * content.h
 *	  What a captured statement was executed with: its bind values.
 *
 * Taken while the statement's memory is there, which may be long before its row
 * is made (commit.h).  Comes from malloc() and belongs to its execution.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_CONTENT_H
#define PERFKIT_CONTENT_H

#include "execution.h"

struct PerfkitContent
{
	bool has_parameters;
	bool parameters_cut;
	Size parameters_length;
	char *parameters; /* as in parameters.h */
};

/*
 * The statement has succeeded and is slow.  May throw a cancel, nothing else;
 * `snapshot` may be InvalidSnapshot.
 */
extern void perfkit_content_take_parameters(PerfkitExecution *e, Snapshot snapshot);

/* The statement has failed: what can be told without catalogs and allocation. */
extern void perfkit_content_take_failed(PerfkitExecution *e);

/* Gives back what the execution has; harmless when that is nothing. */
extern void perfkit_content_free(PerfkitExecution *e);

#endif /* PERFKIT_CONTENT_H */
