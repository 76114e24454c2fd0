/*-------------------------------------------------------------------------
 * target.c
 *	  Whose view it is, and the change of rights.
 *-------------------------------------------------------------------------
 */
#include "target.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#define LOCK_SPACE 0x7065726b /* advisory locks of perfkit */


static void
not_owner(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("must be owner of materialized view %s", name)));
}


void
perfkit_target_describe(Oid view, PerfkitTarget *target)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the materialized view has just been dropped")));
	form = (Form_pg_class) GETSTRUCT(tuple);
	target->view = view;
	target->owner = form->relowner;
	target->name = pstrdup(NameStr(form->relname));
	target->schema = get_namespace_name(form->relnamespace);
	ReleaseSysCache(tuple);
}


bool
perfkit_target_find(text *name, bool missing_ok, PerfkitTarget *target)
{
	RangeVar *range = makeRangeVarFromNameList(textToQualifiedNameList(name));
	/* No lock: its refresh, which may be under way for long, is not to be waited for. */
	Oid view = RangeVarGetRelid(range, NoLock, missing_ok);

	if (!OidIsValid(view))
		return false;
	if (get_rel_relkind(view) != RELKIND_MATVIEW)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a materialized view", text_to_cstring(name))));
	if (!PERFKIT_OWNS_RELATION(view, GetUserId()))
		not_owner(text_to_cstring(name));
	perfkit_target_describe(view, target);
	return true;
}


void
perfkit_target_take_rights(PerfkitRights *rights)
{
	GetUserIdAndSecContext(&rights->user, &rights->context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, rights->context | SECURITY_LOCAL_USERID_CHANGE);
	rights->nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
}


void
perfkit_target_drop_rights(const PerfkitRights *rights)
{
	SPI_finish();
	AtEOXact_GUC(true, rights->nest_level);
	SetUserIdAndSecContext(rights->user, rights->context);
}


void
perfkit_target_run(const char *sql, int n, Oid *types, Datum *values, const char *nulls)
{
	int result = SPI_execute_with_args(sql, n, types, values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "perfkit: SPI failed with %s: %s", SPI_result_code_string(result), sql);
}


int64
perfkit_target_answer(void)
{
	bool null;

	if (SPI_processed == 0)
		return 0;
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
}


int64
perfkit_target_schedule(const PerfkitTarget *target)
{
	Oid types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum values[] = {ObjectIdGetDatum(target->view), CStringGetTextDatum(target->schema),
					  CStringGetTextDatum(target->name)};

	perfkit_target_run(
		"SELECT s.schedule_id FROM perfkit.refresh_schedule s"
		" LEFT JOIN perfkit.refresh_state st ON st.schedule_id = s.schedule_id"
		" LEFT JOIN pg_catalog.pg_class c ON c.oid = st.view_oid AND c.relkind = 'm'"
		" WHERE c.oid = $1 OR (c.oid IS NULL AND s.view_schema = $2::name AND s.view_name = "
		"$3::name)"
		" ORDER BY c.oid LIMIT 1",
		lengthof(types), types, values, NULL);
	return perfkit_target_answer();
}


void
perfkit_target_lock(Oid view)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, LOCK_SPACE, view, 2);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}


void
perfkit_target_check_owner(Oid owner)
{
	HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	bool may = HeapTupleIsValid(tuple) && ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (PERFKIT_ROLE_MUST_LOG_IN && !may)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the view's owner \"%s\" cannot log in", GetUserNameFromId(owner, true)),
				 errdetail("A view is refreshed as its owner, and before PostgreSQL 17 a "
						   "background worker must be a role that can log in."),
				 errhint("ALTER ROLE %s LOGIN, without a password, or give the view to another "
						 "role.",
						 quote_identifier(GetUserNameFromId(owner, true)))));
}


void
perfkit_target_no_schedule(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
					errmsg("materialized view %s has no schedule", name),
					errhint("perfkit.schedule_refresh() gives it one.")));
}
