/*-------------------------------------------------------------------------
 * commit.c
 *	  Parked executions and the ends of transactions.
 *
 *	  simple, implicit:  ... ExecutorEnd [park] CommitTransaction [publish]
 *	  COMMIT:            ProcessUtility  [park] CommitTransaction [publish]
 *	  extended:          Execute [park] ... Sync: CommitTransaction [publish]
 *
 * K1  While something is parked nobody else's statement can have begun: the
 *     next one publishes it first.
 * K2  The text of a parked statement may go before its commit is over (its
 *     portal is dropped by it), so it is copied unless it is the client's
 *     message itself.
 *-------------------------------------------------------------------------
 */
#include "commit.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utility.h"

static PerfkitExecution *parked = NULL;
static bool explicit_block = false;
static char *kept_text = NULL;
static Size kept_size = 0;


void
perfkit_commit_explicit(void)
{
	explicit_block = true;
}


PerfkitExecution *
perfkit_commit_parked(void)
{
	return parked;
}


/* Will the current transaction end with this statement, and does that take time? */
static bool
commit_follows(const PerfkitExecution *e)
{
	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	return !explicit_block || e->tag == CMDTAG_COMMIT;
}


/* Copies the statement's own text (K2); false when there is no memory for it. */
static bool
keep_text(PerfkitExecution *e)
{
	int location = e->location;
	int length = e->length;
	const char *text;

	if (e->source == NULL || (e->simple && e->source == debug_query_string))
		return true;
	text = CleanQuerytext(e->source, &location, &length);
	if ((Size) length + 1 > kept_size)
	{
		char *larger = realloc(kept_text, length + 1);

		if (larger == NULL)
			return false;
		kept_text = larger;
		kept_size = length + 1;
	}
	memcpy(kept_text, text, length);
	kept_text[length] = '\0';
	e->source = kept_text;
	e->location = -1;
	e->length = 0;
	return true;
}


void
perfkit_commit_finish(PerfkitDatabase *db, PerfkitExecution *e)
{
	if (parked == NULL && commit_follows(e) && keep_text(e))
	{
		e->state = PERFKIT_SLOT_PARKED;
		parked = e;
		return;
	}
	if (perfkit_publish_slow(perfkit_publish_spent_ns(e)))
		perfkit_publish(db, e, NULL);
	perfkit_execution_close(e);
}


bool
perfkit_commit_inside(const char *source)
{
	return parked != NULL && parked->message == GetCurrentStatementStartTimestamp() &&
		   source != debug_query_string;
}


void
perfkit_commit_settle(const PerfkitFailure *failure)
{
	PerfkitExecution *e = parked;
	PerfkitDatabase *db = perfkit_shmem_mine();

	if (e == NULL)
		return;
	parked = NULL;
	if (db != NULL)
		perfkit_publish(db, e, failure);
	perfkit_execution_close(e);
}


static void
committed(void)
{
	if (parked == NULL)
		return;
	parked->commit_ns = perfkit_clock_ns() - parked->end_ns;
	perfkit_commit_settle(NULL);
}


static void
aborted(void)
{
	/* Only if the log shows no errors (log_min_messages), or failure.c had done it. */
	static const PerfkitFailure unknown = {.outcome = PERFKIT_ERROR};

	perfkit_commit_settle(&unknown);
}


static void
transaction_event(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			committed();
			perfkit_utility_transaction_end(true);
			break;
		case XACT_EVENT_ABORT:
			aborted();
			perfkit_utility_transaction_end(false);
			break;
		case XACT_EVENT_PREPARE:
			perfkit_utility_transaction_end(false);
			break;
		default:
			return;
	}
	explicit_block = false;
}


void
perfkit_commit_init(void)
{
	RegisterXactCallback(transaction_event, NULL);
}
