/*-------------------------------------------------------------------------
 * dispatch.c
 *	  From load to done.
 *
 *	  load --> due --> ready (ready.h) --> running --> worker has ended
 *	    --> row and state written --> seat given back
 *	          +-- failed: retry later; too often: suspended
 *	          +-- a slot was queued, or refresh_now() asked: ready again
 *
 * R1  Memory is settled before the tables: a transaction that fails is tried
 *     again, and counts nothing twice.
 *-------------------------------------------------------------------------
 */
#include "dispatch.h"

#include <signal.h>

#include "begin.h"
#include "book.h"
#include "compat.h"
#include "due.h"
#include "ready.h"
#include "schedule.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define LOAD_MS (60 * 1000)
#define PRUNE_MS (60 * 60 * 1000)
#define MAX_END_TRIES 5
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS (60 * 1000)
#define KILL_AFTER_US (3 * USECS_PER_SEC)
#define RETRY_MAX_US (10 * USECS_PER_MINUTE)
#define CLOCK_SLACK_US USECS_PER_SEC

static PerfkitDatabase *db = NULL;
static MemoryContext memory = NULL; /* of one call */
static List *running = NIL;         /* of PerfkitSchedule *, all with ->seat */
static bool loaded = false;
static uint32 loaded_generation = 0;
static TimestampTz next_load = 0;
static TimestampTz next_prune = 0;
static TimestampTz last_look = 0;

/* after errors */
static TimestampTz paused_until = 0;
static int pause_ms = 0;


static void
begun(PerfkitSchedule *s)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	running = list_append_unique_ptr(running, s);
	MemoryContextSwitchTo(old);
}


/* ---------------------------------------------------------------- its end */

/* In the middle, or before its process had begun. */
static bool
ended_by_max_runtime(const PerfkitSchedule *s)
{
	return s->overdue && (s->seat->result.status == PERFKIT_RUN_CANCELLED || s->seat->pid == 0);
}


static const char *
status_name(const PerfkitSchedule *s)
{
	static const char *const names[] = {
		[PERFKIT_RUN_SUCCESS] = "success",
		[PERFKIT_RUN_FAILED] = "failed",
		[PERFKIT_RUN_TIMEOUT] = "timeout",
		[PERFKIT_RUN_CANCELLED] = "cancelled",
	};

	if (ended_by_max_runtime(s))
		return "timeout";
	return names[s->seat->result.status];
}


/* Each attempt doubles the pause; an eighth more or less keeps views apart that fail together. */
static TimestampTz
retry_time(const PerfkitSchedule *s, TimestampTz now)
{
	int64 pause = s->plan.retry_delay_us;

	for (int i = 1; i < s->run.attempt && pause < RETRY_MAX_US; i++)
		pause = Min(pause * 2, RETRY_MAX_US);
	return now + pause - pause / 8 + perfkit_cron_spread(s->key, now, pause / 4);
}


/* Not a success: shall it be tried again before its next slot?  If not it counts as a failure. */
static void
settle_failure(PerfkitSchedule *s, TimestampTz now)
{
	TimestampTz retry_at = retry_time(s, now);
	bool by_hand = strcmp(status_name(s), "cancelled") == 0 || s->run.batch != 0;

	s->past.failed = true;
	if (by_hand || !perfkit_schedule_active(s))
		return;
	if (s->run.attempt <= s->plan.max_retries &&
		(retry_at < s->slot_due || perfkit_schedule_on_change(s)))
	{
		/* A slot on change is only a look, which may well wait until then. */
		if (perfkit_schedule_on_change(s))
			s->slot = s->slot_due = PERFKIT_NEVER;
		s->retry_at = retry_at;
		return;
	}
	s->past.failures++;
	if (s->plan.suspend_after > 0 && s->past.failures >= s->plan.suspend_after)
		s->past.suspended_at = GetCurrentTimestamp();
}


/* What the result means for the schedule, in memory (R1). */
static void
settle(PerfkitSchedule *s, TimestampTz now)
{
	const PerfkitRefreshResult *r = &s->seat->result;
	bool unplanned = s->slot == PERFKIT_NEVER; /* counted from its end, or suspended */

	s->settled = true;
	s->past.finished = now;
	if (r->status == PERFKIT_RUN_SUCCESS)
	{
		s->past.failed = false;
		s->past.failures = 0;
		s->past.suspended_at = 0;
		s->past.duration_ms = (double) (now - s->past.started) / 1000.0;
		perfkit_unchanged_keep(s);
	}
	else
		perfkit_unchanged_drop(s);
	if (unplanned)
		perfkit_due_plan_after(s, now);
	if (r->status != PERFKIT_RUN_SUCCESS)
		settle_failure(s, now);
	if (!perfkit_schedule_active(s))
	{
		s->retry_at = PERFKIT_NEVER;
		perfkit_due_plan_after(s, now);
	}
	perfkit_schedule_place(s);
}


static void
tell_suspended(const PerfkitSchedule *s, const char *last)
{
	char *message = psprintf("refreshing %s is suspended after %d failures, the last: %s",
							 perfkit_schedule_view_name(s), s->past.failures, last);

	ereport(WARNING, (errmsg("perfkit: %s", message),
					  errhint("perfkit.resume_refresh() ends the suspension, as does a "
							  "perfkit.refresh_now() that succeeds.")));
	perfkit_book_alert(s, message);
}


/* Nothing is under way any more; what waited for that is wanted now. */
static void
release(PerfkitSchedule *s)
{
	PerfkitRun run = {.trigger = "queued", .planned = s->queued_slot, .attempt = 1};

	s->seat = NULL;
	if (s->handle != NULL)
		pfree(s->handle);
	s->handle = NULL;
	running = list_delete_ptr(running, s);
	if (s->queued && perfkit_schedule_active(s))
		perfkit_ready_want(s, &run);
	s->queued = false;
	perfkit_ready_want_request(s);
}


/* Its worker has ended: the tables, then the seat; an error leaves it for the next call (R1). */
static void
finish(PerfkitSchedule *s, TimestampTz now)
{
	PerfkitRefreshResult *r = &s->seat->result;
	char *message;

	if (!s->settled)
	{
		bool suspended = s->past.suspended_at != 0;

		settle(s, now);
		s->suspending = !suspended && s->past.suspended_at != 0;
		if (ended_by_max_runtime(s))
		{
			r->sqlstate = ERRCODE_QUERY_CANCELED;
			strlcpy(r->message, "canceled: it has run for max_runtime", sizeof(r->message));
		}
	}

	/* What cannot be written for a while is given up: the next start says crashed. */
	if (s->end_tries++ < MAX_END_TRIES)
		perfkit_book_end(s, &s->run, status_name(s), s->seat->pid, r);
	s->due_told = s->due;
	message = pstrdup(r->message);
	perfkit_seat_free(s->seat);
	release(s);
	if (s->suspending)
		tell_suspended(s, message);
}


/* It was given up, by the rules of seats: nobody knows how it has ended. */
static void
lose(PerfkitSchedule *s, TimestampTz now)
{
	int64 run_id = s->run.run_id;

	perfkit_unchanged_drop(s);
	s->settled = true;
	s->past.failed = true;
	s->past.finished = now;
	release(s);
	if (s->slot == PERFKIT_NEVER)
		perfkit_due_plan_after(s, now);
	perfkit_book_crashed(run_id);
}


static bool
has_ended(const PerfkitSchedule *s)
{
	pid_t pid;

	if (s->seat->state == PERFKIT_SEAT_DONE)
		return true;
	return s->handle != NULL && GetBackgroundWorkerPid(s->handle, &pid) == BGWH_STOPPED;
}


/* SIGINT lets the statement end as a cancelled one does; who does not listen gets SIGTERM. */
static void
end_overdue(PerfkitSchedule *s, TimestampTz now)
{
	if (now < s->deadline)
		return;
	(void) perfkit_seat_signal(s->seat, s->overdue ? SIGTERM : SIGINT);
	s->overdue = true;
	s->deadline = now + KILL_AFTER_US;
}


static void
look_after_running(TimestampTz now)
{
	List *copy = list_copy(running);
	ListCell *lc;

	foreach (lc, copy)
	{
		PerfkitSchedule *s = lfirst(lc);

		if (!perfkit_seat_keep(s->seat, s->token))
		{
			lose(s, now);
			continue;
		}
		if (has_ended(s))
		{
			finish(s, now);
			continue;
		}
		end_overdue(s, now);
		if (s->seat->state != PERFKIT_SEAT_TAKEN || s->pid_told)
			continue;
		s->pid_told = true;
		perfkit_book_pid(s->run.run_id, s->seat->pid);
	}
}


/* ---------------------------------------------------------------- loading */

static PerfkitSchedule *
entry_of(Oid view)
{
	PerfkitSchedule *s = perfkit_schedule_of_view(view);
	PerfkitPlan plan;

	if (s == NULL && perfkit_book_default(view, &plan))
		s = perfkit_schedule_make(&plan);
	return s;
}


/* Has it been begun already, by us or before us? */
static bool
request_begun(const PerfkitRequest *request, List *rows)
{
	ListCell *lc;

	foreach (lc, rows)
	{
		if (((PerfkitBookRunning *) lfirst(lc))->run_id == request->run_id)
			return true;
	}
	return false;
}


static bool
request_known(const PerfkitSchedule *s, int64 run_id)
{
	ListCell *lc;

	if ((s->ready && s->wanted.run_id == run_id) || (s->seat != NULL && s->run.run_id == run_id))
		return true;
	foreach (lc, s->requests)
	{
		if (((PerfkitRequest *) lfirst(lc))->run_id == run_id)
			return true;
	}
	return false;
}


static void
take_request(const PerfkitRequest *request)
{
	PerfkitSchedule *s = entry_of(request->view);
	MemoryContext old;
	PerfkitRequest *own;

	if (s == NULL)
	{
		perfkit_book_crashed(
			request->run_id); /* the view is gone: no row, and no request any more */
		return;
	}
	if (request_known(s, request->run_id))
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	own = palloc(sizeof(*own));
	*own = *request;
	s->requests = lappend(s->requests, own);
	MemoryContextSwitchTo(old);
}


/* A run that was begun before this process: still under way, or lost. */
static void
adopt(const PerfkitBookRunning *r)
{
	PerfkitSeat *seat = perfkit_seat_find(r->run_id);
	PerfkitSchedule *s = seat != NULL ? entry_of(r->view) : NULL;

	if (s != NULL && s->seat == seat)
		return; /* in an earlier call, which then failed */
	if (s == NULL || s->seat != NULL)
	{
		perfkit_book_crashed(r->run_id);
		return;
	}
	s->seat = seat;
	s->token = seat->token;
	s->run = r->run;
	s->past.started = seat->since;
	s->deadline = s->plan.max_runtime_us > 0 ? seat->since + s->plan.max_runtime_us : PERFKIT_NEVER;
	begun(s);
}


static void
list_again(PerfkitSchedule *s, void *arg)
{
	List **undue = arg;

	perfkit_ready_want_request(s);
	perfkit_ready_list(s);
	if (s->plan.id != 0 && !s->gone && s->due_told != s->due && !perfkit_schedule_on_change(s))
	{
		*undue = lappend(*undue, s);
		s->due_told = s->due;
	}
}


static void
load(TimestampTz now)
{
	PerfkitBookContent content;
	uint32 generation = pg_atomic_read_u32(&db->schedules);
	List *undue = NIL;
	ListCell *lc;

	perfkit_book_load(&content);
	perfkit_ready_forget();
	perfkit_schedule_merge(content.rows, now, !loaded);
	foreach (lc, content.running)
	{
		if (!loaded)
			adopt(lfirst(lc));
	}
	loaded = true;
	foreach (lc, content.requests)
	{
		if (!request_begun(lfirst(lc), content.running))
			take_request(lfirst(lc));
	}
	perfkit_schedule_link(content.edges);
	perfkit_schedule_each(list_again, &undue);
	loaded_generation = generation;
	next_load = now + LOAD_MS * INT64CONST(1000);
	perfkit_book_due(undue);
}


/* ---------------------------------------------------------------- the whole */

static void
set_back(PerfkitSchedule *s, void *by_us)
{
	perfkit_due_set_back(s, perfkit_schedule_clock(), *(int64 *) by_us);
}


/* Time has gone back: what was planned by the old clock would wait for it. */
static void
watch_clock(TimestampTz now)
{
	if (last_look != 0 && now < last_look - CLOCK_SLACK_US)
	{
		int64 by_us = last_look - now;

		perfkit_schedule_each(set_back, &by_us);
		perfkit_begin_set_back();
		next_load = next_prune = paused_until = 0;
	}
	last_look = now;
}


void
perfkit_dispatch(PerfkitDatabase *database)
{
	TimestampTz now = perfkit_schedule_clock();
	MemoryContext old;
	PerfkitSchedule *s;

	db = database;
	watch_clock(now);
	if (now < paused_until)
		return;

	/* Until the end is reached, this call is one that failed. */
	pause_ms = pause_ms == 0 ? PAUSE_MIN_MS : Min(pause_ms * 2, PAUSE_MAX_MS);
	paused_until = now + pause_ms * INT64CONST(1000);
	if (memory == NULL)
		memory =
			AllocSetContextCreate(TopMemoryContext, "perfkit dispatch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(memory);
	old = MemoryContextSwitchTo(memory);

	if (!loaded || now >= next_load || loaded_generation != pg_atomic_read_u32(&db->schedules))
		load(now);
	look_after_running(now);
	while ((s = perfkit_schedule_pop_due(now)) != NULL)
		perfkit_ready_fire(s, now);
	perfkit_ready_start(db, now, begun);
	if (now >= next_prune)
	{
		next_prune = now + PRUNE_MS * INT64CONST(1000);
		if (perfkit_book_prune_old())
			next_prune = now;
	}
	MemoryContextSwitchTo(old);
	paused_until = 0;
	pause_ms = 0;
}


long
perfkit_dispatch_nap_ms(void)
{
	TimestampTz due = perfkit_schedule_first_due();
	TimestampTz next = Min(Min(next_load, next_prune), due);
	TimestampTz now = perfkit_schedule_clock();
	ListCell *lc;

	foreach (lc, running)
		next = Min(next, ((PerfkitSchedule *) lfirst(lc))->deadline);
	due = perfkit_ready_again_at(now);
	next = Min(next, due);
	next = Max(next, paused_until);
	return next > now ? (long) Min((next - now + 999) / 1000, INT_MAX) : 0;
}
