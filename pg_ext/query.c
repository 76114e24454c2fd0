/*-------------------------------------------------------------------------
 * query.c
 *	  SPI for the database's worker.
 *-------------------------------------------------------------------------
 */
#include "query.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static MemoryContext caller = NULL;

void
perfkit_query_hold_extension(void)
{
	Oid extension = get_extension_oid("perfkit", true);

	if (OidIsValid(extension))
		LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
}


void
perfkit_query_begin(const char *what)
{
	caller = CurrentMemoryContext;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	perfkit_query_hold_extension();
	(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, what);
}


void
perfkit_query_end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
}


void
perfkit_query_add(PerfkitQuery *p, Oid type, Datum value, bool null)
{
	Assert(p->n < PERFKIT_MAX_PARAMETERS);
	p->types[p->n] = type;
	p->values[p->n] = value;
	p->nulls[p->n] = null ? 'n' : ' ';
	p->n++;
}


void
perfkit_query_add_int8(PerfkitQuery *p, int64 value)
{
	perfkit_query_add(p, INT8OID, Int64GetDatum(value), false);
}


void
perfkit_query_add_count(PerfkitQuery *p, int64 value)
{
	perfkit_query_add(p, INT8OID, Int64GetDatum(value), value < 0);
}


void
perfkit_query_add_text(PerfkitQuery *p, const char *value)
{
	bool null = value == NULL || value[0] == '\0';

	perfkit_query_add(p, TEXTOID, null ? (Datum) 0 : CStringGetTextDatum(value), null);
}


void
perfkit_query_add_time(PerfkitQuery *p, TimestampTz value)
{
	perfkit_query_add(p, TIMESTAMPTZOID, TimestampTzGetDatum(value),
					  value == 0 || value == PG_INT64_MAX);
}


void
perfkit_query_add_oid(PerfkitQuery *p, Oid value)
{
	perfkit_query_add(p, OIDOID, ObjectIdGetDatum(value), !OidIsValid(value));
}


void
perfkit_query_run(const char *sql, PerfkitQuery *p)
{
	PerfkitQuery none = {0};
	int result;

	if (p == NULL)
		p = &none;
	result = SPI_execute_with_args(sql, p->n, p->types, p->values, p->nulls, false, 0);
	if (result < 0)
		elog(ERROR, "perfkit: SPI failed with %s: %s", SPI_result_code_string(result), sql);
}
