/*-------------------------------------------------------------------------
 * content.c
 *	  Taking and keeping of what a statement was executed with.
 *
 * Bind values are written into one static buffer and copied, so that an
 * execution holds no more than it has.  A plan is printed in the memory of the
 * guard and copied when it is whole.
 *-------------------------------------------------------------------------
 */
#include "content.h"

#include "guard.h"
#include "guc.h"
#include "parameters.h"
#include "plan.h"
#include "planid.h"
#include "planshare.h"


/* The execution's content, made at the first call; NULL when there is no memory. */
static PerfkitContent *
content_of(PerfkitExecution *e)
{
	if (e->content == NULL)
		e->content = calloc(1, sizeof(PerfkitContent));
	return e->content;
}


static void
take_parameters(PerfkitExecution *e, bool healthy, Snapshot snapshot)
{
	static char buffer[PERFKIT_MAX_PARAMETERS_SIZE];
	PerfkitParameters p = {.out = buffer, .size = sizeof(buffer)};
	PerfkitContent *content;

	if (!perfkit_capture_parameters || e->params == NULL || e->params->numParams <= 0)
		return;
	if (e->content != NULL && e->content->has_parameters)
		return;
	perfkit_parameters_take(&p, e->params, healthy, snapshot);
	if (p.length == 0 && !p.cut)
		return;
	content = content_of(e);
	if (content == NULL)
		return;
	content->parameters = malloc(Max(p.length, 1));
	if (content->parameters == NULL)
		return;
	memcpy(content->parameters, buffer, p.length);
	content->parameters_length = p.length;
	content->parameters_cut = p.cut;
	content->has_parameters = true;
}


void
perfkit_content_take_parameters(PerfkitExecution *e, Snapshot snapshot)
{
	take_parameters(e, true, snapshot);
}


void
perfkit_content_take_failed(PerfkitExecution *e)
{
	take_parameters(e, false, InvalidSnapshot);
}


bool
perfkit_content_has_plan(const PerfkitExecution *e)
{
	return e->content != NULL && (e->content->plan != NULL || e->content->plan_cut);
}


void
perfkit_content_take_plan_id(PerfkitExecution *e, const PlannedStmt *plan)
{
	PerfkitContent *content = content_of(e);

	if (content != NULL && content->plan_id == 0)
		content->plan_id = perfkit_planid(plan).id;
}


/* One EXPLAIN. */
typedef struct Explain
{
	QueryDesc *query_desc;
	PerfkitContent *content;
	PerfkitPlanKind kind;
} Explain;


static void
keep_plan(PerfkitContent *content, const char *json, PerfkitPlanKind kind)
{
	Size length = strlen(json);
	char *plan;

	if (length > (Size) perfkit_max_plan_size)
	{
		/* An estimate taken before still tells something. */
		content->plan_cut = content->plan == NULL;
		return;
	}
	plan = malloc(length);
	if (plan == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	memcpy(plan, json, length);
	free(content->plan);
	content->plan = plan;
	content->plan_length = length;
	content->plan_kind = kind;
	content->plan_cut = false;
}


static void
explain(void *arg)
{
	const Explain *x = arg;
	const char *json;

	if (x->kind == PERFKIT_PLAN_KIND_ACTUAL)
		json = perfkit_plan_actual(x->query_desc);
	else if (x->kind == PERFKIT_PLAN_KIND_PARTIAL)
		json = perfkit_plan_partial(x->query_desc);
	else
		json = perfkit_plan_estimate(x->query_desc);
	keep_plan(x->content, json, x->kind);
}


void
perfkit_content_take_plan(PerfkitDatabase *db, PerfkitExecution *e, QueryDesc *query_desc,
						  PerfkitPlanKind kind)
{
	Explain x = {query_desc, content_of(e), kind};
	PerfkitPlanId plan;

	if (x.content == NULL)
		return;
	plan = perfkit_planid(query_desc->plannedstmt);
	x.content->plan_id = plan.id;
	if (plan.id == 0 || perfkit_capture_plan == PERFKIT_PLAN_OFF)
		return;

	/* Thousands of partitions are not worth printing only to be thrown away. */
	if (plan.nodes > perfkit_max_plan_size / PERFKIT_PLAN_NODE_SIZE)
		x.content->plan_cut = true;
	else if (!perfkit_guard_possible() || !perfkit_guard(explain, &x, query_desc->snapshot))
		perfkit_count(db, PERFKIT_EXPLAIN_FAILED, 1);
}


void
perfkit_content_free(PerfkitExecution *e)
{
	if (e->content == NULL)
		return;
	perfkit_planshare_forget(e->content);
	free(e->content->parameters);
	free(e->content->plan);
	free(e->content);
	e->content = NULL;
}
