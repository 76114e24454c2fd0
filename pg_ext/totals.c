/*-------------------------------------------------------------------------
 * totals.c
 *	  Sums over all statements of a database.
 *-------------------------------------------------------------------------
 */
#include "totals.h"

#include "miscadmin.h"
#include "shmem.h"
#include "statements_table.h"


void
perfkit_totals_add(Oid database, const PerfkitTally *tally, const uint16 *counts)
{
	PerfkitDatabase *db = perfkit_shmem_find(database);

	if (db == NULL)
		return;
	db->totals.calls += tally->sums[PERFKIT_TALLY_CALLS];
	db->totals.errors += tally->sums[PERFKIT_TALLY_ERRORS];
	db->totals.exec_ns += tally->sums[PERFKIT_TALLY_EXEC_NS];
	for (int i = 0; i < PERFKIT_HISTOGRAM_BUCKETS; i++)
		db->totals.counts[i] += counts[i];
}


void
perfkit_totals_read(PerfkitTotals *out)
{
	PerfkitDatabase *db = perfkit_shmem_find(MyDatabaseId);

	memset(out, 0, sizeof(*out));
	if (db == NULL)
		return;
	LWLockAcquire(perfkit_statements_lock, LW_SHARED);
	*out = db->totals;
	LWLockRelease(perfkit_statements_lock);
}
