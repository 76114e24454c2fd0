/*-------------------------------------------------------------------------
 * capture.h
 *	  The parser's hook, and what the hooks of the executor and of utility
 *	  statements share: which statements are looked at, how one begins and
 *	  what becomes of it.  What every statement pays is inline.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_CAPTURE_H
#define PERFKIT_CAPTURE_H

#include "commit.h"
#include "execution.h"
#include "failure.h"
#include "guc.h"
#include "ruled.h"
#include "tcop/pquery.h"

/* What is known of the client's last statements, for errors outside all executions. */
typedef struct PerfkitLastStatement
{
	/* the last one analyzed */
	TimestampTz parsed_message; /* 0: none, or it has begun to execute */
	int64 queryid;
	int location;
	int length;
	CmdType command;

	/* the last one finished */
	TimestampTz finished_message;
	const char *finished_source; /* to be compared only: the text may be gone */
	int finished_location;
	int finished_length;
	int64 finished_ns;
} PerfkitLastStatement;

/* Read by every statement: hidden, so that the compiler knows where they are. */
#pragma GCC visibility push(hidden)

extern PerfkitLastStatement perfkit_last;

/* When the message came whose first statement has begun; private to perfkit_capture_open(). */
extern TimestampTz perfkit_capture_message;

/* While a cursor is declared: its query is no statement of its own. */
extern int perfkit_capture_declaring; /* nesting inside DECLARE CURSOR, or -1 */

/* The tags clients get, by CmdType; CMDTAG_UNKNOWN for utility statements. */
extern const CommandTag perfkit_capture_tags[];

#pragma GCC visibility pop

/* Installs the hooks; while preloading. */
extern void perfkit_capture_init(void);

/*
 * Nesting level of a statement that starts now: 0 when the client has sent it,
 * more inside functions, triggers, utility statements and commits (C2).
 */
static inline int
perfkit_capture_level(const char *source)
{
	if (perfkit_nesting > 0)
		return perfkit_nesting + (perfkit_commit_of_message() != NULL ? 1 : 0);
	if (perfkit_commit_inside(source))
		return 1;

	/* A background worker runs statements without a portal: they are its own. */
	return ActivePortal == NULL && MyBackendType != B_BG_WORKER ? 1 : 0;
}

/* Are statements at this level looked at? */
static inline bool
perfkit_capture_tracked(int level)
{
	return perfkit_track == PERFKIT_TRACK_ALL || (perfkit_track == PERFKIT_TRACK_TOP && level == 0);
}

/*
 * Is there nothing to look at (db is what perfkit_shmem_mine() says), as in a
 * database without the extension, and nothing that was?  Then a hook only chains.
 */
static inline bool
perfkit_capture_idle(const PerfkitDatabase *db)
{
	return unlikely(db == NULL) && perfkit_execution_last == perfkit_execution_slots;
}

/* The same for the hooks with which a statement begins. */
static inline bool
perfkit_capture_pass(const PerfkitDatabase *db)
{
	if (!perfkit_capture_idle(db))
		return false;
	perfkit_passed_message = GetCurrentStatementStartTimestamp();
	return true;
}

/* A statement of the client begins: what was before it is over. */
static inline void
perfkit_capture_next_statement(void)
{
	if (unlikely(perfkit_commit_parked != NULL))
		perfkit_commit_settle(NULL);
	if (unlikely(perfkit_execution_last != perfkit_execution_slots))
		perfkit_execution_sweep();
	perfkit_failure_next_statement();
	perfkit_last.parsed_message = 0;
}

/* Opens a slot for a statement, its level and text filled in; NULL if it is not tracked. */
static inline PerfkitExecution *
perfkit_capture_open(PerfkitDatabase *db, QueryDesc *query_desc, const PlannedStmt *statement,
					 const char *source)
{
	int level = perfkit_capture_level(source);
	PerfkitExecution *e;

	if (level == 0)
		perfkit_capture_next_statement();
	if (!perfkit_capture_tracked(level))
		return NULL;
	if (level == 0 && unlikely(!statement->canSetTag) && !perfkit_ruled_stands(statement))
		return NULL;
	e = perfkit_execution_open(db, query_desc, level);
	if (e == NULL)
		return NULL;
	e->queryid = (int64) statement->queryId;
	e->source = source;
	e->in_message = source == debug_query_string;
	e->location = statement->stmt_location;
	e->length = statement->stmt_len;
	e->first = false;
	if (level != 0)
	{
		if (e->parent == NULL)
			e->parent = perfkit_commit_of_message();
		return e;
	}

	/* Is it one piece (C3)? */
	if (ActivePortal != NULL)
	{
		e->simple = !ActivePortal->visible;
		e->whole = e->simple || query_desc == NULL || ActivePortal->status != PORTAL_DEFINED;
	}
	if (MyBackendType != B_BG_WORKER)
	{
		e->first = perfkit_capture_message != e->message;
		perfkit_capture_message = e->message;
	}
	return e;
}

/* A statement has succeeded and its segments are ended.  What has a plan has it in plan_desc. */
extern void perfkit_capture_finish(PerfkitExecution *e);

#endif /* PERFKIT_CAPTURE_H */
