/*-------------------------------------------------------------------------
 * tags.h
 *	  Tags that applications put into comments, as sqlcommenter specifies:
 *	  https://google.github.io/sqlcommenter/spec/
 *
 *	  SELECT ... /-*action='show',traceparent='00-...-01'*-/   (without the dashes)
 *
 * A comment at the very start or end of the statement counts if all of it has
 * that form.  Names and values are URL-decoded.  Pure: no allocation, no error,
 * time linear in the text, whatever it is.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_TAGS_H
#define PERFKIT_TAGS_H

#include "postgres.h"

/* Most tags of a statement, and bytes of all of them. */
#define PERFKIT_MAX_TAGS 32
#define PERFKIT_MAX_TAGS_SIZE 2048

typedef struct PerfkitTags
{
	/* given */
	char *out;
	Size size; /* of out */

	/* result */
	Size length; /* bytes written: name\0value\0 ... */
	int count;
	bool cut; /* there were more, or larger ones: those are left out whole */
} PerfkitTags;

extern void perfkit_tags_find(PerfkitTags *tags, const char *text, Size length);

/*
 * Reads one string after the other out of what perfkit_tags_find() wrote:
 * false at the end, else *at is moved behind the string.
 */
extern bool perfkit_tags_next(const char **at, const char *end, const char **string, Size *length);

#endif /* PERFKIT_TAGS_H */
