/*-------------------------------------------------------------------------
 * due.c
 *	  Slots: of a timetable, of a target_lag, of a look for changes.
 *
 * U1  The slot after a run comes from the timetable and the slot before, or from
 *     now if that is later: however late a run is, the next is on time, and no
 *     backlog grows.
 * U2  Nothing is counted from a time that is to come: who has an earlier run, or
 *     was scheduled, by a clock that was ahead does not wait for that clock.
 *-------------------------------------------------------------------------
 */
#include "due.h"

/* A clock set back by less than this is summer time or a correction by hand: cron.h. */
#define CORRECTION_US (3 * USECS_PER_HOUR)

/* Between two looks of a schedule on change. */
#define LOOK_MIN_US USECS_PER_SEC
#define LOOK_MAX_US (10 * USECS_PER_SEC)


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
	if (Max(s->past.started, s->past.planned) < s->since)
		return s->since;
	return Max(look, s->past.started + interval);
}


/* So early that a run as long as twice the last one is over before the view is too old. */
static TimestampTz
lag_slot(const PerfkitSchedule *s)
{
	int64 run_us = s->past.duration_ms > 0 ? (int64) (s->past.duration_ms * 2000) : 0;

	if (s->past.started < s->since)
		return s->since;
	return s->past.started + Max(s->plan.lag_us / 2, s->plan.lag_us - run_us);
}


static TimestampTz
slot_after(const PerfkitSchedule *s, TimestampTz after)
{
	TimestampTz slot;
	bool running = s->seat != NULL && !s->settled;

	if (!perfkit_schedule_active(s))
		return PERFKIT_NEVER;
	if (running && perfkit_schedule_counted(s))
		return PERFKIT_NEVER;
	if (s->plan.lag_us > 0)
		return lag_slot(s);
	if (perfkit_schedule_on_change(s))
		return look_slot(s, after);
	if (s->plan.timetable.cron.kind == PERFKIT_CRON_AFTER)
		after = Max(s->past.finished, s->since);
	return perfkit_timetable_next(&s->plan.timetable, after, &slot) ? slot : PERFKIT_NEVER;
}


void
perfkit_due_plan_after(PerfkitSchedule *s, TimestampTz after)
{
	s->slot = slot_after(s, after);
	s->slot_due = s->slot;
	s->missed = false;
	if (s->slot != PERFKIT_NEVER)
		s->slot_due += perfkit_cron_spread(s->plan.id, s->slot, s->plan.jitter_us);
	perfkit_schedule_place(s);
}


/* Small steps back: fixed times that have had their run do not get a second one. */
static TimestampTz
first_after(const PerfkitSchedule *s, TimestampTz now, int64 back_us)
{
	const PerfkitCron *cron = &s->plan.timetable.cron;

	if (s->plan.lag_us == 0 && cron->kind == PERFKIT_CRON_FIELDS && cron->fixed &&
		back_us < CORRECTION_US)
		return Max(now, s->past.planned);
	return now;
}


/* U2; the slot of a fixed time stays known for first_after(). */
static void
forget_future(PerfkitSchedule *s, TimestampTz now)
{
	s->since = Min(s->since, now);
	s->past.started = Min(s->past.started, now);
	s->past.finished = Min(s->past.finished, now);
	if (!s->plan.timetable.cron.fixed)
		s->past.planned = Min(s->past.planned, now);
}


void
perfkit_due_plan_first(PerfkitSchedule *s, TimestampTz now, bool many)
{
	TimestampTz missed;
	TimestampTz following;
	int64 window;

	forget_future(s, now);
	missed = slot_after(s, Max(s->past.planned, s->since));
	perfkit_due_plan_after(s, first_after(s, now, s->past.planned - now));
	if (missed == PERFKIT_NEVER || missed > now)
		return;
	following = s->slot > now ? s->slot : PERFKIT_NEVER;
	if (many && !s->plan.catch_up && following != PERFKIT_NEVER)
		return;

	/* Spread, but not beyond the next slot. */
	window = many ? Min(s->plan.start_window_us, following - now) : 0;
	s->slot = missed;
	s->missed = many;
	s->slot_due = now + perfkit_cron_spread(s->plan.id, missed, window);
	perfkit_schedule_place(s);
}


void
perfkit_due_set_back(PerfkitSchedule *s, TimestampTz now, int64 by_us)
{
	TimestampTz after = first_after(s, now, by_us);

	forget_future(s, now);
	if (s->retry_at != PERFKIT_NEVER)
		s->retry_at -= by_us;
	if (s->deadline != PERFKIT_NEVER)
		s->deadline -= by_us;
	if (s->slot != PERFKIT_NEVER)
		perfkit_due_plan_after(s, after);
	else
		perfkit_schedule_place(s);
}
