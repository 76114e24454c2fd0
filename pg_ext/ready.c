/*-------------------------------------------------------------------------
 * ready.c
 *	  From due to begun.
 *
 * Y1  A row says 'running' before there is a worker: whatever dies, the next
 *     worker of the database finds it, and the seat, or marks it as crashed.
 * Y2  The next slot is planned before anything is done about this one.
 *-------------------------------------------------------------------------
 */
#include "ready.h"

#include "book.h"
#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "refresh.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define NO_WORKER_MIN_MS 1000
#define NO_WORKER_MAX_MS (60 * 1000)
#define PUT_OFF_US USECS_PER_MINUTE
#define TELL_SKIP_AGAIN_US USECS_PER_HOUR

typedef enum Start
{
	START_DONE, /* begun, or given up for good */
	START_WAITS,
	START_FULL /* and so will all others have to */
} Start;

static List *ready = NIL; /* of PerfkitSchedule *, all with ->ready */

/* while no background worker is free */
static TimestampTz no_worker_until = 0;
static int no_worker_ms = 0;


void
perfkit_ready_list(PerfkitSchedule *s)
{
	MemoryContext old;

	if (!s->ready)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	ready = list_append_unique_ptr(ready, s);
	MemoryContextSwitchTo(old);
}


void
perfkit_ready_forget(void)
{
	list_free(ready);
	ready = NIL;
}


static void
make_ready(PerfkitSchedule *s, const PerfkitRun *run)
{
	s->ready = true;
	s->wanted = *run;
	perfkit_ready_list(s);
}


/* It was wanted and did not run: what is counted from its last run is counted from now. */
static void
not_run(PerfkitSchedule *s, TimestampTz now)
{
	if (!perfkit_schedule_counted(s))
		return;
	if (!perfkit_schedule_on_change(s))
		s->past.started = s->past.finished = now;
	perfkit_schedule_plan_after(s, now);
}


/* Views that are refreshed when others need them: those this one reads from. */
static void
pull_upstream(PerfkitSchedule *s)
{
	ListCell *lc;

	foreach (lc, s->upstream)
	{
		PerfkitSchedule *u = lfirst(lc);
		PerfkitRun run = {.trigger = "downstream", .planned = s->wanted.planned, .attempt = 1};

		if (u->plan.timetable.cron.kind != PERFKIT_CRON_DOWNSTREAM || u->plan.lag_us > 0 ||
			!perfkit_schedule_active(u) || u->ready || u->seat != NULL ||
			u->past.planned >= run.planned)
			continue;
		make_ready(u, &run);
		pull_upstream(u);
	}
}


static void
overlap(PerfkitSchedule *s, const PerfkitRun *run)
{
	if (s->plan.queue)
	{
		s->queued = true;
		s->queued_slot = run->planned;
		return;
	}
	if (s->overlap_told)
		return;
	s->overlap_told = true;
	perfkit_book_skip(s, run, "skipped_overlap",
					  "the last run is still going on; further ones are skipped without a row");
}


void
perfkit_ready_want(PerfkitSchedule *s, const PerfkitRun *run)
{
	if (s->ready)
		return;
	if (s->seat != NULL)
	{
		overlap(s, run);
		return;
	}
	make_ready(s, run);
	pull_upstream(s);
}


void
perfkit_ready_want_request(PerfkitSchedule *s)
{
	PerfkitRequest *request;
	PerfkitRun run = {.trigger = "manual", .planned = perfkit_schedule_clock(), .attempt = 1};

	if (s->ready || s->seat != NULL || s->requests == NIL)
		return;
	request = linitial(s->requests);
	s->requests = list_delete_first(s->requests);
	run.run_id = request->run_id;
	run.batch = request->batch;
	pfree(request);
	make_ready(s, &run);
}


/* Y2 */
void
perfkit_ready_fire(PerfkitSchedule *s, TimestampTz now)
{
	PerfkitRun run = {.trigger = "schedule", .planned = s->slot, .attempt = 1};

	if (s->retry_at < s->slot_due)
	{
		run = s->run;
		run.trigger = "retry";
		run.run_id = 0;
		run.attempt++;
		s->retry_at = PERFKIT_NEVER;
		perfkit_schedule_place(s);
		perfkit_ready_want(s, &run);
		return;
	}
	if (s->missed)
		run.trigger = "catch_up";
	else if (s->plan.lag_us > 0)
		run.trigger = "target_lag";
	else if (perfkit_schedule_on_change(s))
		run.trigger = "change";
	s->retry_at = PERFKIT_NEVER;
	if (perfkit_schedule_counted(s))
	{
		s->slot = s->slot_due = PERFKIT_NEVER;
		s->missed = false;
		perfkit_schedule_place(s);
	}
	else
		perfkit_schedule_plan_after(s, Max(s->slot, now));
	perfkit_ready_want(s, &run);
}


/* ---------------------------------------------------------------- starting it */

/*
 * What it reads from comes first.  A refresh_now() of one view alone waits for nobody; a
 * cascade for the members of its batch.
 */
static bool
waits_for_upstream(const PerfkitSchedule *s)
{
	ListCell *lc;

	foreach (lc, s->upstream)
	{
		const PerfkitSchedule *u = lfirst(lc);
		int64 batch = u->ready ? u->wanted.batch : u->run.batch;

		if ((u->ready || u->seat != NULL) && (s->wanted.run_id == 0 || batch == s->wanted.batch))
			return true;
	}
	return false;
}


static const PerfkitSchedule *
failed_upstream(const PerfkitSchedule *s)
{
	ListCell *lc;

	foreach (lc, s->upstream)
	{
		const PerfkitSchedule *u = lfirst(lc);

		if (!u->past.failed)
			continue;
		if (s->wanted.run_id != 0 ? u->run.batch == s->wanted.batch
								  : !s->plan.run_after_failed_upstream && !u->gone)
			return u;
	}
	return NULL;
}


static void
skip_for_upstream(PerfkitSchedule *s, const PerfkitSchedule *failed, TimestampTz now)
{
	s->ready = false;
	s->past.failed = true;
	s->past.planned = s->wanted.planned;
	s->run = s->wanted;
	not_run(s, now);
	perfkit_book_skip(
		s, &s->wanted, "skipped_upstream",
		psprintf("the last refresh of %s did not succeed", perfkit_schedule_view_name(failed)));
}


/*
 * It cannot be begun now: the others' turn, and it is tried again in a while.  A request is
 * read again with the next load.
 */
static void
put_off(PerfkitSchedule *s, TimestampTz now)
{
	s->ready = false;
	if (s->wanted.run_id != 0)
		return;
	s->run = s->wanted;
	s->retry_at = now + PUT_OFF_US;
	perfkit_schedule_place(s);
}


/* Of skips one after the other the first has a row, and then one an hour; a look has none. */
static void
skip_unchanged(PerfkitSchedule *s, TimestampTz now)
{
	PerfkitSeen *seen = &s->seen;
	bool told = seen->skip_told != 0 && now >= seen->skip_told &&
				now - seen->skip_told < TELL_SKIP_AGAIN_US;

	s->ready = false;
	s->past.planned = s->wanted.planned;
	s->run = s->wanted;
	not_run(s, now);
	if (told || perfkit_schedule_on_change(s))
		return;
	seen->skip_told = now;
	perfkit_book_skip(s, &s->wanted, "skipped_unchanged",
					  "nothing that it reads has changed; further skips of this kind have a row "
					  "once an hour");
}


/* Whether it can be left out; what it would have seen is remembered for the one that runs. */
static bool
is_unchanged(PerfkitSchedule *s, TimestampTz now)
{
	volatile bool unchanged = false;

	if (!perfkit_unchanged_asked(s))
		return false;
	PG_TRY();
	{
		unchanged = perfkit_unchanged_look(s, now);
	}
	PG_CATCH();
	{
		put_off(s, now);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return unchanged && s->wanted.run_id == 0;
}


/* There is no such view (now). */
static void
missing(PerfkitSchedule *s, TimestampTz now)
{
	char *name = perfkit_schedule_view_name(s);

	s->ready = false;
	s->plan.view = InvalidOid;
	not_run(s, now);
	if (!s->missing_told)
		ereport(WARNING, (errmsg("perfkit: there is no materialized view %s to refresh", name)));
	s->missing_told = true;
	if (s->wanted.run_id != 0)
		perfkit_book_skip(s, &s->wanted, "failed", "there is no such materialized view");
}


static void
no_worker(PerfkitDatabase *db, TimestampTz now)
{
	no_worker_ms = no_worker_ms == 0 ? NO_WORKER_MIN_MS : Min(no_worker_ms * 2, NO_WORKER_MAX_MS);
	no_worker_until = now + no_worker_ms * INT64CONST(1000);
	perfkit_count(db, PERFKIT_REFRESH_NO_WORKER, 1);
	if (no_worker_ms == NO_WORKER_MIN_MS)
		ereport(WARNING,
				(errmsg("perfkit: no background worker is free, refreshes of materialized views "
						"wait"),
				 errhint("Raise max_worker_processes (now %d), or lower "
						 "perfkit.max_refresh_workers (now %d).",
						 max_worker_processes, perfkit_max_refresh_workers)));
}


static void
fill_order(PerfkitRefreshOrder *order, const PerfkitSchedule *s, const PerfkitRun *run)
{
	order->run_id = run->run_id;
	order->owner = s->plan.owner;
	order->view = s->plan.view;
	order->method = s->plan.method;
	order->fallback = s->plan.fallback;
	order->after_action = s->plan.after_action;
	order->lock_timeout_ms = s->plan.lock_timeout_ms;
	order->statement_timeout_ms = s->plan.statement_timeout_ms;
	order->last_run_ms = s->past.duration_ms;
}


/* The row, then the worker (Y1).  False when there is no process for it. */
static bool
begin_run(PerfkitSchedule *s, PerfkitSeat *seat, TimestampTz now)
{
	MemoryContext old;
	PerfkitRun run = s->wanted;
	volatile bool found = false;

	PG_TRY();
	{
		found = perfkit_book_begin(s, &run);
	}
	PG_CATCH();
	{
		perfkit_seat_free(seat);
		put_off(s, now);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!found)
	{
		perfkit_seat_free(seat);
		missing(s, now);
		return true;
	}
	fill_order(&seat->order, s, &run);
	old = MemoryContextSwitchTo(TopMemoryContext);
	s->handle = perfkit_refresh_start(seat);
	MemoryContextSwitchTo(old);
	if (s->handle == NULL)
	{
		perfkit_seat_free(seat);
		perfkit_book_undo(run.run_id);
		return false;
	}
	s->ready = false;
	s->seat = seat;
	s->run = run;
	s->seen.skip_told = 0;
	s->past.started = now;
	s->deadline = s->plan.max_runtime_us > 0 ? now + s->plan.max_runtime_us : PERFKIT_NEVER;
	s->end_tries = 0;
	s->overdue = s->settled = s->pid_told = s->overlap_told = s->missing_told = false;
	s->due_told = s->due;
	return true;
}


static Start
try_start(PerfkitDatabase *db, PerfkitSchedule *s, TimestampTz now)
{
	const PerfkitSchedule *failed;
	PerfkitRefreshOrder order = {0};
	PerfkitSeat *seat;

	if (s->wanted.run_id == 0 && !perfkit_schedule_active(s))
	{
		s->ready = false;
		return START_DONE;
	}
	if (waits_for_upstream(s))
		return START_WAITS;
	failed = failed_upstream(s);
	if (failed != NULL)
	{
		skip_for_upstream(s, failed, now);
		return START_DONE;
	}
	if (now < no_worker_until)
		return START_FULL;
	if (is_unchanged(s, now))
	{
		skip_unchanged(s, now);
		return START_DONE;
	}
	fill_order(&order, s, &s->wanted);
	seat = perfkit_seat_reserve(&order);
	if (seat == NULL)
		return START_FULL;
	if (begin_run(s, seat, now))
	{
		no_worker_ms = 0;
		return START_DONE;
	}
	no_worker(db, now);
	return START_FULL;
}


/* What is more important first, then what was planned earlier. */
static int
by_urgency(const ListCell *a, const ListCell *b)
{
	const PerfkitSchedule *s = lfirst(a);
	const PerfkitSchedule *t = lfirst(b);

	if (s->plan.priority != t->plan.priority)
		return s->plan.priority > t->plan.priority ? -1 : 1;
	if (s->wanted.planned != t->wanted.planned)
		return s->wanted.planned < t->wanted.planned ? -1 : 1;
	return s->key < t->key ? -1 : s->key > t->key ? 1 : 0;
}


/* One pass; true when something has changed that others may have waited for. */
static bool
start_some(PerfkitDatabase *db, TimestampTz now, void (*begun)(PerfkitSchedule *s))
{
	bool progress = false;
	List *waiting = NIL;
	MemoryContext old;
	ListCell *lc;

	list_sort(ready, by_urgency);
	foreach (lc, ready)
	{
		PerfkitSchedule *s = lfirst(lc);
		Start start = s->ready ? try_start(db, s, now) : START_WAITS;

		if (start == START_FULL)
			break;
		if (start == START_DONE && s->seat != NULL)
			begun(s);
		progress |= start == START_DONE;
	}
	old = MemoryContextSwitchTo(TopMemoryContext);
	foreach (lc, ready)
	{
		if (((PerfkitSchedule *) lfirst(lc))->ready)
			waiting = lappend(waiting, lfirst(lc));
	}
	MemoryContextSwitchTo(old);
	list_free(ready);
	ready = waiting;
	return progress && ready != NIL;
}


void
perfkit_ready_start(PerfkitDatabase *db, TimestampTz now, void (*begun)(PerfkitSchedule *s))
{
	while (start_some(db, now, begun))
		;
}


TimestampTz
perfkit_ready_retry_at(void)
{
	return ready != NIL && no_worker_ms > 0 ? no_worker_until : PERFKIT_NEVER;
}


void
perfkit_ready_set_back(void)
{
	no_worker_until = 0;
}
