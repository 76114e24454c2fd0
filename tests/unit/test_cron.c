/*
 * test_cron.c - schedules of the extension: what their text means, and the next run.
 *
 * The judge of next runs is a walk over every minute with the C library's calendar: slow, and
 * plain to see that it is right.
 */
#include "../../pg_ext/cron.c"
#include "../../pg_ext/cronday.c"
#include "../../pg_ext/cronparse.c"

#include "unit.h"

#include <stdlib.h>
#include <time.h>

#define DAY (24 * HOUR)
#define MINUTES 60

/* ---- zones: offsets in minutes, each from a moment on */

typedef struct TestZone
{
	int n;
	int64_t from[8]; /* from[0] is INT64_MIN */
	int32_t offset[8];
} TestZone;

static int32_t
zone_offset(const void *arg, int64_t at, int64_t *until)
{
	const TestZone *z = arg;
	int i = 0;

	while (i + 1 < z->n && z->from[i + 1] <= at)
		i++;
	*until = i + 1 < z->n ? z->from[i + 1] : PERFKIT_CRON_NEVER;
	return z->offset[i];
}

static PerfkitCronZone
as_zone(const TestZone *z)
{
	return (PerfkitCronZone){.offset = zone_offset, .zone = z};
}

static const TestZone utc = {1, {INT64_MIN}, {0}};

/* "2026-03-29 01:00" as seconds, for UTC or for a local clock */
static int64_t
moment(const char *text)
{
	struct tm tm = {0};

	if (sscanf(text, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
			   &tm.tm_min, &tm.tm_sec) < 5)
		fail_msg("not a moment: %s", text);
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return timegm(&tm);
}

static const char *
shown(int64_t at)
{
	static char text[2][32];
	static int turn = 0;
	time_t t = (time_t) at;
	struct tm tm;

	turn = !turn;
	gmtime_r(&t, &tm);
	strftime(text[turn], sizeof(text[turn]), "%Y-%m-%d %H:%M:%S", &tm);
	return text[turn];
}

static PerfkitCron
parsed(const char *text)
{
	PerfkitCronError error = {0};
	PerfkitCron cron;

	if (!perfkit_cron_parse(text, &cron, &error))
		fail_msg("\"%s\": %s", text, error.message);
	return cron;
}

/* ---- the judge */

static bool
minute_matches(const PerfkitCron *c, int64_t local)
{
	time_t t = (time_t) local;
	time_t tomorrow = t + DAY;
	struct tm tm;
	struct tm next;
	bool day;
	bool weekday;

	gmtime_r(&t, &tm);
	gmtime_r(&tomorrow, &next);
	day = (c->days >> tm.tm_mday & 1) || (c->last_day && next.tm_mday == 1);
	weekday = (c->weekdays >> tm.tm_wday & 1) != 0;
	return tm.tm_sec == 0 && (c->minutes >> tm.tm_min & 1) && (c->hours >> tm.tm_hour & 1) &&
		   (c->months >> (tm.tm_mon + 1) & 1) && (c->either_day ? day || weekday : day && weekday);
}

/* Does it run at this minute? */
static bool
judged(const PerfkitCron *c, const TestZone *z, int64_t at)
{
	int64_t unused;
	int64_t now = at + zone_offset(z, at, &unused);
	int64_t before = at - MINUTES + zone_offset(z, at - MINUTES, &unused);
	int64_t jump = now - before - MINUTES;

	if (c->fixed && jump > 0 && jump < 3 * HOUR)
	{
		for (int64_t local = before + MINUTES; local < now; local += MINUTES)
		{
			if (minute_matches(c, local))
				return true;
		}
	}
	if (!minute_matches(c, now))
		return false;
	for (int64_t earlier = at - MINUTES; c->fixed && earlier > at - 3 * HOUR; earlier -= MINUTES)
	{
		if (earlier + zone_offset(z, earlier, &unused) == now)
			return false;
	}
	return true;
}

/* All runs of a window, by perfkit_cron_next() and by the judge. */
static void
expect_judged(const PerfkitCron *c, const char *text, const TestZone *z, int64_t from, int64_t to)
{
	PerfkitCronZone zone = as_zone(z);
	int64_t next = 0;
	bool more = perfkit_cron_next(c, from - 1, &zone, &next);

	for (int64_t at = from; at < to; at += MINUTES)
	{
		bool runs = more && next == at;

		if (runs != judged(c, z, at))
			fail_msg("\"%s\" %s at %s UTC, next is %s", text, runs ? "runs" : "does not run",
					 shown(at), more ? shown(next) : "never");
		if (runs)
			more = perfkit_cron_next(c, at, &zone, &next);
	}
	if (more && next < to)
		fail_msg("\"%s\" runs between minutes, at %s", text, shown(next));
}

/* ---- random schedules and zones, the same in each run of the test */

static uint64_t seed;

static int
drawn(int n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (int) ((seed >> 33) % (uint64_t) n);
}

static int
append_field(char *out, size_t size, int low, int high)
{
	int a = low + drawn(high - low + 1);
	int b = a + drawn(high - a + 1);

	switch (drawn(6))
	{
		case 0:
			return snprintf(out, size, "*/%d", 1 + drawn(high));
		case 1:
			return snprintf(out, size, "%d-%d", a, b);
		case 2:
			return snprintf(out, size, "%d-%d/%d", a, b, 1 + drawn(9));
		case 3:
			return snprintf(out, size, "%d,%d", b, a);
		case 4:
			return snprintf(out, size, "%d", a);
		default:
			return snprintf(out, size, "*");
	}
}

static void
random_schedule(char *out, size_t size)
{
	static const int low[] = {0, 0, 1, 1, 0};
	static const int high[] = {59, 23, 31, 12, 7};
	int n = 0;

	for (int i = 0; i < 5; i++)
	{
		/* most often any day: else nothing would run near the change */
		if (i >= 2 && drawn(4) > 0)
			n += snprintf(out + n, size - n, "*");
		else if (i == 2 && drawn(4) == 0)
			n += snprintf(out + n, size - n, "$");
		else
			n += append_field(out + n, size - n, low[i], high[i]);
		n += snprintf(out + n, size - n, "%s", i < 4 ? " " : "");
	}
}

static TestZone
random_zone(int64_t change)
{
	static const int minutes[] = {30, 60, 60, 60, 90, 120, 179, 180, 240, 1440};
	TestZone z = {.n = 3, .from = {INT64_MIN, change}};

	z.offset[0] = (drawn(105) - 48) * 15 * MINUTES;
	for (int i = 1; i < z.n; i++)
	{
		int shift = minutes[drawn((int) (sizeof(minutes) / sizeof(minutes[0])))] * MINUTES;

		z.from[i] = i == 1 ? change : z.from[i - 1] + 3 * DAY + drawn(48) * HOUR;
		z.offset[i] = z.offset[i - 1] + (drawn(2) ? shift : -shift);
	}
	return z;
}

static void
random_schedules_agree_with_the_minutes(void **state)
{
	(void) state;
	seed = 20260329;
	for (int i = 0; i < 3000; i++)
	{
		char text[128];
		PerfkitCronError error;
		PerfkitCron c;
		int64_t change = moment("2026-01-01 00:00") + drawn(3 * 365 * 24) * HOUR;
		TestZone z = random_zone(change);

		random_schedule(text, sizeof(text));
		if (!perfkit_cron_parse(text, &c, &error))
			continue;
		expect_judged(&c, text, &z, change - DAY / 2, change + 4 * DAY);
	}
}

/* From any moment, not only from the run before. */
static void
any_moment_will_do(void **state)
{
	(void) state;
	seed = 7;
	for (int i = 0; i < 3000; i++)
	{
		char text[128];
		PerfkitCronError error;
		PerfkitCron c;
		int64_t change = moment("2026-03-01 00:00") + drawn(365 * 24) * HOUR;
		TestZone z = random_zone(change);
		PerfkitCronZone zone = as_zone(&z);
		int64_t after = change - 4 * HOUR + drawn(8 * 3600);
		int64_t next;
		int64_t at = after - after % MINUTES + MINUTES;

		random_schedule(text, sizeof(text));
		if (!perfkit_cron_parse(text, &c, &error) || !perfkit_cron_next(&c, after, &zone, &next))
			continue;
		while (at < after + 2 * DAY && !judged(&c, &z, at))
			at += MINUTES;
		if (at < after + 2 * DAY ? next != at : next < at)
			fail_msg("\"%s\" after %s: %s, not %s", text, shown(after), shown(next), shown(at));
	}
}

/* ---- named cases */

typedef struct Case
{
	const TestZone *zone;
	const char *schedule;
	const char *after; /* UTC */
	const char *runs[4];
} Case;

static TestZone
two_changes(const char *first, int before, int between, const char *second, int after)
{
	TestZone z = {3,
				  {INT64_MIN, moment(first), moment(second)},
				  {before * MINUTES, between * MINUTES, after * MINUTES}};

	return z;
}

static void
expect_cases(const Case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		PerfkitCron c = parsed(cases[i].schedule);
		PerfkitCronZone zone = as_zone(cases[i].zone);
		int64_t at = moment(cases[i].after);

		for (int j = 0; j < 4 && cases[i].runs[j] != NULL; j++)
		{
			int64_t next;

			assert_true(perfkit_cron_next(&c, at, &zone, &next));
			if (next != moment(cases[i].runs[j]))
				fail_msg("\"%s\" after %s: %s, not %s", cases[i].schedule, shown(at), shown(next),
						 cases[i].runs[j]);
			at = next;
		}
	}
}

static void
clock_changes_are_as_in_cron(void **state)
{
	TestZone berlin = two_changes("2026-03-29 01:00", 60, 120, "2026-10-25 01:00", 60);
	TestZone berlin_2027 = two_changes("2027-03-28 01:00", 60, 120, "2027-10-31 01:00", 60);
	TestZone new_york = two_changes("2026-03-08 07:00", -300, -240, "2026-11-01 06:00", -300);
	TestZone lord_howe = two_changes("2026-04-04 15:00", 660, 630, "2026-10-03 15:30", 660);
	TestZone sao_paulo = two_changes("2018-02-18 02:00", -120, -180, "2018-11-04 03:00", -120);
	TestZone apia = {2, {INT64_MIN, moment("2011-12-30 10:00")}, {-600 * MINUTES, 840 * MINUTES}};
	TestZone kathmandu = {1, {INT64_MIN}, {345 * MINUTES}};
	const Case cases[] = {
		/* the hour left out: once, at the change; the day after as always */
		{&berlin, "30 2 * * *", "2026-03-28 12:00", {"2026-03-29 01:00", "2026-03-30 00:30"}},
		{&berlin, "0,30 2,3 * * *", "2026-03-29 00:59", {"2026-03-29 01:00", "2026-03-29 01:30"}},
		{&berlin, "*/30 * * * *", "2026-03-29 00:00", {"2026-03-29 00:30", "2026-03-29 01:00"}},
		{&berlin, "30 * * * *", "2026-03-29 00:00", {"2026-03-29 00:30", "2026-03-29 01:30"}},
		{&new_york, "30 2 * * *", "2026-03-08 00:00", {"2026-03-08 07:00", "2026-03-09 06:30"}},
		/* the hour that comes twice: the first time */
		{&berlin, "30 2 * * *", "2026-10-24 12:00", {"2026-10-25 00:30", "2026-10-26 01:30"}},
		{&berlin,
		 "0 * * * *",
		 "2026-10-24 23:30",
		 {"2026-10-25 00:00", "2026-10-25 01:00", "2026-10-25 02:00"}},
		{&new_york, "30 1 * * *", "2026-11-01 00:00", {"2026-11-01 05:30", "2026-11-02 06:30"}},
		/* a last day of 25 hours */
		{&berlin_2027, "30 0 $ * *", "2027-10-30 12:00", {"2027-10-30 22:30", "2027-11-29 23:30"}},
		/* half an hour */
		{&lord_howe, "15 2 * * *", "2026-10-03 00:00", {"2026-10-03 15:30", "2026-10-04 15:15"}},
		{&lord_howe, "45 1 * * *", "2026-04-04 00:00", {"2026-04-04 14:45", "2026-04-05 15:15"}},
		/* midnight left out */
		{&sao_paulo, "0 0 * * *", "2018-11-03 12:00", {"2018-11-04 03:00", "2018-11-05 02:00"}},
		/* a whole day left out is a correction */
		{&apia, "0 12 30 12 *", "2011-12-29 00:00", {"2012-12-29 22:00"}},
		{&apia, "0 12 * * *", "2011-12-29 00:00", {"2011-12-29 22:00", "2011-12-30 22:00"}},
		{&kathmandu, "0 6 * * *", "2026-01-01 00:00", {"2026-01-01 00:15", "2026-01-02 00:15"}},
	};

	(void) state;
	expect_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void
days_are_as_in_cron(void **state)
{
	const Case cases[] = {
		/* either day, unless one of them begins with a star */
		{&utc,
		 "0 0 13 * 5",
		 "2026-02-01 00:00",
		 {"2026-02-06 00:00", "2026-02-13 00:00", "2026-02-20 00:00"}},
		{&utc, "0 0 */2 * 1", "2026-02-01 00:00", {"2026-02-09 00:00", "2026-02-23 00:00"}},
		{&utc, "0 0 $ * *", "2028-01-31 00:00", {"2028-02-29 00:00", "2028-03-31 00:00"}},
		{&utc, "0 0 15,L * *", "2026-02-01 00:00", {"2026-02-15 00:00", "2026-02-28 00:00"}},
		{&utc, "0 0 29 2 *", "2026-01-01 00:00", {"2028-02-29 00:00", "2032-02-29 00:00"}},
		/* a 29th of February that must be a Sunday or Monday, over a century without its leap day
		 */
		{&utc, "0 0 29 2 */7,1", "2096-03-01 00:00", {"2112-02-29 00:00"}},
		{&utc, "@yearly", "2026-01-01 00:00", {"2027-01-01 00:00"}},
		{&utc, "@weekly", "2026-01-01 00:00", {"2026-01-04 00:00"}},
		{&utc, "@HOURLY", "2026-01-01 00:00:01", {"2026-01-01 01:00"}},
		{&utc,
		 "0 0 * * SAT-SUN",
		 "2026-01-01 00:00",
		 {"2026-01-03 00:00", "2026-01-04 00:00", "2026-01-10 00:00"}},
		{&utc, "0 0 1 jan,Mar *", "2026-01-15 00:00", {"2026-03-01 00:00", "2027-01-01 00:00"}},
		{&utc,
		 "5-59/20 8 * * 7",
		 "2026-01-01 00:00",
		 {"2026-01-04 08:05", "2026-01-04 08:25", "2026-01-04 08:45"}},
		{&utc, "0 0 1 1 *", "1899-12-31 23:59:59", {"1900-01-01 00:00"}},
	};

	(void) state;
	expect_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void
intervals_are_aligned_or_counted(void **state)
{
	const Case cases[] = {
		{&utc,
		 "every 30 seconds",
		 "2026-01-01 00:00:07",
		 {"2026-01-01 00:00:30", "2026-01-01 00:01:00"}},
		{&utc, "every second", "2026-01-01 00:00:07", {"2026-01-01 00:00:08"}},
		{&utc, "EVERY  7 days", "2026-01-01 00:00", {"2026-01-08 00:00"}},
		{&utc, "10 minutes", "2026-01-01 00:07", {"2026-01-01 00:10"}},
		{&utc, "every 90 minutes", "1969-12-31 21:00", {"1969-12-31 22:30", "1970-01-01 00:00"}},
		{&utc, "after 5 minutes", "2026-01-01 00:00:07", {"2026-01-01 00:05:07"}},
	};
	PerfkitCronZone zone = as_zone(&utc);
	PerfkitCron c = parsed(" on  change ");
	int64_t next;

	(void) state;
	expect_cases(cases, sizeof(cases) / sizeof(cases[0]));
	assert_int_equal(c.kind, PERFKIT_CRON_ON_CHANGE);
	assert_false(perfkit_cron_next(&c, 0, &zone, &next));
	assert_int_equal(parsed("Downstream").kind, PERFKIT_CRON_DOWNSTREAM);
}

static void
errors_say_where(void **state)
{
	static const struct
	{
		const char *text;
		int position;
		const char *message;
	} bad[] = {
		{"", 0, "it is empty"},
		{"* * * *", 7, "the weekday is missing: a schedule has five fields"},
		{"* * * * * *", 10, "more than five fields"},
		{"60 * * * *", 0, "minute 60 is not between 0 and 59"},
		{"0 24 * * *", 2, "hour 24 is not between 0 and 23"},
		{"0 0 0 * *", 4, "day of the month 0 is not between 1 and 31"},
		{"0 0 1 13 *", 6, "month 13 is not between 1 and 12"},
		{"0 0 * * 8", 8, "weekday 8 is not between 0 and 7"},
		{"99999999999999999999 * * * *", 0, "minute 2147483647 is not between 0 and 59"},
		{"*/0 * * * *", 2, "minute: step 0 is not between 1 and 59"},
		{"*/60 * * * *", 2, "minute: step 60 is not between 1 and 59"},
		{"*/x * * * *", 2, "minute: a step is a number"},
		{"5/10 * * * *", 1, "minute: a step after a single value"},
		{"9-3 * * * *", 0, "minute: the range ends before it begins"},
		{"1, * * * *", 2, "minute: a value is missing"},
		{"-1 * * * *", 0, "minute: unexpected \"-\""},
		{"1;2 * * * *", 1, "minute: unexpected \";\""},
		{"0 0 ? * *", 4, "day of the month: unexpected \"?\""},
		{"0 0 * * monday", 8, "weekday: unexpected \"m\""},
		{"$ 0 * * *", 0, "minute: unexpected \"$\""},
		{"0 0 30 2 *", 0, "there is no such day in any year"},
		{"@reboot", 0, "unknown name"},
		{"@hourlyx", 0, "unknown name"},
		{"every 0 seconds", 6, "an interval is at least a second and at most ten years"},
		{"every 5", 7, "an interval is a number and a unit"},
		{"every 5 months", 8, "an interval is a number and a unit"},
		{"every 5 minutes 3", 16, "unexpected text after the interval"},
		{"every 99999999 weeks", 6, "an interval is at least a second and at most ten years"},
		{"at noon", 0, "unknown word"},
		{"on changes", 0, "unknown word"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		PerfkitCronError error = {.position = -1};
		PerfkitCron c;

		if (perfkit_cron_parse(bad[i].text, &c, &error))
			fail_msg("\"%s\" was taken", bad[i].text);
		assert_string_equal(error.message, bad[i].message);
		assert_int_equal(error.position, bad[i].position);
	}
}

/* Whatever the bytes, an answer, and a position within the text. */
static void
no_text_is_too_strange(void **state)
{
	static const char letters[] = "0123456789*/-,$L @everyaftminsu\t\x80\xff";

	(void) state;
	seed = 99;
	for (int i = 0; i < 200000; i++)
	{
		char text[24] = "";
		PerfkitCronError error = {.position = -1};
		PerfkitCron c;
		int n = drawn((int) sizeof(text) - 1);

		for (int j = 0; j < n; j++)
			text[j] = letters[drawn((int) sizeof(letters) - 1)];
		if (perfkit_cron_parse(text, &c, &error))
			continue;
		assert_in_range(error.position, 0, strlen(text));
		assert_true(error.message[0] != '\0');
	}
}

static void
the_spread_is_even_and_always_the_same(void **state)
{
	int in_half[2] = {0};

	(void) state;
	for (int64_t id = 1; id <= 10000; id++)
	{
		int64_t delay = perfkit_cron_spread(id, 1000, 60);

		assert_in_range(delay, 0, 59);
		assert_int_equal(delay, perfkit_cron_spread(id, 1000, 60));
		in_half[delay >= 30]++;
	}
	assert_in_range(in_half[0], 4700, 5300);
	assert_int_equal(perfkit_cron_spread(1, 1, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_schedules_agree_with_the_minutes),
		cmocka_unit_test(any_moment_will_do),
		cmocka_unit_test(clock_changes_are_as_in_cron),
		cmocka_unit_test(days_are_as_in_cron),
		cmocka_unit_test(intervals_are_aligned_or_counted),
		cmocka_unit_test(errors_say_where),
		cmocka_unit_test(no_text_is_too_strange),
		cmocka_unit_test(the_spread_is_even_and_always_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
