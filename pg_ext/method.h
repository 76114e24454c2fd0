/*-------------------------------------------------------------------------
 * method.h
 *	  Concurrently or not, and why.
 *
 *	  plain          locks the view against readers from its start to its commit
 *	  concurrently   readers go on; needs a populated view with a unique index
 *
 * Readers are never locked out because the way around it failed: a view that
 * cannot be refreshed concurrently is refreshed plainly only where that was
 * asked for (method plain, fallback), where nobody can read it yet, or, by auto,
 * where the last run was shorter than perfkit.refresh_max_block.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_METHOD_H
#define PERFKIT_METHOD_H

#include "postgres.h"

#include "seat.h"
#include "utils/rel.h"

/* What of a view the choice depends on. */
typedef struct PerfkitMethodFacts
{
	bool populated;
	bool unique_index; /* one that REFRESH ... CONCURRENTLY can use */
} PerfkitMethodFacts;

extern void perfkit_method_facts(Relation view, PerfkitMethodFacts *facts);

/*
 * The method for this order, and the reason in words.  False, with the reason why not, when
 * there is none.
 */
extern bool perfkit_method_choose(const PerfkitRefreshOrder *order, const PerfkitMethodFacts *facts,
								  int max_block_ms, PerfkitRefreshMethod *method, char *reason,
								  Size reason_size);

#endif /* PERFKIT_METHOD_H */
