/*-------------------------------------------------------------------------
 * capture.h
 *	  The parser and executor hooks, and what the other hooks share
 *	  with them.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_CAPTURE_H
#define PERFKIT_CAPTURE_H

#include "execution.h"
#include "guc.h"

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
	int finished_until;          /* where the next one begins in it; -1: it was the last */
	int64 finished_ns;
} PerfkitLastStatement;

extern PerfkitLastStatement perfkit_last;

/* The tag the client gets for it; CMDTAG_UNKNOWN for utility statements. */
extern CommandTag perfkit_capture_tag(CmdType command);

/* Installs the hooks; while preloading. */
extern void perfkit_capture_init(void);

/*
 * Nesting level of a statement that starts now: 0 when the client has sent it,
 * more inside functions, triggers, utility statements and commits.
 */
extern int perfkit_capture_level(const char *source);

/* Are statements at this level looked at? */
static inline bool
perfkit_capture_tracked(int level)
{
	return perfkit_track == PERFKIT_TRACK_ALL || (perfkit_track == PERFKIT_TRACK_TOP && level == 0);
}

/* A statement of the client begins: what was before it is over. */
extern void perfkit_capture_next_statement(void);

/* Opens a slot for a statement, its level and text filled in; NULL if it is not tracked. */
extern PerfkitExecution *perfkit_capture_open(PerfkitDatabase *db, QueryDesc *query_desc,
											  const PlannedStmt *statement, const char *source);

/* A statement has succeeded and its segments are ended.  What has a plan has it in plan_desc. */
extern void perfkit_capture_finish(PerfkitExecution *e);

/* While a cursor is declared: its query is no statement of its own. */
extern int perfkit_capture_declaring; /* nesting inside DECLARE CURSOR, or -1 */

#endif /* PERFKIT_CAPTURE_H */
