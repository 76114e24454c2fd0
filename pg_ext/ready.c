/*-------------------------------------------------------------------------
 * ready.c
 *	  From due to begun.
 *
 * Y1  The next slot is planned before anything is done about this one.
 * Y2  A turn is short: looks for changes, and rows about what does not run, are
 *     made until TURN_US have passed, and what is left has the next turn.  A
 *     thousand looks that are due together do not hold up a run.
 *-------------------------------------------------------------------------
 */
#include "ready.h"

#include "begin.h"
#include "book.h"
#include "compat.h"
#include "due.h"
#include "execution.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define PUT_OFF_US USECS_PER_MINUTE
#define TELL_SKIP_AGAIN_US USECS_PER_HOUR
#define TURN_NS INT64CONST(20000000)

typedef enum Start
{
	START_DONE, /* begun, or given up for good */
	START_WAITS,
	START_LATER, /* there is no time for it in this turn */
	START_FULL   /* and so will all others have to wait */
} Start;

/* One call of perfkit_ready_start(). */
typedef struct Turn
{
	PerfkitDatabase *db;
	TimestampTz now;
	int64 begin_ns;
	bool used; /* one step at least has been made */
} Turn;

static List *ready = NIL; /* of PerfkitSchedule *, all with ->ready */

/* of the last pass */
static bool left_some = false;  /* the turn was over before they were through */
static bool no_process = false; /* they wait for one */
static bool no_seat = false;


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
	perfkit_due_plan_after(s, now);
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

	/* It also stands for a run that waits: who asks by hand does not wait with it. */
	if ((s->ready && s->wanted.run_id != 0) || s->seat != NULL || s->requests == NIL)
		return;
	request = linitial(s->requests);
	s->requests = list_delete_first(s->requests);
	run.run_id = request->run_id;
	run.batch = request->batch;
	pfree(request);
	make_ready(s, &run);
}


/* Y1 */
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
		perfkit_due_plan_after(s, Max(s->slot, now));
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


static bool
is_over(Turn *turn)
{
	bool over = turn->used && perfkit_clock_ns() - turn->begin_ns > TURN_NS;

	turn->used = true;
	return over;
}


/* With a seat and a process, or waiting for them. */
static Start
begin(const Turn *turn, PerfkitSchedule *s)
{
	volatile PerfkitBegin result = PERFKIT_BEGIN_NO_SEAT;

	PG_TRY();
	{
		result = perfkit_begin(turn->db, s, turn->now);
	}
	PG_CATCH();
	{
		put_off(s, turn->now);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (result == PERFKIT_BEGIN_NO_VIEW)
		missing(s, turn->now);
	no_process = result == PERFKIT_BEGIN_NO_PROCESS;
	no_seat = result == PERFKIT_BEGIN_NO_SEAT;
	return no_process || no_seat ? START_FULL : START_DONE;
}


static Start
try_start(Turn *turn, PerfkitSchedule *s)
{
	const PerfkitSchedule *failed;

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
		if (is_over(turn))
			return START_LATER;
		skip_for_upstream(s, failed, turn->now);
		return START_DONE;
	}
	no_process = !perfkit_begin_possible(turn->now);
	if (no_process)
		return START_FULL;
	if (perfkit_unchanged_asked(s))
	{
		/* What it would have seen is remembered for a run by hand, too. */
		if (is_over(turn))
			return START_LATER;
		if (perfkit_unchanged_look(s, turn->now) && s->wanted.run_id == 0)
		{
			skip_unchanged(s, turn->now);
			return START_DONE;
		}
	}
	return begin(turn, s);
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


/* Those that are ready still, or again: what was asked for by hand meanwhile. */
static void
keep_ready(void)
{
	List *still = NIL;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ListCell *lc;

	foreach (lc, ready)
	{
		PerfkitSchedule *s = lfirst(lc);

		perfkit_ready_want_request(s);
		if (s->ready)
			still = lappend(still, s);
	}
	MemoryContextSwitchTo(old);
	list_free(ready);
	ready = still;
}


/* One pass; true when something has changed that others may have waited for. */
static bool
start_some(Turn *turn, void (*begun)(PerfkitSchedule *s))
{
	bool progress = false;
	ListCell *lc;

	left_some = no_process = no_seat = false;
	list_sort(ready, by_urgency);
	foreach (lc, ready)
	{
		PerfkitSchedule *s = lfirst(lc);
		Start start = s->ready ? try_start(turn, s) : START_WAITS;

		if (start == START_FULL)
			break;
		if (start == START_DONE && s->seat != NULL)
			begun(s);
		progress |= start == START_DONE;
		left_some |= start == START_LATER;
	}
	keep_ready();
	return progress && ready != NIL;
}


void
perfkit_ready_start(PerfkitDatabase *db, TimestampTz now, void (*begun)(PerfkitSchedule *s))
{
	Turn turn = {.db = db, .now = now, .begin_ns = perfkit_clock_ns()};

	while (start_some(&turn, begun))
		;
	if (!no_seat)
		perfkit_seat_pass();
}


TimestampTz
perfkit_ready_again_at(TimestampTz now)
{
	if (left_some)
		return now;
	return no_process ? perfkit_begin_again_at() : PERFKIT_NEVER;
}
