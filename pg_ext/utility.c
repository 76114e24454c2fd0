/*-------------------------------------------------------------------------
 * utility.c
 *	  Utility statements: COPY, CALL, DO, REFRESH, FETCH, COMMIT, DDL, ...
 *
 * Each is one execution from call to return.  Those with a meaning of their
 * own here:
 *	  EXECUTE          no execution: the prepared statement inside is the row
 *	  DECLARE CURSOR   its query is no execution; each FETCH is one
 *	  BEGIN, COMMIT    tell commit.c where transactions end
 *	  CREATE EXTENSION perfkit, DROP EXTENSION, CREATE DATABASE
 *	                   give work to the launcher, at commit
 *	  DROP, RENAME, ... DATABASE   send our worker away first (handsoff.c)
 *
 * The PlannedStmt may be gone when the statement returns (ROLLBACK frees it),
 * so nothing looks at it afterwards.
 *-------------------------------------------------------------------------
 */
#include "utility.h"

#include "access/xact.h"
#include "capture.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "commit.h"
#include "failure.h"
#include "guc.h"
#include "handsoff.h"
#include "miscadmin.h"
#include "nested.h"
#include "selection.h"
#include "tcop/utility.h"
#include "utils/guc.h"

/* What the statement means to us, found out before it runs. */
typedef struct Meaning
{
	CommandTag tag;
	bool execute;
	bool begins;
	bool chains;
	bool failed_block; /* it runs in a transaction that has failed */
	bool declares;
	bool adopts_plan; /* it is the whole of a query */
	bool creates_extension;
	bool creates_database;
	bool sets_application;
	bool runs_functions; /* it may; and a body that does not parse is not what it runs */
} Meaning;

bool perfkit_utility_pending = false;

static bool watching = false; /* object_access() is installed in this backend */
static bool extension_created = false;
static bool extension_dropped = false;
static bool database_created = false;

static ProcessUtility_hook_type next_utility = NULL;
static object_access_hook_type next_access = NULL;


/* May it change application_name? */
static bool
sets_application(const VariableSetStmt *statement)
{
	return statement->kind == VAR_RESET_ALL ||
		   (statement->name != NULL && strcmp(statement->name, "application_name") == 0);
}


static void
find_meaning(Node *node, Meaning *m)
{
	memset(m, 0, sizeof(*m));
	m->tag = CreateCommandTag(node);
	m->runs_functions = !IsA(node, CreateFunctionStmt);
	switch (nodeTag(node))
	{
		case T_ExecuteStmt:
			m->execute = true;
			break;
		case T_CreateTableAsStmt:
		case T_RefreshMatViewStmt:
		case T_ExplainStmt:
		case T_FetchStmt:
			m->adopts_plan = true;
			break;
		case T_CopyStmt:
			m->adopts_plan = ((CopyStmt *) node)->query != NULL;
			break;
		case T_DeclareCursorStmt:
			m->declares = true;
			break;
		case T_CreatedbStmt:
			m->creates_database = true;
			break;
		case T_CreateExtensionStmt:
			m->creates_extension = strcmp(((CreateExtensionStmt *) node)->extname, "perfkit") == 0;
			break;
		case T_TransactionStmt:
			m->begins = ((TransactionStmt *) node)->kind == TRANS_STMT_BEGIN ||
						((TransactionStmt *) node)->kind == TRANS_STMT_START;
			m->chains = ((TransactionStmt *) node)->chain;
			m->failed_block = IsAbortedTransactionBlockState();
			break;
		case T_VariableSetStmt:
			m->sets_application = sets_application((VariableSetStmt *) node);
			break;
		case T_DiscardStmt:
			m->sets_application = ((DiscardStmt *) node)->target == DISCARD_ALL;
			break;
		default:
			break;
	}
}


/* After success: remember what is to be done at commit or later. */
static void
act_on(const Meaning *m)
{
	if (m->begins)
		perfkit_commit_explicit();
	if (m->chains)
		perfkit_commit_chain(!m->failed_block);
	if (m->creates_database)
		database_created = perfkit_utility_pending = true;
	if (!m->creates_extension)
		return;
	extension_created = perfkit_utility_pending = true;
	if (!perfkit_shmem_ring_free(MyDatabaseId))
		ereport(WARNING,
				(errmsg("perfkit has no ring for this database: its statements cannot be stored"),
				 errhint("Raise perfkit.max_databases (now %d) in postgresql.conf and restart.",
						 perfkit_max_databases)));
}


/*
 * An EXECUTE that fails before it executes anything, of its parameters or in
 * planning, is a statement of its own.
 */
static void
note_execute(const PlannedStmt *statement)
{
	perfkit_last.parsed_message = GetCurrentStatementStartTimestamp();
	perfkit_last.queryid = (int64) statement->queryId;
	perfkit_last.location = statement->stmt_location;
	perfkit_last.length = statement->stmt_len;
	perfkit_last.command = CMD_UTILITY;
}


static PerfkitExecution *
open_utility(const PlannedStmt *statement, const char *source, const Meaning *m,
			 ParamListInfo params)
{
	PerfkitDatabase *db = perfkit_shmem_mine();
	PerfkitExecution *e;

	if (db == NULL || perfkit_ruled_utility(statement))
		return NULL;
	if (perfkit_nesting > 0 && perfkit_track != PERFKIT_TRACK_ALL)
		return NULL;
	if (!perfkit_track_utility || m->execute)
	{
		if (perfkit_capture_level(source) == 0)
		{
			perfkit_capture_next_statement();
			if (m->execute)
				note_execute(statement);
		}
		return NULL;
	}
	e = perfkit_capture_open(db, NULL, statement, source);
	if (e == NULL)
		return NULL;
	e->tag = statement->canSetTag || e->level > 0 ? m->tag : ActivePortal->commandTag;
	e->params = params;
	e->live = m->adopts_plan && !perfkit_selection_left_out(e);
	e->plan_desc = NULL;
	e->rows = -1;
	e->has_application = m->sets_application;
	if (m->sets_application)
		strlcpy(e->application, application_name, sizeof(e->application));
	e->begin_ns = perfkit_clock_ns();
	perfkit_execution_begin_segment(e, e->begin_ns);
	e->running = true;
	return e;
}


/* Is there a number of rows?  Clients get it with the tag, but not that of REFRESH. */
static bool
counts_rows(CommandTag tag)
{
	return command_tag_display_rowcount(tag) || tag == CMDTAG_REFRESH_MATERIALIZED_VIEW;
}


static void
close_utility(PerfkitExecution *e, const QueryCompletion *qc)
{
	if (qc != NULL && qc->commandTag != CMDTAG_UNKNOWN)
		e->tag = qc->commandTag;
	if (qc != NULL && qc->commandTag != CMDTAG_UNKNOWN && counts_rows(qc->commandTag))
		e->rows = (int64) qc->nprocessed;
	e->running = false;
	perfkit_execution_end_segment(e, perfkit_clock_ns());
	if (!e->whole)
		perfkit_execution_add_usage(e);
	perfkit_capture_finish(e);
}


/* Any way an extension can be dropped passes here, CASCADE and DROP OWNED included. */
static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (next_access)
		next_access(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == ExtensionRelationId &&
		object_id == get_extension_oid("perfkit", true))
		extension_dropped = perfkit_utility_pending = true;
}


/* Only utility statements drop anything, so that others need not pay for the hook. */
static void
watch(void)
{
	if (watching)
		return;
	watching = true;
	perfkit_commit_arm();
	next_access = object_access_hook;
	object_access_hook = object_access;
}


/* Of the database that the statement wants for itself, if it is one of those. */
static void
send_workers_away(Node *statement)
{
	Oid database = perfkit_handsoff_begin(statement);

	if (!OidIsValid(database))
		return;

	/* Before the wait, which a cancel may end: they must come back all the same. */
	perfkit_utility_pending = true;
	perfkit_handsoff_wait(database);
}


static void
process_utility(PlannedStmt *statement, const char *source, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *dest, QueryCompletion *qc)
{
	ProcessUtility_hook_type volatile next = next_utility ? next_utility : standard_ProcessUtility;
	PerfkitExecution *outer = perfkit_running;
	int declaring = perfkit_capture_declaring;
	int nesting = perfkit_nesting;
	PerfkitExecution *volatile e;
	PerfkitNested nested;
	Meaning m;

	watch();
	find_meaning(statement->utilityStmt, &m);
	e = open_utility(statement, source, &m, params);
	if (m.execute)
	{
		next(statement, source, read_only_tree, context, params, environment, dest, qc);
		return;
	}

	PG_TRY();
	{
		if (e != NULL)
			perfkit_running = e;
		perfkit_nesting++;
		if (m.declares)
			perfkit_capture_declaring = perfkit_nesting;
		send_workers_away(statement->utilityStmt);
		if (m.runs_functions)
			perfkit_nested_watch(&nested);
		next(statement, source, read_only_tree, context, params, environment, dest, qc);
		if (m.runs_functions)
			perfkit_nested_leave(&nested);
	}
	PG_CATCH();
	{
		perfkit_capture_declaring = declaring;
		perfkit_nesting = nesting;
		perfkit_running = outer;
		perfkit_failure_caught(e);
		PG_RE_THROW();
	}
	PG_END_TRY();
	perfkit_capture_declaring = declaring;
	perfkit_nesting = nesting;
	perfkit_running = outer;
	act_on(&m);
	if (e != NULL)
		close_utility(e, qc);
}


void
perfkit_utility_transaction_end(bool committed)
{
	if (committed && extension_dropped)
		perfkit_shmem_drop(MyDatabaseId);
	if (committed && extension_created)
	{
		perfkit_shmem_attach(MyDatabaseId);
		perfkit_shmem_wake_launcher();
	}
	if (committed && database_created)
	{
		pg_atomic_write_u32(&perfkit_shared->rescan, 1);
		perfkit_shmem_wake_launcher();
	}
	perfkit_utility_pending = false;
	extension_created = false;
	extension_dropped = false;
	database_created = false;
	perfkit_handsoff_end();
}


void
perfkit_utility_init(void)
{
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
