/*-------------------------------------------------------------------------
 * lineage.c
 *	  A walk through the query of a view, and those of the plain views in it.
 *
 * The stored query is looked at, before rewriting: it names every relation, and
 * every function by its OID.  Whether what is named can be watched (fingerprint.h)
 * may change without it and is not asked here.
 *-------------------------------------------------------------------------
 */
#include "lineage.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteSupport.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

typedef struct Walk
{
	Oid relation;      /* whose query is being looked at */
	List *views;       /* OIDs of those whose query has been, or is */
	List *tables;      /* OIDs */
	List *functions;   /* OIDs of those that somebody may redefine */
	List *definitions; /* of PerfkitDefinition *: of both, as they were when looked at */
	bool settings;     /* of the session, too */
	bool whole_rows;
	bool virtual_columns;
	char *obstacle; /* NULL: none so far */
} Walk;

static bool look_at_query_of(Oid relation, Walk *w);


/* ---------------------------------------------------------------- definitions */

static PerfkitDefinition
definition_of(bool is_function, Oid object, HeapTuple tuple)
{
	return (PerfkitDefinition){
		.is_function = is_function,
		.object = object,
		.xmin = HeapTupleHeaderGetRawXmin(tuple->t_data),
		.place = tuple->t_self,
	};
}


/* From the very row that is being looked at: the next look may see another. */
static void
note_definition(Walk *w, bool is_function, Oid object, HeapTuple tuple)
{
	PerfkitDefinition *d = palloc(sizeof(*d));

	*d = definition_of(is_function, object, tuple);
	w->definitions = lappend(w->definitions, d);
}


/* The rule behind a view, plain or materialized; to be released. */
static HeapTuple
rule_of(Oid relation)
{
	return SearchSysCache2(RULERELNAME, ObjectIdGetDatum(relation),
						   PointerGetDatum(ViewSelectRuleName));
}


static bool
definition_stands(const PerfkitDefinition *was)
{
	HeapTuple tuple = was->is_function ? SearchSysCache1(PROCOID, ObjectIdGetDatum(was->object))
									   : rule_of(was->object);
	PerfkitDefinition now;

	if (!HeapTupleIsValid(tuple))
		return false;
	now = definition_of(was->is_function, was->object, tuple);
	ReleaseSysCache(tuple);
	return now.xmin == was->xmin &&
		   ItemPointerEquals(&now.place, unconstify(ItemPointerData *, &was->place));
}


/* ---------------------------------------------------------------- functions */

/*
 * Built-in functions that are not immutable for the sake of settings only: TimeZone, DateStyle,
 * IntervalStyle, lc_time, lc_numeric.  Not among them: what reads the clock, and what reads text,
 * which may be 'today'.
 */
static bool
depends_on_settings(Oid function)
{
	static const Oid ones[] = {
		F_DATE_OUT,
		F_TIMESTAMP_OUT,
		F_TIMESTAMPTZ_OUT,
		F_INTERVAL_OUT,
		F_TIMESTAMPTZ_DATE,
		F_TIMESTAMPTZ_DATE_TIME,
		F_TIMESTAMPTZ_TIMESTAMP,
		F_TIMESTAMP_TIMESTAMPTZ,
		F_DATE_TIMESTAMPTZ,
		F_TIME_TIMESTAMPTZ,
		F_TIMETZ_TIMESTAMPTZ,
		F_TIMESTAMPTZ_PL_INTERVAL,
		F_TIMESTAMPTZ_MI_INTERVAL,
		F_INTERVAL_PL_TIMESTAMPTZ,
		F_DATE_TRUNC_TEXT_TIMESTAMPTZ,
		F_DATE_TRUNC_TEXT_TIMESTAMPTZ_TEXT,
		F_DATE_PART_TEXT_TIMESTAMPTZ,
		F_EXTRACT_TEXT_TIMESTAMPTZ,
		F_TO_CHAR_INTERVAL_TEXT,
		F_TO_CHAR_TIMESTAMP_TEXT,
		F_TO_CHAR_TIMESTAMPTZ_TEXT,
		F_TO_CHAR_NUMERIC_TEXT,
		F_TO_CHAR_INT4_TEXT,
		F_TO_CHAR_INT8_TEXT,
		F_TO_CHAR_FLOAT4_TEXT,
		F_TO_CHAR_FLOAT8_TEXT,
		F_GENERATE_SERIES_TIMESTAMPTZ_TIMESTAMPTZ_INTERVAL,
	};
	/* comparisons of dates, timestamps and those with time zone: <, <=, =, >, >=, <>, cmp */
	static const Oid ranges[][2] = {
		{F_DATE_LT_TIMESTAMPTZ, F_DATE_CMP_TIMESTAMPTZ},
		{F_TIMESTAMPTZ_LT_DATE, F_TIMESTAMPTZ_CMP_DATE},
		{F_TIMESTAMP_LT_TIMESTAMPTZ, F_TIMESTAMP_CMP_TIMESTAMPTZ},
		{F_TIMESTAMPTZ_LT_TIMESTAMP, F_TIMESTAMPTZ_CMP_TIMESTAMP},
	};

	for (size_t i = 0; i < lengthof(ones); i++)
	{
		if (ones[i] == function)
			return true;
	}
	for (size_t i = 0; i < lengthof(ranges); i++)
	{
		if (function >= ranges[i][0] && function <= ranges[i][1])
			return true;
	}
	return false;
}


/* Built-in functions that are not immutable because they may write any type as text. */
static bool
writes_anything(Oid function)
{
	return function == F_TEXTANYCAT || function == F_ANYTEXTCAT || function == F_CONCAT ||
		   function == F_CONCAT_WS || function == F_FORMAT_TEXT || function == F_FORMAT_TEXT_ANY;
}


static bool
obstacle(Walk *w, char *text)
{
	w->obstacle = text;
	return true;
}


/* One function; `shown` is the one that the query names, when this is only a part of it. */
static bool
look_at_function(Oid function, Oid shown, Walk *w)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	char volatility;

	if (!HeapTupleIsValid(tuple))
		return obstacle(w, pstrdup("A function in it has just been dropped."));
	volatility = ((Form_pg_proc) GETSTRUCT(tuple))->provolatile;
	if (function >= FirstNormalObjectId && !list_member_oid(w->functions, function))
	{
		w->functions = lappend_oid(w->functions, function);
		note_definition(w, true, function, tuple);
	}
	ReleaseSysCache(tuple);
	if (volatility == PROVOLATILE_IMMUTABLE)
		return false;
	if (depends_on_settings(function))
	{
		w->settings = true;
		return false;
	}
	return obstacle(
		w, psprintf("It calls %s, which is %s.", format_procedure(shown),
					volatility == PROVOLATILE_STABLE ? "stable, not immutable" : "volatile"));
}


/* What an aggregate is made of; an aggregate itself is always immutable. */
static bool
look_at_aggregate(Oid aggregate, Walk *w)
{
	HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
	Form_pg_aggregate form;
	Oid parts[8];

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_aggregate) GETSTRUCT(tuple);
	parts[0] = form->aggtransfn;
	parts[1] = form->aggfinalfn;
	parts[2] = form->aggcombinefn;
	parts[3] = form->aggserialfn;
	parts[4] = form->aggdeserialfn;
	parts[5] = form->aggmtransfn;
	parts[6] = form->aggminvtransfn;
	parts[7] = form->aggmfinalfn;
	ReleaseSysCache(tuple);
	for (size_t i = 0; i < lengthof(parts); i++)
	{
		if (OidIsValid(parts[i]) && look_at_function(parts[i], aggregate, w))
			return true;
	}
	return false;
}


/* What check_functions_in_node() calls for each. */
static bool
any_function(Oid function, void *arg)
{
	return look_at_function(function, function, arg) || look_at_aggregate(function, arg);
}


static bool
not_writer(Oid function, void *arg)
{
	return !writes_anything(function) && any_function(function, arg);
}


static bool
is_writer(Oid function, void *arg)
{
	return writes_anything(function);
}


/* Arguments written as text: by the output functions of their types. */
static bool
look_at_written(Node *node, Walk *w)
{
	List *args = IsA(node, OpExpr) ? ((OpExpr *) node)->args : ((FuncExpr *) node)->args;
	ListCell *lc;

	foreach (lc, args)
	{
		Oid output;
		bool is_varlena;

		getTypeOutputInfo(exprType(lfirst(lc)), &output, &is_varlena);
		if (look_at_function(output, output, w))
			return true;
	}
	return false;
}


/* ---------------------------------------------------------------- the query */

/* Has it columns whose values come from an expression, which may change without a new file? */
static bool
has_virtual_columns(Oid relation)
{
	bool found = false;

	for (AttrNumber i = 1; !found; i++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(i));

		if (!HeapTupleIsValid(tuple))
			break;
		found = PERFKIT_IS_VIRTUAL((Form_pg_attribute) GETSTRUCT(tuple));
		ReleaseSysCache(tuple);
	}
	return found;
}


static bool
look_at_relation(const RangeTblEntry *entry, Walk *w)
{
	/* before 16, the places of OLD and NEW */
	if (entry->rtekind != RTE_RELATION || entry->relid == w->relation)
		return false;
	if (entry->relkind == RELKIND_VIEW)
		return look_at_query_of(entry->relid, w);
	if (entry->tablesample != NULL)
		return obstacle(w, psprintf("It reads a sample of %s.", get_rel_name(entry->relid)));
	w->tables = list_append_unique_oid(w->tables, entry->relid);
	w->virtual_columns |= has_virtual_columns(entry->relid);
	return false;
}


/* Parts of expressions that are functions of something else without calling one by OID. */
static char *
obstacle_in(Node *node)
{
	if (IsA(node, SQLValueFunction))
		return "It asks for the current date, time, user or schema.";
	if (IsA(node, NextValueExpr))
		return "It takes values from a sequence.";
	if (IsA(node, XmlExpr) || IsA(node, TableFunc) || PERFKIT_IS_JSON_EXPRESSION(node))
		return "It makes or takes apart XML or JSON by an expression of the grammar's own.";
	return NULL;
}


static bool
look(Node *node, Walk *w)
{
	char *text;

	if (node == NULL)
		return false;
	check_stack_depth();
	if (IsA(node, Query))
	{
		Query *query = (Query *) node;
		ListCell *lc;

		foreach (lc, query->rtable)
		{
			if (look_at_relation(lfirst(lc), w))
				return true;
		}
		return query_tree_walker(query, look, w, 0);
	}
	if (IsA(node, Var) && ((Var *) node)->varattno == InvalidAttrNumber)
		w->whole_rows = true;
	text = obstacle_in(node);
	if (text != NULL)
		return obstacle(w, pstrdup(text));
	if (check_functions_in_node(node, not_writer, w))
		return true;
	if ((IsA(node, OpExpr) || IsA(node, FuncExpr)) && check_functions_in_node(node, is_writer, w) &&
		look_at_written(node, w))
		return true;
	return expression_tree_walker(node, look, w);
}


static bool
look_at_query_of(Oid relation, Walk *w)
{
	Oid outer = w->relation;
	HeapTuple rule;
	Datum action;
	bool null;
	List *queries;
	bool found;

	if (list_member_oid(w->views, relation))
		return false;
	rule = rule_of(relation);
	if (!HeapTupleIsValid(rule))
		return obstacle(w, pstrdup("A view in it, or it itself, has just been dropped."));
	note_definition(w, false, relation, rule);
	w->views = lappend_oid(w->views, relation);
	w->relation = relation;
	action = SysCacheGetAttr(RULERELNAME, rule, Anum_pg_rewrite_ev_action, &null);
	queries = null ? NIL : stringToNode(TextDatumGetCString(action));
	ReleaseSysCache(rule);
	found = look((Node *) queries, w);
	w->relation = outer;
	return found;
}


/* ---------------------------------------------------------------- the result */

PerfkitLineage *
perfkit_lineage_read(Oid view, MemoryContext parent, char **obstacle)
{
	Walk w = {0};
	MemoryContext memory;
	MemoryContext old;
	PerfkitLineage *lineage;
	ListCell *lc;

	*obstacle = NULL;
	if (look_at_query_of(view, &w))
	{
		*obstacle = w.obstacle;
		return NULL;
	}
	memory = AllocSetContextCreate(parent, "perfkit lineage", ALLOCSET_SMALL_SIZES);
	lineage = MemoryContextAllocZero(memory, sizeof(*lineage));
	lineage->memory = memory;
	lineage->view = view;
	lineage->settings = w.settings;
	lineage->whole_rows = w.whole_rows;
	lineage->virtual_columns = w.virtual_columns;
	old = MemoryContextSwitchTo(memory);
	list_sort(w.tables, list_oid_cmp);
	lineage->tables = list_copy(w.tables);
	lineage->definitions = palloc(sizeof(PerfkitDefinition) * list_length(w.definitions));
	foreach (lc, w.definitions)
		lineage->definitions[lineage->n_definitions++] = *(PerfkitDefinition *) lfirst(lc);
	MemoryContextSwitchTo(old);
	return lineage;
}


bool
perfkit_lineage_stands(const PerfkitLineage *lineage)
{
	for (int i = 0; i < lineage->n_definitions; i++)
	{
		if (!definition_stands(&lineage->definitions[i]))
			return false;
	}
	return true;
}


void
perfkit_lineage_free(PerfkitLineage **lineage)
{
	if (*lineage != NULL)
		MemoryContextDelete((*lineage)->memory);
	*lineage = NULL;
}
