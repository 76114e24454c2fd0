/*
 * test_alarm.c - the extension's alarms, by a stepped clock: what opens, holds and clears an alert,
 * and that each trouble opens exactly one.
 */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "alarm.h"

#define SECOND INT64_C(1000000)
#define START (INT64_C(800000000) * SECOND)
#define STEP (10 * SECOND)

/* A clock, an alarm, and what has become of it. */
struct watch
{
	PerfkitAlarmRule rule;
	PerfkitAlarm alarm;
	int64_t now;
	int opened;
	int resolved;
	int changed;
};

static struct watch
watch_new(double warning, double critical)
{
	return (struct watch){
		.rule = {.warning = warning,
				 .critical = critical,
				 .clear_warning = NAN,
				 .clear_critical = NAN,
				 .min_samples = 1},
		.now = START,
	};
}

static void
note(struct watch *w, PerfkitAlarmLevel before, bool changed)
{
	assert_int_equal(changed, before != w->alarm.level);
	w->changed += changed;
	w->opened += changed && before == PERFKIT_ALARM_OK;
	w->resolved += changed && w->alarm.level == PERFKIT_ALARM_OK;
}

/* The next value comes a step later; the level it leads to. */
static PerfkitAlarmLevel
feed(struct watch *w, double value)
{
	PerfkitAlarmLevel before = w->alarm.level;

	w->now += STEP;
	note(w, before, perfkit_alarm_value(&w->alarm, &w->rule, w->now, value));
	note(w, w->alarm.level, perfkit_alarm_silence(&w->alarm, &w->rule, w->now));
	return w->alarm.level;
}

/* A step without a value. */
static PerfkitAlarmLevel
miss(struct watch *w)
{
	PerfkitAlarmLevel before = w->alarm.level;

	w->now += STEP;
	note(w, before, perfkit_alarm_silence(&w->alarm, &w->rule, w->now));
	return w->alarm.level;
}

static void
opens_and_clears(void **state)
{
	(void) state;
	struct watch w = watch_new(70, 85);

	assert_int_equal(feed(&w, 69.9), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 70), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 84.9), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 85), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(feed(&w, 80), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 10), PERFKIT_ALARM_OK);
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.resolved, 1);
	assert_int_equal(w.changed, 4);
}

static void
from_ok_to_critical_at_once(void **state)
{
	(void) state;
	struct watch w = watch_new(70, 85);

	assert_int_equal(feed(&w, 99), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(feed(&w, 0), PERFKIT_ALARM_OK);
	assert_int_equal(w.changed, 2);
}

static void
below_is_the_mirror(void **state)
{
	(void) state;
	struct watch w = watch_new(0.9, 0.8);

	w.rule.below = true;
	w.rule.clear_warning = 0.95;
	assert_int_equal(feed(&w, 0.91), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 0.9), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 0.7), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(feed(&w, 0.94), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 0.96), PERFKIT_ALARM_OK);
	assert_int_equal(w.opened, 1);
}

static void
hysteresis_holds(void **state)
{
	(void) state;
	struct watch w = watch_new(70, 85);

	w.rule.clear_warning = 60;
	w.rule.clear_critical = 75;
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_CRITICAL);
	for (int i = 0; i < 50; i++)
		assert_int_equal(feed(&w, i % 2 ? 76 : 86), PERFKIT_ALARM_CRITICAL);
	for (int i = 0; i < 50; i++)
		assert_int_equal(feed(&w, i % 2 ? 61 : 74), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 59), PERFKIT_ALARM_OK);
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.changed, 3);
}

static void
for_duration_must_be_whole(void **state)
{
	(void) state;
	struct watch w = watch_new(70, 85);

	w.rule.for_us = 60 * SECOND;
	for (int i = 0; i < 20; i++)
	{
		for (int j = 0; j < 6; j++)
			assert_int_equal(feed(&w, 90), PERFKIT_ALARM_OK); /* 50 s */
		assert_int_equal(feed(&w, 10), PERFKIT_ALARM_OK);
	}
	for (int j = 0; j < 6; j++)
		assert_int_equal(feed(&w, 90), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(w.opened, 1);

	/* what is critical for a while, and beyond warning all the time, is a warning first */
	w = watch_new(70, 85);
	w.rule.for_us = 60 * SECOND;
	for (int j = 0; j < 6; j++)
		assert_int_equal(feed(&w, j < 3 ? 75 : 90), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_CRITICAL);
}

static void
samples_are_counted(void **state)
{
	(void) state;
	struct watch w = watch_new(70, 85);

	w.rule.min_samples = 3;
	assert_int_equal(feed(&w, 99), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 99), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 99), PERFKIT_ALARM_CRITICAL);
}

static void
cooldown_keeps_quiet(void **state)
{
	(void) state;
	struct watch w = watch_new(70, NAN);

	w.rule.cooldown_us = 300 * SECOND;
	assert_int_equal(feed(&w, 80), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 10), PERFKIT_ALARM_OK);
	for (int i = 0; i < 29; i++)
		assert_int_equal(feed(&w, i % 2 ? 10 : 80), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 80), PERFKIT_ALARM_WARNING); /* 300 s */
	assert_int_equal(w.opened, 2);
}

static void
one_level_only(void **state)
{
	(void) state;
	struct watch w = watch_new(NAN, 85);

	assert_int_equal(feed(&w, 84), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 1e300), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(feed(&w, 84), PERFKIT_ALARM_OK);
	assert_int_equal(w.opened, 1);
}

static void
silence(void **state)
{
	(void) state;
	struct watch w = watch_new(70, 85);

	w.rule.no_data_us = 30 * SECOND;

	/* what never spoke is not missed */
	for (int i = 0; i < 10; i++)
		assert_int_equal(miss(&w), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 10), PERFKIT_ALARM_OK);
	assert_int_equal(miss(&w), PERFKIT_ALARM_OK);
	assert_int_equal(miss(&w), PERFKIT_ALARM_OK);
	for (int i = 0; i < 10; i++)
		assert_int_equal(miss(&w), PERFKIT_ALARM_NO_DATA);
	assert_int_equal(w.opened, 1);
	assert_int_equal(feed(&w, 10), PERFKIT_ALARM_OK);
	assert_int_equal(w.resolved, 1);

	/* from trouble into silence and back: one alert */
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_CRITICAL);
	for (int i = 0; i < 3; i++)
		(void) miss(&w);
	assert_int_equal(w.alarm.level, PERFKIT_ALARM_NO_DATA);
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(feed(&w, 1), PERFKIT_ALARM_OK);
	assert_int_equal(w.opened, 2);
	assert_int_equal(w.resolved, 2);

	/* not wanted, not told */
	w = watch_new(70, 85);
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_CRITICAL);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(miss(&w), PERFKIT_ALARM_CRITICAL);
}

static void
no_number(void **state)
{
	(void) state;
	struct watch w = watch_new(70, 85);

	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(feed(&w, NAN), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(feed(&w, INFINITY), PERFKIT_ALARM_CRITICAL);
	assert_int_equal(feed(&w, -INFINITY), PERFKIT_ALARM_OK);
}

static void
clock_set_back(void **state)
{
	(void) state;
	struct watch w = watch_new(70, NAN);

	w.rule.for_us = 60 * SECOND;
	w.rule.cooldown_us = 60 * SECOND;
	for (int i = 0; i < 6; i++)
		assert_int_equal(feed(&w, 80), PERFKIT_ALARM_OK);
	w.now -= 3600 * SECOND;
	for (int i = 0; i < 6; i++)
		assert_int_equal(feed(&w, 80), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 80), PERFKIT_ALARM_WARNING);

	/* an alert stays open over it, and the cooldown lasts no longer than it should */
	w.now -= 3600 * SECOND;
	assert_int_equal(feed(&w, 80), PERFKIT_ALARM_WARNING);
	assert_int_equal(feed(&w, 10), PERFKIT_ALARM_OK);
	w.now -= 3600 * SECOND;
	for (int i = 0; i < 6; i++)
		assert_int_equal(feed(&w, 80), PERFKIT_ALARM_OK);
	assert_int_equal(feed(&w, 80), PERFKIT_ALARM_WARNING);
	assert_int_equal(w.opened, 2);
}

static void
clock_that_is_noticed(void **state)
{
	(void) state;
	static const int64_t jumps[] = {86400 * SECOND, -3600 * SECOND};

	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++)
	{
		struct watch w = watch_new(70, NAN);

		w.rule.for_us = 60 * SECOND;
		w.rule.cooldown_us = 60 * SECOND;
		w.rule.no_data_us = 30 * SECOND;
		for (int j = 0; j < 3; j++)
			assert_int_equal(feed(&w, 80), PERFKIT_ALARM_OK);
		w.now += jumps[i];
		perfkit_alarm_shift(&w.alarm, jumps[i]);
		assert_int_equal(miss(&w), PERFKIT_ALARM_OK);
		for (int j = 0; j < 2; j++)
			assert_int_equal(feed(&w, 80), PERFKIT_ALARM_OK);
		assert_int_equal(feed(&w, 80),
						 PERFKIT_ALARM_WARNING); /* 60 s, with the one that was missed */

		/* the cooldown lasts as long as it should */
		w.rule.for_us = 0;
		assert_int_equal(feed(&w, 10), PERFKIT_ALARM_OK);
		w.now += jumps[i];
		perfkit_alarm_shift(&w.alarm, jumps[i]);
		for (int j = 0; j < 5; j++)
			assert_int_equal(feed(&w, 80), PERFKIT_ALARM_OK);
		assert_int_equal(feed(&w, 80), PERFKIT_ALARM_WARNING);
		assert_int_equal(w.opened, 2);
	}

	/* what never was is not timed */
	struct watch w = watch_new(70, NAN);
	perfkit_alarm_shift(&w.alarm, jumps[0]);
	assert_int_equal(w.alarm.last_us, 0);
	assert_int_equal(w.alarm.resolved_us, 0);
}

static void
nobody_watches(void **state)
{
	(void) state;
	struct watch w = watch_new(70, 85);

	assert_false(perfkit_alarm_end(&w.alarm, w.now));
	assert_int_equal(feed(&w, 90), PERFKIT_ALARM_CRITICAL);
	assert_true(perfkit_alarm_end(&w.alarm, w.now));
	assert_int_equal(w.alarm.level, PERFKIT_ALARM_OK);
}

/* A slow wave through every threshold there is: each opens once, holds, and clears once. */
static void
every_threshold_once(void **state)
{
	(void) state;
	static const struct
	{
		double warning;
		double critical;
		double clear_warning;
		double clear_critical;
		bool below;
		int for_s;
		int cooldown_s;
		int min_samples;
	} rules[] = {
		{0.7, 0.85, 0.65, 0.8, false, 60, 300, 1}, {1.5, 2.5, NAN, NAN, false, 0, 0, 1},
		{0.02, 0.05, 0.01, NAN, false, 60, 60, 3}, {100, 500, 50, 400, false, 30, 0, 2},
		{0.9, 0.8, 0.93, NAN, true, 300, 600, 1},  {5e8, NAN, NAN, NAN, false, 0, 0, 1},
		{NAN, 3, NAN, 2, false, 0, 0, 1},
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
	{
		struct watch w = watch_new(rules[i].warning, rules[i].critical);
		double worst = isnan(rules[i].critical) ? rules[i].warning : rules[i].critical;
		double peak = rules[i].below ? worst * 0.9 : worst * 1.1;
		double calm = rules[i].below ? 1 : 0;

		w.rule.clear_warning = rules[i].clear_warning;
		w.rule.clear_critical = rules[i].clear_critical;
		w.rule.below = rules[i].below;
		w.rule.for_us = rules[i].for_s * SECOND;
		w.rule.cooldown_us = rules[i].cooldown_s * SECOND;
		w.rule.min_samples = rules[i].min_samples;
		for (int wave = 1; wave <= 3; wave++)
		{
			for (int s = 0; s <= 1000; s++)
				(void) feed(&w, calm + (peak - calm) * s / 1000);
			for (int s = 0; s <= 100; s++)
				(void) feed(&w, peak);
			assert_int_equal(w.alarm.level, isnan(rules[i].critical) ? PERFKIT_ALARM_WARNING
																	 : PERFKIT_ALARM_CRITICAL);
			for (int s = 1000; s >= 0; s--)
				(void) feed(&w, calm + (peak - calm) * s / 1000);
			for (int s = 0; s <= 100; s++)
				(void) feed(&w, calm);
			assert_int_equal(w.alarm.level, PERFKIT_ALARM_OK);
			assert_int_equal(w.opened, wave);
			assert_int_equal(w.resolved, wave);
		}
	}
}

static void
names(void **state)
{
	(void) state;
	for (int i = PERFKIT_ALARM_OK; i <= PERFKIT_ALARM_CRITICAL; i++)
		assert_int_equal(
			perfkit_alarm_level_by_name(perfkit_alarm_level_name((PerfkitAlarmLevel) i)), i);
	assert_int_equal(perfkit_alarm_level_by_name("no such level"), PERFKIT_ALARM_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_and_clears),
		cmocka_unit_test(from_ok_to_critical_at_once),
		cmocka_unit_test(below_is_the_mirror),
		cmocka_unit_test(hysteresis_holds),
		cmocka_unit_test(for_duration_must_be_whole),
		cmocka_unit_test(samples_are_counted),
		cmocka_unit_test(cooldown_keeps_quiet),
		cmocka_unit_test(one_level_only),
		cmocka_unit_test(silence),
		cmocka_unit_test(no_number),
		cmocka_unit_test(clock_set_back),
		cmocka_unit_test(clock_that_is_noticed),
		cmocka_unit_test(nobody_watches),
		cmocka_unit_test(every_threshold_once),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
