/*-------------------------------------------------------------------------
 * alarm.h
 *	  When a series is in trouble: the states of one alarm.  Pure C; times are
 *	  arguments, in microseconds.
 *
 *	           value beyond a level for for_us and min_samples, cooldown over
 *	     OK ------------------------------------------------> WARNING <---> CRITICAL
 *	      ^                                                      |             |
 *	      +---- value back behind clear_warning, clear_critical -+-------------+
 *
 *	  and from each of them to NO_DATA, when no value has come for no_data_us, and back
 *	  with the next one.
 *
 * A1  The level falls at once, and only behind the clear level; it rises only after
 *     for_us.  So a value that swings between the two levels moves nothing.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_ALARM_H
#define PERFKIT_ALARM_H

#include <stdbool.h>
#include <stdint.h>

typedef enum PerfkitAlarmLevel
{
	PERFKIT_ALARM_OK,
	PERFKIT_ALARM_NO_DATA,
	PERFKIT_ALARM_WARNING,
	PERFKIT_ALARM_CRITICAL
} PerfkitAlarmLevel;

/* A threshold.  Levels that are NaN do not exist; a clear level that is NaN is the level. */
typedef struct PerfkitAlarmRule
{
	bool below; /* trouble is below the levels, not above */
	double warning;
	double critical;
	double clear_warning;
	double clear_critical;
	int64_t for_us;
	int64_t cooldown_us; /* between the end of an alert and the next */
	int64_t no_data_us;  /* 0: missing values mean nothing */
	int min_samples;
} PerfkitAlarmRule;

/* One series under one threshold; all zeroes: nothing was seen yet. */
typedef struct PerfkitAlarm
{
	PerfkitAlarmLevel level;
	double value;          /* the last one */
	int64_t last_us;       /* its time; 0: there was none */
	int64_t warning_since; /* beyond the level without a break; 0: it is not */
	int64_t critical_since;
	int warning_samples;
	int critical_samples;
	int64_t resolved_us; /* when it last went back to OK; 0: never */
} PerfkitAlarm;

/* A value of this time has come; true when the level has changed.  NaN is no value. */
extern bool perfkit_alarm_value(PerfkitAlarm *a, const PerfkitAlarmRule *rule, int64_t at_us,
								double value);

/* No value has come until now; true when the level has changed. */
extern bool perfkit_alarm_silence(PerfkitAlarm *a, const PerfkitAlarmRule *rule, int64_t now_us);

/* Nobody watches it any more; true when the level has changed. */
extern bool perfkit_alarm_end(PerfkitAlarm *a, int64_t now_us);

/* The clock was set forward by so much, or back: what is timed goes along, as if it had not been.
 */
extern void perfkit_alarm_shift(PerfkitAlarm *a, int64_t by_us);

/* ok, no_data, warning, critical */
extern const char *perfkit_alarm_level_name(PerfkitAlarmLevel level);
extern PerfkitAlarmLevel perfkit_alarm_level_by_name(const char *name);

#endif /* PERFKIT_ALARM_H */
