/*-------------------------------------------------------------------------
 * commit.h
 *	  The row of COMMIT, or of the last statement of an implicit transaction,
 *	  is written when the transaction has committed.
 *
 * ProcessUtility and ExecutorEnd return before the commit happens.  An
 * execution that a commit will follow is parked instead of published; the
 * transaction callback adds commit_ms (deferred triggers, flush, standby) and
 * publishes it.  A following statement, an error or the exit of the backend
 * publish it too.  Only where the commit has work to do is it worth the wait.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_COMMIT_H
#define PERFKIT_COMMIT_H

#include "publish.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"

/*
 * Has this backend called back at the ends of its transactions, from now on.
 * Backends that only read outside of blocks never need it.  In a healthy
 * transaction only: the first call allocates.
 */
extern void perfkit_commit_arm(void);

/* A statement of the client has succeeded: park its slot, or publish it if wanted and close it. */
extern void perfkit_commit_finish(PerfkitDatabase *db, PerfkitExecution *e, bool wanted);

/* Does a command that has succeeded with this tag end its transaction, once it has returned? */
static inline bool
perfkit_commit_ends(CommandTag tag)
{
	return tag == CMDTAG_COMMIT || tag == CMDTAG_PREPARE_TRANSACTION;
}

/*
 * May the commit that follows fail or take time?  COMMIT knows nothing yet of what
 * was left for it: held cursors to read to their end, notifications, other extensions.
 */
static inline bool
perfkit_commit_matters(const PerfkitExecution *e)
{
	return TransactionIdIsValid(GetTopTransactionIdIfAny()) || perfkit_commit_ends(e->tag) ||
		   e->tag == CMDTAG_DECLARE_CURSOR || e->tag == CMDTAG_NOTIFY;
}

/* A BEGIN has succeeded: the transaction goes on after the client's statements. */
extern void perfkit_commit_explicit(void);

/*
 * A COMMIT or ROLLBACK AND CHAIN has succeeded: so does the next transaction.
 * No event follows when the transaction had failed, for its abort is behind us.
 */
extern void perfkit_commit_chain(bool event_follows);

/* The parked execution, or NULL.  Read by every statement: hidden. */
#pragma GCC visibility push(hidden)
extern PerfkitExecution *perfkit_commit_parked;
#pragma GCC visibility pop

/* The parked execution, if it is of the message that the backend is at work on, else NULL. */
static inline PerfkitExecution *
perfkit_commit_of_message(void)
{
	if (likely(perfkit_commit_parked == NULL) ||
		perfkit_commit_parked->message != GetCurrentStatementStartTimestamp())
		return NULL;
	return perfkit_commit_parked;
}

/*
 * Whether a statement with this text that starts now at nesting 0 runs inside
 * the commit of the parked one (a deferred trigger), rather than being the next.
 * A background worker has neither messages nor, mostly, a text of its own: there
 * nothing tells the two apart, and it is the next.
 */
static inline bool
perfkit_commit_inside(const char *source)
{
	return perfkit_commit_of_message() != NULL && source != debug_query_string &&
		   (debug_query_string != NULL || MyBackendType != B_BG_WORKER);
}

/* The commit of the parked execution goes on, but not as it should: the message of its row. */
extern void perfkit_commit_warn(const char *message);

/* Publishes and closes what is parked (there must be something), as a success or as failed. */
extern void perfkit_commit_settle(const PerfkitFailure *failure);

#endif /* PERFKIT_COMMIT_H */
