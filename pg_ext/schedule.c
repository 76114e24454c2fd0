/*-------------------------------------------------------------------------
 * schedule.c
 *	  The table of schedules and the heap of their due times.
 *
 * D1  An entry is in the heap exactly if it is due at some time, and then under
 *     the smaller of slot_due and retry_at.
 * D3  Entries live as long as they are scheduled, run or are asked for; only
 *     merge removes any, and renews every pointer to them.
 * D4  What waits for what has no circles: views can read from each other in one
 *     (through a plain view that was replaced), and would wait for ever.
 *-------------------------------------------------------------------------
 */
#include "schedule.h"

#include "guc.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "book.h"
#include "due.h"

/* What was scheduled longer ago than this before it was heard of comes from a dump. */
#define RESTORED_US USECS_PER_MINUTE

static HTAB *schedules = NULL;
static pairingheap *heap = NULL;


TimestampTz
perfkit_schedule_clock(void)
{
	return GetCurrentTimestamp() + perfkit_refresh_clock_offset * USECS_PER_SEC;
}


/* ---------------------------------------------------------------- the heap */

/* pairingheap keeps the largest on top. */
static int
later_first(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	TimestampTz due_a = pairingheap_const_container(PerfkitSchedule, node, a)->due;
	TimestampTz due_b = pairingheap_const_container(PerfkitSchedule, node, b)->due;

	return due_a < due_b ? 1 : due_a > due_b ? -1 : 0;
}


static void
leave_heap(PerfkitSchedule *s)
{
	if (s->in_heap)
		pairingheap_remove(heap, &s->node);
	s->in_heap = false;
}


void
perfkit_schedule_place(PerfkitSchedule *s)
{
	leave_heap(s);
	s->due = Min(s->slot_due, s->retry_at);
	if (s->due == PERFKIT_NEVER)
		return;
	pairingheap_add(heap, &s->node);
	s->in_heap = true;
}


static PerfkitSchedule *
first(void)
{
	if (heap == NULL || pairingheap_is_empty(heap))
		return NULL;
	return pairingheap_container(PerfkitSchedule, node, pairingheap_first(heap));
}


PerfkitSchedule *
perfkit_schedule_pop_due(TimestampTz now)
{
	PerfkitSchedule *s = first();

	if (s == NULL || s->due > now)
		return NULL;
	leave_heap(s);
	return s;
}


TimestampTz
perfkit_schedule_first_due(void)
{
	PerfkitSchedule *s = first();

	return s != NULL ? s->due : PERFKIT_NEVER;
}


/* ---------------------------------------------------------------- what it is */

bool
perfkit_schedule_active(const PerfkitSchedule *s)
{
	return !s->gone && s->plan.enabled && !s->plan.unreadable && s->past.suspended_at == 0;
}


bool
perfkit_schedule_on_change(const PerfkitSchedule *s)
{
	return s->plan.lag_us == 0 && s->plan.timetable.cron.kind == PERFKIT_CRON_ON_CHANGE;
}


bool
perfkit_schedule_counted(const PerfkitSchedule *s)
{
	return s->plan.lag_us > 0 || s->plan.timetable.cron.kind == PERFKIT_CRON_AFTER ||
		   s->plan.timetable.cron.kind == PERFKIT_CRON_ON_CHANGE;
}


/* ---------------------------------------------------------------- the table */

static void
make_table(void)
{
	HASHCTL control = {
		.keysize = sizeof(int64), .entrysize = sizeof(PerfkitSchedule), .hcxt = TopMemoryContext};
	MemoryContext old;

	if (schedules != NULL)
		return;
	schedules =
		hash_create("perfkit schedules", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	old = MemoryContextSwitchTo(TopMemoryContext);
	heap = pairingheap_allocate(later_first, NULL);
	MemoryContextSwitchTo(old);
}


static PerfkitSchedule *
enter(int64 key, bool *found)
{
	PerfkitSchedule *s;

	make_table();
	s = hash_search(schedules, &key, HASH_ENTER, found);
	if (*found)
		return s;
	memset(s, 0, sizeof(*s));
	s->key = key;
	s->past.duration_ms = -1;
	s->slot = s->slot_due = s->retry_at = s->due = s->deadline = PERFKIT_NEVER;
	return s;
}


/* In the table? Then the entry; by the view's OID, since requests are for views. */
PerfkitSchedule *
perfkit_schedule_of_view(Oid view)
{
	HASH_SEQ_STATUS status;
	PerfkitSchedule *s;

	make_table();
	hash_seq_init(&status, schedules);
	while ((s = hash_seq_search(&status)) != NULL)
	{
		if (s->plan.view != view)
			continue;
		hash_seq_term(&status);
		return s;
	}
	return NULL;
}


PerfkitSchedule *
perfkit_schedule_make(const PerfkitPlan *plan)
{
	bool found;
	PerfkitSchedule *s = enter(-(int64) plan->view, &found);

	s->plan = *plan;
	s->gone = true;
	return s;
}


void
perfkit_schedule_each(void (*step)(PerfkitSchedule *s, void *arg), void *arg)
{
	HASH_SEQ_STATUS status;
	PerfkitSchedule *s;

	make_table();
	hash_seq_init(&status, schedules);
	while ((s = hash_seq_search(&status)) != NULL)
		step(s, arg);
}


/* Written by hand, or for another server's zones: it stays as it is, and does not run by itself. */
static void
tell_unreadable(PerfkitSchedule *s)
{
	if (s->plan.unreadable && !s->unreadable_told)
		ereport(WARNING, (errmsg("perfkit: the schedule of materialized view %s cannot be read",
								 perfkit_schedule_view_name(s)),
						  errdetail("Its text or its time zone is not known here."),
						  errhint("Give it another with perfkit.alter_refresh().")));
	s->unreadable_told = s->plan.unreadable;
}


/* A row that is known already: what has changed about it? */
static void
renew(PerfkitSchedule *s, const PerfkitBookRow *row, TimestampTz now)
{
	bool changed = s->plan.changed_at != row->plan.changed_at;
	bool switched = s->plan.enabled != row->plan.enabled;

	if (s->plan.view != row->plan.view)
	{
		s->past.duration_ms = -1;
		s->missing_told = false;
		perfkit_unchanged_forget(s);
	}
	s->plan = row->plan;
	tell_unreadable(s);
	if (changed)
	{
		s->since = Min(s->plan.changed_at, now);
		s->past.failures = 0;
		s->past.suspended_at = 0;
		s->past.failed = false;
		s->retry_at = PERFKIT_NEVER;
	}
	if (switched && !s->plan.enabled)
	{
		s->retry_at = PERFKIT_NEVER;
		s->queued = false;
		if (s->ready && s->wanted.run_id == 0)
			s->ready = false;
	}
	if (changed || switched)
		perfkit_due_plan_after(s, now);
}


static void
begin_merge(PerfkitSchedule *s, void *arg)
{
	s->gone = true;
	s->walk = PERFKIT_WALK_NEW;
	list_free(s->upstream);
	s->upstream = NIL;
}


/* What has no row any more finishes what it is doing, and is forgotten. */
static void
forget_gone(void)
{
	HASH_SEQ_STATUS status;
	PerfkitSchedule *s;

	hash_seq_init(&status, schedules);
	while ((s = hash_seq_search(&status)) != NULL)
	{
		if (!s->gone)
			continue;
		s->slot = s->slot_due = s->retry_at = PERFKIT_NEVER;
		s->queued = false;
		perfkit_schedule_place(s);
		if (s->seat != NULL || s->requests != NIL || (s->ready && s->wanted.run_id != 0))
			continue;
		perfkit_unchanged_forget(s);
		hash_search(schedules, &s->key, HASH_REMOVE, NULL);
	}
}


static void
merge_row(const PerfkitBookRow *row, TimestampTz now, bool starting)
{
	bool found;
	PerfkitSchedule *s = enter(row->plan.id, &found);

	s->gone = false;
	if (found)
	{
		renew(s, row, now);
		return;
	}
	s->plan = row->plan;
	s->past = row->past;
	s->since = Min(s->plan.changed_at, now);
	tell_unreadable(s);
	perfkit_due_plan_first(s, now, starting || now - s->since > RESTORED_US);
}


/* To find schedules by their views. */
typedef struct ViewEntry
{
	Oid view;
	PerfkitSchedule *schedule;
} ViewEntry;


static int
by_view(const void *a, const void *b)
{
	Oid view_a = ((const ViewEntry *) a)->view;
	Oid view_b = ((const ViewEntry *) b)->view;

	return view_a < view_b ? -1 : view_a > view_b ? 1 : 0;
}


static PerfkitSchedule *
find_view(const ViewEntry *sorted, int n, Oid view)
{
	ViewEntry key = {.view = view};
	const ViewEntry *found = bsearch(&key, sorted, n, sizeof(ViewEntry), by_view);

	return found != NULL ? found->schedule : NULL;
}


/* D4: what leads back to somebody on the way is left out. */
static void
cut_circles(PerfkitSchedule *s)
{
	ListCell *lc;

	s->walk = PERFKIT_WALK_ON_THE_WAY;
	foreach (lc, s->upstream)
	{
		PerfkitSchedule *u = lfirst(lc);

		if (u->walk == PERFKIT_WALK_NEW)
			cut_circles(u);
		else if (u->walk == PERFKIT_WALK_ON_THE_WAY)
			s->upstream = foreach_delete_current(s->upstream, lc);
	}
	s->walk = PERFKIT_WALK_DONE;
}


void
perfkit_schedule_link(List *edges)
{
	int n = 0;
	ViewEntry *sorted = palloc(sizeof(ViewEntry) * (hash_get_num_entries(schedules) + 1));
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	HASH_SEQ_STATUS status;
	PerfkitSchedule *s;
	ListCell *lc;

	hash_seq_init(&status, schedules);
	while ((s = hash_seq_search(&status)) != NULL)
		sorted[n++] = (ViewEntry){.view = s->plan.view, .schedule = s};
	qsort(sorted, n, sizeof(ViewEntry), by_view);
	foreach (lc, edges)
	{
		const PerfkitBookEdge *edge = lfirst(lc);
		PerfkitSchedule *reader = find_view(sorted, n, edge->view);
		PerfkitSchedule *read = find_view(sorted, n, edge->upstream);

		if (reader != NULL && read != NULL && reader != read)
			reader->upstream = lappend(reader->upstream, read);
	}
	for (int i = 0; i < n; i++)
	{
		if (sorted[i].schedule->walk == PERFKIT_WALK_NEW)
			cut_circles(sorted[i].schedule);
	}
	MemoryContextSwitchTo(old);
	pfree(sorted);
}


void
perfkit_schedule_merge(List *rows, TimestampTz now, bool starting)
{
	ListCell *lc;

	make_table();
	perfkit_schedule_each(begin_merge, NULL);
	foreach (lc, rows)
		merge_row(lfirst(lc), now, starting);
	forget_gone();
}


char *
perfkit_schedule_view_name(const PerfkitSchedule *s)
{
	return quote_qualified_identifier(NameStr(s->plan.schema), NameStr(s->plan.name));
}
