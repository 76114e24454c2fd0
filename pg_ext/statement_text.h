/*-------------------------------------------------------------------------
 * statement_text.h
 *	  The text that stands for all executions of a statement: normalized and
 *	  without passwords.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_STATEMENT_TEXT_H
#define PERFKIT_STATEMENT_TEXT_H

#include "execution.h"

typedef struct PerfkitStatementText
{
	char *bytes; /* not terminated; malloc'd */
	Size length;
	bool cut;
} PerfkitStatementText;

/*
 * Makes it, of at most perfkit.max_query_size bytes.  Utility statements are taken
 * as they are where nothing is known of their constants.  False when the places of
 * the constants are not known (normalize.h), or there is no memory.  Never raises.
 */
extern bool perfkit_statement_text_make(const PerfkitExecution *e, PerfkitStatementText *text);

extern void perfkit_statement_text_free(PerfkitStatementText *text);

#endif /* PERFKIT_STATEMENT_TEXT_H */
