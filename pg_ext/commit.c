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
 *     portal is dropped by it), so it is copied.
 *-------------------------------------------------------------------------
 */
#include "commit.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "source.h"
#include "tcop/tcopprot.h"
#include "utility.h"

PerfkitExecution *perfkit_commit_parked = NULL;

static bool explicit_block = false;
static bool chained = false; /* the next transaction will be explicit too */
static char *kept_text = NULL;
static Size kept_size = 0;
static char warning[256] = ""; /* of the parked one's commit */


/*
 * Will the current transaction end with this statement, and does that matter?
 * In an aborted one only its end is still to come, and no event with it.  Nothing
 * is committed after a ROLLBACK, which without BEGIN ends what the message has begun.
 */
static bool
commit_follows(const PerfkitExecution *e)
{
	if (!perfkit_commit_matters(e) || e->tag == CMDTAG_ROLLBACK || IsAbortedTransactionBlockState())
		return false;
	return !explicit_block || perfkit_commit_ends(e->tag);
}


/* Copies the statement's own text (K2); false when there is no memory for it. */
static bool
keep_text(PerfkitExecution *e)
{
	const char *text;
	int length;

	if (e->source == NULL)
		return true;
	text = perfkit_source_statement(e->source, e->location, e->length, &length);
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
perfkit_commit_finish(PerfkitDatabase *db, PerfkitExecution *e, bool wanted)
{
	if (perfkit_commit_parked == NULL && commit_follows(e) && keep_text(e))
	{
		perfkit_commit_arm();
		e->state = PERFKIT_SLOT_PARKED;
		perfkit_commit_parked = e;
		return;
	}
	if (wanted)
		perfkit_publish(db, e, NULL);
	perfkit_execution_close(e);
}


void
perfkit_commit_warn(const char *message)
{
	int length = pg_mbcliplen(message, strlen(message), sizeof(warning) - 1);

	memcpy(warning, message, length);
	warning[length] = '\0';
}


void
perfkit_commit_settle(const PerfkitFailure *failure)
{
	static const PerfkitFailure warned = {.outcome = PERFKIT_OK, .message = warning};
	PerfkitExecution *e = perfkit_commit_parked;
	PerfkitDatabase *db = perfkit_shmem_mine();

	perfkit_commit_parked = NULL;
	if (failure != NULL)
		e->commit_ns = perfkit_clock_ns() - e->end_ns;
	else if (warning[0] != '\0')
		failure = &warned;
	if (db != NULL)
		perfkit_publish(db, e, failure);
	perfkit_execution_close(e);
	warning[0] = '\0';
}


static void
settle_at_end(bool committed)
{
	/* An abort finds it here only if the log shows no errors; else failure.c had it. */
	static const PerfkitFailure unknown = {.outcome = PERFKIT_ERROR};

	if (perfkit_commit_parked == NULL)
		return;
	if (committed)
		perfkit_commit_parked->commit_ns = perfkit_clock_ns() - perfkit_commit_parked->end_ns;
	perfkit_commit_settle(committed ? NULL : &unknown);
}


static void
transaction_event(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	settle_at_end(event != XACT_EVENT_ABORT);
	if (perfkit_utility_pending)
		perfkit_utility_transaction_end(event == XACT_EVENT_COMMIT);
	explicit_block = chained;
	chained = false;
}


void
perfkit_commit_arm(void)
{
	static bool armed = false;

	if (!armed)
		RegisterXactCallback(transaction_event, NULL);
	armed = true;
}


void
perfkit_commit_explicit(void)
{
	perfkit_commit_arm();
	explicit_block = true;
}


void
perfkit_commit_chain(bool event_follows)
{
	perfkit_commit_arm();
	chained = event_follows;
	explicit_block = true;
}
