/*-------------------------------------------------------------------------
 * nested.c
 *	  Rows of statements inside functions that no hook of theirs has seen.
 *
 *	  PL/pgSQL -> SPI -> parser: error -> error contexts: SPI names the text, we write the row
 *
 * PostgreSQL tells no hook of a text that does not parse or cannot be analyzed,
 * and a block that catches the error lets nobody see it pass.  But every error
 * asks the stack of error contexts what was going on, and SPI has put the text of
 * its statement, and the place in it, into the error before it is our turn.
 *
 * N1  Only the innermost hook answers, and only when no hook of the statement
 *     itself has begun: so nobody else writes its row.
 * N2  An error without a place in a text is not known to be of one: it is the outer
 *     statement's alone.  So are errors of deferred triggers in a commit.
 * N3  The body of a function that does not compile is such a text too, and so is
 *     an expression of PL/pgSQL that cannot be analyzed or planned.
 *-------------------------------------------------------------------------
 */
#include "nested.h"

#include "miscadmin.h"
#include "publish.h"


/* The row of a statement at this nesting, of which there is no execution. */
static PerfkitExecution *
ghost_of(const char *source, int64 begin_ns)
{
	static PerfkitExecution ghost;

	memset(&ghost, 0, sizeof(ghost));
	ghost.whole = true;
	ghost.parent = perfkit_running != NULL ? perfkit_running : perfkit_commit_of_message();
	ghost.level = perfkit_capture_level(source);
	ghost.source = source;
	ghost.userid = GetUserId();
	ghost.message = GetCurrentStatementStartTimestamp();
	ghost.tag = CMDTAG_UNKNOWN;
	ghost.rows = -1;
	ghost.workers_planned = -1;
	ghost.workers_launched = -1;
	ghost.planning_ns = -1;
	ghost.commit_ns = -1;
	ghost.active_ns = -1;
	ghost.end_ns = perfkit_clock_ns();
	ghost.begin_ns = begin_ns != 0 ? begin_ns : ghost.end_ns;
	return &ghost;
}


/* Called for every error, warning and notice below our hook. */
static void
at_error(void *arg)
{
	const PerfkitNested *n = arg;

	if (n->nesting != perfkit_nesting || getinternalerrposition() <= 0)
		return;
	perfkit_failure_unstarted(ghost_of(NULL, 0));
}


void
perfkit_nested_push(PerfkitNested *n)
{
	if (perfkit_shmem_mine() == NULL)
		return;
	n->watching = true;
	n->nesting = perfkit_nesting;
	n->callback.callback = at_error;
	n->callback.arg = n;
	n->callback.previous = error_context_stack;
	error_context_stack = &n->callback;
}


void
perfkit_nested_planning_failed(const Query *query, const char *source, int64 begin_ns)
{
	PerfkitExecution *ghost;

	/* EXPLAIN and the like plan what is a part of themselves. */
	if (perfkit_nesting == 0 || (perfkit_running != NULL && perfkit_running->source == source))
		return;
	ghost = ghost_of(source, begin_ns);
	ghost->queryid = (int64) query->queryId;
	ghost->tag = perfkit_capture_tags[query->commandType];
	ghost->location = query->stmt_location;
	ghost->length = query->stmt_len;
	perfkit_failure_unstarted(ghost);
}
