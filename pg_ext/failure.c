/*-------------------------------------------------------------------------
 * failure.c
 *	  Exactly one row for every statement that fails, whatever it fails of.
 *
 *	  inside a hook     -> PG_CATCH                        (error data copied)
 *	  inside a function -> error context, PG_CATCH         (nested.c)
 *	  before or between -> emit_log_hook, ERROR            (syntax, analysis, planning, Bind,
 *commit) FATAL             -> emit_log_hook, or before_shmem_exit if that was hidden
 *
 * Both PG_CATCH and emit_log_hook come before the transaction is aborted, so
 * the statement's texts are still there.  Errors that a PL/pgSQL block catches
 * never pass a hook of the client's statement and give it no row; but the statement
 * inside has its own, with track = all.
 *
 * F1  An error is reported once: the hook that has caught it at level 0 says
 *     so, and the emit_log_hook that follows skips it.
 * F2  After an error no catalog is read and no output function called.  The
 *     copy of the error data goes into a context reserved beforehand; for
 *     "out of memory" no copy is made.
 * F3  Outcomes are told apart by SQLSTATE and the untranslated message.
 *-------------------------------------------------------------------------
 */
#include "failure.h"

#include "access/xact.h"
#include "capture.h"
#include "commit.h"
#include "content.h"
#include "guc.h"
#include "miscadmin.h"
#include "parsed.h"
#include "parser/scansup.h"
#include "planning.h"
#include "ruled.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define RESERVED_SIZE (16 * 1024)

PerfkitFailureState perfkit_failure_state;

static MemoryContext reserved = NULL; /* for copies of error data */
static bool busy = false;             /* in emit_log_hook */

static emit_log_hook_type next_emit = NULL;

typedef struct OutcomeRule
{
	int sqlstate;
	const char *message; /* untranslated; NULL: any */
	PerfkitOutcome outcome;
} OutcomeRule;

/*
 * The first rule that fits decides; none: a plain error.  What any function can raise, such as
 * the lost connection of a foreign server, is not told by its SQLSTATE alone.
 */
static const OutcomeRule rules[] = {
	{ERRCODE_QUERY_CANCELED, "canceling statement due to statement timeout",
	 PERFKIT_STATEMENT_TIMEOUT},
	{ERRCODE_QUERY_CANCELED, NULL, PERFKIT_CANCEL},
	{ERRCODE_LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout", PERFKIT_LOCK_TIMEOUT},
	{ERRCODE_T_R_SERIALIZATION_FAILURE, "canceling statement due to conflict with recovery",
	 PERFKIT_RECOVERY_CONFLICT},
	{ERRCODE_T_R_SERIALIZATION_FAILURE, "terminating connection due to conflict with recovery",
	 PERFKIT_RECOVERY_CONFLICT},
	{ERRCODE_T_R_DEADLOCK_DETECTED, "canceling statement due to conflict with recovery",
	 PERFKIT_RECOVERY_CONFLICT},
	{ERRCODE_DATABASE_DROPPED, "terminating connection due to conflict with recovery",
	 PERFKIT_RECOVERY_CONFLICT},
	{ERRCODE_CONNECTION_FAILURE, "connection to client lost", PERFKIT_CLIENT_GONE},
	{ERRCODE_CONNECTION_FAILURE, "unexpected EOF on client connection with an open transaction",
	 PERFKIT_CLIENT_GONE},
};


/* Errors of the scanner and the grammar. */
static bool
no_parse(int sqlstate)
{
	return sqlstate == ERRCODE_SYNTAX_ERROR || sqlstate == ERRCODE_INVALID_ESCAPE_SEQUENCE ||
		   sqlstate == ERRCODE_NONSTANDARD_USE_OF_ESCAPE_CHARACTER;
}


static void
classify(const ErrorData *error, PerfkitFailure *failure)
{
	failure->outcome = PERFKIT_ERROR;
	failure->sqlstate = error->sqlerrcode;
	failure->message = error->message;
	failure->unparsed = false;
	failure->quotes = no_parse(error->sqlerrcode);
	failure->internal = error->internalquery;

	for (size_t i = 0; i < lengthof(rules); i++)
	{
		if (rules[i].sqlstate != error->sqlerrcode)
			continue;
		if (rules[i].message == NULL ||
			(error->message_id != NULL && strcmp(rules[i].message, error->message_id) == 0))
		{
			failure->outcome = rules[i].outcome;
			return;
		}
	}
	if (error->elevel >= FATAL)
		failure->outcome = PERFKIT_TERMINATED;
}


/* Ends the segment and writes the row; the slot is free afterwards. */
static void
fail(PerfkitExecution *e, const PerfkitFailure *failure)
{
	PerfkitDatabase *db = perfkit_shmem_mine();
	const QueryDesc *failed;

	if (e->ruled)
		perfkit_ruled_failed(e);
	failed = e->live ? e->plan_desc : e->query_desc;
	perfkit_execution_stop(e, perfkit_clock_ns());
	perfkit_content_take_failed(e);
	if (failed != NULL)
		perfkit_content_take_plan_id(e, failed->plannedstmt);
	if (db != NULL)
		perfkit_publish(db, e, failure);
	perfkit_execution_close(e);
}


/* The error that is on its way, for as long as we are in memory of ours; NULL: no copy (F2). */
static ErrorData *
enter_reserved(MemoryContext *caller)
{
	*caller = CurrentMemoryContext;
	if (geterrcode() == ERRCODE_OUT_OF_MEMORY || reserved == NULL)
		return NULL;
	MemoryContextSwitchTo(reserved);
	return CopyErrorData();
}


static void
leave_reserved(MemoryContext caller)
{
	MemoryContextSwitchTo(caller);
	if (reserved != NULL)
		MemoryContextReset(reserved);
}


void
perfkit_failure_caught(PerfkitExecution *e)
{
	PerfkitFailure failure = {
		.outcome = PERFKIT_ERROR,
		.sqlstate = ERRCODE_OUT_OF_MEMORY,
		.message = "out of memory",
	};
	MemoryContext caller;
	ErrorData *error;
	int level;

	if (e == NULL)
		return;
	level = e->level;
	error = enter_reserved(&caller);
	if (error != NULL)
		classify(error, &failure);
	else if (geterrcode() != ERRCODE_OUT_OF_MEMORY)
		failure = (PerfkitFailure){.outcome = PERFKIT_ERROR, .sqlstate = geterrcode()};
	fail(e, &failure);
	leave_reserved(caller);
	if (level == 0)
		perfkit_failure_state.reported = true;
}


/* Length of the first statement in a string that parses: up to its semicolon. */
static int
first_statement(const char *text)
{
	char quote = '\0';
	int i;

	for (i = 0; text[i] != '\0'; i++)
	{
		if (quote != '\0')
		{
			if (text[i] == quote)
				quote = '\0';
		}
		else if (text[i] == '\'' || text[i] == '"')
			quote = text[i];
		else if (text[i] == '-' && text[i + 1] == '-')
			i += strcspn(text + i, "\n") - 1;
		else if (text[i] == '$' || (text[i] == '/' && text[i + 1] == '*'))
			return strlen(text); /* a body or a comment may hold anything */
		else if (text[i] == ';')
			break;
	}
	return i;
}


static bool
blank(const char *text)
{
	while (scanner_isspace(*text) || *text == ';')
		text++;
	return *text == '\0';
}


/* Length of a text without blanks and semicolons at its end. */
static int
length_without_end(const char *text)
{
	int length = strlen(text);

	while (length > 0 && (scanner_isspace(text[length - 1]) || text[length - 1] == ';'))
		length--;
	return length;
}


/* Where in the client's message the one after the last finished one begins; -1: it was the last. */
static int
next_location(void)
{
	if (perfkit_last.finished_message != GetCurrentStatementStartTimestamp() ||
		perfkit_last.finished_source != debug_query_string)
		return 0;
	if (perfkit_last.finished_length <= 0)
		return -1;
	return Max(perfkit_last.finished_location, 0) + perfkit_last.finished_length;
}


/* Does the error belong to the commit of what is parked, not to a statement after it? */
static bool
fails_at_commit(const PerfkitExecution *parked)
{
	int next;

	if (parked->message != GetCurrentStatementStartTimestamp())
		return false;
	if (debug_query_string == NULL)
		return true;

	/* The end of a COMMIT takes it away before the next statement can fail. */
	if (perfkit_commit_ends(parked->tag))
		return true;
	next = next_location();
	return next <= 0 || blank(debug_query_string + next);
}


/* Times of a statement that was given up before it executed. */
static void
set_ghost_times(PerfkitExecution *e)
{
	int64 now_ns = perfkit_clock_ns();
	int64 since_ns = (GetCurrentTimestamp() - e->message) * 1000;

	e->begin_ns = now_ns - Max(since_ns, 0);
	if (perfkit_last.finished_message == e->message)
		e->begin_ns = perfkit_last.finished_ns;
	e->end_ns = now_ns;
	e->active_ns = -1;
	e->planning_ns = -1;
	e->commit_ns = -1;
}


/* The statement failed before any execution began: all that is left of it is its text. */
static void
fail_unstarted(PerfkitDatabase *db, PerfkitFailure *failure)
{
	static PerfkitExecution ghost;
	const PerfkitParsed *parsed;
	memset(&ghost, 0, sizeof(ghost));
	ghost.whole = true;
	ghost.rows = -1;
	ghost.workers_planned = -1;
	ghost.workers_launched = -1;
	ghost.tag = CMDTAG_UNKNOWN;
	ghost.userid = GetUserId();
	ghost.message = GetCurrentStatementStartTimestamp();
	set_ghost_times(&ghost);

	ghost.source = debug_query_string;
	if (perfkit_last.parsed_message == ghost.message)
	{
		ghost.queryid = perfkit_last.queryid;
		ghost.tag = perfkit_capture_tags[perfkit_last.command];
		ghost.location = perfkit_last.location;
		ghost.length = perfkit_last.length;
	}
	else if (no_parse(failure->sqlstate))
	{
		failure->unparsed = true;
		ghost.length = length_without_end(ghost.source);
	}
	else if ((parsed = perfkit_parsed_find(ghost.source)) != NULL)
	{
		ghost.queryid = parsed->queryid;
		ghost.location = -1;
	}
	else
	{
		ghost.location = Max(next_location(), 0);
		while (ghost.source[ghost.location] == ';')
			ghost.location++;
		ghost.length = first_statement(ghost.source + ghost.location);
	}
	perfkit_last.parsed_message = 0;
	ghost.params = perfkit_planning_failed(ghost.message, ghost.source);
	perfkit_content_take_failed(&ghost);
	perfkit_publish(db, &ghost, failure);
	perfkit_content_free(&ghost);
}


void
perfkit_failure_unstarted(PerfkitExecution *ghost)
{
	PerfkitDatabase *db = perfkit_shmem_mine();
	PerfkitFailure failure;
	MemoryContext caller;
	ErrorData *error = enter_reserved(&caller);

	if (error != NULL && error->elevel >= ERROR && db != NULL)
	{
		classify(error, &failure);
		if (ghost->source == NULL)
		{
			ghost->source = error->internalquery;
			failure.unparsed = no_parse(failure.sqlstate);
		}
		perfkit_publish(db, ghost, &failure);
	}
	leave_reserved(caller);
}


static void
error_reported(PerfkitDatabase *db, const ErrorData *error)
{
	PerfkitFailure failure;
	PerfkitExecution *e;

	if (perfkit_failure_state.reported && error->elevel == ERROR)
	{
		perfkit_failure_state.reported = false;
		return;
	}
	classify(error, &failure);

	/* FATAL passes no PG_CATCH: every level ends here. */
	for (e = perfkit_running; e != NULL && e->level > 0 && error->elevel > ERROR; e = e->parent)
		fail(e, &failure);

	e = perfkit_execution_top_running();
	if (e == NULL)
		e = perfkit_execution_whole_open();
	if (e != NULL)
	{
		perfkit_running = NULL;
		fail(e, &failure);
		return;
	}
	e = perfkit_commit_parked;
	if (e != NULL && fails_at_commit(e))
	{
		perfkit_commit_settle(&failure);
		return;
	}
	if (e != NULL)
		perfkit_commit_settle(NULL);
	if (debug_query_string != NULL && perfkit_track != PERFKIT_TRACK_NONE)
		fail_unstarted(db, &failure);
}


/* Has a commit given up to wait for its standby?  It has succeeded here. */
static bool
gives_up_standby(const ErrorData *error)
{
	static const char *const messages[] = {
		"canceling wait for synchronous replication due to user request",
		"canceling the wait for synchronous replication and terminating connection due to "
		"administrator command"};

	for (size_t i = 0; error->message_id != NULL && i < lengthof(messages); i++)
	{
		if (strcmp(error->message_id, messages[i]) == 0)
			return true;
	}
	return false;
}


static void
emit_log(ErrorData *error)
{
	PerfkitDatabase *db;

	if (error->elevel == WARNING && perfkit_commit_parked != NULL && gives_up_standby(error))
		perfkit_commit_warn(error->message);
	if (error->elevel >= ERROR && !busy && perfkit_shared != NULL &&
		(db = perfkit_shmem_mine()) != NULL)
	{
		busy = true;
		error_reported(db, error);
		busy = false;
	}
	if (next_emit)
		next_emit(error);
}


/* The backend exits.  What is open now was ended by a FATAL that the log did not show. */
static void
at_exit(int code, Datum arg)
{
	static const PerfkitFailure terminated = {.outcome = PERFKIT_TERMINATED};
	PerfkitExecution *e;

	if (perfkit_commit_parked != NULL)
		perfkit_commit_settle(NULL);
	e = perfkit_execution_top_running();
	if (e != NULL)
		fail(e, &terminated);
	perfkit_running = NULL;
}


void
perfkit_failure_reserve(void)
{
	reserved = AllocSetContextCreate(TopMemoryContext, "perfkit error", RESERVED_SIZE,
									 RESERVED_SIZE, ALLOCSET_DEFAULT_MAXSIZE);

	/* After ShutdownPostgres was registered, so before it runs. */
	before_shmem_exit(at_exit, (Datum) 0);
	perfkit_failure_state.ready = true;
}


void
perfkit_failure_init(void)
{
	next_emit = emit_log_hook;
	emit_log_hook = emit_log;
}
