/*
 * home_end.c - see home_end.h.
 */
#include "core/home_end.h"

#include <ev.h>

#include "base/log.h"
#include "net/loop.h"

/* To PostgreSQL, a limit of less is none. */
#define LEAST_US 1000

static struct
{
	struct loop *loop;
	enum home_end state;
	ev_timer timer; /* unless NOT */
	void (*done)(void);
} end;

static void
timer_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
	end.done();
}

void
home_end_start(struct loop *loop)
{
	end.loop = loop;
	ev_init(&end.timer, timer_event);
}

void
home_end_stop(uint64_t rows, const char *why)
{
	ev_timer_stop(end.loop->ev, &end.timer);
	if (rows == 0 && end.state != HOME_END_AWAITS_PERIOD)
		return;
	if (why == NULL)
		why = end.state == HOME_END_NOT ? "the end came at once" : "no answer in time";
	log_warning("perfkit_dsn: %llu numbers%s are lost: %s", (unsigned long long) rows,
				end.state == HOME_END_AWAITS_PERIOD ? ", and those of the last period," : "", why);
}

void
home_end_begin(void (*done)(void))
{
	end.done = done;
	end.state = HOME_END_AWAITS_PERIOD;
	loop_after(end.loop, &end.timer, HOME_END_US);
}

void
home_end_period(void)
{
	end.state = HOME_END_WRITES;
}

enum home_end
home_end_state(void)
{
	return end.state;
}

uint64_t
home_end_left_us(void)
{
	double left = ev_timer_remaining(end.loop->ev, &end.timer) * 1e6;

	return left > LEAST_US ? (uint64_t) left : LEAST_US;
}

void
home_end_over(void)
{
	loop_after(end.loop, &end.timer, 0);
}
