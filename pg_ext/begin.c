/*-------------------------------------------------------------------------
 * begin.c
 *	  From ready to running.
 *
 * B1  A row says 'running' before there is a worker: whatever dies, the next
 *     worker of the database finds it, and the seat, or marks it as crashed.
 *-------------------------------------------------------------------------
 */
#include "begin.h"

#include "book.h"
#include "guc.h"
#include "miscadmin.h"
#include "refresh.h"
#include "utils/memutils.h"

#define NO_WORKER_MIN_MS 1000
#define NO_WORKER_MAX_MS (60 * 1000)

/* while no background worker is free */
static TimestampTz no_worker_until = 0;
static int no_worker_ms = 0;


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


/* The row (B1); the seat is given back if that fails. */
static bool
write_row(PerfkitSchedule *s, PerfkitRun *run, PerfkitSeat *seat)
{
	volatile bool found = false;

	PG_TRY();
	{
		found = perfkit_book_begin(s, run);
	}
	PG_CATCH();
	{
		perfkit_seat_free(seat);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return found;
}


static void
running_now(PerfkitSchedule *s, const PerfkitRun *run, PerfkitSeat *seat, TimestampTz now)
{
	s->ready = false;
	s->seat = seat;
	s->token = seat->token;
	s->run = *run;
	s->seen.skip_told = 0;
	s->past.started = now;
	s->deadline = s->plan.max_runtime_us > 0 ? now + s->plan.max_runtime_us : PERFKIT_NEVER;
	s->end_tries = 0;
	s->overdue = s->settled = s->pid_told = s->overlap_told = s->missing_told = false;
	s->suspending = false;
	s->due_told = s->due;
}


PerfkitBegin
perfkit_begin(PerfkitDatabase *db, PerfkitSchedule *s, TimestampTz now)
{
	PerfkitRefreshOrder order = {0};
	PerfkitRun run = s->wanted;
	PerfkitSeat *seat;
	MemoryContext old;

	fill_order(&order, s, &run);
	seat = perfkit_seat_reserve(&order);
	if (seat == NULL)
		return PERFKIT_BEGIN_NO_SEAT;
	if (!write_row(s, &run, seat))
	{
		perfkit_seat_free(seat);
		return PERFKIT_BEGIN_NO_VIEW;
	}
	fill_order(&seat->order, s, &run);
	old = MemoryContextSwitchTo(TopMemoryContext);
	s->handle = perfkit_refresh_start(seat);
	MemoryContextSwitchTo(old);
	if (s->handle == NULL)
	{
		perfkit_seat_free(seat);
		no_worker(db, now);
		perfkit_book_undo(run.run_id);
		return PERFKIT_BEGIN_NO_PROCESS;
	}
	no_worker_ms = 0;
	running_now(s, &run, seat, now);
	return PERFKIT_BEGIN_DONE;
}


bool
perfkit_begin_possible(TimestampTz now)
{
	return now >= no_worker_until;
}


TimestampTz
perfkit_begin_again_at(void)
{
	return no_worker_until;
}


void
perfkit_begin_set_back(void)
{
	no_worker_until = 0;
}
