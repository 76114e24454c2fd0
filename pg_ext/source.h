/*-------------------------------------------------------------------------
 * source.h
 *	  The text of one statement, in the string that a client sent.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_SOURCE_H
#define PERFKIT_SOURCE_H

#include "postgres.h"

/*
 * The statement that the parser found at location (-1: unknown) with so many
 * bytes (0: to the end), from its leading comments to its last token, without
 * white space around it.  A part of source, which must end with a NUL.
 */
extern const char *perfkit_source_statement(const char *source, int location, int length,
											int *own_length);

#endif /* PERFKIT_SOURCE_H */
