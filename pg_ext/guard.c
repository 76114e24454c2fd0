/*-------------------------------------------------------------------------
 * guard.c
 *	  A subtransaction around capture steps that may raise.
 *
 * What the steps read needs no XID, so the subtransaction costs no more than
 * its bookkeeping.  Their statements, if they run any, count as nested ones.
 *-------------------------------------------------------------------------
 */
#include "guard.h"

#include "access/xact.h"
#include "execution.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"


bool
perfkit_guard_possible(void)
{
	return IsTransactionState() && !IsAbortedTransactionBlockState() && !IsInParallelMode() &&
		   CritSectionCount == 0 && InterruptHoldoffCount == 0;
}


/* The error that step has raised is in the stack: whose is it? */
static void
throw_on_cancel(MemoryContext caller)
{
	ErrorData *error;

	if (geterrcode() != ERRCODE_QUERY_CANCELED)
		return;
	MemoryContextSwitchTo(caller);
	error = CopyErrorData();
	FlushErrorState();
	ReThrowError(error);
}


bool
perfkit_guard(void (*step)(void *arg), void *arg, Snapshot snapshot)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int nesting = perfkit_nesting;
	MemoryContext own = AllocSetContextCreate(caller, "perfkit capture", ALLOCSET_DEFAULT_SIZES);
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		perfkit_nesting++;
		MemoryContextSwitchTo(own);
		if (snapshot != InvalidSnapshot)
			PushActiveSnapshot(snapshot);
		step(arg);
		if (snapshot != InvalidSnapshot)
			PopActiveSnapshot();
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		perfkit_nesting = nesting;
		RollbackAndReleaseCurrentSubTransaction();
		CurrentResourceOwner = owner;
		throw_on_cancel(caller);
		FlushErrorState();
	}
	PG_END_TRY();
	perfkit_nesting = nesting;
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(own);
	return done;
}
