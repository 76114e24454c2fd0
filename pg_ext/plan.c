/*-------------------------------------------------------------------------
 * plan.c
 *	  EXPLAIN of captured statements.
 *
 * An estimate is printed from a second executor state, started for EXPLAIN
 * only: so it can be had when the statement has ended and is known to be slow,
 * and nobody's instrumentation is touched.  Hooks are passed by.
 *
 * In the middle of a run EXPLAIN would end the loops of nodes that go on: their
 * counters are saved before and put back after, error or not.
 *-------------------------------------------------------------------------
 */
#include "plan.h"

#include "nodes/nodeFuncs.h"
#include "redact.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/json.h"

/* One node's counters while EXPLAIN has its way with them. */
typedef struct Saved
{
	Instrumentation *of;
	Instrumentation value;
	struct Saved *next;
} Saved;


/* Takes the blanks between tokens out, in place. */
static void
compact(char *json)
{
	char *to = json;
	bool quoted = false;

	for (const char *from = json; *from != '\0'; from++)
	{
		if (!quoted && (*from == ' ' || *from == '\n'))
			continue;
		if (*from == '"')
			quoted = !quoted;
		*to++ = *from;
		if (quoted && *from == '\\' && from[1] != '\0')
			*to++ = *++from;
	}
	*to = '\0';
}


/* Length of the string that begins after a quotation mark, up to the next. */
static Size
string_length(const char *string)
{
	Size length = 0;

	while (string[length] != '\0' && string[length] != '"')
		length += string[length] == '\\' && string[length + 1] != '\0' ? 2 : 1;
	return length;
}


/* Passwords out of the strings.  Conditions of foreign tables and functions may hold some. */
static char *
redact(const char *json)
{
	Size size = 3 * strlen(json) + 64;
	char *out = palloc(size + 1);
	Size at = 0;

	while (*json != '\0')
	{
		PerfkitRedaction r = {
			.out = out + at + 1,
			.size = size - at - 1,
			.kind = PERFKIT_SECRET_PLAN,
		};
		Size length;

		if (*json != '"')
		{
			out[at++] = *json++;
			continue;
		}
		length = string_length(json + 1);
		perfkit_redact(&r, json + 1, length);
		out[at] = '"';
		at += 1 + r.length;
		out[at++] = '"';
		json += length + (json[length + 1] == '"' ? 2 : 1);
	}
	out[at] = '\0';
	return out;
}


/* What EXPLAIN has printed, made an object.  Raises when it is no JSON (a cost may be infinite). */
static char *
finish(const ExplainState *es)
{
	char *text = es->str->data;

	/* EXPLAIN prints a list with one statement's properties. */
	text[0] = '{';
	text[es->str->len - 1] = '}';
	compact(text);
	text = redact(text);
	(void) DirectFunctionCall1(json_in, CStringGetDatum(text));
	return text;
}


static ExplainState *
print(QueryDesc *query_desc, bool analyze)
{
	ExplainState *es = NewExplainState();
	int options = query_desc->instrument_options;

	es->format = EXPLAIN_FORMAT_JSON;
	es->costs = true;
	es->analyze = analyze;
	es->timing = analyze && (options & INSTRUMENT_TIMER) != 0;
	es->buffers = analyze && (options & INSTRUMENT_BUFFERS) != 0;
	ExplainBeginOutput(es);
	ExplainPrintPlan(es, query_desc);
	return es;
}


char *
perfkit_plan_estimate(const QueryDesc *query_desc)
{
	PlannedStmt *statement = palloc(sizeof(PlannedStmt));
	QueryDesc *copy;
	ExplainState *es;

	/* Nothing is to be compiled for what will not run. */
	*statement = *query_desc->plannedstmt;
	statement->jitFlags = PGJIT_NONE;
	copy = CreateQueryDesc(statement, query_desc->sourceText, query_desc->snapshot, InvalidSnapshot,
						   None_Receiver, query_desc->params, query_desc->queryEnv, 0);
	standard_ExecutorStart(copy, EXEC_FLAG_EXPLAIN_ONLY);
	es = print(copy, false);
	ExplainEndOutput(es);
	standard_ExecutorEnd(copy);
	FreeQueryDesc(copy);
	return finish(es);
}


char *
perfkit_plan_actual(QueryDesc *query_desc)
{
	ExplainState *es = print(query_desc, true);

	ExplainPrintTriggers(es, query_desc);
	ExplainPrintJITSummary(es, query_desc);
	ExplainEndOutput(es);
	return finish(es);
}


/* May visit a node twice; then the one that was saved first is put back last. */
static bool
save(PlanState *node, void *arg)
{
	Saved **list = arg;

	if (node == NULL)
		return false;
	if (node->instrument != NULL)
	{
		Saved *saved = palloc(sizeof(Saved));

		saved->of = node->instrument;
		saved->value = *node->instrument;
		saved->next = *list;
		*list = saved;
	}
	return planstate_tree_walker(node, save, arg);
}


char *
perfkit_plan_partial(QueryDesc *query_desc)
{
	Saved *list = NULL;
	ExplainState *volatile es = NULL;

	(void) save(query_desc->planstate, &list);
	PG_TRY();
	{
		es = print(query_desc, true);
	}
	PG_FINALLY();
	{
		for (const Saved *saved = list; saved != NULL; saved = saved->next)
			*saved->of = saved->value;
	}
	PG_END_TRY();
	ExplainEndOutput(es);
	return finish(es);
}
