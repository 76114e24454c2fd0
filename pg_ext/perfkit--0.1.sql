/* perfkit 0.1: schema perfkit.  Columns and names are a contract: docs/slow-queries.md. */

\echo Use "CREATE EXTENSION perfkit" to load this file. \quit

CREATE SCHEMA perfkit;
COMMENT ON SCHEMA perfkit IS 'slow query log and performance log';
GRANT USAGE ON SCHEMA perfkit TO PUBLIC;

-- A default_tablespace that is the database's own is refused for partitioned tables, which hold
-- nothing anyway. It is put back below; a name without a tablespace counts as none.
SELECT pg_catalog.set_config('perfkit_script.default_tablespace',
	pg_catalog.current_setting('default_tablespace'), true);
SET LOCAL default_tablespace = '';

-- ---------------------------------------------------------------- slow_query_log

CREATE TABLE perfkit.slow_query_log (
	id bigint NOT NULL,
	started_at timestamptz NOT NULL,
	ended_at timestamptz,
	duration_ms double precision NOT NULL,
	planning_ms double precision,
	execution_ms double precision,
	queryid bigint,
	plan_id bigint,
	parent_id bigint,
	nesting_level integer NOT NULL,
	database name NOT NULL,
	username name,
	client_addr inet,
	client_port integer,
	application_name text,
	pid integer NOT NULL,
	command_tag text,
	query text,
	query_normalized text,
	parameters jsonb,
	tags jsonb,
	plan jsonb,
	plan_kind text CHECK (plan_kind IN ('estimate', 'actual', 'partial')),
	rows bigint,
	outcome text NOT NULL CHECK (outcome IN ('ok', 'error', 'cancel', 'statement_timeout',
		'lock_timeout', 'terminated', 'recovery_conflict', 'client_gone', 'running', 'crashed')),
	sqlstate text,
	message text,
	reason text NOT NULL CHECK (reason IN ('threshold', 'error', 'sampled', 'first_seen',
		'plan_changed', 'long_running')),
	sample_weight double precision NOT NULL DEFAULT 1,
	commit_ms double precision,
	userid oid NOT NULL,
	pool_client_addr inet,
	pool_client_port integer,
	pool_wait_ms double precision,
	origin text NOT NULL DEFAULT 'stored' CHECK (origin IN ('stored', 'memory')),
	shared_blks_hit bigint,
	shared_blks_read bigint,
	shared_blks_dirtied bigint,
	shared_blks_written bigint,
	local_blks_hit bigint,
	local_blks_read bigint,
	local_blks_dirtied bigint,
	local_blks_written bigint,
	temp_blks_read bigint,
	temp_blks_written bigint,
	shared_blk_read_time double precision,
	shared_blk_write_time double precision,
	local_blk_read_time double precision,
	local_blk_write_time double precision,
	temp_blk_read_time double precision,
	temp_blk_write_time double precision,
	wal_records bigint,
	wal_fpi bigint,
	wal_bytes bigint,
	wal_buffers_full bigint,
	jit_functions bigint,
	jit_generation_time double precision,
	jit_inlining_time double precision,
	jit_optimization_time double precision,
	jit_emission_time double precision,
	jit_deform_time double precision,
	parallel_workers_to_launch integer,
	parallel_workers_launched integer,
	cpu_user_time double precision,
	cpu_sys_time double precision,
	waits jsonb,
	blocking_pid integer,
	truncated text[],
	boot bigint NOT NULL,
	sequence bigint NOT NULL,
	UNIQUE (started_at, boot, sequence)
) PARTITION BY RANGE (started_at);

-- By which the end of a statement finds the row written while it ran; nearly empty.
CREATE INDEX slow_query_log_unfinished_idx ON perfkit.slow_query_log (boot, sequence)
	WHERE outcome IN ('running', 'crashed');

COMMENT ON TABLE perfkit.slow_query_log IS
	'one row per captured statement and execution; a partition per UTC day, dropped after perfkit.slow_query_retention';

-- One list of comments for the table and the views on it.
CREATE FUNCTION perfkit._comment_columns(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	texts CONSTANT text[] := ARRAY[
		'id', 'number of the row, unique and growing',
		'started_at', 'when the server began to work on the statement',
		'ended_at', 'when it had finished, its commit included; NULL when that was not seen',
		'duration_ms', 'time the server spent on it: parse, plan, execute, commit; without the client''s think time; so far, while it runs or when it crashed',
		'planning_ms', 'planning; NULL when the plan was taken from a cache',
		'execution_ms', 'the executor''s share, or the utility statement''s; NULL when it never got so far',
		'queryid', 'as in pg_stat_statements; NULL for statements that failed before analysis',
		'plan_id', 'shape of the plan: its nodes, relations and indexes, without costs and constants; NULL when there is none',
		'parent_id', 'id of the row of the statement it ran inside of; that row may not have been kept',
		'nesting_level', '0: sent by the client',
		'database', 'name of the database',
		'username', 'name of the role that ran it',
		'client_addr', 'address of the client; NULL on a unix socket',
		'client_port', 'port of the client; NULL on a unix socket',
		'application_name', 'as the client calls itself',
		'pid', 'process of the backend',
		'command_tag', 'as sent to the client, without counts',
		'query', 'the statement alone, cut at perfkit.max_query_size, passwords redacted',
		'query_normalized', 'with constants replaced by $n as in pg_stat_statements; NULL where it is not known',
		'parameters', 'bind values as text, in the order of their numbers; null also for what could not be told (see truncated)',
		'tags', 'names and values from sqlcommenter comments, traceparent among them',
		'plan', 'as EXPLAIN (FORMAT JSON) shows it, passwords redacted; NULL when there is none or it could not be taken',
		'plan_kind', 'estimate: as planned; actual: with the rows of each node; partial: the same in the middle of the run',
		'rows', 'returned or affected, summed over all fetches; NULL when the command has none',
		'outcome', 'ok, error, cancel, statement_timeout, lock_timeout, terminated, recovery_conflict, client_gone, running or crashed',
		'sqlstate', 'of the error; NULL when ok',
		'message', 'of the error, or the warning of a commit',
		'reason', 'why there is a row: threshold, error, sampled, first_seen, plan_changed or long_running',
		'sample_weight', 'how many executions the row stands for',
		'commit_ms', 'deferred triggers, flush and standby wait of the commit that followed; NULL where no commit followed at once, or one without work',
		'userid', 'OID of the role that ran it',
		'pool_client_addr', 'address of the pooler''s client (reserved)',
		'pool_client_port', 'port of the pooler''s client (reserved)',
		'pool_wait_ms', 'wait in the pooler''s queue (reserved)',
		'origin', 'stored, or memory on a standby',
		'shared_blks_hit', 'shared blocks found in the cache',
		'shared_blks_read', 'shared blocks read',
		'shared_blks_dirtied', 'shared blocks dirtied',
		'shared_blks_written', 'shared blocks written by the backend itself',
		'local_blks_hit', 'blocks of temporary tables found in the cache',
		'local_blks_read', 'blocks of temporary tables read',
		'local_blks_dirtied', 'blocks of temporary tables dirtied',
		'local_blks_written', 'blocks of temporary tables written',
		'temp_blks_read', 'blocks of temporary files read',
		'temp_blks_written', 'blocks of temporary files written',
		'shared_blk_read_time', 'ms; before PostgreSQL 17 of local blocks too; NULL unless track_io_timing',
		'shared_blk_write_time', 'ms; before PostgreSQL 17 of local blocks too; NULL unless track_io_timing',
		'local_blk_read_time', 'ms, PostgreSQL 17 and newer; NULL unless track_io_timing',
		'local_blk_write_time', 'ms, PostgreSQL 17 and newer; NULL unless track_io_timing',
		'temp_blk_read_time', 'ms; NULL unless track_io_timing',
		'temp_blk_write_time', 'ms; NULL unless track_io_timing',
		'wal_records', 'WAL records made',
		'wal_fpi', 'full page images among them',
		'wal_bytes', 'bytes of WAL',
		'wal_buffers_full', 'times the WAL buffers were full (PostgreSQL 18)',
		'jit_functions', 'functions compiled',
		'jit_generation_time', 'ms',
		'jit_inlining_time', 'ms',
		'jit_optimization_time', 'ms',
		'jit_emission_time', 'ms',
		'jit_deform_time', 'ms (PostgreSQL 17)',
		'parallel_workers_to_launch', 'parallel workers planned (PostgreSQL 18)',
		'parallel_workers_launched', 'parallel workers that came (PostgreSQL 18)',
		'cpu_user_time', 'ms in user mode, of the leader; NULL unless perfkit.track_cpu',
		'cpu_sys_time', 'ms in the kernel, of the leader; NULL unless perfkit.track_cpu',
		'waits', 'what it waited for past the threshold, and for how many ms, estimated from samples; CPU: it did not wait; NULL: no sample',
		'blocking_pid', 'process that held the lock it waited for longer than deadlock_timeout',
		'truncated', 'what of query, tags, parameters and plan was cut or left out; NULL: nothing',
		'boot', 'life of the server''s shared memory it was captured in',
		'sequence', 'its number in that life'];
BEGIN
	FOR i IN 1 .. array_length(texts, 1) BY 2 LOOP
		IF EXISTS (SELECT FROM pg_attribute
				   WHERE attrelid = relation AND attname = texts[i] AND NOT attisdropped) THEN
			EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', relation, texts[i], texts[i + 1]);
		END IF;
	END LOOP;
END $$;

-- Rows of others are shown without what the reader may not know.
CREATE FUNCTION perfkit._may_read(role oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT pg_catalog.pg_has_role(role, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE');
END;
COMMENT ON FUNCTION perfkit._may_read(oid) IS
	'whether the current user may see texts of statements that this role has run';

CREATE VIEW perfkit.slow_queries WITH (security_barrier) AS
SELECT
	l.id, l.started_at, l.ended_at, l.duration_ms, l.planning_ms, l.execution_ms,
	l.queryid, l.plan_id, l.parent_id, l.nesting_level, l.database, l.username,
	CASE WHEN m.visible THEN l.client_addr END AS client_addr,
	CASE WHEN m.visible THEN l.client_port END AS client_port,
	CASE WHEN m.visible THEN l.application_name END AS application_name,
	l.pid, l.command_tag,
	CASE WHEN m.visible THEN l.query ELSE '<insufficient privilege>' END AS query,
	CASE WHEN m.visible THEN l.query_normalized ELSE '<insufficient privilege>' END AS query_normalized,
	CASE WHEN m.visible THEN l.parameters END AS parameters,
	CASE WHEN m.visible THEN l.tags END AS tags,
	CASE WHEN m.visible THEN l.plan END AS plan,
	l.plan_kind, l.rows, l.outcome, l.sqlstate,
	CASE WHEN m.visible THEN l.message END AS message,
	l.reason, l.sample_weight, l.commit_ms, l.userid,
	CASE WHEN m.visible THEN l.pool_client_addr END AS pool_client_addr,
	CASE WHEN m.visible THEN l.pool_client_port END AS pool_client_port,
	l.pool_wait_ms, l.origin,
	l.shared_blks_hit, l.shared_blks_read, l.shared_blks_dirtied, l.shared_blks_written,
	l.local_blks_hit, l.local_blks_read, l.local_blks_dirtied, l.local_blks_written,
	l.temp_blks_read, l.temp_blks_written,
	l.shared_blk_read_time, l.shared_blk_write_time,
	l.local_blk_read_time, l.local_blk_write_time,
	l.temp_blk_read_time, l.temp_blk_write_time,
	l.wal_records, l.wal_fpi, l.wal_bytes, l.wal_buffers_full,
	l.jit_functions, l.jit_generation_time, l.jit_inlining_time, l.jit_optimization_time,
	l.jit_emission_time, l.jit_deform_time,
	l.parallel_workers_to_launch, l.parallel_workers_launched,
	l.cpu_user_time, l.cpu_sys_time, l.waits, l.blocking_pid, l.truncated,
	l.boot, l.sequence
FROM perfkit.slow_query_log l
CROSS JOIN LATERAL (SELECT perfkit._may_read(l.userid) AS visible OFFSET 0) m
ORDER BY l.started_at DESC, l.boot DESC, l.sequence DESC;

COMMENT ON VIEW perfkit.slow_queries IS
	'the slow query log, newest first; texts of others only for pg_read_all_stats';

CREATE VIEW perfkit.failed_queries WITH (security_barrier) AS
SELECT * FROM perfkit.slow_queries WHERE outcome <> 'ok';

COMMENT ON VIEW perfkit.failed_queries IS
	'statements that were cancelled, timed out, failed or never finished, newest first';

CREATE FUNCTION perfkit._active(OUT pid integer, OUT started_at timestamptz,
	OUT elapsed_ms double precision, OUT queryid bigint, OUT nesting_level integer, OUT userid oid,
	OUT id bigint, OUT client_addr text, OUT client_port integer, OUT application_name text,
	OUT command_tag text, OUT query text, OUT wait_event_type text, OUT wait_event text,
	OUT waits jsonb, OUT blocking_pid integer)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'perfkit_active'
LANGUAGE C VOLATILE PARALLEL RESTRICTED STRICT;
COMMENT ON FUNCTION perfkit._active() IS 'the rows of view active_queries, from shared memory';

CREATE VIEW perfkit.active_queries AS
SELECT
	a.pid, a.started_at, a.elapsed_ms, a.queryid, a.nesting_level,
	pg_catalog.current_database() AS database,
	pg_catalog.pg_get_userbyid(a.userid) AS username,
	a.client_addr::inet AS client_addr, a.client_port, a.application_name, a.command_tag, a.query,
	a.wait_event_type, a.wait_event,
	CASE WHEN a.wait_event_type = 'Lock' THEN pg_catalog.pg_blocking_pids(a.pid) ELSE '{}' END AS blocking_pids,
	a.waits, a.id
FROM perfkit._active() a
ORDER BY a.started_at;

COMMENT ON VIEW perfkit.active_queries IS
	'statements of this database that run now, past the threshold of their sessions, oldest first; texts of others only for pg_read_all_stats';
GRANT SELECT ON perfkit.active_queries TO PUBLIC;

SELECT perfkit._comment_columns('perfkit.slow_query_log');
SELECT perfkit._comment_columns('perfkit.slow_queries');
SELECT perfkit._comment_columns('perfkit.failed_queries');
SELECT perfkit._comment_columns('perfkit.active_queries');
COMMENT ON COLUMN perfkit.active_queries.nesting_level IS 'how deep it is in functions now; 0 unless perfkit.track is all';
COMMENT ON COLUMN perfkit.active_queries.elapsed_ms IS 'time since started_at';
COMMENT ON COLUMN perfkit.active_queries.wait_event_type IS 'as in pg_stat_activity; NULL: it does not wait';
COMMENT ON COLUMN perfkit.active_queries.wait_event IS 'as in pg_stat_activity; NULL: it does not wait';
COMMENT ON COLUMN perfkit.active_queries.blocking_pids IS 'who blocks it now, while it waits for a lock';
COMMENT ON COLUMN perfkit.active_queries.id IS 'number its row has or will have in slow_query_log; NULL while none was given';

GRANT SELECT ON perfkit.slow_query_log TO pg_read_all_stats;
GRANT SELECT ON perfkit.slow_queries, perfkit.failed_queries TO PUBLIC;

-- ---------------------------------------------------------------- statements

CREATE FUNCTION perfkit._statements(with_histogram boolean)
RETURNS TABLE (
	queryid bigint, userid oid, toplevel boolean, query text,
	calls bigint, errors bigint, total_exec_time double precision,
	mean_exec_time double precision, min_exec_time double precision,
	max_exec_time double precision, stddev_exec_time double precision,
	p50_exec_time double precision, p95_exec_time double precision,
	p99_exec_time double precision, rows bigint,
	shared_blks_hit bigint, shared_blks_read bigint, shared_blks_dirtied bigint,
	shared_blks_written bigint, local_blks_hit bigint, local_blks_read bigint,
	local_blks_dirtied bigint, local_blks_written bigint, temp_blks_read bigint,
	temp_blks_written bigint, shared_blk_read_time double precision,
	shared_blk_write_time double precision, local_blk_read_time double precision,
	local_blk_write_time double precision, temp_blk_read_time double precision,
	temp_blk_write_time double precision, wal_records bigint, wal_fpi bigint,
	wal_bytes bigint, wal_buffers_full bigint, jit_functions bigint,
	jit_generation_time double precision, jit_inlining_count bigint,
	jit_inlining_time double precision, jit_optimization_count bigint,
	jit_optimization_time double precision, jit_emission_count bigint,
	jit_emission_time double precision, jit_deform_count bigint,
	jit_deform_time double precision, parallel_workers_to_launch bigint,
	parallel_workers_launched bigint, plans bigint, total_plan_time double precision,
	total_error_time double precision, p999_exec_time double precision,
	stats_since timestamptz, histogram bigint[])
AS 'MODULE_PATHNAME', 'perfkit_statements'
LANGUAGE C VOLATILE PARALLEL RESTRICTED STRICT;
COMMENT ON FUNCTION perfkit._statements(boolean) IS
	'the rows of view statements, from shared memory; histogram is {bucket, count, bucket, count, ...}';

CREATE VIEW perfkit.statements AS
SELECT
	s.queryid,
	pg_catalog.current_database() AS database,
	pg_catalog.pg_get_userbyid(s.userid) AS username,
	s.toplevel, s.query, s.calls, s.errors,
	s.total_exec_time, s.mean_exec_time, s.min_exec_time, s.max_exec_time, s.stddev_exec_time,
	s.p50_exec_time, s.p95_exec_time, s.p99_exec_time, s.rows,
	s.shared_blks_hit, s.shared_blks_read, s.shared_blks_dirtied, s.shared_blks_written,
	s.local_blks_hit, s.local_blks_read, s.local_blks_dirtied, s.local_blks_written,
	s.temp_blks_read, s.temp_blks_written,
	s.shared_blk_read_time, s.shared_blk_write_time,
	s.local_blk_read_time, s.local_blk_write_time,
	s.temp_blk_read_time, s.temp_blk_write_time,
	s.wal_records, s.wal_fpi, s.wal_bytes, s.wal_buffers_full,
	s.jit_functions, s.jit_generation_time, s.jit_inlining_count, s.jit_inlining_time,
	s.jit_optimization_count, s.jit_optimization_time, s.jit_emission_count, s.jit_emission_time,
	s.jit_deform_count, s.jit_deform_time,
	s.parallel_workers_to_launch, s.parallel_workers_launched,
	s.plans, s.total_plan_time,
	s.p999_exec_time, s.total_error_time, s.userid, s.stats_since
FROM perfkit._statements(false) s;

COMMENT ON VIEW perfkit.statements IS
	'every execution of every statement of this database, not only the slow ones; texts of others only for pg_read_all_stats';
SELECT perfkit._comment_columns('perfkit.statements');
DROP FUNCTION perfkit._comment_columns(regclass);
COMMENT ON COLUMN perfkit.statements.queryid IS 'as in pg_stat_statements';
COMMENT ON COLUMN perfkit.statements.toplevel IS 'sent by clients, not run inside a function';
COMMENT ON COLUMN perfkit.statements.query IS 'with constants replaced by $n, passwords redacted; NULL where the constants are not known, or for want of room';
COMMENT ON COLUMN perfkit.statements.calls IS 'executions that succeeded';
COMMENT ON COLUMN perfkit.statements.errors IS 'executions that failed, were cancelled or timed out, or whose commit failed';
COMMENT ON COLUMN perfkit.statements.total_exec_time IS 'ms the executor, or the utility statement, took; of the successes, as all that follows';
COMMENT ON COLUMN perfkit.statements.mean_exec_time IS 'ms';
COMMENT ON COLUMN perfkit.statements.min_exec_time IS 'ms';
COMMENT ON COLUMN perfkit.statements.max_exec_time IS 'ms';
COMMENT ON COLUMN perfkit.statements.stddev_exec_time IS 'ms, population standard deviation';
COMMENT ON COLUMN perfkit.statements.p50_exec_time IS 'ms, median, within 5 %';
COMMENT ON COLUMN perfkit.statements.p95_exec_time IS 'ms, 95 of 100 executions took no longer, within 5 %';
COMMENT ON COLUMN perfkit.statements.p99_exec_time IS 'ms, 99 of 100, within 5 %';
COMMENT ON COLUMN perfkit.statements.rows IS 'returned or affected';
COMMENT ON COLUMN perfkit.statements.shared_blk_read_time IS 'ms; before PostgreSQL 17 of local blocks too; 0 unless track_io_timing';
COMMENT ON COLUMN perfkit.statements.shared_blk_write_time IS 'ms; before PostgreSQL 17 of local blocks too; 0 unless track_io_timing';
COMMENT ON COLUMN perfkit.statements.local_blk_read_time IS 'ms, PostgreSQL 17 and newer; 0 unless track_io_timing';
COMMENT ON COLUMN perfkit.statements.local_blk_write_time IS 'ms, PostgreSQL 17 and newer; 0 unless track_io_timing';
COMMENT ON COLUMN perfkit.statements.temp_blk_read_time IS 'ms; 0 unless track_io_timing';
COMMENT ON COLUMN perfkit.statements.temp_blk_write_time IS 'ms; 0 unless track_io_timing';
COMMENT ON COLUMN perfkit.statements.jit_inlining_count IS 'executions for which functions were inlined';
COMMENT ON COLUMN perfkit.statements.jit_optimization_count IS 'executions whose code was optimized';
COMMENT ON COLUMN perfkit.statements.jit_emission_count IS 'executions for which code was emitted';
COMMENT ON COLUMN perfkit.statements.jit_deform_count IS 'executions for which deforming was compiled (PostgreSQL 17)';
COMMENT ON COLUMN perfkit.statements.plans IS 'executions that were planned, rather than taking a plan from a cache';
COMMENT ON COLUMN perfkit.statements.total_plan_time IS 'ms of planning';
COMMENT ON COLUMN perfkit.statements.p999_exec_time IS 'ms, 999 of 1000, within 5 %';
COMMENT ON COLUMN perfkit.statements.total_error_time IS 'ms that executions took which failed; not in total_exec_time';
COMMENT ON COLUMN perfkit.statements.stats_since IS 'when it was first counted, since the last reset';
GRANT SELECT ON perfkit.statements TO PUBLIC;

CREATE FUNCTION perfkit.reset_statements(username name DEFAULT NULL,
	database name DEFAULT pg_catalog.current_database(), queryid bigint DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'perfkit_reset_statements'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION perfkit.reset_statements(name, name, bigint) IS
	'forgets what was counted of the statements of a role, of one queryid, or of all; of this database unless another is named';
REVOKE ALL ON FUNCTION perfkit.reset_statements(name, name, bigint) FROM PUBLIC;

CREATE FUNCTION perfkit._bucket_start(bucket integer) RETURNS double precision
AS 'MODULE_PATHNAME', 'perfkit_bucket_start'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._bucket_start(integer) IS 'ms at which a bucket of the histogram of _statements() begins';

CREATE FUNCTION perfkit.histogram(queryid bigint)
RETURNS TABLE (from_ms double precision, to_ms double precision, calls bigint, pct double precision, pct_so_far double precision)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
BEGIN ATOMIC
	WITH pair AS (
		SELECT s.histogram[2 * i - 1]::integer AS bucket, s.histogram[2 * i] AS n
		FROM perfkit._statements(true) s,
			pg_catalog.generate_series(1, pg_catalog.cardinality(s.histogram) / 2) i
		WHERE s.queryid = histogram.queryid
	), bucket AS (
		SELECT p.bucket, pg_catalog.sum(p.n)::bigint AS n FROM pair p GROUP BY p.bucket
	)
	SELECT perfkit._bucket_start(b.bucket), perfkit._bucket_start(b.bucket + 1), b.n,
		(100.0 * b.n / pg_catalog.sum(b.n) OVER ())::double precision,
		(100.0 * pg_catalog.sum(b.n) OVER (ORDER BY b.bucket) / pg_catalog.sum(b.n) OVER ())::double precision
	FROM bucket b
	ORDER BY b.bucket;
END;
COMMENT ON FUNCTION perfkit.histogram(bigint) IS
	'how long the executions of a statement took, all roles together: how many from from_ms up to, not including, to_ms; without empty ranges';

-- ---------------------------------------------------------------- digests of the slow query log

-- A row is slow by its duration, not because it was drawn, new or failed.
CREATE FUNCTION perfkit.digest(since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (rank bigint, queryid bigint, database name, query text, calls bigint,
	total_ms double precision, pct_total double precision, mean_ms double precision,
	min_ms double precision, max_ms double precision, stddev_ms double precision,
	slow_p50_ms double precision, slow_p95_ms double precision, slow_p99_ms double precision,
	rows bigint, errors bigint, timeouts bigint, plans bigint,
	first_seen timestamptz, last_seen timestamptz, worst_id bigint, usernames name[],
	application_names text[])
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH row AS (
		SELECT q.*, q.reason IN ('threshold', 'long_running') AS slow,
			COALESCE(q.query_normalized, q.query) AS text
		FROM perfkit.slow_queries q
		WHERE q.started_at >= since AND q.started_at < until
	), statement AS (
		SELECT r.queryid, r.database,
			COALESCE(pg_catalog.max(r.text) FILTER (WHERE r.text <> '<insufficient privilege>'),
				pg_catalog.max(r.text)) AS text,
			pg_catalog.count(*) FILTER (WHERE r.slow) AS calls,
			COALESCE(pg_catalog.sum(r.duration_ms) FILTER (WHERE r.slow), 0) AS total,
			pg_catalog.avg(r.duration_ms) FILTER (WHERE r.slow) AS mean,
			pg_catalog.min(r.duration_ms) FILTER (WHERE r.slow) AS min,
			pg_catalog.max(r.duration_ms) FILTER (WHERE r.slow) AS max,
			pg_catalog.stddev_pop(r.duration_ms) FILTER (WHERE r.slow) AS stddev,
			percentile_cont(ARRAY[0.5, 0.95, 0.99]::double precision[])
				WITHIN GROUP (ORDER BY r.duration_ms) FILTER (WHERE r.slow) AS p,
			pg_catalog.sum(r.rows) FILTER (WHERE r.slow)::bigint AS rows,
			pg_catalog.count(*) FILTER (WHERE r.outcome NOT IN ('ok', 'running')) AS errors,
			pg_catalog.count(*) FILTER (WHERE r.outcome IN ('statement_timeout', 'lock_timeout')) AS timeouts,
			pg_catalog.count(DISTINCT r.plan_id) AS plans,
			pg_catalog.min(r.started_at) AS first, pg_catalog.max(r.started_at) AS last,
			(pg_catalog.array_agg(r.id ORDER BY r.duration_ms DESC, r.id))[1] AS worst,
			pg_catalog.array_agg(DISTINCT r.username) AS usernames,
			pg_catalog.array_agg(DISTINCT r.application_name) FILTER (WHERE r.application_name IS NOT NULL) AS applications
		FROM row r
		WHERE r.slow OR r.outcome <> 'ok'
		GROUP BY r.queryid, r.database, CASE WHEN r.queryid IS NULL THEN r.text END
	)
	SELECT pg_catalog.rank() OVER (ORDER BY s.total DESC, s.errors DESC), s.queryid, s.database, s.text,
		s.calls, s.total, 100 * s.total / NULLIF(pg_catalog.sum(s.total) OVER (), 0), s.mean, s.min, s.max,
		s.stddev, s.p[1], s.p[2], s.p[3], s.rows, s.errors, s.timeouts, s.plans, s.first, s.last,
		s.worst, s.usernames, s.applications
	FROM statement s
	ORDER BY s.total DESC, s.errors DESC, s.queryid;
END;
COMMENT ON FUNCTION perfkit.digest(timestamptz, timestamptz) IS
	'where the time of slow executions went between two times, by statement; percentiles are those of the slow executions only';

CREATE VIEW perfkit.slow_query_digest AS SELECT * FROM perfkit.digest();
COMMENT ON VIEW perfkit.slow_query_digest IS
	'slow executions by statement, over all that slow_query_log has; see digest() for a part of it, and statements for all executions';
COMMENT ON COLUMN perfkit.slow_query_digest.rank IS '1: took most of the time';
COMMENT ON COLUMN perfkit.slow_query_digest.queryid IS 'as in pg_stat_statements; NULL: failed before analysis, then each text is a statement';
COMMENT ON COLUMN perfkit.slow_query_digest.database IS 'name of the database';
COMMENT ON COLUMN perfkit.slow_query_digest.query IS 'normalized, where that is known';
COMMENT ON COLUMN perfkit.slow_query_digest.calls IS 'slow executions, failed ones among them';
COMMENT ON COLUMN perfkit.slow_query_digest.total_ms IS 'their durations together';
COMMENT ON COLUMN perfkit.slow_query_digest.pct_total IS 'share of the time of all slow executions, in percent';
COMMENT ON COLUMN perfkit.slow_query_digest.mean_ms IS 'mean duration of the slow executions';
COMMENT ON COLUMN perfkit.slow_query_digest.min_ms IS 'shortest of the slow executions';
COMMENT ON COLUMN perfkit.slow_query_digest.max_ms IS 'longest';
COMMENT ON COLUMN perfkit.slow_query_digest.stddev_ms IS 'standard deviation of the slow executions';
COMMENT ON COLUMN perfkit.slow_query_digest.slow_p50_ms IS 'median of the slow executions only';
COMMENT ON COLUMN perfkit.slow_query_digest.slow_p95_ms IS '95th percentile of the slow executions only';
COMMENT ON COLUMN perfkit.slow_query_digest.slow_p99_ms IS '99th percentile of the slow executions only';
COMMENT ON COLUMN perfkit.slow_query_digest.rows IS 'rows of the slow executions';
COMMENT ON COLUMN perfkit.slow_query_digest.errors IS 'failed executions in the log, slow or not';
COMMENT ON COLUMN perfkit.slow_query_digest.timeouts IS 'of them, those that ran into statement_timeout or lock_timeout';
COMMENT ON COLUMN perfkit.slow_query_digest.plans IS 'different plans';
COMMENT ON COLUMN perfkit.slow_query_digest.first_seen IS 'start of the first execution in the log';
COMMENT ON COLUMN perfkit.slow_query_digest.last_seen IS 'start of the last one';
COMMENT ON COLUMN perfkit.slow_query_digest.worst_id IS 'id of the longest execution in slow_queries';
COMMENT ON COLUMN perfkit.slow_query_digest.usernames IS 'roles that ran it';
COMMENT ON COLUMN perfkit.slow_query_digest.application_names IS 'applications that ran it, as far as the reader may know';
GRANT SELECT ON perfkit.slow_query_digest TO PUBLIC;

-- One row a value of the dimension; a statement with several tags counts for each.
CREATE FUNCTION perfkit.digest_by(dimension text, since timestamptz DEFAULT '-infinity',
	until timestamptz DEFAULT 'infinity')
RETURNS TABLE (rank bigint, value text, calls bigint, total_ms double precision,
	pct_total double precision, mean_ms double precision, max_ms double precision,
	slow_p50_ms double precision, slow_p95_ms double precision, slow_p99_ms double precision,
	errors bigint, timeouts bigint, statements bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF dimension IS NULL OR dimension NOT IN ('application', 'user', 'tag', 'database', 'outcome') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown dimension %s', COALESCE(quote_literal(dimension), 'NULL')),
			HINT = 'It is one of application, user, tag, database and outcome.';
	END IF;
	RETURN QUERY
	WITH row AS (
		SELECT d.value, q.duration_ms, q.outcome, q.queryid,
			q.reason IN ('threshold', 'long_running') AS slow
		FROM perfkit.slow_queries q
		CROSS JOIN LATERAL (
			SELECT CASE dimension WHEN 'application' THEN q.application_name WHEN 'user' THEN q.username::text
				WHEN 'database' THEN q.database::text ELSE q.outcome END AS value
			WHERE dimension <> 'tag'
			UNION ALL
			SELECT t.key || '=' || t.value FROM jsonb_each_text(q.tags) t WHERE dimension = 'tag') d
		WHERE q.started_at >= since AND q.started_at < until
	), value AS (
		SELECT r.value, count(*) FILTER (WHERE r.slow) AS calls,
			COALESCE(sum(r.duration_ms) FILTER (WHERE r.slow), 0) AS total,
			avg(r.duration_ms) FILTER (WHERE r.slow) AS mean,
			max(r.duration_ms) FILTER (WHERE r.slow) AS max,
			percentile_cont(ARRAY[0.5, 0.95, 0.99]::double precision[])
				WITHIN GROUP (ORDER BY r.duration_ms) FILTER (WHERE r.slow) AS p,
			count(*) FILTER (WHERE r.outcome NOT IN ('ok', 'running')) AS errors,
			count(*) FILTER (WHERE r.outcome IN ('statement_timeout', 'lock_timeout')) AS timeouts,
			count(DISTINCT r.queryid) AS statements
		FROM row r
		WHERE r.slow OR r.outcome <> 'ok'
		GROUP BY r.value
	), everything AS (
		-- of the log, not of the values: a statement with two tags took its time once
		SELECT sum(q.duration_ms) AS total FROM perfkit.slow_queries q
		WHERE q.started_at >= since AND q.started_at < until AND q.reason IN ('threshold', 'long_running')
	)
	SELECT rank() OVER (ORDER BY v.total DESC, v.errors DESC), v.value, v.calls, v.total,
		100 * v.total / NULLIF(e.total, 0), v.mean, v.max, v.p[1], v.p[2], v.p[3], v.errors, v.timeouts,
		v.statements
	FROM value v, everything e
	ORDER BY v.total DESC, v.errors DESC, v.value;
END $$;
COMMENT ON FUNCTION perfkit.digest_by(text, timestamptz, timestamptz) IS
	'where the time of slow executions went, by application, user, tag, database or outcome; percentiles are those of the slow executions only';

CREATE FUNCTION perfkit.timeline(step interval, since timestamptz DEFAULT now() - interval '1 day',
	until timestamptz DEFAULT now())
RETURNS TABLE (bucket timestamptz, calls bigint, total_ms double precision, mean_ms double precision,
	max_ms double precision, slow_p50_ms double precision, slow_p95_ms double precision,
	slow_p99_ms double precision, errors bigint, timeouts bigint, statements bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT b.bucket, pg_catalog.count(*) FILTER (WHERE q.slow),
		COALESCE(pg_catalog.sum(q.duration_ms) FILTER (WHERE q.slow), 0),
		pg_catalog.avg(q.duration_ms) FILTER (WHERE q.slow),
		pg_catalog.max(q.duration_ms) FILTER (WHERE q.slow),
		percentile_cont(0.5) WITHIN GROUP (ORDER BY q.duration_ms) FILTER (WHERE q.slow),
		percentile_cont(0.95) WITHIN GROUP (ORDER BY q.duration_ms) FILTER (WHERE q.slow),
		percentile_cont(0.99) WITHIN GROUP (ORDER BY q.duration_ms) FILTER (WHERE q.slow),
		pg_catalog.count(*) FILTER (WHERE q.outcome NOT IN ('ok', 'running')),
		pg_catalog.count(*) FILTER (WHERE q.outcome IN ('statement_timeout', 'lock_timeout')),
		pg_catalog.count(DISTINCT q.queryid) FILTER (WHERE q.slow OR q.outcome <> 'ok')
	FROM pg_catalog.generate_series(
			pg_catalog.date_bin(step, since, '2000-01-01 00:00:00+00'), until, step) b (bucket)
	LEFT JOIN (
		SELECT s.started_at, s.duration_ms, s.outcome, s.queryid,
			s.reason IN ('threshold', 'long_running') AS slow
		FROM perfkit.slow_queries s
		WHERE s.started_at >= since AND s.started_at < until) q
		ON pg_catalog.date_bin(step, q.started_at, '2000-01-01 00:00:00+00') = b.bucket
	WHERE b.bucket < until
	GROUP BY b.bucket
	ORDER BY b.bucket;
END;
COMMENT ON FUNCTION perfkit.timeline(interval, timestamptz, timestamptz) IS
	'slow executions over time, a row a step, empty ones too; steps begin at multiples of the step; percentiles are those of the slow executions only';

-- ---------------------------------------------------------------- performance_log

CREATE TABLE perfkit.performance_log (
	logged_at timestamptz NOT NULL,
	source text NOT NULL CHECK (source IN ('server', 'database', 'pooler', 'application')),
	metric text NOT NULL,
	labels jsonb NOT NULL DEFAULT '{}',
	value double precision NOT NULL
) PARTITION BY RANGE (logged_at);
CREATE INDEX performance_log_metric_logged_at_idx ON perfkit.performance_log (metric, logged_at);

COMMENT ON TABLE perfkit.performance_log IS
	'measurements over time; a partition per UTC day, dropped after perfkit.performance_retention';
COMMENT ON COLUMN perfkit.performance_log.logged_at IS 'when it was measured';
COMMENT ON COLUMN perfkit.performance_log.source IS 'who measured: server, database, pooler or application';
COMMENT ON COLUMN perfkit.performance_log.metric IS 'what: snake case, with its base unit, as in order_latency_seconds';
COMMENT ON COLUMN perfkit.performance_log.labels IS 'flat object that tells series of one metric apart';
COMMENT ON COLUMN perfkit.performance_log.value IS 'the number';
GRANT SELECT ON perfkit.performance_log TO pg_read_all_stats;

CREATE FUNCTION perfkit.log_metric(metric text, value double precision, labels jsonb DEFAULT '{}')
RETURNS void
AS 'MODULE_PATHNAME', 'perfkit_log_metric'
LANGUAGE C VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION perfkit.log_metric(text, double precision, jsonb) IS
	'adds an application''s own measurement to performance_log, as part of the transaction; makes the day''s partition if the worker has not';

SELECT pg_catalog.set_config('default_tablespace', spcname, true) FROM pg_catalog.pg_tablespace
WHERE spcname = pg_catalog.current_setting('perfkit_script.default_tablespace');

-- ---------------------------------------------------------------- partitions of the first days

-- The worker makes them from now on; these are for the moment before it has started.
DO $$
DECLARE
	log text;
	day date;
	partition text;
BEGIN
	FOREACH log IN ARRAY ARRAY['slow_query_log', 'performance_log'] LOOP
		FOR i IN 0 .. 1 LOOP
			day := (pg_catalog.now() AT TIME ZONE 'UTC')::date + i;
			partition := log || pg_catalog.to_char(day, '_YYYYMMDD');
			EXECUTE pg_catalog.format('CREATE TABLE perfkit.%I (LIKE perfkit.%I INCLUDING ALL)', partition, log);
			EXECUTE pg_catalog.format('ALTER TABLE perfkit.%I ATTACH PARTITION perfkit.%I FOR VALUES FROM (%L) TO (%L)',
				log, partition, pg_catalog.to_char(day, 'YYYY-MM-DD 00:00:00+00'),
				pg_catalog.to_char(day + 1, 'YYYY-MM-DD 00:00:00+00'));
		END LOOP;
	END LOOP;
END $$;

-- ---------------------------------------------------------------- refreshing

CREATE FUNCTION perfkit.next_runs(schedule text, n integer DEFAULT 5, since timestamptz DEFAULT now(),
	timezone text DEFAULT NULL)
RETURNS TABLE (run_at timestamptz)
AS 'MODULE_PATHNAME', 'perfkit_next_runs'
LANGUAGE C STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION perfkit.next_runs(text, integer, timestamptz, text) IS
	'the next n times at which a schedule would run, in a time zone or, without one, the session''s';

CREATE SEQUENCE perfkit.refresh_schedule_id_seq;
CREATE TABLE perfkit.refresh_schedule (
	schedule_id bigint PRIMARY KEY DEFAULT nextval('perfkit.refresh_schedule_id_seq'),
	view_schema name NOT NULL,
	view_name name NOT NULL,
	owner_name name NOT NULL,
	schedule text,
	timezone text NOT NULL,
	target_lag interval,
	method text NOT NULL CHECK (method IN ('auto', 'concurrently', 'plain')),
	fallback text NOT NULL CHECK (fallback IN ('never', 'unpopulated', 'always')),
	skip_unchanged boolean NOT NULL,
	max_staleness interval,
	lock_timeout interval NOT NULL,
	statement_timeout interval,
	max_retries integer NOT NULL,
	retry_delay interval NOT NULL,
	suspend_after integer NOT NULL,
	overlap text NOT NULL CHECK (overlap IN ('skip', 'queue')),
	catch_up text NOT NULL CHECK (catch_up IN ('once', 'skip')),
	jitter interval NOT NULL,
	after_action text NOT NULL CHECK (after_action IN ('none', 'analyze', 'vacuum')),
	max_runtime interval,
	min_interval interval,
	on_upstream_failure text NOT NULL CHECK (on_upstream_failure IN ('skip', 'run')),
	start_window interval NOT NULL,
	priority integer NOT NULL,
	enabled boolean NOT NULL,
	changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	UNIQUE (view_schema, view_name) DEFERRABLE INITIALLY DEFERRED,
	CHECK ((schedule IS NULL) <> (target_lag IS NULL))
);
SELECT pg_catalog.pg_extension_config_dump('perfkit.refresh_schedule', '');
SELECT pg_catalog.pg_extension_config_dump('perfkit.refresh_schedule_id_seq', '');

-- What a schedule has come to; the OID is the view's identity as long as there is such a view.
CREATE TABLE perfkit.refresh_state (
	schedule_id bigint PRIMARY KEY REFERENCES perfkit.refresh_schedule ON DELETE CASCADE,
	view_oid oid,
	last_planned timestamptz,
	last_started timestamptz,
	last_finished timestamptz,
	last_status text,
	last_success timestamptz,
	last_duration_ms double precision,
	failures integer NOT NULL DEFAULT 0,
	suspended_at timestamptz,
	next_run timestamptz,
	reads_before bigint,
	unread_runs integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE FUNCTION perfkit._matview_reads(view oid) RETURNS bigint
LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
	SELECT pg_catalog.pg_stat_get_numscans(view) + COALESCE((SELECT
		pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.indexrelid)) FROM pg_catalog.pg_index i
		WHERE i.indrelid = view), 0)::bigint;
END;
COMMENT ON FUNCTION perfkit._matview_reads(oid) IS 'scans of a view and of its indexes';

-- What refresh_now() has asked for and no worker has begun.
CREATE TABLE perfkit.refresh_request (
	run_id bigint PRIMARY KEY,
	batch bigint NOT NULL,
	view_oid oid NOT NULL,
	requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	requested_by name NOT NULL
);

CREATE SEQUENCE perfkit.refresh_log_run_id_seq;
CREATE TABLE perfkit.refresh_log (
	run_id bigint PRIMARY KEY DEFAULT nextval('perfkit.refresh_log_run_id_seq'),
	view text NOT NULL,
	trigger text NOT NULL CHECK (trigger IN ('schedule', 'catch_up', 'retry', 'queued', 'target_lag',
		'downstream', 'change', 'manual')),
	planned_at timestamptz NOT NULL,
	started_at timestamptz NOT NULL,
	finished_at timestamptz,
	method text CHECK (method IN ('concurrently', 'plain')),
	method_reason text,
	status text NOT NULL CHECK (status IN ('running', 'success', 'failed', 'skipped_unchanged',
		'skipped_overlap', 'skipped_upstream', 'timeout', 'cancelled', 'crashed')),
	rows bigint,
	wal_bytes bigint,
	sqlstate text,
	message text,
	attempt integer NOT NULL,
	pid integer,
	schedule_id bigint,
	view_oid oid,
	userid oid NOT NULL,
	waited_ms double precision,
	inserted bigint,
	deleted bigint,
	temp_bytes bigint
);
CREATE INDEX refresh_log_view_run_id_idx ON perfkit.refresh_log (view, run_id);
CREATE INDEX refresh_log_started_at_idx ON perfkit.refresh_log (started_at);
CREATE INDEX refresh_log_running_idx ON perfkit.refresh_log (run_id) WHERE status = 'running';

-- Messages may hold data of the view: they are for its owner.
ALTER TABLE perfkit.refresh_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY refresh_log_read ON perfkit.refresh_log FOR SELECT USING (perfkit._may_read(userid));
GRANT SELECT ON perfkit.refresh_log, perfkit.refresh_schedule TO PUBLIC;

-- Workers hear of changes, whoever makes them and in whatever way.
CREATE FUNCTION perfkit._refresh_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'perfkit_refresh_changed'
LANGUAGE C SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION perfkit._refresh_changed() IS 'tells the worker, at commit, that schedules or requests have changed';
CREATE TRIGGER refresh_schedule_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON perfkit.refresh_schedule FOR EACH STATEMENT EXECUTE FUNCTION perfkit._refresh_changed();
CREATE TRIGGER refresh_request_changed AFTER INSERT
	ON perfkit.refresh_request FOR EACH STATEMENT EXECUTE FUNCTION perfkit._refresh_changed();

-- Plain views in between are looked through; what functions read is not seen.
CREATE VIEW perfkit.matview_dependencies AS
WITH RECURSIVE reads AS (
	SELECT r.ev_class AS view_oid, d.refobjid AS relation
	FROM pg_catalog.pg_rewrite r
	JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relkind = 'm'
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
		AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
	UNION
	SELECT reads.view_oid, d.refobjid
	FROM reads
	JOIN pg_catalog.pg_class v ON v.oid = reads.relation AND v.relkind = 'v'
	JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
		AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
)
SELECT reads.view_oid, reads.relation AS upstream_oid
FROM reads JOIN pg_catalog.pg_class u ON u.oid = reads.relation AND u.relkind = 'm';
COMMENT ON VIEW perfkit.matview_dependencies IS
	'materialized views and those they read from, directly or through plain views';
COMMENT ON COLUMN perfkit.matview_dependencies.view_oid IS 'the view that reads';
COMMENT ON COLUMN perfkit.matview_dependencies.upstream_oid IS 'the materialized view that is read';
GRANT SELECT ON perfkit.matview_dependencies TO PUBLIC;

CREATE FUNCTION perfkit.schedule_refresh(view text, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
	target_lag interval DEFAULT NULL, method text DEFAULT 'auto', fallback text DEFAULT 'unpopulated',
	skip_unchanged boolean DEFAULT false, max_staleness interval DEFAULT '1 day',
	lock_timeout interval DEFAULT '5 seconds', statement_timeout interval DEFAULT NULL,
	max_retries integer DEFAULT 3, retry_delay interval DEFAULT '30 seconds', suspend_after integer DEFAULT 5,
	overlap text DEFAULT 'skip', catch_up text DEFAULT 'once', jitter interval DEFAULT '0',
	after_action text DEFAULT 'none', max_runtime interval DEFAULT NULL, min_interval interval DEFAULT NULL,
	on_upstream_failure text DEFAULT 'skip', start_window interval DEFAULT '60 seconds',
	priority integer DEFAULT 0, enabled boolean DEFAULT true)
RETURNS bigint
AS 'MODULE_PATHNAME', 'perfkit_schedule_refresh'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION perfkit.schedule_refresh(text, text, text, interval, text, text, boolean, interval, interval, interval, integer, interval, integer, text, text, interval, text, interval, interval, text, interval, integer, boolean) IS
	'refreshes a materialized view from now on, as its owner; replaces the schedule it has; returns its id';

CREATE FUNCTION perfkit.alter_refresh(view text, schedule text DEFAULT NULL, timezone text DEFAULT NULL,
	target_lag interval DEFAULT NULL, method text DEFAULT NULL, fallback text DEFAULT NULL,
	skip_unchanged boolean DEFAULT NULL, max_staleness interval DEFAULT NULL,
	lock_timeout interval DEFAULT NULL, statement_timeout interval DEFAULT NULL,
	max_retries integer DEFAULT NULL, retry_delay interval DEFAULT NULL, suspend_after integer DEFAULT NULL,
	overlap text DEFAULT NULL, catch_up text DEFAULT NULL, jitter interval DEFAULT NULL,
	after_action text DEFAULT NULL, max_runtime interval DEFAULT NULL, min_interval interval DEFAULT NULL,
	on_upstream_failure text DEFAULT NULL, start_window interval DEFAULT NULL,
	priority integer DEFAULT NULL, enabled boolean DEFAULT NULL)
RETURNS bigint
AS 'MODULE_PATHNAME', 'perfkit_alter_refresh'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION perfkit.alter_refresh(text, text, text, interval, text, text, boolean, interval, interval, interval, integer, interval, integer, text, text, interval, text, interval, interval, text, interval, integer, boolean) IS
	'changes what is given of a view''s schedule and leaves the rest; returns its id';

CREATE FUNCTION perfkit.unschedule_refresh(view text) RETURNS void
AS 'MODULE_PATHNAME', 'perfkit_unschedule_refresh'
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT;
COMMENT ON FUNCTION perfkit.unschedule_refresh(text) IS
	'ends a view''s schedule; a run under way goes on';

CREATE FUNCTION perfkit.pause_refresh(view text) RETURNS void
AS 'MODULE_PATHNAME', 'perfkit_pause_refresh'
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT;
COMMENT ON FUNCTION perfkit.pause_refresh(text) IS
	'keeps a view''s schedule, without runs until resume_refresh()';

CREATE FUNCTION perfkit.resume_refresh(view text) RETURNS void
AS 'MODULE_PATHNAME', 'perfkit_resume_refresh'
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT;
COMMENT ON FUNCTION perfkit.resume_refresh(text) IS
	'ends a pause, or the suspension after too many failures';

CREATE FUNCTION perfkit.refresh_now(view text, cascade boolean DEFAULT false) RETURNS bigint
AS 'MODULE_PATHNAME', 'perfkit_refresh_now'
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT;
COMMENT ON FUNCTION perfkit.refresh_now(text, boolean) IS
	'asks for a refresh as soon as the transaction commits, with those it reads from and that read from it when cascading; returns its run_id in refresh_log';

CREATE VIEW perfkit.matviews AS
WITH scheduled AS (
	SELECT s.*, COALESCE(c.oid, by_name.oid) AS found, st.last_planned, st.last_started, st.last_finished,
		st.last_status, st.last_success, st.last_duration_ms, st.failures, st.suspended_at, st.next_run,
		st.reads_before, st.unread_runs
	FROM perfkit.refresh_schedule s
	LEFT JOIN perfkit.refresh_state st ON st.schedule_id = s.schedule_id
	LEFT JOIN pg_catalog.pg_class c ON c.oid = st.view_oid AND c.relkind = 'm'
	LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.view_schema
	LEFT JOIN pg_catalog.pg_class by_name ON by_name.relnamespace = n.oid AND by_name.relname = s.view_name
		AND by_name.relkind = 'm'
), present AS (
	SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, c.relispopulated,
		pg_catalog.pg_get_userbyid(c.relowner) AS owner,
		EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
			JOIN pg_catalog.pg_am a ON a.oid = x.relam AND a.amname = 'btree'
			WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
				AND i.indpred IS NULL AND i.indexprs IS NULL) AS unique_index
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'm'
)
SELECT
	COALESCE(p.name, pg_catalog.format('%I.%I', s.view_schema, s.view_name)) AS view,
	COALESCE(s.schedule, 'target_lag ' || s.target_lag) AS schedule,
	CASE WHEN r.running THEN 'running'
		WHEN s.schedule_id IS NULL THEN NULL
		WHEN p.oid IS NULL THEN 'missing'
		WHEN NOT s.enabled THEN 'paused'
		WHEN s.suspended_at > s.changed_at THEN 'suspended'
		ELSE 'active' END AS state,
	CASE WHEN s.enabled AND (s.suspended_at > s.changed_at) IS NOT TRUE THEN s.next_run END AS next_run,
	s.last_success,
	pg_catalog.clock_timestamp() - s.last_success
		+ pg_catalog.make_interval(secs => s.last_duration_ms / 1000) AS staleness,
	r.avg_duration, r.p95_duration,
	CASE WHEN s.reads_before IS NOT NULL THEN perfkit._matview_reads(p.oid) - s.reads_before END AS reads,
	pg_catalog.array_remove(ARRAY[
		CASE WHEN p.oid IS NOT NULL AND NOT p.relispopulated THEN 'not_populated' END,
		CASE WHEN p.oid IS NOT NULL AND NOT p.unique_index THEN 'needs_unique_index' END,
		CASE WHEN s.failures > 0 THEN 'failing' END,
		CASE WHEN s.unread_runs >= 10 THEN 'never_read' END,
		CASE WHEN r.share > 0.5 THEN 'refresh_dominates' END], NULL) AS flags,
	CASE WHEN p.oid IS NOT NULL AND NOT p.unique_index
		THEN 'CREATE UNIQUE INDEX ON ' || p.name || ' (columns that tell its rows apart)' END AS advice,
	COALESCE(p.owner, s.owner_name) AS owner,
	s.timezone, s.method, s.last_status, s.failures, s.schedule_id
FROM scheduled s
FULL JOIN present p ON p.oid = s.found
LEFT JOIN LATERAL (
	SELECT pg_catalog.bool_or(l.status = 'running') AS running,
		pg_catalog.avg(l.took) AS avg_duration,
		pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY l.took) AS p95_duration,
		CASE WHEN pg_catalog.count(l.took) >= 5 THEN
			extract(epoch FROM pg_catalog.sum(l.took))
			/ NULLIF(extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(l.started_at)), 0) END AS share
	FROM (SELECT status, started_at, CASE WHEN status = 'success' THEN finished_at - started_at END AS took
		FROM perfkit.refresh_log
		WHERE refresh_log.view = COALESCE(p.name, pg_catalog.format('%I.%I', s.view_schema, s.view_name))
		ORDER BY run_id DESC LIMIT 100) l
) r ON true
ORDER BY 1;

COMMENT ON VIEW perfkit.matviews IS
	'every materialized view of the database, and every schedule: how it is refreshed, and what that costs and brings';
COMMENT ON COLUMN perfkit.matviews.view IS 'schema and name, quoted where needed';
COMMENT ON COLUMN perfkit.matviews.schedule IS 'as given to schedule_refresh(); NULL: none';
COMMENT ON COLUMN perfkit.matviews.state IS 'active, paused, suspended (after too many failures), missing (there is no such view), running; NULL: no schedule';
COMMENT ON COLUMN perfkit.matviews.next_run IS 'when it is due next, retries and jitter included; NULL: not known, or never by itself';
COMMENT ON COLUMN perfkit.matviews.last_success IS 'when the last run that succeeded had ended';
COMMENT ON COLUMN perfkit.matviews.staleness IS 'how old its content is, counted from the beginning of that run';
COMMENT ON COLUMN perfkit.matviews.avg_duration IS 'of the successes among the last 100 rows of refresh_log';
COMMENT ON COLUMN perfkit.matviews.p95_duration IS 'of the same';
COMMENT ON COLUMN perfkit.matviews.reads IS 'scans of it and its indexes since its last refresh, as far as statistics have been reported';
COMMENT ON COLUMN perfkit.matviews.flags IS 'not_populated, needs_unique_index, failing, never_read (between ten runs), refresh_dominates (it runs more than half of the time)';
COMMENT ON COLUMN perfkit.matviews.advice IS 'what it wants to be refreshed concurrently';
COMMENT ON COLUMN perfkit.matviews.owner IS 'as whom it is refreshed';
COMMENT ON COLUMN perfkit.matviews.timezone IS 'of the schedule';
COMMENT ON COLUMN perfkit.matviews.method IS 'as asked for';
COMMENT ON COLUMN perfkit.matviews.last_status IS 'of its last row in refresh_log';
COMMENT ON COLUMN perfkit.matviews.failures IS 'one after the other, until now';
COMMENT ON COLUMN perfkit.matviews.schedule_id IS 'as schedule_refresh() returned it';
GRANT SELECT ON perfkit.matviews TO PUBLIC;

COMMENT ON TABLE perfkit.refresh_schedule IS 'what is refreshed and when: written by schedule_refresh() and its kin';
COMMENT ON TABLE perfkit.refresh_state IS 'what the worker knows of each schedule';
COMMENT ON TABLE perfkit.refresh_request IS 'refreshes asked for by refresh_now() and not done yet';
COMMENT ON TABLE perfkit.refresh_log IS 'one row per refresh that ran, or was skipped; those of one''s own views, all for pg_read_all_stats';
COMMENT ON COLUMN perfkit.refresh_schedule.schedule_id IS 'as schedule_refresh() returned it';
COMMENT ON COLUMN perfkit.refresh_schedule.view_schema IS 'where the view was when it was last seen';
COMMENT ON COLUMN perfkit.refresh_schedule.view_name IS 'its name then; followed by OID while the view lives, by name when it comes back';
COMMENT ON COLUMN perfkit.refresh_schedule.owner_name IS 'its owner then';
COMMENT ON COLUMN perfkit.refresh_schedule.schedule IS 'cron, an interval or downstream; NULL: target_lag counts';
COMMENT ON COLUMN perfkit.refresh_schedule.timezone IS 'in which the fields of cron are read';
COMMENT ON COLUMN perfkit.refresh_schedule.target_lag IS 'how old its content may get; NULL: schedule counts';
COMMENT ON COLUMN perfkit.refresh_schedule.method IS 'auto, concurrently or plain';
COMMENT ON COLUMN perfkit.refresh_schedule.fallback IS 'when plain may stand in for concurrently: never, unpopulated, always';
COMMENT ON COLUMN perfkit.refresh_schedule.skip_unchanged IS 'false: not supported yet';
COMMENT ON COLUMN perfkit.refresh_schedule.max_staleness IS 'NULL: not supported yet';
COMMENT ON COLUMN perfkit.refresh_schedule.lock_timeout IS 'how long a run waits for each lock';
COMMENT ON COLUMN perfkit.refresh_schedule.statement_timeout IS 'how long its statement may take; NULL: no limit';
COMMENT ON COLUMN perfkit.refresh_schedule.max_retries IS 'after a failure, before its next slot';
COMMENT ON COLUMN perfkit.refresh_schedule.retry_delay IS 'before the first of them; doubled by each';
COMMENT ON COLUMN perfkit.refresh_schedule.suspend_after IS 'failures one after the other, retries not counted; 0: never';
COMMENT ON COLUMN perfkit.refresh_schedule.overlap IS 'a slot that comes while it runs: skip or queue';
COMMENT ON COLUMN perfkit.refresh_schedule.catch_up IS 'slots missed while nobody was there: once or skip';
COMMENT ON COLUMN perfkit.refresh_schedule.jitter IS 'each run is late by up to that, always the same for one slot';
COMMENT ON COLUMN perfkit.refresh_schedule.after_action IS 'none, analyze or vacuum';
COMMENT ON COLUMN perfkit.refresh_schedule.max_runtime IS 'after which a run is cancelled; NULL: never';
COMMENT ON COLUMN perfkit.refresh_schedule.min_interval IS 'NULL: not supported yet';
COMMENT ON COLUMN perfkit.refresh_schedule.on_upstream_failure IS 'when a view it reads could not be refreshed: skip or run';
COMMENT ON COLUMN perfkit.refresh_schedule.start_window IS 'over which runs that were missed are spread';
COMMENT ON COLUMN perfkit.refresh_schedule.priority IS 'of runs that wait for a worker: the higher the sooner';
COMMENT ON COLUMN perfkit.refresh_schedule.enabled IS 'false: paused';
COMMENT ON COLUMN perfkit.refresh_schedule.changed_at IS 'when it was last changed or resumed';
COMMENT ON COLUMN perfkit.refresh_state.schedule_id IS 'of refresh_schedule';
COMMENT ON COLUMN perfkit.refresh_state.view_oid IS 'the view as it was found last';
COMMENT ON COLUMN perfkit.refresh_state.last_planned IS 'slot of its last run';
COMMENT ON COLUMN perfkit.refresh_state.last_started IS 'when that began';
COMMENT ON COLUMN perfkit.refresh_state.last_finished IS 'when it ended';
COMMENT ON COLUMN perfkit.refresh_state.last_status IS 'how, as in refresh_log';
COMMENT ON COLUMN perfkit.refresh_state.last_success IS 'when the last one that succeeded had ended';
COMMENT ON COLUMN perfkit.refresh_state.last_duration_ms IS 'how long that took';
COMMENT ON COLUMN perfkit.refresh_state.failures IS 'one after the other, until now';
COMMENT ON COLUMN perfkit.refresh_state.suspended_at IS 'when it had failed too often; counts if later than changed_at';
COMMENT ON COLUMN perfkit.refresh_state.next_run IS 'when it is due';
COMMENT ON COLUMN perfkit.refresh_state.reads_before IS 'scans of the view when it was last refreshed';
COMMENT ON COLUMN perfkit.refresh_state.unread_runs IS 'refreshes in a row without a scan in between';
COMMENT ON COLUMN perfkit.refresh_request.run_id IS 'of its row in refresh_log to be';
COMMENT ON COLUMN perfkit.refresh_request.batch IS 'run_id of the request it belongs to, its own or that of a cascade';
COMMENT ON COLUMN perfkit.refresh_request.view_oid IS 'what to refresh';
COMMENT ON COLUMN perfkit.refresh_request.requested_at IS 'when it was asked for';
COMMENT ON COLUMN perfkit.refresh_request.requested_by IS 'by whom';
COMMENT ON COLUMN perfkit.refresh_log.run_id IS 'in order of their beginnings; refresh_now() returns it';
COMMENT ON COLUMN perfkit.refresh_log.view IS 'schema and name at that time, quoted where needed';
COMMENT ON COLUMN perfkit.refresh_log.trigger IS 'schedule, catch_up, retry, queued, target_lag, downstream or manual';
COMMENT ON COLUMN perfkit.refresh_log.planned_at IS 'its slot, or when it was asked for';
COMMENT ON COLUMN perfkit.refresh_log.started_at IS 'when it began, or was skipped';
COMMENT ON COLUMN perfkit.refresh_log.finished_at IS 'NULL while it runs';
COMMENT ON COLUMN perfkit.refresh_log.method IS 'concurrently or plain; NULL: it did not come that far';
COMMENT ON COLUMN perfkit.refresh_log.method_reason IS 'why that one';
COMMENT ON COLUMN perfkit.refresh_log.status IS 'running, success, failed, skipped_unchanged, skipped_overlap, skipped_upstream, timeout, cancelled or crashed';
COMMENT ON COLUMN perfkit.refresh_log.rows IS 'of the view, as REFRESH reports them';
COMMENT ON COLUMN perfkit.refresh_log.wal_bytes IS 'written by it';
COMMENT ON COLUMN perfkit.refresh_log.sqlstate IS 'of the error that ended it';
COMMENT ON COLUMN perfkit.refresh_log.message IS 'of that error, or what else there is to say';
COMMENT ON COLUMN perfkit.refresh_log.attempt IS '1, and one more for each retry';
COMMENT ON COLUMN perfkit.refresh_log.pid IS 'of its worker';
COMMENT ON COLUMN perfkit.refresh_log.schedule_id IS 'NULL: the view had no schedule';
COMMENT ON COLUMN perfkit.refresh_log.view_oid IS 'of the view at that time';
COMMENT ON COLUMN perfkit.refresh_log.userid IS 'its owner, who may read the row';
COMMENT ON COLUMN perfkit.refresh_log.waited_ms IS 'for the view''s lock';
COMMENT ON COLUMN perfkit.refresh_log.inserted IS 'rows that were new, of concurrently';
COMMENT ON COLUMN perfkit.refresh_log.deleted IS 'rows that were gone, of concurrently';
COMMENT ON COLUMN perfkit.refresh_log.temp_bytes IS 'written to temporary files and tables';

-- ---------------------------------------------------------------- status

CREATE FUNCTION perfkit._status(OUT name text, OUT value bigint, OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'perfkit_status'
LANGUAGE C VOLATILE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._status() IS 'the rows of view status that come from shared memory';

CREATE FUNCTION perfkit._log_sizes(OUT log text, OUT partitions bigint, OUT bytes bigint, OUT oldest text)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT p.relname::text, pg_catalog.count(c.oid),
		COALESCE(pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint,
		pg_catalog.min(c.relname)::text
	FROM pg_catalog.pg_class p
	LEFT JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid
	LEFT JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
	WHERE p.oid IN ('perfkit.slow_query_log'::regclass, 'perfkit.performance_log'::regclass)
	GROUP BY p.relname;
END;
COMMENT ON FUNCTION perfkit._log_sizes() IS 'the rows of view status that come from the catalogs';

CREATE VIEW perfkit.status AS
SELECT name, value, detail FROM perfkit._status()
UNION ALL
SELECT log || '_partitions', partitions, 'oldest: ' || oldest FROM perfkit._log_sizes()
UNION ALL
SELECT log || '_bytes', bytes, 'with indexes' FROM perfkit._log_sizes();

COMMENT ON VIEW perfkit.status IS
	'can I trust the log? counters and state of this database since the server''s start';
COMMENT ON COLUMN perfkit.status.name IS 'name of the counter';
COMMENT ON COLUMN perfkit.status.value IS 'at rest captured = stored + pending + every dropped_*';
COMMENT ON COLUMN perfkit.status.detail IS 'what it counts, or what to do about it';
GRANT SELECT ON perfkit.status TO PUBLIC;
