/*-------------------------------------------------------------------------
 * metric.c
 *	  The tables of metrics, of shares and of probes.
 *-------------------------------------------------------------------------
 */
#include "metric.h"

#include "compat.h"

#define COUNTER PERFKIT_COUNTER
#define GAUGE PERFKIT_GAUGE
#define EVENTS PERFKIT_EVENTS

const PerfkitMetric perfkit_metrics[] = {
	/* the server */
	{"connections", GAUGE, "Client connections of all databases."},
	{"max_connections", GAUGE, "Setting max_connections."},
	{"connections_ratio", GAUGE, "Client connections by max_connections."},
	{"autovacuum_workers", GAUGE, "Autovacuum workers at work."},
	{"wal_bytes", COUNTER, "WAL written."},
	{"wal_records", COUNTER, "WAL records written."},
	{"wal_full_page_images", COUNTER, "Full page images among them."},
	{"wal_buffers_full", COUNTER, "Times WAL was written because its buffers were full."},
	{"checkpoints_timed", COUNTER, "Checkpoints because of checkpoint_timeout."},
	{"checkpoints_requested", COUNTER, "Checkpoints for other reasons, max_wal_size among them."},
	{"checkpoint_buffers", COUNTER, "Buffers written by checkpoints."},
	{"checkpoint_write_seconds", COUNTER, "Time spent on writing by checkpoints."},
	{"archived_wal_files", COUNTER, "WAL files archived."},
	{"archive_failures", COUNTER, "Failed attempts to archive one."},
	{"replication_lag_seconds", GAUGE, "How late a standby replays; on a standby, how late it is."},
	{"replication_lag_bytes", GAUGE, "WAL a standby has yet to replay."},
	{"replication_slot_retained_bytes", GAUGE, "WAL kept for a replication slot."},
	{"replication_slot_inactive", GAUGE, "1: nobody is connected to the replication slot."},
	{"prepared_transactions", GAUGE, "Prepared transactions, of all databases."},
	{"oldest_prepared_transaction_seconds", GAUGE, "Age of the oldest of them; 0: none."},
	{"uptime_seconds", GAUGE, "Time since the server was started."},
	{"cpu_seconds", COUNTER, "CPU time used on this host, by all its processes."},
	{"cpu_idle_seconds", COUNTER, "CPU time not used."},
	{"cpu_ratio", GAUGE, "Share of this host's CPU time in use."},
	{"load1", GAUGE, "Load average of one minute."},
	{"memory_bytes", GAUGE, "Memory of this host, or of the control group's limit."},
	{"memory_available_bytes", GAUGE, "Memory that can be had without swapping."},
	{"memory_ratio", GAUGE, "Share of the memory that is not available."},
	{"disk_bytes", GAUGE, "Size of the file system with the data directory."},
	{"disk_free_bytes", GAUGE, "What is free of it for the server."},
	{"disk_ratio", GAUGE, "Share of it that is not free."},

	/* a database */
	{"transactions", COUNTER, "Transactions that have ended."},
	{"rollbacks", COUNTER, "Transactions rolled back among them."},
	{"deadlocks", COUNTER, "Deadlocks."},
	{"conflicts", COUNTER, "Statements cancelled because of recovery, on a standby."},
	{"temp_files", COUNTER, "Temporary files written."},
	{"temp_bytes", COUNTER, "Bytes written to temporary files."},
	{"blocks_read", COUNTER, "Blocks read from outside of the shared buffers."},
	{"blocks_hit", COUNTER, "Blocks found in the shared buffers."},
	{"cache_hit_ratio", GAUGE, "Share of the blocks found in the shared buffers."},
	{"block_read_seconds", COUNTER, "Time spent on reading blocks; with track_io_timing."},
	{"block_write_seconds", COUNTER, "Time spent on writing blocks; with track_io_timing."},
	{"rows_returned", COUNTER, "Rows scanned."},
	{"rows_fetched", COUNTER, "Rows fetched through indexes."},
	{"rows_inserted", COUNTER, "Rows inserted."},
	{"rows_updated", COUNTER, "Rows updated."},
	{"rows_deleted", COUNTER, "Rows deleted."},
	{"sessions", COUNTER, "Sessions that were begun."},
	{"sessions_abandoned", COUNTER, "Sessions whose client went away."},
	{"sessions_killed", COUNTER, "Sessions ended by an operator."},
	{"sessions_fatal", COUNTER, "Sessions ended by an error."},
	{"checksum_failures", COUNTER, "Blocks with a wrong checksum; with data checksums."},
	{"active_connections", GAUGE, "Sessions that run a statement."},
	{"idle_connections", GAUGE, "Sessions outside of a transaction."},
	{"idle_in_transaction_connections", GAUGE, "Sessions that do nothing in a transaction."},
	{"waiting_locks", GAUGE, "Sessions that wait for a lock."},
	{"oldest_transaction_seconds", GAUGE, "Age of the oldest transaction of a client; 0: none."},
	{"oldest_snapshot_xids", GAUGE, "Transactions since the oldest snapshot of a client."},
	{"xid_age", GAUGE, "Age of the database's oldest transaction id not frozen."},
	{"multixact_age", GAUGE, "Age of the database's oldest multixact."},
	{"vacuums", GAUGE, "Tables under VACUUM now."},
	{"database_size_bytes", GAUGE, "Size of the database."},
	{"table_size_bytes", GAUGE, "Size of the ten largest tables, without indexes, by statistics."},
	{"table_dead_rows", GAUGE, "Dead rows of the ten tables with most of them."},
	{"wait_seconds", EVENTS, "Time statements spent waiting, by what they waited for."},
	{"statements", COUNTER, "Statements of clients that succeeded."},
	{"statement_errors", COUNTER, "Statements of clients that failed."},
	{"error_ratio", GAUGE, "Share of the statements that failed."},
	{"logged_statements", COUNTER, "Statements found worth a row of slow_query_log."},
	{"statement_seconds", GAUGE, "Mean time of the statements that succeeded."},
	{"statement_p50_seconds", GAUGE, "Half of them took no longer."},
	{"statement_p95_seconds", GAUGE, "95 of 100 took no longer."},
	{"statement_p99_seconds", GAUGE, "99 of 100 took no longer."},
	{"refreshes", EVENTS, "Refreshes of materialized views that have ended, by status."},
	{"matviews_failing", GAUGE, "Materialized views whose last refresh failed."},
	{"sample_delay_seconds", GAUGE, "How much later than due this was measured."},
};
const int perfkit_n_metrics = lengthof(perfkit_metrics);

const PerfkitShare perfkit_shares[] = {
	{"cpu_ratio", "cpu_seconds", "cpu_idle_seconds"},
	{"cache_hit_ratio", "blocks_hit", "blocks_read"},
	{"error_ratio", "statement_errors", "statements"},
};
const int perfkit_n_shares = lengthof(perfkit_shares);

#define HERE "(SELECT oid FROM pg_database WHERE datname = current_database())"
#define WAL_NOW                                                                                    \
	"CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"

const PerfkitProbe perfkit_probes[] = {
	{"host", true, 0, true, "SELECT * FROM perfkit._host()"},
	{"connections", true, 0, true,
	 "SELECT count(*) FILTER (WHERE backend_type = 'client backend') AS connections,"
	 " current_setting('max_connections')::int AS max_connections,"
	 " count(*) FILTER (WHERE backend_type = 'client backend')"
	 "  / current_setting('max_connections')::float8 AS connections_ratio,"
	 " count(*) FILTER (WHERE backend_type = 'autovacuum worker') AS autovacuum_workers,"
	 " extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()) AS uptime_seconds"
	 " FROM pg_stat_activity"},
	{"wal", true, 0, false,
	 "SELECT wal_bytes, wal_records, wal_fpi AS wal_full_page_images, wal_buffers_full"
	 " FROM pg_stat_wal"},
	{"checkpoints", true, 0, true, PERFKIT_SQL_CHECKPOINTS},
	{"archiver", true, 0, true,
	 "SELECT archived_count AS archived_wal_files, failed_count AS archive_failures"
	 " FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off'"},
	{"standbys", true, 0, true,
	 "SELECT application_name AS label_standby, max(CASE WHEN replay_lsn >= " WAL_NOW " THEN 0"
	 " ELSE extract(epoch FROM replay_lag) END) AS replication_lag_seconds,"
	 " max(pg_wal_lsn_diff(" WAL_NOW ", replay_lsn)) AS replication_lag_bytes"
	 " FROM pg_stat_replication WHERE state = 'streaming'"
	 " GROUP BY application_name ORDER BY 1 LIMIT 20"},
	{"recovery", true, 0, true,
	 "SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0"
	 " ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END"
	 " AS replication_lag_seconds WHERE pg_is_in_recovery()"},
	{"slots", true, 0, true,
	 "SELECT slot_name AS label_slot,"
	 " pg_wal_lsn_diff(" WAL_NOW ", restart_lsn) AS replication_slot_retained_bytes,"
	 " CASE WHEN active THEN 0 ELSE 1 END AS replication_slot_inactive"
	 " FROM pg_replication_slots WHERE NOT temporary ORDER BY 1 LIMIT 20"},
	{"prepared", true, 0, false,
	 "SELECT count(*) AS prepared_transactions,"
	 " coalesce(extract(epoch FROM clock_timestamp() - min(prepared)), 0)"
	 "  AS oldest_prepared_transaction_seconds FROM pg_prepared_xacts"},
	{"database", false, 0, true,
	 "SELECT xact_commit + xact_rollback AS transactions, xact_rollback AS rollbacks, deadlocks,"
	 " conflicts, temp_files, temp_bytes, blks_read AS blocks_read, blks_hit AS blocks_hit,"
	 " CASE current_setting('track_io_timing') WHEN 'on' THEN blk_read_time / 1000 END"
	 "  AS block_read_seconds,"
	 " CASE current_setting('track_io_timing') WHEN 'on' THEN blk_write_time / 1000 END"
	 "  AS block_write_seconds,"
	 " tup_returned AS rows_returned, tup_fetched AS rows_fetched, tup_inserted AS rows_inserted,"
	 " tup_updated AS rows_updated, tup_deleted AS rows_deleted, sessions, sessions_abandoned,"
	 " sessions_killed, sessions_fatal, checksum_failures"
	 " FROM pg_stat_database WHERE datid = " HERE},
	{"sessions", false, 0, true,
	 "SELECT count(*) FILTER (WHERE state IN ('active', 'fastpath function call'))"
	 "  AS active_connections,"
	 " count(*) FILTER (WHERE state = 'idle') AS idle_connections,"
	 " count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS "
	 "idle_in_transaction_connections,"
	 " count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting_locks,"
	 " coalesce(greatest(extract(epoch FROM clock_timestamp() - min(xact_start)), 0), 0)"
	 "  AS oldest_transaction_seconds,"
	 " coalesce(max(age(backend_xmin)), 0) AS oldest_snapshot_xids"
	 " FROM pg_stat_activity WHERE datid = " HERE " AND backend_type = 'client backend'"},
	{"age", false, 0, true,
	 "SELECT age(datfrozenxid) AS xid_age, mxid_age(datminmxid) AS multixact_age"
	 " FROM pg_database WHERE datname = current_database()"},
	{"vacuum", false, 0, false,
	 "SELECT count(*) AS vacuums FROM pg_stat_progress_vacuum WHERE datid = " HERE},
	{"size", false, 300, true,
	 "SELECT pg_database_size(current_database()) AS database_size_bytes"},
	{"tables", false, 300, true,
	 "SELECT format('%I.%I', n.nspname, c.relname) AS label_table,"
	 " c.relpages * current_setting('block_size')::float8 AS table_size_bytes"
	 " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
	 " WHERE c.relkind IN ('r', 'm') AND c.relpages > 0 ORDER BY c.relpages DESC, c.oid LIMIT 10"},
	{"dead rows", false, 60, false,
	 "SELECT format('%I.%I', schemaname, relname) AS label_table, n_dead_tup AS table_dead_rows"
	 " FROM pg_stat_user_tables WHERE n_dead_tup > 0 ORDER BY n_dead_tup DESC, relid LIMIT 10"},
	{"refreshes", false, 0, false,
	 "SELECT s AS label_status, count(l.run_id) AS refreshes"
	 " FROM unnest('{success,failed,timeout,cancelled,crashed}'::text[]) s"
	 " LEFT JOIN perfkit.refresh_log l ON l.status = s AND l.finished_at > $1"
	 "  AND l.finished_at <= $2 AND l.started_at > $1 - interval '7 days' GROUP BY s"},
	{"matviews", false, 0, false,
	 "SELECT count(*) AS matviews_failing FROM perfkit.refresh_state WHERE failures > 0"},
};
const int perfkit_n_probes = lengthof(perfkit_probes);


int
perfkit_metric_find(const char *name)
{
	for (int i = 0; i < perfkit_n_metrics; i++)
	{
		if (strcmp(perfkit_metrics[i].name, name) == 0)
			return i;
	}
	return -1;
}


const char *
perfkit_metric_logged_name(const PerfkitMetric *metric)
{
	return metric->kind == PERFKIT_GAUGE ? metric->name : psprintf("%s_per_second", metric->name);
}
