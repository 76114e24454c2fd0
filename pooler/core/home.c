/*
 * home.c - see home.h.
 *
 * One connection, one question at a time: a text of metrics() before a batch, since somebody waits
 * for it; batches oldest first, one a round trip. Whatever PostgreSQL refuses but for the content
 * of a batch (no extension, no privilege, a standby) is treated as if it was away: the connection
 * is closed, since the next may lead to another server, and tried again later and later, at the
 * most each server_login_retry. A batch that it refuses for its content would be refused for ever:
 * it is sent once more without what is not ASCII, and then dropped.
 *
 * At the end of the pooler nothing is tried again: a database that cannot be had at once, or once
 * more where it was there a moment ago, is not waited for.
 *
 * H1  asked is NOTHING unless the line is asking. H2  backlog.sent is set while asked is BATCH.
 */
#include "core/home.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/dsn.h"
#include "core/backlog.h"
#include "core/durations.h"
#include "core/home_batch.h"
#include "core/home_end.h"
#include "core/home_fetch.h"
#include "core/home_view.h"
#include "core/readings.h"
#include "core/registry.h"
#include "net/pgline.h"

#define FIRST_RETRY_US 250000
/* Where server_connect_timeout says never. */
#define LONGEST_US 15000000

enum home_asked
{
	ASKED_NOTHING,
	ASKED_BATCH,
	ASKED_METRICS
};

enum home_state
{
	HOME_OFF,
	HOME_UNKNOWN, /* not tried yet */
	HOME_AWAY,
	HOME_CONNECTED
};

static struct
{
	struct registry *registry;
	struct dsn *dsn; /* NULL: off */
	struct pgline *line;
	struct backlog backlog;
	enum home_state state;
	enum home_asked asked;
	const char *format;          /* ASKED_METRICS: of metrics() */
	ev_timer retry;              /* AWAY, unless a try is under way */
	uint64_t wait_us;            /* the last wait; 0: none yet */
	uint64_t period_us;          /* when the period ended that is being gathered; 0: none is */
	struct durations *durations; /* of that period; NULL: none */
	bool period_is_last;
	uint64_t told_dropped; /* how much of backlog.dropped is in a batch */
	bool refused;          /* the last batch, for its content: that has been logged */
	bool retiring;
	char run[37]; /* "": there were no random numbers */
	char name[HOME_NAME_MAX];
} home;

static void next(void);

/* ---- what is told ---- */

static void
publish(void)
{
	home_view_backlog(&home.backlog);
}

static void
set_state(enum home_state state)
{
	static const char *const names[] = {
		[HOME_OFF] = "off",
		[HOME_UNKNOWN] = "connecting",
		[HOME_AWAY] = "away",
		[HOME_CONNECTED] = "connected",
	};

	home.state = state;
	home_view_state(names[state]);
	publish();
}

static void
arrived(void)
{
	home.wait_us = 0;
	if (home.state == HOME_CONNECTED)
		return;
	log_info("perfkit_dsn: connected, numbers of this pooler are written as \"%s\"", home.name);
	set_state(HOME_CONNECTED);
}

/* ---- connecting ---- */

static uint64_t
patience(void)
{
	uint64_t us = home.registry->conf->server_connect_timeout_us;

	/* What we shall not hear of should not be done either. */
	if (home_end_state() != HOME_END_NOT)
		return home_end_left_us();
	return us > 0 ? us : LONGEST_US;
}

static bool
has_something_to_say(void)
{
	return home.backlog.pending > 0 || home_fetch_wanted() != NULL;
}

static void
connect_now(void)
{
	ev_timer_stop(home.registry->main_loop.ev, &home.retry);
	pgline_connect(home.line, home.dsn, patience());
}

static void
retry_event(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
	connect_now();
}

/* Later each time, and not all poolers at once. */
static void
try_later(void)
{
	uint64_t longest = home.registry->conf->server_login_retry_us;
	uint16_t dice = 0;

	if (longest < FIRST_RETRY_US)
		longest = FIRST_RETRY_US;
	home.wait_us = home.wait_us == 0 ? FIRST_RETRY_US : 2 * home.wait_us;
	if (home.wait_us > longest)
		home.wait_us = longest;
	(void) random_bytes(&dice, sizeof(dice));
	loop_after(&home.registry->main_loop, &home.retry,
			   home.wait_us / 2 + home.wait_us / 2 * dice / UINT16_MAX);
}

static void
go_away(const char *why)
{
	bool was_there = home.state == HOME_CONNECTED;

	pgline_close(home.line);
	home.asked = ASKED_NOTHING; /* H1 */
	backlog_again(&home.backlog);
	home_view_error(why);
	if (home.state != HOME_AWAY)
	{
		log_warning("perfkit_dsn: away: %s", why);
		set_state(HOME_AWAY);
	}
	else
		publish();
	if (home_end_state() == HOME_END_NOT && (!home.retiring || home.backlog.pending > 0))
		try_later();
	home_fetch_fail(why, false);
	if (home_end_state() != HOME_END_NOT && was_there)
		next();
	else if (home_end_state() == HOME_END_WRITES)
		home_end_over();
}

/* ---- asking ---- */

static void
send_batch(const struct backlog_batch *batch)
{
	static const char sql[] = "SELECT perfkit.log_pooler($1::uuid, $2::bigint, $3::text, "
							  "$4::double precision, $5::jsonb)";
	char number[32];
	char age[32];
	const char *params[] = {home.run, number, home.name, age, batch->text};

	snprintf(number, sizeof(number), "%llu", (unsigned long long) batch->number);
	snprintf(age, sizeof(age), "%.6f", (double) (clock_now_us() - batch->taken_us) / 1e6);
	home.asked = ASKED_BATCH;
	pgline_ask(home.line, sql, 5, params, patience());
}

static void
ask_metrics(const char *format)
{
	home.asked = ASKED_METRICS;
	home.format = format;
	pgline_ask(home.line, "SELECT perfkit.metrics($1::text)", 1, &format, patience());
}

/* What is to be done next, whatever has happened. */
static void
next(void)
{
	struct backlog_batch *batch;
	const char *format;

	if (home.dsn == NULL || home.asked != ASKED_NOTHING)
		return;
	if (home_end_state() == HOME_END_WRITES && home.backlog.pending == 0)
	{
		home_end_over();
		return;
	}
	if (pgline_is_down(home.line) && !ev_is_active(&home.retry) && has_something_to_say())
		connect_now();
	if (!pgline_is_idle(home.line))
		return;
	if ((format = home_fetch_wanted()) != NULL)
		ask_metrics(format);
	else if ((batch = backlog_send(&home.backlog)) != NULL)
		send_batch(batch);
	else if (home.retiring)
		pgline_close(home.line);
}

/* The database will never take it as it is. */
static void
give_up(const char *error)
{
	struct backlog_batch *batch = home.backlog.sent;

	if (home_plain(batch->text))
	{
		backlog_again(&home.backlog);
		return;
	}
	home_view_error(error);
	if (!home.refused)
		log_warning("perfkit_dsn: numbers of a period are refused and dropped: %s", error);
	home.refused = true;
	backlog_sent(&home.backlog, 0);
}

static void
batch_answered(const struct pgline_news *news)
{
	uint64_t rows = home.backlog.sent->rows;

	if (news->error != NULL)
	{
		/* SQLSTATE classes: data exception, integrity constraint violation */
		if (strncmp(news->sqlstate, "22", 2) != 0 && strncmp(news->sqlstate, "23", 2) != 0)
		{
			go_away(news->error);
			return;
		}
		give_up(news->error);
	}
	else
	{
		/* NULL: it was there already. */
		if (news->value != NULL)
			rows = strtoull(news->value, NULL, 10);
		backlog_sent(&home.backlog, rows);
		home.refused = false;
		home_view_written();
	}
	arrived();
	publish();
	next();
}

static void
line_event(void *arg, enum pgline_event event, const struct pgline_news *news)
{
	enum home_asked asked = home.asked;

	(void) arg;
	home.asked = ASKED_NOTHING;
	switch (event)
	{
		case PGLINE_CONNECTED:
			/* Where something is to be written, that it can be is told when it has been. */
			if (home.backlog.pending == 0)
				arrived();
			next();
			break;
		case PGLINE_LOST:
			go_away(news->error);
			break;
		case PGLINE_ANSWERED:
			if (asked == ASKED_BATCH)
			{
				batch_answered(news);
				break;
			}
			home_fetch_answered(home.format, news->value, news->len, news->error);
			next();
			break;
	}
}

/* ---- numbers ---- */

static void
gathered(struct readings *r)
{
	struct buf text;
	uint64_t dropped = home.backlog.dropped - home.told_dropped;
	uint64_t rows;

	buf_init(&text);
	if (home.dsn != NULL)
	{
		home.told_dropped = home.backlog.dropped;
		rows = home_batch(r, dropped, &text);
		backlog_put(&home.backlog, (const char *) buf_data(&text), buf_len(&text) - 1, rows,
					home.period_us);
		publish();
	}
	home.period_us = 0;
	durations_free(home.durations);
	home.durations = NULL;
	if (home.period_is_last)
		home_end_period();
	buf_fini(&text);
	readings_free(r);
	next();
}

bool
home_is_on(void)
{
	return home.dsn != NULL;
}

void
home_period(struct durations *durations, bool last)
{
	/* The one before is still being gathered: a loop is very busy. */
	if (home.dsn == NULL || home.period_us != 0)
	{
		durations_free(durations);
		return;
	}
	home.period_us = clock_now_us();
	home.durations = durations;
	home.period_is_last = last;
	readings_gather(home.registry, durations, gathered);
}

void
home_metrics(home_answer answer, void *arg, bool openmetrics)
{
	struct home_view now;

	if (home.dsn == NULL)
		home_fetch_refuse(answer, arg, "no perfkit_dsn is set");
	else if (home_fetch_give(answer, arg, openmetrics))
		return;
	else if (ev_is_active(&home.retry))
	{
		home_view_read(&now);
		home_fetch_refuse(answer, arg, now.error);
	}
	else
	{
		home_fetch_wait(answer, arg, openmetrics);
		next();
	}
}

int
home_retry_after_s(void)
{
	return 1 + (int) (home.wait_us / 1000000);
}

/* ---- life ---- */

void
home_adopt(const struct conf *conf)
{
	const char *text = conf->perfkit_dsn != NULL ? conf->perfkit_dsn : "";
	const char *why;

	if (home.line == NULL)
		return; /* home_stop() */
	backlog_limit(&home.backlog, (size_t) conf->perfkit_buffer);
	publish();
	if (strcmp(home.dsn != NULL ? home.dsn->text : "", text) == 0)
		return;
	ev_timer_stop(home.registry->main_loop.ev, &home.retry);
	pgline_close(home.line);
	home.asked = ASKED_NOTHING;
	backlog_again(&home.backlog);
	dsn_free(home.dsn);
	/* It was in order when the file was read. */
	home.dsn = *text != '\0' && home.run[0] != '\0' ? dsn_parse(text, &why) : NULL;
	home.wait_us = 0;
	set_state(home.dsn != NULL ? HOME_UNKNOWN : HOME_OFF);
	if (home.dsn != NULL)
	{
		home_name(home.name, dsn_value(home.dsn, "application_name"), (int) conf->listen_port,
				  (int) conf->peer_id);
		connect_now();
	}
	else
	{
		backlog_drop_all(&home.backlog);
		publish();
	}
	home_fetch_fail("perfkit_dsn has been changed", true);
}

void
home_retire(void)
{
	home.retiring = true;
	next();
}

void
home_finish(void (*done)(void))
{
	home_end_begin(done);
	ev_timer_stop(home.registry->main_loop.ev, &home.retry);
	next();
}

void
home_start(struct registry *r)
{
	home.registry = r;
	ev_init(&home.retry, retry_event);
	home_end_start(&r->main_loop);
	home.line = pgline_new(&r->main_loop, line_event, NULL);
	backlog_init(&home.backlog, (size_t) r->conf->perfkit_buffer);
	home_fetch_start(&r->main_loop);
	if (!home_run(home.run))
		log_error("perfkit_dsn: there are no random numbers, nothing will be written");
	home_adopt(r->conf);
}

void
home_stop(void)
{
	struct home_view now;

	home_view_read(&now);
	home_end_stop(home.backlog.pending, home.state == HOME_AWAY ? now.error : NULL);
	ev_timer_stop(home.registry->main_loop.ev, &home.retry);
	pgline_free(home.line);
	home.line = NULL;
	backlog_fini(&home.backlog);
	dsn_free(home.dsn);
	home.dsn = NULL;
	home_fetch_stop();
}
