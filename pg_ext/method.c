/*-------------------------------------------------------------------------
 * method.c
 *	  The choice between the two ways to refresh.
 *-------------------------------------------------------------------------
 */
#include "method.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "utils/relcache.h"
#include "utils/syscache.h"


/* Unique at once, valid, without a predicate, on nothing but columns: what core looks for. */
static bool
usable_index(Oid index_oid)
{
	Relation index = index_open(index_oid, AccessShareLock);
	Form_pg_index form = index->rd_index;
	bool usable = form->indisunique && form->indimmediate && form->indisvalid &&
				  index->rd_rel->relam == BTREE_AM_OID && form->indnatts > 0 &&
				  RelationGetIndexPredicate(index) == NIL;

	for (int i = 0; i < form->indnatts && usable; i++)
		usable = form->indkey.values[i] > 0;
	index_close(index, AccessShareLock);
	return usable;
}


void
perfkit_method_facts(Relation view, PerfkitMethodFacts *facts)
{
	List *indexes = RelationGetIndexList(view);
	ListCell *lc;

	facts->populated = RelationIsPopulated(view);
	facts->unique_index = false;
	foreach (lc, indexes)
	{
		if (usable_index(lfirst_oid(lc)))
			facts->unique_index = true;
	}
	list_free(indexes);
}


static bool
concurrently_or_plain(const PerfkitRefreshOrder *order, const PerfkitMethodFacts *facts,
					  const char *obstacle, PerfkitRefreshMethod *method, char *reason,
					  Size reason_size)
{
	if (facts->populated && facts->unique_index)
	{
		*method = PERFKIT_METHOD_CONCURRENTLY;
		return true;
	}
	*method = PERFKIT_METHOD_PLAIN;
	if (order->fallback == PERFKIT_FALLBACK_ALWAYS)
	{
		snprintf(reason, reason_size, "%s, and fallback is always", obstacle);
		return true;
	}
	if (!facts->populated && order->fallback == PERFKIT_FALLBACK_UNPOPULATED)
	{
		snprintf(reason, reason_size, "not populated, so nobody can read it yet");
		return true;
	}
	*method = PERFKIT_METHOD_AUTO;
	snprintf(reason, reason_size, "%s", obstacle);
	return false;
}


bool
perfkit_method_choose(const PerfkitRefreshOrder *order, const PerfkitMethodFacts *facts,
					  int max_block_ms, PerfkitRefreshMethod *method, char *reason,
					  Size reason_size)
{
	const char *obstacle = !facts->populated ? "the view is not populated"
											 : "the view has no unique index on plain columns";

	reason[0] = '\0';
	if (order->method == PERFKIT_METHOD_PLAIN)
	{
		*method = PERFKIT_METHOD_PLAIN;
		snprintf(reason, reason_size, "asked for");
		return true;
	}
	if (order->method == PERFKIT_METHOD_CONCURRENTLY)
	{
		if (!concurrently_or_plain(order, facts, obstacle, method, reason, reason_size))
			return false;
		if (reason[0] == '\0')
			snprintf(reason, reason_size, "asked for");
		return true;
	}
	if (!facts->populated)
	{
		*method = PERFKIT_METHOD_PLAIN;
		snprintf(reason, reason_size, "not populated, so nobody can read it yet");
		return true;
	}
	if (order->last_run_ms >= 0 && order->last_run_ms < max_block_ms)
	{
		*method = PERFKIT_METHOD_PLAIN;
		snprintf(reason, reason_size,
				 "the last run took %.0f ms, less than perfkit.refresh_max_block",
				 order->last_run_ms);
		return true;
	}
	if (!concurrently_or_plain(order, facts, obstacle, method, reason, reason_size))
		return false;
	if (reason[0] != '\0')
		return true;
	if (order->last_run_ms < 0)
		snprintf(reason, reason_size, "there is no last run to tell how long readers would wait");
	else
		snprintf(reason, reason_size,
				 "the last run took %.0f ms, not less than perfkit.refresh_max_block",
				 order->last_run_ms);
	return true;
}
