/*-------------------------------------------------------------------------
 * rollup.c
 *	  When to roll up.  How is perfkit._roll_up()'s affair: SQL, in one transaction that
 *	  also notes what it has seen, so that a row is counted once, whenever it comes.
 *-------------------------------------------------------------------------
 */
#include "rollup.h"

#include "guc.h"
#include "query.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define PERIOD_MS (60 * 1000)

static TimestampTz next_run = 0;


/* Alerts that are over are kept as long as the hours that tell of them. */
static void
prune_alerts(void)
{
	PerfkitQuery q = {0};

	if (perfkit_rollup_hour_retention == 0)
		return;
	perfkit_query_add_time(&q, GetCurrentTimestamp() -
								   perfkit_rollup_hour_retention * USECS_PER_MINUTE);
	perfkit_query_run("DELETE FROM perfkit.alert WHERE resolved_at < $1", &q);
}


void
perfkit_rollup_run(void)
{
	TimestampTz at = GetCurrentTimestamp();

	/* The second condition: the clock was set back. */
	if (at < next_run && next_run - at <= PERIOD_MS * INT64CONST(1000))
		return;
	next_run = TimestampTzPlusMilliseconds(at, PERIOD_MS);
	perfkit_query_begin("perfkit: rolling up performance_log");
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	perfkit_query_run("SELECT perfkit._roll_up()", NULL);
	prune_alerts();
	perfkit_query_end();
}
