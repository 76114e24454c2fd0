/*-------------------------------------------------------------------------
 * parsed.h
 *	  The last statements this backend has parsed for the extended protocol:
 *	  text to queryid, for errors in Bind, where nothing else knows it.
 *
 * A small direct-mapped table: a newer statement takes the place of an older
 * one with the same slot.  Nothing here allocates or raises.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PARSED_H
#define PERFKIT_PARSED_H

#include "postgres.h"

typedef struct PerfkitParsed
{
	uint32 hash; /* of the text */
	uint32 size; /* of the text; 0: unused */
	int64 queryid;
} PerfkitParsed;

extern void perfkit_parsed_remember(const char *text, int64 queryid);

/* What is remembered of a text, or NULL. */
extern const PerfkitParsed *perfkit_parsed_find(const char *text);

#endif /* PERFKIT_PARSED_H */
