/*-------------------------------------------------------------------------
 * normalize.h
 *	  The text of a statement with its constants replaced by $n, numbered on
 *	  from its parameters as pg_stat_statements does.
 *
 * Where the constants are is known to the query jumbling only, when the
 * statement is analyzed; whether anybody wants the text, only when it has run.
 * So the places are remembered, in a table of this backend for some five hundred
 * statements (a newer one takes the place of an older one), and the text is made
 * when a row is.
 *
 * Nothing here raises, pallocs or reads a catalog: it also serves statements
 * that have failed.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_NORMALIZE_H
#define PERFKIT_NORMALIZE_H

#include "compat.h"

#include "nodes/parsenodes.h"

/*
 * After analysis of `query`, a statement in a simple Query whose text is `source`: it
 * is executed before the next message comes, or never.
 */
extern void perfkit_normalize_remember_message(const char *source, const Query *query,
											   const JumbleState *jumble);

/* The same of any other statement. */
extern void perfkit_normalize_remember(const char *source, const Query *query,
									   const JumbleState *jumble);

/*
 * Writes the normalized text of a statement into `out`, at most `size` bytes,
 * cut at a character boundary; the text is that of the statement alone.
 * Returns its length; 0 when the places of its constants are not known, which
 * is so without a queryid, for utility statements before PostgreSQL 16, and
 * when too many other statements were analyzed since.
 */
extern Size perfkit_normalize(int64 queryid, const char *text, Size length, char *out, Size size,
							  bool *cut);

#endif /* PERFKIT_NORMALIZE_H */
