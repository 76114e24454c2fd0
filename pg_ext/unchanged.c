/*-------------------------------------------------------------------------
 * unchanged.c
 *	  The decision, from the safe side: whatever is not known is a change.
 *
 * A view is left as it is only if all of this holds: its last refresh has
 * succeeded and what it has seen is known; that is less than max_staleness ago;
 * its tables are as they were (fingerprint.h), and nobody is about to write to
 * them, unless it is on change, when what is about to be written will be the
 * change; and its content is what that refresh has made of it, for somebody may
 * have refreshed it since in a transaction that sees an older state.
 *-------------------------------------------------------------------------
 */
#include "unchanged.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "query.h"
#include "schedule.h"
#include "utils/memutils.h"


bool
perfkit_unchanged_asked(const PerfkitSchedule *s)
{
	return s->plan.skip_unchanged || perfkit_schedule_on_change(s);
}


/* Once for as long as it lasts. */
static void
tell_obstacle(PerfkitSchedule *s, const char *obstacle)
{
	if (s->seen.obstacle_told)
		return;
	s->seen.obstacle_told = true;
	ereport(WARNING, (errmsg("perfkit: whether materialized view %s has changed cannot be told",
							 perfkit_schedule_view_name(s)),
					  errdetail("%s", obstacle),
					  errhint("It is refreshed whenever it is due, as if it had.")));
}


/* The lineage that holds now, or NULL. */
static const PerfkitLineage *
lineage_of(PerfkitSchedule *s, char **obstacle)
{
	PerfkitSeen *seen = &s->seen;

	if (seen->lineage != NULL &&
		(seen->lineage->view != s->plan.view || !perfkit_lineage_stands(seen->lineage)))
		perfkit_lineage_free(&seen->lineage);
	if (seen->lineage == NULL)
		seen->lineage = perfkit_lineage_read(s->plan.view, TopMemoryContext, obstacle);
	return seen->lineage;
}


/* Fills in `before`; false when it cannot be told.  *relations: see fingerprint.h. */
static bool
read_before(PerfkitSchedule *s, List **relations)
{
	PerfkitSeen *seen = &s->seen;
	char *obstacle;
	const PerfkitLineage *lineage;

	if (!perfkit_fingerprint_content(s->plan.view, &seen->content_before))
		return false;
	lineage = lineage_of(s, &obstacle);
	if (lineage != NULL &&
		perfkit_fingerprint_read(lineage, s->plan.owner, &seen->before, relations, &obstacle))
	{
		seen->obstacle_told = false;
		return true;
	}
	tell_obstacle(s, obstacle);
	return false;
}


static bool
content_untouched(const PerfkitSeen *seen)
{
	return seen->content_before.populated &&
		   seen->content.tablespace == seen->content_before.tablespace &&
		   seen->content.file == seen->content_before.file &&
		   seen->content.changes == seen->content_before.changes;
}


static bool
too_old(const PerfkitSchedule *s, TimestampTz now)
{
	/* from a clock that was set back since nothing follows */
	return now < s->seen.since ||
		   (s->plan.max_staleness_us > 0 && now - s->seen.since >= s->plan.max_staleness_us);
}


static bool
look(PerfkitSchedule *s, TimestampTz now)
{
	PerfkitSeen *seen = &s->seen;
	List *relations;
	bool unchanged;

	perfkit_query_begin("perfkit: has anything changed?");
	seen->armed = read_before(s, &relations);
	unchanged = seen->armed && seen->known && !s->past.failed && !too_old(s, now) &&
				content_untouched(seen) &&
				perfkit_fingerprint_equal(&seen->before, &seen->fingerprint) &&
				(perfkit_schedule_on_change(s) || !perfkit_fingerprint_being_written(relations));
	perfkit_query_end();
	return unchanged;
}


/* What goes wrong with the look at one view must not keep others from theirs. */
bool
perfkit_unchanged_look(PerfkitSchedule *s, TimestampTz now)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool unchanged = false;

	s->seen.armed = false;
	PG_TRY();
	{
		unchanged = look(s, now);
	}
	PG_CATCH();
	{
		ErrorData *error;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(caller);
		s->seen.armed = false;
		tell_obstacle(s, psprintf("To look at it has failed: %s", error->message));
		FreeErrorData(error);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return unchanged;
}


void
perfkit_unchanged_keep(PerfkitSchedule *s)
{
	PerfkitSeen *seen = &s->seen;
	const PerfkitRefreshResult *r = &s->seat->result;

	/* not if the view was dropped and made again between the look and the run */
	seen->known = seen->armed && r->changes >= 0 && seen->lineage->view == s->plan.view;
	seen->armed = false;
	seen->fingerprint = seen->before;
	seen->content.tablespace = r->tablespace;
	seen->content.file = r->file;
	seen->content.changes = seen->content_before.changes + r->changes;
	seen->since = s->past.started;
}


void
perfkit_unchanged_drop(PerfkitSchedule *s)
{
	s->seen.armed = false;
}


void
perfkit_unchanged_forget(PerfkitSchedule *s)
{
	perfkit_lineage_free(&s->seen.lineage);
	memset(&s->seen, 0, sizeof(s->seen));
}
