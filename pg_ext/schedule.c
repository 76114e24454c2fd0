/*-------------------------------------------------------------------------
 * schedule.c
 *	  The table of schedules and the heap of their due times.
 *
 * D1  An entry is in the heap exactly if it is due at some time, and then under
 *     the smaller of slot_due and retry_at.
 * D2  The slot after a run comes from the timetable and the slot before, or from
 *     now if that is later: however late a run is, the next is on time, and no
 *     backlog grows.
 * D3  Entries live as long as they are scheduled, run or are asked for; only
 *     merge removes any, and renews every pointer to them.
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

/* A clock set back by less than this is summer time or a correction by hand: cron.h. */
#define CORRECTION_US (3 * USECS_PER_HOUR)

/* Between two looks of a schedule on change. */
#define LOOK_MIN_US USECS_PER_SEC
#define LOOK_MAX_US (10 * USECS_PER_SEC)

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


/* ---------------------------------------------------------------- slots */

bool
perfkit_schedule_active(const PerfkitSchedule *s)
{
	return !s->gone && s->plan.enabled && s->past.suspended_at == 0;
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


/* The next look whether anything has changed: often enough, but no sooner than it may run. */
static TimestampTz
look_slot(const PerfkitSchedule *s, TimestampTz after)
{
	int64 interval = s->plan.min_interval_us > 0 ? s->plan.min_interval_us : LOOK_MAX_US;
	int64 pause = Min(Max(interval, LOOK_MIN_US), LOOK_MAX_US);
	/* an eighth earlier or later, so that many drift apart */
	TimestampTz look =
		after + pause - pause / 8 + perfkit_cron_spread(s->plan.id, after, pause / 4);

	/* Neither run nor looked at since it was scheduled. */
	if (Max(s->past.started, s->past.planned) < s->plan.changed_at)
		return s->plan.changed_at;
	return Max(look, s->past.started + interval);
}


/* So early that a run as long as twice the last one is over before the view is too old. */
static TimestampTz
lag_slot(const PerfkitSchedule *s)
{
	int64 run_us = s->past.duration_ms > 0 ? (int64) (s->past.duration_ms * 2000) : 0;

	if (s->past.started < s->plan.changed_at)
		return s->plan.changed_at;
	return s->past.started + Max(s->plan.lag_us / 2, s->plan.lag_us - run_us);
}


static TimestampTz
slot_after(const PerfkitSchedule *s, TimestampTz after)
{
	TimestampTz slot;
	bool running = s->seat != NULL && !s->settled;

	if (!perfkit_schedule_active(s))
		return PERFKIT_NEVER;
	if (s->plan.lag_us > 0)
		return running ? PERFKIT_NEVER : lag_slot(s);
	if (perfkit_schedule_on_change(s))
		return running ? PERFKIT_NEVER : look_slot(s, after);
	if (s->plan.timetable.cron.kind == PERFKIT_CRON_AFTER)
	{
		if (running)
			return PERFKIT_NEVER;
		after = Max(s->past.finished, s->plan.changed_at);
	}
	return perfkit_timetable_next(&s->plan.timetable, after, &slot) ? slot : PERFKIT_NEVER;
}


void
perfkit_schedule_plan_after(PerfkitSchedule *s, TimestampTz after)
{
	s->slot = slot_after(s, after);
	s->slot_due = s->slot;
	s->missed = false;
	if (s->slot != PERFKIT_NEVER)
		s->slot_due += perfkit_cron_spread(s->plan.id, s->slot, s->plan.jitter_us);
	perfkit_schedule_place(s);
}


/*
 * The first planning.  A slot since the last run, or since it was scheduled, is made up for now;
 * after a start of the worker, when that is many schedules at once, as they want it.
 */
static void
plan_first(PerfkitSchedule *s, TimestampTz now, bool starting)
{
	TimestampTz missed = slot_after(s, Max(s->past.planned, s->plan.changed_at));
	TimestampTz following;
	int64 window;

	perfkit_schedule_plan_after(s, now);
	if (missed == PERFKIT_NEVER || missed > now)
		return;
	following = s->slot > now ? s->slot : PERFKIT_NEVER;
	if (starting && !s->plan.catch_up && following != PERFKIT_NEVER)
		return;

	/* Spread, but not beyond the next slot. */
	window = starting ? Min(s->plan.start_window_us, following - now) : 0;
	s->slot = missed;
	s->missed = starting;
	s->slot_due = now + perfkit_cron_spread(s->plan.id, missed, window);
	perfkit_schedule_place(s);
}


typedef struct SetBack
{
	TimestampTz now;
	int64 by_us;
} SetBack;

/* Small steps back: fixed times that have had their run do not get a second one. */
static void
set_back_one(PerfkitSchedule *s, void *arg)
{
	const SetBack *back = arg;
	TimestampTz after = back->now;

	if (s->slot == PERFKIT_NEVER)
		return;
	if (s->plan.timetable.cron.kind == PERFKIT_CRON_FIELDS && s->plan.timetable.cron.fixed &&
		back->by_us < CORRECTION_US)
		after = Max(after, s->past.planned);
	if (s->past.started > back->now)
		s->past.started = s->past.finished = back->now;
	perfkit_schedule_plan_after(s, after);
}


void
perfkit_schedule_set_back(TimestampTz now, int64 by_us)
{
	SetBack back = {.now = now, .by_us = by_us};

	perfkit_schedule_each(set_back_one, &back);
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
	if (changed)
	{
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
		perfkit_schedule_plan_after(s, now);
}


static void
begin_merge(PerfkitSchedule *s, void *arg)
{
	s->gone = true;
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
	plan_first(s, now, starting);
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
	ViewEntry *found = bsearch(&key, sorted, n, sizeof(ViewEntry), by_view);

	return found != NULL ? found->schedule : NULL;
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
