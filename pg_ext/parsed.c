/*-------------------------------------------------------------------------
 * parsed.c
 *	  Text to queryid, for the statements parsed last.
 *
 * Texts are told apart by a 32-bit hash and their length: enough for a log
 * entry, and no text has to be kept.
 *-------------------------------------------------------------------------
 */
#include "parsed.h"

#include "common/hashfn.h"

#define SLOTS 64

static PerfkitParsed table[SLOTS];


void
perfkit_parsed_remember(const char *text, int64 queryid)
{
	uint32 size = strlen(text);
	uint32 hash = hash_bytes((const unsigned char *) text, (int) size);
	PerfkitParsed *p = &table[hash % SLOTS];

	p->hash = hash;
	p->size = size;
	p->queryid = queryid;
}


const PerfkitParsed *
perfkit_parsed_find(const char *text)
{
	uint32 size = strlen(text);
	uint32 hash = hash_bytes((const unsigned char *) text, (int) size);
	const PerfkitParsed *p = &table[hash % SLOTS];

	return size > 0 && p->size == size && p->hash == hash ? p : NULL;
}
