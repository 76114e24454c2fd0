/*-------------------------------------------------------------------------
 * ruled.c
 *	  The execution that statements made by rules have in common.
 *
 * R1  PostgreSQL runs the statements of a portal one after the other, in one go:
 *     there is at most one such execution, it is whole (capture.c, C3), and open
 *     from the first hook of the first to the last hook of the last.
 * R2  In between it belongs to no QueryDesc.  If an error comes then, emit_log_hook
 *     finds it; if nobody has heard of the error, the next statement sweeps it.
 *-------------------------------------------------------------------------
 */
#include "ruled.h"

#include "capture.h"
#include "tcop/tcopprot.h"

typedef struct Ruled
{
	PerfkitExecution *e;       /* NULL: not looked at */
	const PlannedStmt *stands; /* for the whole; the portal's, as the next */
	const PlannedStmt *last;
	bool aside;         /* what runs does not stand for it */
	QueryDesc end_desc; /* the last one's, but for the plan */

	/* what one aside must not change */
	int64 rows;
	int workers_planned;
	int workers_launched;
	bool has_jit;
	PerfkitJit jit;
} Ruled;

static Ruled ruled;


static bool
is_utility(const PlannedStmt *statement)
{
	return statement->utilityStmt != NULL;
}


/* The one that stands for all of them. */
static const PlannedStmt *
find_standing(List *statements)
{
	const PlannedStmt *first = NULL;
	ListCell *lc;

	foreach (lc, statements)
	{
		const PlannedStmt *statement = lfirst_node(PlannedStmt, lc);

		if (statement->canSetTag)
			return statement;
		if (first == NULL || (is_utility(first) && !is_utility(statement)))
			first = statement;
	}
	return first;
}


/* The first and the last of the executor's. */
static void
find_ends(List *statements, const PlannedStmt **first, const PlannedStmt **last)
{
	ListCell *lc;

	*first = *last = NULL;
	foreach (lc, statements)
	{
		const PlannedStmt *statement = lfirst_node(PlannedStmt, lc);

		if (is_utility(statement))
			continue;
		if (*first == NULL)
			*first = statement;
		*last = statement;
	}
}


bool
perfkit_ruled_stands(const PlannedStmt *statement)
{
	const PlannedStmt *first;
	const PlannedStmt *last;

	if (perfkit_nesting > 0 || ActivePortal == NULL ||
		!list_member_ptr(ActivePortal->stmts, statement))
		return false;
	if (is_utility(statement))
		return find_standing(ActivePortal->stmts) == statement;

	/* What has come to its first part is opened, whichever stands for it. */
	find_ends(ActivePortal->stmts, &first, &last);
	return first == statement;
}


bool
perfkit_ruled_utility(const PlannedStmt *statement)
{
	return perfkit_nesting == 0 && ActivePortal != NULL && list_length(ActivePortal->stmts) > 1 &&
		   list_member_ptr(ActivePortal->stmts, statement);
}


/* Remembers what is to be as it is when this one has ended. */
static void
part_begins(PerfkitExecution *e, const PlannedStmt *statement)
{
	ruled.aside = statement != ruled.stands;
	ruled.rows = e->rows;
	ruled.workers_planned = e->workers_planned;
	ruled.workers_launched = e->workers_launched;
	ruled.has_jit = e->has_jit;
	if (e->has_jit)
		ruled.jit = e->jit;
}


static void
part_ends(PerfkitExecution *e)
{
	/* What has put something else in its place tells the client of no rows. */
	if (ruled.aside || !ruled.stands->canSetTag)
		e->rows = ruled.rows;
	if (!ruled.aside)
		return;
	ruled.aside = false;
	e->workers_planned = ruled.workers_planned;
	e->workers_launched = ruled.workers_launched;
	e->has_jit = ruled.has_jit;
	if (e->has_jit)
		e->jit = ruled.jit;
}


/* R1, R2 */
static bool
is_between(const PerfkitExecution *e)
{
	return e != NULL && e->state == PERFKIT_SLOT_OPEN && e->ruled && e->query_desc == NULL;
}


bool
perfkit_ruled_goes_on(QueryDesc *query_desc, PerfkitExecution **e)
{
	const PlannedStmt *statement = query_desc->plannedstmt;
	const PlannedStmt *first;
	const PlannedStmt *last;
	int64 now_ns;

	if (!list_member_ptr(ActivePortal->stmts, statement))
		return false;
	find_ends(ActivePortal->stmts, &first, &last);
	if (statement == first)
	{
		ruled.e = NULL;
		return false;
	}
	*e = is_between(ruled.e) ? ruled.e : NULL;
	if (*e == NULL)
		return true;

	/* As for others, what its start reads for itself is not counted. */
	now_ns = perfkit_clock_ns();
	perfkit_execution_end_segment(*e, now_ns);
	perfkit_execution_add_usage(*e);
	perfkit_execution_resume_segment(*e, now_ns);
	(*e)->query_desc = query_desc;
	part_begins(*e, statement);
	return true;
}


/* Where it stands in the message: actions of rules do not know. */
static void
set_place(PerfkitExecution *e)
{
	e->location = ruled.stands->stmt_location;
	e->length = ruled.stands->stmt_len;
	if (e->location >= 0)
		return;
	e->length = 0;

	/* The last one analyzed in a simple Query is the one that runs; others come alone. */
	if (e->simple && e->in_message)
	{
		e->location = perfkit_last.location;
		e->length = perfkit_last.length;
	}
}


void
perfkit_ruled_begin(PerfkitExecution *e, const QueryDesc *query_desc)
{
	const PlannedStmt *first;

	if (!list_member_ptr(ActivePortal->stmts, query_desc->plannedstmt))
		return;
	ruled.e = e;
	ruled.stands = find_standing(ActivePortal->stmts);
	find_ends(ActivePortal->stmts, &first, &ruled.last);
	e->ruled = true;
	e->tag = ActivePortal->commandTag;
	set_place(e);
	part_begins(e, query_desc->plannedstmt);
}


bool
perfkit_ruled_aside(const PerfkitExecution *e, const QueryDesc *query_desc)
{
	return e->ruled && query_desc->plannedstmt != ruled.stands;
}


QueryDesc *
perfkit_ruled_end(PerfkitExecution *e, QueryDesc *query_desc)
{
	part_ends(e);
	e->live = false;
	if (query_desc->plannedstmt != ruled.last)
		return NULL;
	if (query_desc->plannedstmt == ruled.stands)
		return query_desc;
	ruled.end_desc = *query_desc;
	ruled.end_desc.plannedstmt = unconstify(PlannedStmt *, ruled.stands);
	return &ruled.end_desc;
}


void
perfkit_ruled_failed(PerfkitExecution *e)
{
	/* Else the plan's number would be that of the one aside. */
	if (ruled.aside)
		e->query_desc = NULL;
	part_ends(e);
}
