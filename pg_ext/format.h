/*-------------------------------------------------------------------------
 * format.h
 *	  Values of the common types as text, without catalogs, output functions,
 *	  allocation or errors: for statements that have failed, and the quick way
 *	  for all others.
 *
 * Numbers, bool, text kinds, name, uuid, json, date, time and timestamps; dates
 * in ISO style whatever DateStyle says.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_FORMAT_H
#define PERFKIT_FORMAT_H

#include "postgres.h"

/* Enough for every value that is not a text, numbers of more digits excepted. */
#define PERFKIT_FORMAT_SIZE 256

/* Is it one of the types?  Values that are toasted may still be refused. */
extern bool perfkit_format_knows(Oid type);

/*
 * The text of a value that is not NULL: points into the value, or into `buffer`
 * of PERFKIT_FORMAT_SIZE bytes, and is not terminated.  NULL when it cannot be told.
 * *cut is set when a number was too long for the buffer.
 */
extern const char *perfkit_format(Oid type, Datum value, char *buffer, Size *length, bool *cut);

#endif /* PERFKIT_FORMAT_H */
