/*-------------------------------------------------------------------------
 * cronday.c
 *	  Days and minutes that match.
 *
 * The proleptic Gregorian calendar, which repeats itself after 400 years.
 *-------------------------------------------------------------------------
 */
#include "cronday.h"

#define DAY_SECONDS INT64_C(86400)
#define CYCLE_DAYS INT64_C(146097) /* 400 years, a whole number of weeks */

typedef struct Date
{
	int64_t year;
	int month; /* 1 to 12 */
	int day;
} Date;


static int64_t
floor_div(int64_t a, int64_t b)
{
	int64_t quotient = a / b;

	return a % b < 0 ? quotient - 1 : quotient;
}


static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}


static int
month_days(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}


/* Days from 0000-01-01 to the first of January of a year that is not negative. */
static int64_t
days_before_year(int64_t year)
{
	return year * 365 + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}


/* The date of a day counted from 1970-01-01. */
static Date
date_of(int64_t day)
{
	int64_t since_0 = day + days_before_year(1970);
	int64_t cycle = floor_div(since_0, CYCLE_DAYS);
	int64_t rest = since_0 - cycle * CYCLE_DAYS;
	Date date = {.year = rest / 366, .month = 1};

	while (days_before_year(date.year + 1) <= rest)
		date.year++;
	rest -= days_before_year(date.year);
	while (rest >= month_days(date.year, date.month))
		rest -= month_days(date.year, date.month++);
	date.day = (int) rest + 1;
	date.year += cycle * 400;
	return date;
}


static void
to_next_month(Date *date, int64_t *day)
{
	*day += month_days(date->year, date->month) - date->day + 1;
	date->day = 1;
	if (++date->month > 12)
	{
		date->month = 1;
		date->year++;
	}
}


static bool
day_matches(const PerfkitCron *cron, const Date *date, int64_t day)
{
	/* 1970-01-01 was a Thursday. */
	int weekday = (int) (day + 4 - floor_div(day + 4, 7) * 7);
	bool by_day = (cron->days >> date->day & 1) != 0 ||
				  (cron->last_day && date->day == month_days(date->year, date->month));
	bool by_weekday = (cron->weekdays >> weekday & 1) != 0;

	return cron->either_day ? by_day || by_weekday : by_day && by_weekday;
}


/* The first matching day from `day` on and before `limit`. */
static bool
first_day(const PerfkitCron *cron, int64_t day, int64_t limit, int64_t *found)
{
	Date date = date_of(day);

	while (day < limit)
	{
		if ((cron->months >> date.month & 1) == 0)
		{
			to_next_month(&date, &day);
			continue;
		}
		if (day_matches(cron, &date, day))
		{
			*found = day;
			return true;
		}
		if (date.day == month_days(date.year, date.month))
			to_next_month(&date, &day);
		else
		{
			date.day++;
			day++;
		}
	}
	return false;
}


/* The first matching second of a day from `from` on, or -1. */
static int64_t
first_time(const PerfkitCron *cron, int64_t from)
{
	int64_t start = (from + 59) / 60; /* runs are at full minutes */

	for (int64_t minute = start; minute < 24 * 60; minute++)
	{
		int64_t hour = minute / 60;

		if ((cron->hours >> hour & 1) == 0)
			minute = hour * 60 + 59;
		else if ((cron->minutes >> (minute % 60) & 1) != 0)
			return minute * 60;
	}
	return -1;
}


bool
perfkit_cronday_possible(const PerfkitCron *cron)
{
	int64_t day;

	return first_day(cron, 0, CYCLE_DAYS, &day);
}


bool
perfkit_cronday_first(const PerfkitCron *cron, int64_t from, int64_t limit, int64_t *found)
{
	int64_t day = floor_div(from, DAY_SECONDS);
	int64_t second = from - day * DAY_SECONDS;
	int64_t limit_day = floor_div(limit, DAY_SECONDS) + 1;

	while (first_day(cron, day, limit_day, &day))
	{
		int64_t time = first_time(cron, day == floor_div(from, DAY_SECONDS) ? second : 0);

		if (time >= 0)
		{
			*found = day * DAY_SECONDS + time;
			return *found < limit;
		}
		day++;
	}
	return false;
}
