/*-------------------------------------------------------------------------
 * refreshask.c
 *	  What is asked by the name of a view alone: unschedule, pause, resume, refresh
 *	  now; and the trigger that tells the worker.
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "shmem.h"
#include "target.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(perfkit_unschedule_refresh);
PG_FUNCTION_INFO_V1(perfkit_pause_refresh);
PG_FUNCTION_INFO_V1(perfkit_resume_refresh);
PG_FUNCTION_INFO_V1(perfkit_refresh_now);
PG_FUNCTION_INFO_V1(perfkit_refresh_changed);


/* ---------------------------------------------------------------- schedules by name alone */

/* The schedule of a view that is gone: its last owner may still end it. */
static int64
schedule_of_missing(text *name)
{
	RangeVar *range = makeRangeVarFromNameList(textToQualifiedNameList(name));
	Oid user = GetUserId();
	Oid types[] = {TEXTOID, TEXTOID, OIDOID};
	Datum values[] = {(Datum) 0, CStringGetTextDatum(range->relname), ObjectIdGetDatum(user)};
	PerfkitRights rights;
	int64 id;

	if (range->schemaname != NULL)
		values[0] = CStringGetTextDatum(range->schemaname);
	perfkit_target_take_rights(&rights);
	perfkit_target_run(
		"SELECT s.schedule_id FROM perfkit.refresh_schedule s"
		" LEFT JOIN perfkit.refresh_state st ON st.schedule_id = s.schedule_id"
		" WHERE s.view_name = $2::name AND ($1 IS NULL OR s.view_schema = $1::name)"
		" AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = st.view_oid)"
		" AND EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = $3 AND (r.rolsuper"
		"  OR EXISTS (SELECT FROM pg_catalog.pg_roles o WHERE o.rolname = s.owner_name"
		"   AND pg_catalog.pg_has_role(r.oid, o.oid, 'USAGE'))))"
		" ORDER BY s.schedule_id LIMIT 1",
		lengthof(types), types, values, range->schemaname == NULL ? "n  " : NULL);
	id = perfkit_target_answer();
	perfkit_target_drop_rights(&rights);
	return id;
}


/* Runs a statement, whose $1 is the id, on the schedule of the view that is named. */
static void
change(text *name, const char *sql)
{
	Oid types[] = {INT8OID};
	Datum values[1];
	PerfkitTarget target;
	PerfkitRights rights;
	int64 id;

	perfkit_shmem_require();
	if (perfkit_target_find(name, true, &target))
	{
		perfkit_target_lock(target.view);
		perfkit_target_take_rights(&rights);
		id = perfkit_target_schedule(&target);
		perfkit_target_drop_rights(&rights);
	}
	else
		id = schedule_of_missing(name);
	if (id == 0)
		perfkit_target_no_schedule(text_to_cstring(name));
	values[0] = Int64GetDatum(id);
	perfkit_target_take_rights(&rights);
	perfkit_target_run(sql, lengthof(types), types, values, NULL);
	perfkit_target_drop_rights(&rights);
}


Datum
perfkit_unschedule_refresh(PG_FUNCTION_ARGS)
{
	change(PG_GETARG_TEXT_PP(0), "DELETE FROM perfkit.refresh_schedule WHERE schedule_id = $1");
	PG_RETURN_VOID();
}


Datum
perfkit_pause_refresh(PG_FUNCTION_ARGS)
{
	change(PG_GETARG_TEXT_PP(0),
		   "UPDATE perfkit.refresh_schedule SET enabled = false WHERE schedule_id = $1");
	PG_RETURN_VOID();
}


Datum
perfkit_resume_refresh(PG_FUNCTION_ARGS)
{
	change(PG_GETARG_TEXT_PP(0),
		   "UPDATE perfkit.refresh_schedule SET enabled = true,"
		   " changed_at = pg_catalog.clock_timestamp() WHERE schedule_id = $1");
	PG_RETURN_VOID();
}


/* ---------------------------------------------------------------- refresh_now */

/* The views of a cascade: those it reads from and those that read from it, itself without. */
static List *
family_of(Oid view)
{
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(view)};
	MemoryContext caller = CurrentMemoryContext;
	List *family = NIL;
	PerfkitRights rights;

	perfkit_target_take_rights(&rights);
	perfkit_target_run(
		"WITH RECURSIVE up AS ("
		"  SELECT upstream_oid AS v FROM perfkit.matview_dependencies WHERE view_oid = $1"
		"  UNION SELECT d.upstream_oid FROM up JOIN perfkit.matview_dependencies d ON d.view_oid = "
		"up.v"
		" ), down AS ("
		"  SELECT view_oid AS v FROM perfkit.matview_dependencies WHERE upstream_oid = $1"
		"  UNION SELECT d.view_oid FROM down JOIN perfkit.matview_dependencies d"
		"   ON d.upstream_oid = down.v"
		" ) SELECT v FROM (SELECT v FROM up UNION SELECT v FROM down) family WHERE v <> $1",
		lengthof(types), types, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool null;
		Oid one =
			DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &null));
		MemoryContext spi = MemoryContextSwitchTo(caller);

		family = lappend_oid(family, one);
		MemoryContextSwitchTo(spi);
	}
	perfkit_target_drop_rights(&rights);
	return family;
}


/* One request; the run's id.  A batch of 0 is the run's own. */
static int64
request(Oid view, int64 batch, Oid user)
{
	Oid types[] = {OIDOID, INT8OID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(view), Int64GetDatum(batch),
					  CStringGetTextDatum(GetUserNameFromId(user, false))};

	perfkit_target_run(
		"INSERT INTO perfkit.refresh_request (run_id, batch, view_oid, requested_by)"
		" SELECT n, CASE WHEN $2 = 0 THEN n ELSE $2 END, $1, $3::name"
		" FROM pg_catalog.nextval('perfkit.refresh_log_run_id_seq') n RETURNING run_id",
		lengthof(types), types, values, NULL);
	return perfkit_target_answer();
}


static bool
may_cascade_to(Oid view)
{
	if (PERFKIT_OWNS_RELATION(view, GetUserId()))
		return true;
	ereport(NOTICE, (errmsg("materialized view %s is left out: it is not yours",
							quote_qualified_identifier(get_namespace_name(get_rel_namespace(view)),
													   get_rel_name(view)))));
	return false;
}


Datum
perfkit_refresh_now(PG_FUNCTION_ARGS)
{
	Oid user = GetUserId();
	List *others = NIL;
	List *all = NIL;
	ListCell *lc;
	PerfkitTarget target;
	PerfkitRights rights;
	int64 batch;

	perfkit_shmem_require();
	(void) perfkit_target_find(PG_GETARG_TEXT_PP(0), false, &target);
	if (PG_GETARG_BOOL(1))
		all = family_of(target.view);
	foreach (lc, all)
	{
		if (!may_cascade_to(lfirst_oid(lc)))
			continue;
		perfkit_target_describe(lfirst_oid(lc), &target);
		perfkit_target_check_owner(target.owner);
		others = lappend_oid(others, lfirst_oid(lc));
	}
	(void) perfkit_target_find(PG_GETARG_TEXT_PP(0), false, &target);
	perfkit_target_check_owner(target.owner);
	perfkit_target_take_rights(&rights);
	batch = request(target.view, 0, user);
	foreach (lc, others)
		(void) request(lfirst_oid(lc), batch, user);
	perfkit_target_drop_rights(&rights);
	PG_RETURN_INT64(batch);
}


/* ---------------------------------------------------------------- telling the worker */

static bool changed = false;

static void
at_end(XactEvent event, void *arg)
{
	PerfkitDatabase *db;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (changed && event == XACT_EVENT_COMMIT && perfkit_shared != NULL &&
		(db = perfkit_shmem_find(MyDatabaseId)) != NULL)
	{
		pg_atomic_fetch_add_u32(&db->schedules, 1);
		if (db->worker_latch != NULL)
			SetLatch(db->worker_latch);
	}
	changed = false;
}


/* Trigger of refresh_schedule and refresh_request. */
Datum
perfkit_refresh_changed(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("must be called as trigger")));
	if (!registered)
		RegisterXactCallback(at_end, NULL);
	registered = true;
	changed = !perfkit_exempt; /* the worker need not tell itself */
	return PointerGetDatum(NULL);
}
