/*-------------------------------------------------------------------------
 * source.c
 *	  The text of one statement, in the string that a client sent.
 *
 * Up to 17 a statement begins right behind the one before it.  Since 18 it begins
 * at its first token, which leaves out the comments in front: the place where
 * many libraries tell who they are.  They are found again by going back from one
 * semicolon to the next, until what lies between is nothing but comments.
 *-------------------------------------------------------------------------
 */
#include "source.h"

#include "compat.h"
#include "parser/scansup.h"

#define LOOK_BACK_MAX 2048 /* bytes; tags in front of a statement are shorter */


/* Behind the comment that begins at p, or NULL: there is none, or it has no end before `end`. */
static const char *
behind_comment(const char *p, const char *end)
{
	int depth = 0;

	if (end - p < 2)
		return NULL;
	if (p[0] == '-' && p[1] == '-')
	{
		while (p < end && *p != '\n' && *p != '\r')
			p++;
		return p < end ? p : NULL;
	}
	if (p[0] != '/' || p[1] != '*')
		return NULL;
	while (end - p >= 2)
	{
		if (p[0] == '/' && p[1] == '*')
			depth++;
		else if (p[0] == '*' && p[1] == '/')
			depth--;
		else
		{
			p++;
			continue;
		}
		p += 2;
		if (depth == 0)
			return p;
	}
	return NULL;
}


/* Is there nothing but white space and comments? */
static bool
only_comments(const char *p, const char *end)
{
	while (p != NULL && p < end)
		p = scanner_isspace(*p) ? p + 1 : behind_comment(p, end);
	return p != NULL;
}


/* Where the comments in front of the statement begin. */
static const char *
with_comments(const char *source, const char *statement)
{
	const char *limit = statement - source > LOOK_BACK_MAX ? statement - LOOK_BACK_MAX : source;
	const char *start = statement;
	const char *p = statement;

	/* Only a comment or white space can stand between two statements. */
	while (p > limit && scanner_isspace(p[-1]))
		p--;
	if (p == source || p[-1] == ';')
		return statement;
	for (p = statement; p >= limit; p--)
	{
		if (p > source && p[-1] != ';')
			continue;
		if (only_comments(p, statement))
		{
			start = p;
			break;
		}
	}
	while (start < statement && scanner_isspace(*start))
		start++;
	return start;
}


const char *
perfkit_source_statement(const char *source, int location, int length, int *own_length)
{
	const char *statement = CleanQuerytext(source, &location, &length);
	const char *start = statement;

	if (PERFKIT_LOCATION_SKIPS_COMMENTS && statement > source)
		start = with_comments(source, statement);
	*own_length = length + (int) (statement - start);
	return start;
}
