/*-------------------------------------------------------------------------
 * history.c
 *	  When the history of statements is written.
 *
 * Intervals end at multiples of their length since 2000-01-01 UTC, so that those of two
 * days are comparable and those of two servers too.
 *-------------------------------------------------------------------------
 */
#include "history.h"

#include <limits.h>

#include "guc.h"
#include "query.h"
#include "utils/timestamp.h"

#define RETRY_MS (60 * 1000)

static int interval_s = -1;    /* by which `next` was computed */
static TimestampTz next = 0;   /* when a snapshot is due */
static bool any_taken = false; /* by this worker */


static TimestampTz
end_of_interval(TimestampTz now)
{
	int64 length = interval_s * USECS_PER_SEC;

	return now - now % length + length;
}


/* Follows the setting.  A worker that has not taken any takes one now. */
static void
follow_setting(TimestampTz now)
{
	if (interval_s == perfkit_statement_history_interval)
		return;
	interval_s = perfkit_statement_history_interval;
	next = interval_s > 0 && any_taken ? end_of_interval(now) : now;
}


bool
perfkit_history_due(TimestampTz now)
{
	follow_setting(now);
	return interval_s > 0 && now >= next;
}


long
perfkit_history_nap_ms(TimestampTz now)
{
	follow_setting(now);
	return interval_s > 0 ? TimestampDifferenceMilliseconds(now, next) : LONG_MAX;
}


void
perfkit_history_take(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = end_of_interval(now);
	TimestampTz retry = TimestampTzPlusMilliseconds(now, RETRY_MS);

	/* Should it fail. */
	next = Min(end, retry);
	perfkit_query_begin("perfkit: history of statements");
	perfkit_query_run(any_taken ? "SELECT perfkit.snapshot_statements()"
								: "SELECT perfkit.snapshot_statements(true)",
					  NULL);
	perfkit_query_end();
	next = end;
	any_taken = true;
}
