/*-------------------------------------------------------------------------
 * alarm.c
 *	  The states of an alarm.
 *-------------------------------------------------------------------------
 */
#include "alarm.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const char *const names[] = {
	[PERFKIT_ALARM_OK] = "ok",
	[PERFKIT_ALARM_NO_DATA] = "no_data",
	[PERFKIT_ALARM_WARNING] = "warning",
	[PERFKIT_ALARM_CRITICAL] = "critical",
};


/* Is the value at a level or worse?  Never, if there is no such level. */
static bool
beyond(const PerfkitAlarmRule *rule, double value, double level)
{
	return rule->below ? value <= level : value >= level;
}


/* The level at which trouble of this kind is over. */
static double
clear_level(double clear, double level)
{
	return isnan(clear) ? level : clear;
}


/* How long, and how often, the value has been there without a break. */
static void
follow(bool there, int64_t at_us, int64_t *since, int *samples)
{
	if (!there)
	{
		*since = 0;
		*samples = 0;
		return;
	}
	if (*samples == 0)
		*since = at_us;
	if (*samples < INT32_MAX)
		(*samples)++;
}


static bool
lasting(const PerfkitAlarmRule *rule, int64_t at_us, int64_t since, int samples)
{
	return samples > 0 && samples >= rule->min_samples && at_us - since >= rule->for_us;
}


/* The level that the values have earned, as if there were none before. */
static PerfkitAlarmLevel
earned(const PerfkitAlarm *a, const PerfkitAlarmRule *rule, int64_t at_us)
{
	if (lasting(rule, at_us, a->critical_since, a->critical_samples))
		return PERFKIT_ALARM_CRITICAL;
	if (lasting(rule, at_us, a->warning_since, a->warning_samples))
		return PERFKIT_ALARM_WARNING;
	return PERFKIT_ALARM_OK;
}


/* The level that the value does not let go of: A1. */
static PerfkitAlarmLevel
held(const PerfkitAlarm *a, const PerfkitAlarmRule *rule, double value)
{
	if (a->level == PERFKIT_ALARM_CRITICAL &&
		beyond(rule, value, clear_level(rule->clear_critical, rule->critical)))
		return PERFKIT_ALARM_CRITICAL;
	if (a->level >= PERFKIT_ALARM_WARNING &&
		beyond(rule, value, clear_level(rule->clear_warning, rule->warning)))
		return PERFKIT_ALARM_WARNING;
	return PERFKIT_ALARM_OK;
}


static bool
move(PerfkitAlarm *a, PerfkitAlarmLevel level, int64_t at_us)
{
	if (level == a->level)
		return false;
	if (level == PERFKIT_ALARM_OK)
		a->resolved_us = at_us;
	a->level = level;
	return true;
}


/* The clock was set back: what was timed by it begins anew. */
static void
heed_clock(PerfkitAlarm *a, int64_t at_us)
{
	if (at_us >= a->last_us)
		return;
	a->warning_samples = 0;
	a->critical_samples = 0;
	if (a->resolved_us > at_us)
		a->resolved_us = at_us;
}


bool
perfkit_alarm_value(PerfkitAlarm *a, const PerfkitAlarmRule *rule, int64_t at_us, double value)
{
	PerfkitAlarmLevel level;
	PerfkitAlarmLevel hold;

	if (isnan(value))
		return false;
	heed_clock(a, at_us);
	a->value = value;
	a->last_us = at_us;
	follow(beyond(rule, value, rule->critical), at_us, &a->critical_since, &a->critical_samples);
	follow(a->critical_samples > 0 || beyond(rule, value, rule->warning), at_us, &a->warning_since,
		   &a->warning_samples);
	level = earned(a, rule, at_us);
	hold = held(a, rule, value);
	if (hold > level)
		level = hold;

	/* A new alert so soon after the last would only be noise. */
	if (a->level == PERFKIT_ALARM_OK && a->resolved_us != 0 &&
		at_us - a->resolved_us < rule->cooldown_us)
		return false;
	return move(a, level, at_us);
}


bool
perfkit_alarm_silence(PerfkitAlarm *a, const PerfkitAlarmRule *rule, int64_t now_us)
{
	if (rule->no_data_us <= 0 || a->last_us == 0 || now_us - a->last_us < rule->no_data_us)
		return false;
	a->warning_samples = 0;
	a->critical_samples = 0;
	return move(a, PERFKIT_ALARM_NO_DATA, now_us);
}


bool
perfkit_alarm_end(PerfkitAlarm *a, int64_t now_us)
{
	return move(a, PERFKIT_ALARM_OK, now_us);
}


void
perfkit_alarm_shift(PerfkitAlarm *a, int64_t by_us)
{
	int64_t *times[] = {&a->last_us, &a->warning_since, &a->critical_since, &a->resolved_us};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
	{
		if (*times[i] != 0) /* 0: never */
			*times[i] += by_us;
	}
}


const char *
perfkit_alarm_level_name(PerfkitAlarmLevel level)
{
	return names[level];
}


PerfkitAlarmLevel
perfkit_alarm_level_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(names[i], name) == 0)
			return (PerfkitAlarmLevel) i;
	}
	return PERFKIT_ALARM_OK;
}
