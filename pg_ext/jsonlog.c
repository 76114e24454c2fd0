/*-------------------------------------------------------------------------
 * jsonlog.c
 *	  A row as one line of JSON.
 *
 * Made from the columns of row.c, so that a new one appears by itself.
 * Passwords were redacted before the row was made (redact.h).
 *-------------------------------------------------------------------------
 */
#include "jsonlog.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

/* What a log line is not for: the table has them. */
static const char *const left_out[] = {"query_normalized", "plan", "truncated", "boot", "sequence"};


static bool
is_left_out(const char *name)
{
	for (size_t i = 0; i < lengthof(left_out); i++)
	{
		if (strcmp(left_out[i], name) == 0)
			return true;
	}
	return false;
}


static void
append_name(StringInfo out, const char *name)
{
	appendStringInfoChar(out, out->len > 0 ? ',' : '{');
	escape_json(out, name);
	appendStringInfoChar(out, ':');
}


static void
append_cut(StringInfo cut, const char *name)
{
	appendStringInfoChar(cut, cut->len > 0 ? ',' : '[');
	escape_json(cut, name);
}


static void
append_text(StringInfo out, StringInfo cut, const char *name, Datum value)
{
	char *string = TextDatumGetCString(value);
	int length = strlen(string);

	if (length > PERFKIT_JSONLOG_MAX_TEXT)
	{
		string[pg_mbcliplen(string, length, PERFKIT_JSONLOG_MAX_TEXT)] = '\0';
		append_cut(cut, name);
	}
	append_name(out, name);
	escape_json(out, string);
}


static void
append_jsonb(StringInfo out, StringInfo cut, const char *name, Datum value)
{
	Jsonb *jsonb = DatumGetJsonbP(value);

	if (VARSIZE(jsonb) > 2 * PERFKIT_JSONLOG_MAX_TEXT)
	{
		append_cut(cut, name);
		return;
	}
	append_name(out, name);
	(void) JsonbToCString(out, &jsonb->root, VARSIZE(jsonb));
}


static void
append_value(StringInfo out, StringInfo cut, const PerfkitRowColumn *column, Datum value)
{
	switch (column->type)
	{
		case INT4OID:
			append_name(out, column->name);
			appendStringInfo(out, "%d", DatumGetInt32(value));
			break;
		case INT8OID:
			append_name(out, column->name);
			appendStringInfo(out, INT64_FORMAT, DatumGetInt64(value));
			break;
		case OIDOID:
			append_name(out, column->name);
			appendStringInfo(out, "%u", DatumGetObjectId(value));
			break;
		case FLOAT8OID:
			append_name(out, column->name);
			appendStringInfo(out, "%.3f", DatumGetFloat8(value));
			break;
		case TIMESTAMPTZOID:
			append_name(out, column->name);
			escape_json(out, timestamptz_to_str(DatumGetTimestampTz(value)));
			break;
		case JSONBOID:
			append_jsonb(out, cut, column->name, value);
			break;
		default:
			append_text(out, cut, column->name, value);
			break;
	}
}


char *
perfkit_jsonlog_line(const PerfkitRow *row)
{
	StringInfoData out;
	StringInfoData cut;

	initStringInfo(&out);
	initStringInfo(&cut);
	for (size_t i = 0; i < row->n; i++)
	{
		const PerfkitRowColumn *column = &perfkit_row_columns[i];

		if (row->nulls[i] != 'n' && !is_left_out(column->name))
			append_value(&out, &cut, column, row->values[i]);
	}
	if (cut.len > 0)
	{
		append_name(&out, "cut");
		appendStringInfo(&out, "%s]", cut.data);
	}
	appendStringInfoChar(&out, '}');
	return out.data;
}
