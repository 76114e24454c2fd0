/*-------------------------------------------------------------------------
 * plantext.h
 *	  Walking over a condition as EXPLAIN prints it: names, literals, types,
 *	  operators.  Pure C.
 *
 * Who takes something skips the blanks before it.  What is not there as it was asked for is
 * false, and the walk then stands anywhere: every try starts from a copy.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_PLANTEXT_H
#define PERFKIT_PLANTEXT_H

#include <stdbool.h>
#include <stddef.h>

#define PERFKIT_PLAN_NAME_SIZE 64 /* NAMEDATALEN */

typedef struct PerfkitPlanText
{
	const char *at;
	const char *end;
	const char *alias; /* of the relation whose columns are looked for */
	int depth;         /* of recursions into it */
} PerfkitPlanText;

typedef struct PerfkitPlanName
{
	char text[PERFKIT_PLAN_NAME_SIZE]; /* without quotation marks */
	bool quoted;
} PerfkitPlanName;

extern void perfkit_plantext_blanks(PerfkitPlanText *c);
extern bool perfkit_plantext_at_end(PerfkitPlanText *c);
extern bool perfkit_plantext_take(PerfkitPlanText *c, char what);

/* The mark that ends what `begin` is the first character of; NULL: there is none. */
extern const char *perfkit_plantext_quoted_end(const PerfkitPlanText *c, const char *begin,
											   char mark, bool escapes);

/* A name, or a word of the grammar; and one such word. */
extern bool perfkit_plantext_name(PerfkitPlanText *c, PerfkitPlanName *name);
extern bool perfkit_plantext_word(PerfkitPlanText *c, const char *word);

/* Words in capitals are of the grammar: names that have any are quoted. */
extern bool perfkit_plantext_is_lower(const PerfkitPlanName *name);

/* Without blanks before them: what begins with a quotation mark or its E, B, X; a number. */
extern bool perfkit_plantext_literal(PerfkitPlanText *c);
extern bool perfkit_plantext_number(PerfkitPlanText *c);

/* The length of the operator at `begin`, 0 if there is none. */
extern size_t perfkit_plantext_operator(PerfkitPlanText *c, const char **begin);

/*
 * Any number of ::type.  With `last` one at most, whose type it gets (of `size` bytes); "": there
 * is none.
 */
extern bool perfkit_plantext_casts(PerfkitPlanText *c, char *last, size_t size);

#endif /* PERFKIT_PLANTEXT_H */
