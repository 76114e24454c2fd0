/*-------------------------------------------------------------------------
 * book.c
 *	  SQL of the scheduler.
 *
 * Rows of refresh_state are updated only if nobody holds them (SKIP LOCKED): a
 * session that has locked one must not hold up every other view's refresh.  What
 * is then not written is in memory, and comes with the next run.
 *-------------------------------------------------------------------------
 */
#include "book.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "compat.h"
#include "executor/spi.h"
#include "follow.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "query.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define ALERT_CHANNEL "perfkit_alert"
#define ALERT_MESSAGE_SIZE 512 /* bytes; JSON may make six of one, and there is a limit */

#define PRUNE_AFTER_ROWS 100
#define PRUNE_OLD_ROWS 1000


/* ---------------------------------------------------------------- one view */

static bool
look_up(Oid view, PerfkitPlan *plan)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Form_pg_class form;
	bool is_view;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	is_view = form->relkind == RELKIND_MATVIEW;
	if (is_view)
	{
		char *schema = get_namespace_name(form->relnamespace);

		plan->view = view;
		plan->owner = form->relowner;
		plan->name = form->relname;
		namestrcpy(&plan->schema, schema != NULL ? schema : "");
	}
	ReleaseSysCache(tuple);
	return is_view;
}


/* Gone, and another one there of the same name? */
static bool
look_up_by_name(PerfkitPlan *plan)
{
	Oid schema = get_namespace_oid(NameStr(plan->schema), true);

	return OidIsValid(schema) && look_up(get_relname_relid(NameStr(plan->name), schema), plan);
}


bool
perfkit_book_default(Oid view, PerfkitPlan *plan)
{
	MemoryContext memory = CurrentMemoryContext;
	bool found;

	memset(plan, 0, sizeof(*plan));
	plan->fallback = PERFKIT_FALLBACK_UNPOPULATED;
	plan->lock_timeout_ms = 5000;
	plan->enabled = true;
	plan->timetable.cron.kind = PERFKIT_CRON_DOWNSTREAM;
	StartTransactionCommand();
	found = look_up(view, plan);
	CommitTransactionCommand();
	MemoryContextSwitchTo(memory);
	return found;
}


/* ---------------------------------------------------------------- the log */

static const char *const insert_log =
	"INSERT INTO perfkit.refresh_log (run_id, view, trigger, planned_at, started_at, finished_at,"
	" status, message, attempt, schedule_id, view_oid, userid)"
	" VALUES (COALESCE($1, pg_catalog.nextval('perfkit.refresh_log_run_id_seq')), $2, $3, $4,"
	" pg_catalog.clock_timestamp(),"
	" CASE WHEN $5 = 'running' THEN NULL ELSE pg_catalog.clock_timestamp() END,"
	" $5, $6, $7, $8, $9, $10) RETURNING run_id";


static int64
insert_row(const PerfkitSchedule *s, const PerfkitRun *r, const char *status, const char *message)
{
	PerfkitQuery p = {0};
	bool null;

	perfkit_query_add(&p, INT8OID, Int64GetDatum(r->run_id), r->run_id == 0);
	perfkit_query_add_text(&p, perfkit_schedule_view_name(s));
	perfkit_query_add_text(&p, r->trigger);
	perfkit_query_add_time(&p, r->planned);
	perfkit_query_add_text(&p, status);
	perfkit_query_add_text(&p, message);
	perfkit_query_add(&p, INT4OID, Int32GetDatum(r->attempt), false);
	perfkit_query_add(&p, INT8OID, Int64GetDatum(s->plan.id), s->plan.id == 0);
	perfkit_query_add_oid(&p, s->plan.view);
	perfkit_query_add(&p, OIDOID, ObjectIdGetDatum(s->plan.owner), false);
	perfkit_query_run(insert_log, &p);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
}


/* In the transaction that has written a row: now and then, those of the view that are too many. */
static void
bound_log(PerfkitSchedule *s)
{
	PerfkitQuery p = {0};

	if (perfkit_refresh_log_max_runs == 0 || s->prune_in-- > 0)
		return;
	s->prune_in = Min(PRUNE_AFTER_ROWS, perfkit_refresh_log_max_runs);
	perfkit_query_add_text(&p, perfkit_schedule_view_name(s));
	perfkit_query_add_int8(&p, perfkit_refresh_log_max_runs - 1);
	perfkit_query_run(
		"DELETE FROM perfkit.refresh_log WHERE view = $1 AND status <> 'running' AND run_id <"
		" (SELECT run_id FROM perfkit.refresh_log WHERE view = $1 ORDER BY run_id DESC"
		"  OFFSET $2 LIMIT 1)",
		&p);
}


static const char *const update_state =
	"UPDATE perfkit.refresh_state SET last_planned = $2, last_started = $3, last_finished = $4,"
	" last_status = $5, last_duration_ms = $6, failures = $7, suspended_at = $8, next_run = $9,"
	" last_success = CASE WHEN $5 = 'success' THEN $4 ELSE last_success END,"
	" reads_before = CASE WHEN $5 = 'success' THEN perfkit._matview_reads(view_oid)"
	"  ELSE reads_before END,"
	" unread_runs = CASE WHEN $5 <> 'running' THEN unread_runs"
	"  WHEN reads_before = perfkit._matview_reads(view_oid) THEN unread_runs + 1 ELSE 0 END"
	" WHERE schedule_id = (SELECT schedule_id FROM perfkit.refresh_state WHERE schedule_id = $1"
	"  FOR UPDATE SKIP LOCKED)";


static void
write_state(const PerfkitSchedule *s, const char *status)
{
	PerfkitQuery p = {0};

	if (s->plan.id == 0)
		return;
	perfkit_query_add_int8(&p, s->plan.id);
	perfkit_query_add_time(&p, s->past.planned);
	perfkit_query_add_time(&p, s->past.started);
	perfkit_query_add_time(&p, s->past.finished);
	perfkit_query_add_text(&p, status);
	perfkit_query_add(&p, FLOAT8OID, Float8GetDatum(s->past.duration_ms), s->past.duration_ms < 0);
	perfkit_query_add(&p, INT4OID, Int32GetDatum(s->past.failures), false);
	perfkit_query_add_time(&p, s->past.suspended_at);
	/* When a look will find a change nobody knows. */
	perfkit_query_add_time(&p, perfkit_schedule_on_change(s) ? PERFKIT_NEVER : s->due);
	perfkit_query_run(update_state, &p);
}


static bool
is_another(const PerfkitPlan *a, const PerfkitPlan *b)
{
	return a->view != b->view || a->owner != b->owner ||
		   strcmp(NameStr(a->schema), NameStr(b->schema)) != 0 ||
		   strcmp(NameStr(a->name), NameStr(b->name)) != 0;
}


bool
perfkit_book_begin(PerfkitSchedule *s, PerfkitRun *r)
{
	PerfkitPlan before = s->plan;
	bool found;

	perfkit_query_begin("perfkit: a refresh begins");
	found = look_up(s->plan.view, &s->plan) || look_up_by_name(&s->plan);
	if (found)
	{
		/* A new name must be known before the view goes, and comes again under it. */
		if (s->plan.id != 0 && is_another(&before, &s->plan))
			perfkit_follow();
		s->past.planned = r->planned;
		r->run_id = insert_row(s, r, "running", NULL);
		write_state(s, "running");
	}
	perfkit_query_end();
	return found;
}


/* One statement, for they may be many. */
void
perfkit_book_due(List *schedules)
{
	int n = list_length(schedules);
	Datum *ids = palloc(sizeof(Datum) * n);
	Datum *times = palloc(sizeof(Datum) * n);
	PerfkitQuery p = {0};

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		const PerfkitSchedule *s = list_nth(schedules, i);

		ids[i] = Int64GetDatum(s->plan.id);
		times[i] = TimestampTzGetDatum(s->due == PERFKIT_NEVER ? DT_NOEND : s->due);
	}
	perfkit_query_begin("perfkit: schedules");
	perfkit_query_add(&p, INT8ARRAYOID,
					  PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64),
													  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
					  false);
	perfkit_query_add(&p, TIMESTAMPTZARRAYOID,
					  PointerGetDatum(construct_array(times, n, TIMESTAMPTZOID, sizeof(TimestampTz),
													  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
					  false);
	perfkit_query_run("UPDATE perfkit.refresh_state st SET next_run = d.due FROM ("
					  "SELECT u.schedule_id, NULLIF(n.due, 'infinity') AS due"
					  " FROM unnest($1, $2) AS n(schedule_id, due)"
					  " JOIN perfkit.refresh_state u ON u.schedule_id = n.schedule_id"
					  " WHERE u.next_run IS DISTINCT FROM NULLIF(n.due, 'infinity')"
					  " FOR UPDATE OF u SKIP LOCKED) d WHERE st.schedule_id = d.schedule_id",
					  &p);
	perfkit_query_end();
}


void
perfkit_book_undo(int64 run_id)
{
	PerfkitQuery p = {0};

	perfkit_query_begin("perfkit: a refresh waits");
	perfkit_query_add_int8(&p, run_id);
	perfkit_query_run("DELETE FROM perfkit.refresh_log WHERE run_id = $1", &p);
	perfkit_query_end();
}


static const char *
method_name(PerfkitRefreshMethod method)
{
	return method == PERFKIT_METHOD_CONCURRENTLY ? "concurrently"
		   : method == PERFKIT_METHOD_PLAIN      ? "plain"
												 : NULL;
}


static void
done_with_request(int64 run_id)
{
	PerfkitQuery p = {0};

	perfkit_query_add_int8(&p, run_id);
	perfkit_query_run("DELETE FROM perfkit.refresh_request WHERE run_id = $1", &p);
}


void
perfkit_book_end(PerfkitSchedule *s, const PerfkitRun *r, const char *status, int pid,
				 const PerfkitRefreshResult *result)
{
	PerfkitQuery p = {0};

	perfkit_query_begin("perfkit: a refresh has ended");
	perfkit_query_add_int8(&p, r->run_id);
	perfkit_query_add_text(&p, status);
	perfkit_query_add_time(&p, result->finished != 0 ? result->finished : GetCurrentTimestamp());
	perfkit_query_add_text(&p, method_name(result->method));
	perfkit_query_add_text(&p, result->method_reason);
	perfkit_query_add_count(&p, result->rows);
	perfkit_query_add_count(&p, result->wal_bytes);
	perfkit_query_add_text(&p, result->sqlstate != 0 ? unpack_sql_state(result->sqlstate) : NULL);
	perfkit_query_add_text(&p, result->message);
	perfkit_query_add(&p, INT4OID, Int32GetDatum(pid), pid == 0);
	perfkit_query_add(&p, FLOAT8OID, Float8GetDatum(result->waited_ms), result->waited_ms < 0);
	perfkit_query_add_count(&p, result->inserted);
	perfkit_query_add_count(&p, result->deleted);
	perfkit_query_add_count(&p, result->temp_bytes);
	perfkit_query_run(
		"UPDATE perfkit.refresh_log SET status = $2, finished_at = $3, method = $4,"
		" method_reason = $5, rows = $6, wal_bytes = $7, sqlstate = $8, message = $9, pid = $10,"
		" waited_ms = $11, inserted = $12, deleted = $13, temp_bytes = $14 WHERE run_id = $1",
		&p);
	write_state(s, status);
	if (strcmp(r->trigger, "manual") == 0)
		done_with_request(r->run_id);
	bound_log(s);
	perfkit_query_end();
}


void
perfkit_book_skip(PerfkitSchedule *s, const PerfkitRun *r, const char *status, const char *message)
{
	perfkit_query_begin("perfkit: a refresh is skipped");
	(void) insert_row(s, r, status, message);
	write_state(s, status);
	if (r->run_id != 0)
		done_with_request(r->run_id);
	bound_log(s);
	perfkit_query_end();
}


void
perfkit_book_crashed(int64 run_id)
{
	PerfkitQuery p = {0};

	perfkit_query_begin("perfkit: a refresh has crashed");
	perfkit_query_add_int8(&p, run_id);
	perfkit_query_run(
		"UPDATE perfkit.refresh_log SET status = 'crashed', finished_at = "
		"pg_catalog.clock_timestamp(),"
		" message = 'nobody has seen its end: the server stopped, crashed or was held up'"
		" WHERE run_id = $1",
		&p);
	done_with_request(run_id);
	perfkit_query_end();
}


void
perfkit_book_pid(int64 run_id, int pid)
{
	PerfkitQuery p = {0};

	perfkit_query_begin("perfkit: a refresh has begun");
	perfkit_query_add_int8(&p, run_id);
	perfkit_query_add(&p, INT4OID, Int32GetDatum(pid), false);
	perfkit_query_run(
		"UPDATE perfkit.refresh_log SET pid = $2 WHERE run_id = $1 AND pid IS DISTINCT FROM $2",
		&p);
	perfkit_query_end();
}


/* A part of them, so that it does not take long. */
bool
perfkit_book_prune_old(void)
{
	PerfkitQuery p = {0};
	bool more;

	if (perfkit_refresh_log_retention == 0)
		return false;
	perfkit_query_begin("perfkit: old rows of refresh_log");
	perfkit_query_add_time(&p, GetCurrentTimestamp() -
								   perfkit_refresh_log_retention * USECS_PER_MINUTE);
	perfkit_query_add_int8(&p, PRUNE_OLD_ROWS);
	perfkit_query_run("DELETE FROM perfkit.refresh_log WHERE run_id = ANY (ARRAY("
					  "SELECT run_id FROM perfkit.refresh_log WHERE started_at < $1"
					  " AND status <> 'running' ORDER BY started_at LIMIT $2))",
					  &p);
	more = SPI_processed == PRUNE_OLD_ROWS;
	perfkit_query_end();
	return more;
}


void
perfkit_book_alert(const PerfkitSchedule *s, const char *message)
{
	StringInfoData payload;

	perfkit_query_begin("perfkit: an alert");
	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"alert\": \"refresh_suspended\", \"view\": ");
	escape_json(&payload, perfkit_schedule_view_name(s));
	appendStringInfoString(&payload, ", \"message\": ");
	escape_json(&payload, pnstrdup(message, pg_mbcliplen(message, (int) strlen(message),
														 ALERT_MESSAGE_SIZE)));
	appendStringInfoChar(&payload, '}');
	Async_Notify(ALERT_CHANNEL, payload.data);
	perfkit_query_end();
}
