/*-------------------------------------------------------------------------
 * qual.h
 *	  Conditions and sort keys of plans, as EXPLAIN prints them: which columns of a
 *	  relation do they compare, and how?  Pure C.
 *
 *	  ((status = 'open'::text) AND (amount > 5) AND (lower(name) = 'x'::text))
 *	  -> EQUAL status | RANGE amount | OTHER
 *
 * EXPLAIN prints every part in parentheses of its own, and so it is read.  What is not
 * understood is OTHER, never a guess: expressions are not columns; what a column is compared
 * with must not change from row to row of its relation.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_QUAL_H
#define PERFKIT_QUAL_H

#include <stdbool.h>
#include <stddef.h>

#define PERFKIT_QUAL_NAME_SIZE 64  /* NAMEDATALEN */
#define PERFKIT_QUAL_CAST_SIZE 128 /* of a type as format_type() prints it */
#define PERFKIT_MAX_QUALS 64       /* of one condition */
#define PERFKIT_QUAL_MAX_DEPTH 100 /* of parentheses within each other */

typedef enum PerfkitQualKind
{
	PERFKIT_QUAL_OTHER, /* column and cast are empty */
	PERFKIT_QUAL_EQUAL, /* column = value, column = ANY (values), column IS NULL */
	PERFKIT_QUAL_RANGE  /* column < value, and so on; value < column too */
} PerfkitQualKind;

typedef struct PerfkitQual
{
	PerfkitQualKind kind;
	char column[PERFKIT_QUAL_NAME_SIZE]; /* without quotation marks */
	char cast[PERFKIT_QUAL_CAST_SIZE];   /* type to which the column is cast; "": it is not */
} PerfkitQual;

/*
 * The parts of a condition that are joined by AND, at most PERFKIT_MAX_QUALS.  A column is
 * one of the relation with this alias if it is qualified by it, or not at all.  Returns
 * their number; -1 for a text that is no condition, or has too many parts.
 */
extern int perfkit_quals(const char *text, size_t length, const char *alias, PerfkitQual *out);

typedef struct PerfkitSortKey
{
	char column[PERFKIT_QUAL_NAME_SIZE];
	bool descending;
	bool nulls_first;
} PerfkitSortKey;

/* False for a key that is not just a column of this relation, in the order of its type. */
extern bool perfkit_sort_key(const char *text, size_t length, const char *alias,
							 PerfkitSortKey *out);

#endif /* PERFKIT_QUAL_H */
