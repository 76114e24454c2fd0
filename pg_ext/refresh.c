/*-------------------------------------------------------------------------
 * refresh.c
 *	  The refresh worker.
 *
 *	  take the seat -> connect as the owner -> lock the view by OID -> choose the
 *	  method -> REFRESH, through ProcessUtility -> commit -> ANALYZE or VACUUM ->
 *	  result into the seat -> end
 *
 * The process is the owner from its first moment to its last and writes nothing
 * of perfkit's but its seat: code that the view's query calls never runs in a
 * session that has more rights than the owner, nor does the log of the run pass
 * through a session in which such code has run.
 *
 * The statement is one like any other: hooks see it, and the slow query log may
 * hold it, under application_name "perfkit refresh".
 *
 * An error leaves its SQLSTATE and message in the seat; a FATAL one, which
 * nobody catches, on its way to the server log.
 *-------------------------------------------------------------------------
 */
#include "refresh.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "executor/instrument.h"
#include "guc.h"
#include "method.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "redact.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define DEADLOCK_TIMEOUT_MS 100

static PerfkitSeat *seat = NULL;
static emit_log_hook_type next_log_hook = NULL;


BackgroundWorkerHandle *
perfkit_refresh_start(PerfkitSeat *for_seat)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = Int32GetDatum(perfkit_seat_number(for_seat));
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &for_seat->token, sizeof(for_seat->token));
	strlcpy(worker.bgw_library_name, "perfkit", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "perfkit_refresh_main", sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, PERFKIT_REFRESH_NAME, sizeof(worker.bgw_type));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), PERFKIT_REFRESH_NAME " of view %u",
			 for_seat->order.view);
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}


/* ---------------------------------------------------------------- what went wrong */

static bool
is_message(const ErrorData *error, const char *id)
{
	return error->message_id != NULL && strcmp(error->message_id, id) == 0;
}


static PerfkitRunStatus
status_of(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return PERFKIT_RUN_TIMEOUT;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		return is_message(error, "canceling statement due to statement timeout")
				   ? PERFKIT_RUN_TIMEOUT
				   : PERFKIT_RUN_CANCELLED;
	if (error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
		return PERFKIT_RUN_CANCELLED;
	return PERFKIT_RUN_FAILED;
}


static void
note_message(const char *message)
{
	PerfkitRefreshResult *r = &seat->result;

	perfkit_redact_message(r->message, sizeof(r->message), message);
}


/* The first error is the reason; what aborting it says afterwards is not. */
static void
note_error(const ErrorData *error)
{
	PerfkitRefreshResult *r = &seat->result;

	if (r->sqlstate != 0 || r->status == PERFKIT_RUN_SUCCESS)
		return;
	r->sqlstate = error->sqlerrcode;
	r->status = status_of(error);
	note_message(error->message != NULL ? error->message : "out of memory");
}


static void
on_log(ErrorData *error)
{
	if (error->elevel >= ERROR)
		note_error(error);
	if (next_log_hook)
		next_log_hook(error);
}


/* ---------------------------------------------------------------- running a utility statement */

static PlannedStmt *
parse(const char *sql)
{
	RawStmt *raw = linitial_node(RawStmt, pg_parse_query(sql));
	List *queries = pg_analyze_and_rewrite_fixedparams(raw, sql, NULL, 0, NULL);

	return linitial_node(PlannedStmt, pg_plan_queries(queries, sql, CURSOR_OPT_PARALLEL_OK, NULL));
}


static void
begin(const char *sql)
{
	debug_query_string = sql;
	pgstat_report_activity(STATE_RUNNING, sql);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
}


/* In the transaction that is open; its nodes must live as long as the statement, over commits. */
static void
run(const char *sql, bool snapshot, MemoryContext memory, QueryCompletion *qc)
{
	MemoryContext old = MemoryContextSwitchTo(memory);
	PlannedStmt *statement;

	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	statement = parse(sql);
	ProcessUtility(statement, sql, false, PROCESS_UTILITY_TOPLEVEL, NULL, NULL, None_Receiver, qc);
	if (snapshot)
		PopActiveSnapshot();
	MemoryContextSwitchTo(old);
}


/* ---------------------------------------------------------------- the refresh */

/* The view under its lock; raises when it is gone. */
static Relation
open_view(void)
{
	Relation view = try_relation_open(seat->order.view, NoLock);

	if (view == NULL || view->rd_rel->relkind != RELKIND_MATVIEW)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the materialized view does not exist any more")));
	return view;
}


static PerfkitRefreshMethod
choose(PerfkitMethodFacts *facts)
{
	PerfkitRefreshResult *r = &seat->result;
	PerfkitRefreshMethod method;

	if (!perfkit_method_choose(&seat->order, facts, perfkit_refresh_max_block, &method,
							   r->method_reason, sizeof(r->method_reason)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot be refreshed concurrently: %s", r->method_reason),
				 errhint("Make a unique index on columns of the view, or allow method plain, or "
						 "fallback always, which keep readers waiting.")));
	return method;
}


/* The facts of a view that may change under us: a light lock, for this look only. */
static void
look_at_view(PerfkitMethodFacts *facts)
{
	Relation view;

	LockRelationOid(seat->order.view, AccessShareLock);
	view = open_view();
	perfkit_method_facts(view, facts);
	relation_close(view, AccessShareLock);
}


/*
 * Auto does not let readers queue up behind it for a lock that other readers hold: if the
 * exclusive one is not to be had at once it goes the way that needs none.
 */
static bool
locked_without_queue(PerfkitRefreshMethod *method, const PerfkitMethodFacts *facts)
{
	PerfkitRefreshResult *r = &seat->result;

	if (seat->order.method != PERFKIT_METHOD_AUTO || *method != PERFKIT_METHOD_PLAIN ||
		!facts->populated || !facts->unique_index)
		return false;
	if (ConditionalLockRelationOid(seat->order.view, AccessExclusiveLock))
		return true;
	*method = r->method = PERFKIT_METHOD_CONCURRENTLY;
	snprintf(r->method_reason, sizeof(r->method_reason),
			 "somebody reads the view, and others would have queued up behind the refresh");
	return false;
}


/*
 * Whether the reason for the method still holds, now that the view cannot change any more: who
 * waited for the lock may find a view that has been filled meanwhile, and has readers.
 */
static bool
still_right(PerfkitRefreshMethod method, const PerfkitMethodFacts *facts)
{
	char reason[PERFKIT_RUN_REASON_SIZE];
	PerfkitRefreshMethod now;

	if (method == PERFKIT_METHOD_CONCURRENTLY)
		return facts->populated && facts->unique_index;
	return perfkit_method_choose(&seat->order, facts, perfkit_refresh_max_block, &now, reason,
								 sizeof(reason)) &&
		   now == method;
}


/* Locks the view as the method needs it. */
static Relation
lock_view(PerfkitRefreshMethod *method)
{
	PerfkitMethodFacts before;
	PerfkitMethodFacts after;
	TimestampTz start = GetCurrentTimestamp();
	Relation view;

	look_at_view(&before);
	*method = choose(&before);
	seat->result.method = *method;
	if (!locked_without_queue(method, &before))
		LockRelationOid(seat->order.view,
						*method == PERFKIT_METHOD_PLAIN ? AccessExclusiveLock : ExclusiveLock);
	seat->result.waited_ms = (double) (GetCurrentTimestamp() - start) / 1000.0;
	view = open_view();
	perfkit_method_facts(view, &after);
	if (!still_right(*method, &after))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the view has changed while its refresh began")));
	return view;
}


/* By what the scheduler tells this content from what somebody else's REFRESH makes of it. */
static void
note_content(Datum view)
{
	PerfkitRefreshResult *r = &seat->result;
	HeapTuple tuple;
	Form_pg_class form;

	CommandCounterIncrement();
	tuple = SearchSysCache1(RELOID, view);
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	r->tablespace = form->reltablespace;
	r->file = form->relfilenode;
	r->changes = DatumGetInt64(DirectFunctionCall1(pg_stat_get_xact_tuples_inserted, view)) +
				 DatumGetInt64(DirectFunctionCall1(pg_stat_get_xact_tuples_updated, view)) +
				 DatumGetInt64(DirectFunctionCall1(pg_stat_get_xact_tuples_deleted, view));
	ReleaseSysCache(tuple);
}


static void
measure(const WalUsage *wal, const BufferUsage *buffers, const QueryCompletion *qc)
{
	PerfkitRefreshResult *r = &seat->result;
	Datum view = ObjectIdGetDatum(seat->order.view);
	int64 blocks = pgBufferUsage.temp_blks_written - buffers->temp_blks_written +
				   pgBufferUsage.local_blks_written - buffers->local_blks_written;

	r->rows = (int64) qc->nprocessed;
	r->wal_bytes = (int64) (pgWalUsage.wal_bytes - wal->wal_bytes);
	r->temp_bytes = blocks * BLCKSZ;
	if (r->method == PERFKIT_METHOD_CONCURRENTLY)
	{
		r->inserted = DatumGetInt64(DirectFunctionCall1(pg_stat_get_xact_tuples_inserted, view));
		r->deleted = DatumGetInt64(DirectFunctionCall1(pg_stat_get_xact_tuples_deleted, view));
	}
	note_content(view);
}


/* Everything up to the commit; the name, quoted, for what follows. */
static char *
refresh(MemoryContext memory)
{
	PerfkitRefreshMethod method;
	WalUsage wal = pgWalUsage;
	BufferUsage buffers = pgBufferUsage;
	QueryCompletion qc = {0};
	char *name;
	char *sql;
	Relation view;

	begin("perfkit: REFRESH MATERIALIZED VIEW");
	if (seat->order.statement_timeout_ms > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, seat->order.statement_timeout_ms);
	view = lock_view(&method);
	MemoryContextSwitchTo(memory);
	name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(view)),
									  RelationGetRelationName(view));
	relation_close(view, NoLock);
	sql = psprintf("REFRESH MATERIALIZED VIEW %s%s",
				   method == PERFKIT_METHOD_CONCURRENTLY ? "CONCURRENTLY " : "", name);
	debug_query_string = sql;
	pgstat_report_activity(STATE_RUNNING, sql);
	run(sql, true, memory, &qc);
	disable_timeout(STATEMENT_TIMEOUT, false);
	measure(&wal, &buffers, &qc);
	CommitTransactionCommand();
	return name;
}


/* In transactions of its own: the refresh stands, whatever becomes of this. */
static void
after_action(const char *name, MemoryContext memory)
{
	char *sql;

	if (seat->order.after_action == PERFKIT_AFTER_NONE)
		return;
	MemoryContextSwitchTo(memory);
	sql = psprintf(seat->order.after_action == PERFKIT_AFTER_VACUUM ? "VACUUM (ANALYZE) %s"
																	: "ANALYZE %s",
				   name);
	begin(sql);
	run(sql, false, memory, NULL);
	CommitTransactionCommand();
}


/* An error has been thrown: told, and cleaned up. */
static void
recover(MemoryContext memory)
{
	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	MemoryContextSwitchTo(memory);
	EmitErrorReport();
	AbortCurrentTransaction();
	FlushErrorState();
	RESUME_INTERRUPTS();
}


static void
refresh_and_report(MemoryContext memory)
{
	PerfkitRefreshResult *r = &seat->result;
	char *volatile name = NULL;

	PG_TRY();
	{
		name = refresh(memory);
		r->status = PERFKIT_RUN_SUCCESS;
		r->message[0] = '\0';
		r->finished = GetCurrentTimestamp();
		after_action(name, memory);
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		note_error(error);

		/* The error of an after-action is told beside the success. */
		if (r->status == PERFKIT_RUN_SUCCESS)
			note_message(
				psprintf("refreshed; %s failed: %s",
						 seat->order.after_action == PERFKIT_AFTER_VACUUM ? "VACUUM" : "ANALYZE",
						 error->message));
		recover(memory);
	}
	PG_END_TRY();
	if (r->finished == 0)
		r->finished = GetCurrentTimestamp();
}


/* ---------------------------------------------------------------- the process */

/* The owner's own settings hold, but for those a refresh cannot do with. */
static void
set_up(void)
{
	char timeout[32];

	snprintf(timeout, sizeof(timeout), "%dms", seat->order.lock_timeout_ms);
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("lock_timeout", timeout, PGC_USERSET, PGC_S_SESSION);

	/* In a deadlock with a user's statement (DROP SCHEMA of the view's) it is the run that gives
	 * way: it looks sooner, and is tried again. */
	if (DeadlockTimeout > DEADLOCK_TIMEOUT_MS)
		SetConfigOption("deadlock_timeout", CppAsString2(DEADLOCK_TIMEOUT_MS), PGC_SUSET,
						PGC_S_SESSION);
	PERFKIT_NO_TRANSACTION_TIMEOUT(PGC_S_SESSION);
	SetConfigOption("application_name", PERFKIT_REFRESH_NAME, PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("client_min_messages", "error", PGC_USERSET, PGC_S_SESSION);
}


void
perfkit_refresh_main(Datum number)
{
	MemoryContext memory;
	uint64 token;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	memcpy(&token, MyBgworkerEntry->bgw_extra, sizeof(token));
	seat = perfkit_seat_by_number(DatumGetInt32(number));
	if (seat == NULL || !perfkit_seat_take(seat, token))
		proc_exit(0);
	next_log_hook = emit_log_hook;
	emit_log_hook = on_log;
	BackgroundWorkerInitializeConnectionByOid(seat->database, seat->order.owner,
											  PERFKIT_ROLE_FLAGS);
	set_up();
	memory = AllocSetContextCreate(TopMemoryContext, "perfkit refresh", ALLOCSET_DEFAULT_SIZES);

	/* VACUUM and ANALYZE keep there what must survive their transactions. */
	PortalContext =
		AllocSetContextCreate(TopMemoryContext, "perfkit portal", ALLOCSET_DEFAULT_SIZES);
	refresh_and_report(memory);
	debug_query_string = NULL;
	pgstat_report_activity(STATE_IDLE, NULL);

	/* Views that read this one must see that it has changed. */
	pgstat_report_stat(true);
	proc_exit(0);
}
