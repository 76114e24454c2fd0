/*-------------------------------------------------------------------------
 * explainas.c
 *	  How a stored statement would be planned now: EXPLAIN, as the role that ran it.
 *
 * To plan a statement is to run the immutable functions in it, which are somebody else's.
 * So it is done with that role's rights and no others, where nothing can be left behind in
 * the session, as REFRESH MATERIALIZED VIEW does.  The statement is not executed.
 *
 * Bind values are given as text; their types are those that the statement's analysis finds.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "parser/parse_param.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

PG_FUNCTION_INFO_V1(perfkit_explain_as);

/* Types of the parameters, as analysis finds them. */
typedef struct Types
{
	Oid *oids;
	int n;
} Types;


static void
setup(ParseState *pstate, void *arg)
{
	Types *types = arg;

	setup_parse_variable_parameters(pstate, &types->oids, &types->n);
}


/* The values that the statement has parameters for; missing ones are null. */
static ParamListInfo
bind_values(const Types *types, ArrayType *array)
{
	ParamListInfo list = makeParamList(types->n);
	Datum *values;
	bool *nulls;
	int n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < types->n; i++)
	{
		ParamExternData *value = &list->params[i];
		Oid input;
		Oid element;

		value->ptype = types->oids[i];
		value->pflags = PARAM_FLAG_CONST;
		value->isnull = i >= n || nulls[i] || !OidIsValid(value->ptype);
		if (value->isnull)
			continue;
		getTypeInputInfo(value->ptype, &input, &element);
		value->value = OidInputFunctionCall(input, TextDatumGetCString(values[i]), element, -1);
	}
	return list;
}


/* SPI connected. */
static char *
explain(const char *statement, ArrayType *parameters)
{
	Types types = {0};
	SPIPrepareOptions prepare = {.parserSetup = setup, .parserSetupArg = &types};
	SPIExecuteOptions execute = {.read_only = false}; /* EXPLAIN is refused otherwise */
	SPIPlanPtr plan =
		SPI_prepare_extended(psprintf("EXPLAIN (FORMAT JSON) %s", statement), &prepare);

	if (plan == NULL)
		elog(ERROR, "perfkit: SPI failed with %s", SPI_result_code_string(SPI_result));

	/* What was stored is one statement; nothing behind it is to be run. */
	if (list_length(SPI_plan_get_plan_sources(plan)) != 1)
		ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("not a single statement")));
	execute.params = bind_values(&types, parameters);
	if (SPI_execute_plan_extended(plan, &execute) < 0 || SPI_processed != 1)
		elog(ERROR, "perfkit: EXPLAIN failed");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}


/* perfkit._explain_as(role, statement, parameters, search_path): what EXPLAIN prints, as text. */
Datum
perfkit_explain_as(PG_FUNCTION_ARGS)
{
	Oid role = PG_GETARG_OID(0);
	char *statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
	ArrayType *parameters = PG_GETARG_ARRAYTYPE_P(2);
	char *search_path = text_to_cstring(PG_GETARG_TEXT_PP(3));
	Oid caller;
	int context;
	int nest_level;
	text *result;
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext inner;

	GetUserIdAndSecContext(&caller, &context);
	PERFKIT_CHECK_MAY_BE(caller, role);
	SetUserIdAndSecContext(role,
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", search_path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	statement = explain(statement, parameters);
	inner = MemoryContextSwitchTo(outer);
	result = cstring_to_text(statement);
	MemoryContextSwitchTo(inner);
	SPI_finish();
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(caller, context);
	PG_RETURN_TEXT_P(result);
}
