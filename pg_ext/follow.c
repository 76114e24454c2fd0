/*-------------------------------------------------------------------------
 * follow.c
 *	  Renamed views are followed, dropped and created ones bound again.
 *-------------------------------------------------------------------------
 */
#include "follow.h"

#include "executor/spi.h"

/* renamed, moved to another schema or owner */
static const char *const names =
	"UPDATE perfkit.refresh_schedule s"
	" SET view_schema = n.nspname, view_name = c.relname,"
	"     owner_name = pg_catalog.pg_get_userbyid(c.relowner)"
	" FROM perfkit.refresh_state st"
	" JOIN pg_catalog.pg_class c ON c.oid = st.view_oid AND c.relkind = 'm'"
	" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
	" WHERE st.schedule_id = s.schedule_id AND s.schedule_id IN ("
	"  SELECT t.schedule_id FROM perfkit.refresh_schedule t"
	"  JOIN perfkit.refresh_state u ON u.schedule_id = t.schedule_id"
	"  JOIN pg_catalog.pg_class d ON d.oid = u.view_oid AND d.relkind = 'm'"
	"  JOIN pg_catalog.pg_namespace m ON m.oid = d.relnamespace"
	"  WHERE (t.view_schema, t.view_name, t.owner_name) IS DISTINCT FROM"
	"   (m.nspname, d.relname, pg_catalog.pg_get_userbyid(d.relowner))"
	"  FOR UPDATE OF t SKIP LOCKED)";

/* come again: what was measured was another view */
static const char *const bind_again =
	"UPDATE perfkit.refresh_state st"
	" SET view_oid = b.oid, last_duration_ms = NULL, reads_before = NULL FROM ("
	"  SELECT u.schedule_id, c.oid FROM perfkit.refresh_schedule s"
	"  JOIN perfkit.refresh_state u ON u.schedule_id = s.schedule_id"
	"  JOIN pg_catalog.pg_namespace n ON n.nspname = s.view_schema"
	"  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.view_name"
	"   AND c.relkind = 'm'"
	"  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class k"
	"   WHERE k.oid = u.view_oid AND k.relkind = 'm')"
	"  FOR UPDATE OF u SKIP LOCKED) b WHERE st.schedule_id = b.schedule_id";

/* come, to a schedule that has none yet (of a dump) */
static const char *const bind =
	"INSERT INTO perfkit.refresh_state (schedule_id, view_oid)"
	" SELECT s.schedule_id, c.oid FROM perfkit.refresh_schedule s"
	" JOIN pg_catalog.pg_namespace n ON n.nspname = s.view_schema"
	" JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.view_name"
	"  AND c.relkind = 'm'"
	" WHERE NOT EXISTS (SELECT FROM perfkit.refresh_state u WHERE u.schedule_id = s.schedule_id)"
	" FOR KEY SHARE OF s SKIP LOCKED";


static void
run(const char *sql)
{
	int result = SPI_execute(sql, false, 0);

	if (result < 0)
		elog(ERROR, "perfkit: SPI failed with %s", SPI_result_code_string(result));
}


void
perfkit_follow_names(void)
{
	run(names);
}


void
perfkit_follow(void)
{
	run(names);
	run(bind_again);
	run(bind);
}
