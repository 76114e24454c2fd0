/*-------------------------------------------------------------------------
 * row.c
 *	  The columns of slow_query_log and what of a record goes into each.
 *
 * Texts are made valid for the database's encoding, and what jsonb cannot hold
 * is replaced, so that no record can make a batch fail.
 *-------------------------------------------------------------------------
 */
#include "row.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tags.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* The columns filled now, in the order in which perfkit_row_fill() fills them. */
const PerfkitRowColumn perfkit_row_columns[] = {
	{"id", INT8OID, ""},
	{"started_at", TIMESTAMPTZOID, ""},
	{"ended_at", TIMESTAMPTZOID, ""},
	{"duration_ms", FLOAT8OID, ""},
	{"planning_ms", FLOAT8OID, ""},
	{"execution_ms", FLOAT8OID, ""},
	{"queryid", INT8OID, ""},
	{"plan_id", INT8OID, ""},
	{"parent_id", INT8OID, ""},
	{"nesting_level", INT4OID, ""},
	{"database", TEXTOID, "::name"},
	{"username", TEXTOID, "::name"},
	{"client_addr", TEXTOID, "::inet"},
	{"client_port", INT4OID, ""},
	{"application_name", TEXTOID, ""},
	{"pid", INT4OID, ""},
	{"command_tag", TEXTOID, ""},
	{"query", TEXTOID, ""},
	{"query_normalized", TEXTOID, ""},
	{"tags", JSONBOID, ""},
	{"parameters", JSONBOID, ""},
	{"plan", JSONBOID, ""},
	{"plan_kind", TEXTOID, ""},
	{"rows", INT8OID, ""},
	{"outcome", TEXTOID, ""},
	{"sqlstate", TEXTOID, ""},
	{"message", TEXTOID, ""},
	{"reason", TEXTOID, ""},
	{"sample_weight", FLOAT8OID, ""},
	{"commit_ms", FLOAT8OID, ""},
	{"userid", OIDOID, ""},
	{"shared_blks_hit", INT8OID, ""},
	{"shared_blks_read", INT8OID, ""},
	{"shared_blks_dirtied", INT8OID, ""},
	{"shared_blks_written", INT8OID, ""},
	{"local_blks_hit", INT8OID, ""},
	{"local_blks_read", INT8OID, ""},
	{"local_blks_dirtied", INT8OID, ""},
	{"local_blks_written", INT8OID, ""},
	{"temp_blks_read", INT8OID, ""},
	{"temp_blks_written", INT8OID, ""},
	{"shared_blk_read_time", FLOAT8OID, ""},
	{"shared_blk_write_time", FLOAT8OID, ""},
	{"local_blk_read_time", FLOAT8OID, ""},
	{"local_blk_write_time", FLOAT8OID, ""},
	{"temp_blk_read_time", FLOAT8OID, ""},
	{"temp_blk_write_time", FLOAT8OID, ""},
	{"wal_records", INT8OID, ""},
	{"wal_fpi", INT8OID, ""},
	{"wal_bytes", INT8OID, ""},
	{"wal_buffers_full", INT8OID, ""},
	{"jit_functions", INT8OID, ""},
	{"jit_generation_time", FLOAT8OID, ""},
	{"jit_inlining_time", FLOAT8OID, ""},
	{"jit_optimization_time", FLOAT8OID, ""},
	{"jit_emission_time", FLOAT8OID, ""},
	{"jit_deform_time", FLOAT8OID, ""},
	{"parallel_workers_to_launch", INT4OID, ""},
	{"parallel_workers_launched", INT4OID, ""},
	{"cpu_user_time", FLOAT8OID, ""},
	{"cpu_sys_time", FLOAT8OID, ""},
	{"waits", JSONBOID, ""},
	{"blocking_pid", INT4OID, ""},
	{"truncated", TEXTARRAYOID, ""},
	{"boot", INT8OID, ""},
	{"sequence", INT8OID, ""},
};

StaticAssertDecl(lengthof(perfkit_row_columns) == PERFKIT_ROW_COLUMNS,
				 "PERFKIT_ROW_COLUMNS is the length of the list");


static void
put(PerfkitRow *row, Datum value, bool null)
{
	Assert(row->n < PERFKIT_ROW_COLUMNS);
	row->values[row->n] = value;
	row->nulls[row->n] = null ? 'n' : ' ';
	row->n++;
}


static void
put_int8(PerfkitRow *row, int64 value, bool null)
{
	put(row, Int64GetDatum(value), null);
}


static void
put_int4(PerfkitRow *row, int32 value, bool null)
{
	put(row, Int32GetDatum(value), null);
}


static void
put_float8(PerfkitRow *row, double value, bool null)
{
	put(row, Float8GetDatum(value), null);
}


/* A text made valid for the database's encoding: each bad byte becomes '?'. */
static text *
valid_text(const char *bytes, int length)
{
	int encoding = GetDatabaseEncoding();
	text *result = cstring_to_text_with_len(bytes, length);
	char *at = VARDATA(result);

	while (length > 0)
	{
		int n = pg_encoding_verifymbchar(encoding, at, length);

		if (n <= 0 || *at == '\0')
		{
			*at = '?';
			n = 1;
		}
		at += n;
		length -= n;
	}
	return result;
}


static void
put_text(PerfkitRow *row, const char *bytes, int length)
{
	if (length == 0)
		put(row, (Datum) 0, true);
	else
		put(row, PointerGetDatum(valid_text(bytes, length)), false);
}


static void
put_string(PerfkitRow *row, const char *string)
{
	put_text(row, string != NULL ? string : "", string != NULL ? strlen(string) : 0);
}


static void
put_record_text(PerfkitRow *row, const PerfkitRecord *record, PerfkitText which)
{
	uint32 length;
	const char *bytes = perfkit_record_text(record, which, &length);

	put_text(row, bytes, length);
}


static JsonbValue
json_string(const char *bytes, Size length)
{
	text *valid = valid_text(bytes, (int) length);
	JsonbValue value = {.type = jbvString};

	value.val.string.val = VARDATA(valid);
	value.val.string.len = VARSIZE(valid) - VARHDRSZ;
	return value;
}


/* name, value, name, value, ... as a flat object; the last of a name counts */
static void
put_tags(PerfkitRow *row, const PerfkitRecord *record)
{
	JsonbParseState *state = NULL;
	uint32 size;
	const char *at = perfkit_record_text(record, PERFKIT_TEXT_TAGS, &size);
	const char *end = at + size;
	const char *string;
	Size length;
	bool is_name = true;
	JsonbValue *object;

	if (size == 0)
	{
		put(row, (Datum) 0, true);
		return;
	}
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (; perfkit_tags_next(&at, end, &string, &length); is_name = !is_name)
	{
		JsonbValue value = json_string(string, length);

		(void) pushJsonbValue(&state, is_name ? WJB_KEY : WJB_VALUE, &value);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	put(row, JsonbPGetDatum(JsonbValueToJsonb(object)), false);
}


/* n, ? or =value each, as an array of text or null */
static void
put_parameters(PerfkitRow *row, const PerfkitRecord *record)
{
	JsonbParseState *state = NULL;
	uint32 size;
	const char *at = perfkit_record_text(record, PERFKIT_TEXT_PARAMETERS, &size);
	const char *end = at + size;
	const char *string;
	Size length;
	JsonbValue *array;

	if (!record->has_parameters)
	{
		put(row, (Datum) 0, true);
		return;
	}
	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	while (perfkit_tags_next(&at, end, &string, &length))
	{
		JsonbValue value = {.type = jbvNull};

		if (length > 0 && *string == '=')
			value = json_string(string + 1, length - 1);
		(void) pushJsonbValue(&state, WJB_ELEM, &value);
	}
	array = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	put(row, JsonbPGetDatum(JsonbValueToJsonb(array)), false);
}


/* It was JSON when it was made (plan.c). */
Datum
perfkit_row_plan(const char *json, uint32 size)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(valid_text(json, size))));
}


static void
put_plan(PerfkitRow *row, const PerfkitRecord *record)
{
	uint32 size;
	const char *json = perfkit_record_text(record, PERFKIT_TEXT_PLAN, &size);

	if (size == 0)
		put(row, (Datum) 0, true);
	else
		put(row, perfkit_row_plan(json, size), false);
	put_string(row, perfkit_plan_kind_name(record->plan_kind));
}


static void
put_truncated(PerfkitRow *row, int truncated)
{
	static const char *const names[] = {"query", "tags", "parameters", "plan"};
	Datum values[lengthof(names)];
	int n = 0;

	for (size_t i = 0; i < lengthof(names); i++)
	{
		if (truncated & (1 << i))
			values[n++] = CStringGetTextDatum(names[i]);
	}
	if (n == 0)
		put(row, (Datum) 0, true);
	else
		put(row, PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT)),
			false);
}


/* The name of a wait: type:event as pg_stat_activity has them. */
static const char *
wait_name(uint32 event)
{
	if (event == PERFKIT_OTHER_WAITS)
		return "other";
	return event == 0
			   ? "CPU"
			   : psprintf("%s:%s", pgstat_get_wait_event_type(event), pgstat_get_wait_event(event));
}


Datum
perfkit_row_waits(const PerfkitWait waits[PERFKIT_MAX_WAITS])
{
	JsonbParseState *state = NULL;
	JsonbValue *object;

	if (waits[0].ms == 0)
		return (Datum) 0;
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < PERFKIT_MAX_WAITS && waits[i].ms > 0; i++)
	{
		const char *name = wait_name(waits[i].event);
		JsonbValue key = json_string(name, strlen(name));
		JsonbValue ms = {.type = jbvNumeric};

		ms.val.numeric = int64_to_numeric(waits[i].ms);
		(void) pushJsonbValue(&state, WJB_KEY, &key);
		(void) pushJsonbValue(&state, WJB_VALUE, &ms);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(object));
}


static void
put_cpu_and_waits(PerfkitRow *row, const PerfkitRecord *record)
{
	Datum waits = perfkit_row_waits(record->waits);

	put_float8(row, record->cpu_user_ms, record->cpu_user_ms < 0);
	put_float8(row, record->cpu_sys_ms, record->cpu_sys_ms < 0);
	put(row, waits, waits == (Datum) 0);
	put_int4(row, record->blocking_pid, record->blocking_pid == 0);
}


static void
put_identity(PerfkitRow *row, const PerfkitRecord *record, const char *database)
{
	uint32 length;

	put_int4(row, record->nesting_level, false);
	put_string(row, database);
	(void) perfkit_record_text(record, PERFKIT_TEXT_USERNAME, &length);
	if (length > 0)
		put_record_text(row, record, PERFKIT_TEXT_USERNAME);
	else
		put_string(row, GetUserNameFromId(record->userid, true));
	put_record_text(row, record, PERFKIT_TEXT_CLIENT_ADDR);
	put_int4(row, record->client_port, record->client_port < 0);
	put_record_text(row, record, PERFKIT_TEXT_APPLICATION);
	put_int4(row, record->pid, false);
	put_record_text(row, record, PERFKIT_TEXT_COMMAND_TAG);
	put_record_text(row, record, PERFKIT_TEXT_QUERY);
	put_record_text(row, record, PERFKIT_TEXT_NORMALIZED);
	put_tags(row, record);
	put_parameters(row, record);
	put_plan(row, record);
}


static void
put_usage(PerfkitRow *row, const PerfkitRecord *record)
{
	const PerfkitUsage *u = &record->usage;
	bool unknown = record->outcome == PERFKIT_RUNNING;
	bool no_times = unknown || !record->io_timing;
	bool no_local_times = unknown || !record->local_io_timing;

	for (int i = 0; i < 4; i++)
		put_int8(row, u->shared_blks[i], unknown);
	for (int i = 0; i < 4; i++)
		put_int8(row, u->local_blks[i], unknown);
	for (int i = 0; i < 2; i++)
		put_int8(row, u->temp_blks[i], unknown);
	for (int i = 0; i < 2; i++)
		put_float8(row, u->shared_blk_times[i], no_times);
	for (int i = 0; i < 2; i++)
		put_float8(row, u->local_blk_times[i], no_local_times);
	for (int i = 0; i < 2; i++)
		put_float8(row, u->temp_blk_times[i], no_times);
	put_int8(row, u->wal_records, unknown);
	put_int8(row, u->wal_fpi, unknown);
	put_int8(row, u->wal_bytes, unknown);
	put_int8(row, u->wal_buffers_full, unknown || u->wal_buffers_full < 0);
}


static void
put_jit(PerfkitRow *row, const PerfkitRecord *record)
{
	const PerfkitJit *j = &record->jit;

	bool unknown = record->outcome == PERFKIT_RUNNING;

	put_int8(row, j->functions, unknown);
	put_float8(row, j->generation_ms, unknown);
	put_float8(row, j->inlining_ms, unknown);
	put_float8(row, j->optimization_ms, unknown);
	put_float8(row, j->emission_ms, unknown);
	put_float8(row, j->deform_ms, unknown || !record->jit_deform);
	put_int4(row, record->workers_planned, record->workers_planned < 0);
	put_int4(row, record->workers_launched, record->workers_launched < 0);
}


/* In the order of columns[]. */
void
perfkit_row_fill(PerfkitRow *row, const PerfkitRecord *record, const char *database)
{
	row->n = 0;
	put_int8(row, record->id, false);
	put(row, TimestampTzGetDatum(record->started_at), false);
	put(row, TimestampTzGetDatum(record->ended_at), record->outcome == PERFKIT_RUNNING);
	put_float8(row, record->duration_ms, false);
	put_float8(row, record->planning_ms, record->planning_ms < 0);
	put_float8(row, record->execution_ms, record->execution_ms < 0);
	put_int8(row, record->queryid, record->queryid == 0);
	put_int8(row, record->plan_id, record->plan_id == 0);
	put_int8(row, record->parent_id, record->parent_id == 0);
	put_identity(row, record, database);
	put_int8(row, record->rows, record->rows < 0);
	put_string(row, perfkit_outcome_name(record->outcome));
	put_string(row, record->sqlstate != 0 ? unpack_sql_state(record->sqlstate) : NULL);
	put_record_text(row, record, PERFKIT_TEXT_MESSAGE);
	put_string(row, perfkit_reason_name(record->reason));
	put_float8(row, record->sample_weight, false);
	put_float8(row, record->commit_ms, record->commit_ms < 0);
	put(row, ObjectIdGetDatum(record->userid), false);
	put_usage(row, record);
	put_jit(row, record);
	put_cpu_and_waits(row, record);
	put_truncated(row, record->truncated);
	put_int8(row, record->boot, false);
	put_int8(row, record->sequence, false);
	Assert(row->n == PERFKIT_ROW_COLUMNS);
}
