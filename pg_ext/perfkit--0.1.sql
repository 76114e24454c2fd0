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
	value double precision NOT NULL,
	histogram bigint[],
	xid xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
	CHECK (length(metric) <= 128 AND pg_column_size(labels) <= 1600)
) PARTITION BY RANGE (logged_at);
CREATE INDEX performance_log_metric_logged_at_idx ON perfkit.performance_log (metric, logged_at);
CREATE INDEX performance_log_xid_idx ON perfkit.performance_log (xid);

COMMENT ON TABLE perfkit.performance_log IS
	'measurements over time; a partition per UTC day, dropped after perfkit.performance_retention';
COMMENT ON COLUMN perfkit.performance_log.logged_at IS 'when it was measured';
COMMENT ON COLUMN perfkit.performance_log.source IS 'who measured: server, database, pooler or application';
COMMENT ON COLUMN perfkit.performance_log.metric IS 'what: snake case, with its base unit, as in order_latency_seconds';
COMMENT ON COLUMN perfkit.performance_log.labels IS 'flat object that tells series of one metric apart';
COMMENT ON COLUMN perfkit.performance_log.value IS 'the number';
COMMENT ON COLUMN perfkit.performance_log.histogram IS 'of durations, as in _statements(): {bucket, count, bucket, count, ...}; NULL: none';
COMMENT ON COLUMN perfkit.performance_log.xid IS 'transaction that wrote it, by which a roll-up knows new rows, late ones too';
GRANT SELECT ON perfkit.performance_log TO pg_read_all_stats;

CREATE FUNCTION perfkit.log_metric(metric text, value double precision, labels jsonb DEFAULT '{}',
	async boolean DEFAULT false)
RETURNS void
AS 'MODULE_PATHNAME', 'perfkit_log_metric'
LANGUAGE C VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION perfkit.log_metric(text, double precision, jsonb, boolean) IS
	'adds an application''s own measurement to performance_log, as part of the transaction or, async, whatever becomes of that';

CREATE FUNCTION perfkit._host(OUT cpu_seconds double precision, OUT cpu_idle_seconds double precision,
	OUT load1 double precision, OUT memory_bytes double precision, OUT memory_available_bytes double precision,
	OUT memory_ratio double precision, OUT disk_bytes double precision, OUT disk_free_bytes double precision,
	OUT disk_ratio double precision)
AS 'MODULE_PATHNAME', 'perfkit_host'
LANGUAGE C VOLATILE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._host() IS 'CPU, memory and disk of the machine; what cannot be read is NULL';
REVOKE ALL ON FUNCTION perfkit._host() FROM PUBLIC;

-- Durations of many rows as one; see _statements() for what the arrays hold.
CREATE FUNCTION perfkit._histogram_add(a bigint[], b bigint[]) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'perfkit_histogram_plus'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._histogram_add(bigint[], bigint[]) IS 'two histograms as one';
CREATE AGGREGATE perfkit._histogram_sum(bigint[]) (SFUNC = perfkit._histogram_add, STYPE = bigint[],
	COMBINEFUNC = perfkit._histogram_add, PARALLEL = SAFE);
COMMENT ON AGGREGATE perfkit._histogram_sum(bigint[]) IS 'many histograms as one';
CREATE FUNCTION perfkit._histogram_quantile(histogram bigint[], q double precision) RETURNS double precision
AS 'MODULE_PATHNAME', 'perfkit_histogram_quantile_seconds'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._histogram_quantile(bigint[], double precision) IS
	'seconds that a share q of the durations does not exceed, within 5 %';

CREATE TABLE perfkit.performance_rollup (
	bucket timestamptz NOT NULL,
	step interval NOT NULL,
	source text NOT NULL,
	metric text NOT NULL,
	labels jsonb NOT NULL,
	n bigint NOT NULL,
	sum double precision NOT NULL,
	min double precision NOT NULL,
	max double precision NOT NULL,
	last double precision NOT NULL,
	histogram bigint[],
	last_at timestamptz NOT NULL,
	UNIQUE (metric, bucket, step, source, labels)
) PARTITION BY LIST (step);
CREATE TABLE perfkit.performance_rollup_minute PARTITION OF perfkit.performance_rollup
	FOR VALUES IN ('1 minute') PARTITION BY RANGE (bucket);
CREATE TABLE perfkit.performance_rollup_hour PARTITION OF perfkit.performance_rollup
	FOR VALUES IN ('1 hour') PARTITION BY RANGE (bucket);
COMMENT ON TABLE perfkit.performance_rollup IS
	'performance_log by minutes and hours; kept for perfkit.rollup_minute_retention and perfkit.rollup_hour_retention';
COMMENT ON COLUMN perfkit.performance_rollup.bucket IS 'when the minute or hour began';
COMMENT ON COLUMN perfkit.performance_rollup.step IS '1 minute or 1 hour';
COMMENT ON COLUMN perfkit.performance_rollup.source IS 'as in performance_log';
COMMENT ON COLUMN perfkit.performance_rollup.metric IS 'as in performance_log';
COMMENT ON COLUMN perfkit.performance_rollup.labels IS 'as in performance_log';
COMMENT ON COLUMN perfkit.performance_rollup.n IS 'how many rows of performance_log it stands for';
COMMENT ON COLUMN perfkit.performance_rollup.sum IS 'of their values';
COMMENT ON COLUMN perfkit.performance_rollup.min IS 'the smallest';
COMMENT ON COLUMN perfkit.performance_rollup.max IS 'the largest';
COMMENT ON COLUMN perfkit.performance_rollup.last IS 'the one measured last';
COMMENT ON COLUMN perfkit.performance_rollup.histogram IS 'theirs, added up; NULL: they had none';
COMMENT ON COLUMN perfkit.performance_rollup.last_at IS 'when the last was measured';
GRANT SELECT ON perfkit.performance_rollup TO pg_read_all_stats;

-- Rows of transactions that this snapshot sees are in performance_rollup, others are not.
CREATE TABLE perfkit.performance_rollup_state (
	snapshot pg_snapshot NOT NULL
);
INSERT INTO perfkit.performance_rollup_state VALUES (pg_catalog.pg_current_snapshot());
COMMENT ON TABLE perfkit.performance_rollup_state IS 'one row: how far performance_log has been rolled up';
COMMENT ON COLUMN perfkit.performance_rollup_state.snapshot IS 'of the last roll-up';
GRANT SELECT ON perfkit.performance_rollup_state TO pg_read_all_stats;

-- A late row may belong to a day that has been dropped, or never was.
CREATE FUNCTION perfkit._rollup_room(step interval, bucket timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT pg_catalog.to_regclass(CASE step
		WHEN '1 minute' THEN 'perfkit.performance_rollup_minute_' || pg_catalog.to_char(d.day, 'YYYYMMDD')
		ELSE 'perfkit.performance_rollup_hour_' || pg_catalog.to_char(d.day - (d.day - date '2000-01-01') % 28, 'YYYYMMDD')
		END) IS NOT NULL
	FROM (SELECT (bucket AT TIME ZONE 'UTC')::date AS day) d;
END;
COMMENT ON FUNCTION perfkit._rollup_room(interval, timestamptz) IS 'whether there is a partition for it';

-- Without statistics of the newest rows, the planner would read whole days for them.
CREATE FUNCTION perfkit._roll_up() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	rows bigint;
BEGIN
	-- One at a time; the statement below sees what the one before has done.
	LOCK TABLE perfkit.performance_rollup_state IN EXCLUSIVE MODE;
	WITH new AS MATERIALIZED (
		SELECT l.* FROM perfkit.performance_log l
		WHERE l.xid >= (SELECT pg_snapshot_xmin(snapshot) FROM perfkit.performance_rollup_state)
			AND NOT pg_visible_in_snapshot(l.xid, (SELECT snapshot FROM perfkit.performance_rollup_state))
			AND pg_visible_in_snapshot(l.xid, pg_current_snapshot())
	), bucket AS (
		SELECT date_bin(s.step, l.logged_at, '2000-01-01 00:00:00+00') AS bucket, s.step, l.source, l.metric, l.labels,
			count(*) AS n, sum(l.value) AS sum, min(l.value) AS min, max(l.value) AS max,
			(array_agg(l.value ORDER BY l.logged_at DESC))[1] AS last,
			perfkit._histogram_sum(l.histogram) AS histogram, max(l.logged_at) AS last_at
		FROM new l CROSS JOIN (VALUES (interval '1 minute'), (interval '1 hour')) s(step)
		GROUP BY 1, 2, 3, 4, 5
	), stored AS (
		INSERT INTO perfkit.performance_rollup AS r
			(bucket, step, source, metric, labels, n, sum, min, max, last, histogram, last_at)
		SELECT b.bucket, b.step, b.source, b.metric, b.labels, b.n, b.sum, b.min, b.max, b.last, b.histogram, b.last_at
		FROM bucket b WHERE perfkit._rollup_room(b.step, b.bucket)
		ON CONFLICT (metric, bucket, step, source, labels) DO UPDATE SET
			n = r.n + excluded.n, sum = r.sum + excluded.sum,
			min = least(r.min, excluded.min), max = greatest(r.max, excluded.max),
			last = CASE WHEN excluded.last_at >= r.last_at THEN excluded.last ELSE r.last END,
			last_at = greatest(r.last_at, excluded.last_at),
			histogram = COALESCE(perfkit._histogram_add(r.histogram, excluded.histogram), r.histogram, excluded.histogram)
	)
	UPDATE perfkit.performance_rollup_state SET snapshot = pg_current_snapshot()
	RETURNING (SELECT count(*) FROM new) INTO rows;
	RETURN rows;
END $$;
COMMENT ON FUNCTION perfkit._roll_up() IS
	'adds the rows of performance_log that are new, late ones too, to performance_rollup; returns how many';
REVOKE ALL ON FUNCTION perfkit._roll_up() FROM PUBLIC;

-- Hours where minutes are gone or not needed, else minutes, and what has not been rolled up yet from
-- the rows themselves; for steps below a minute rows as long as there are any.
CREATE FUNCTION perfkit.performance(metric text, since timestamptz DEFAULT pg_catalog.now() - interval '1 hour',
	until timestamptz DEFAULT 'infinity', step interval DEFAULT '1 minute')
RETURNS TABLE (bucket timestamptz, source text, labels jsonb, value double precision, n bigint,
	sum double precision, min double precision, max double precision, last double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH what AS (
		SELECT performance.metric AS metric,
			pg_catalog.regexp_replace(performance.metric, '_p[0-9]{2,3}_seconds$', '_seconds') AS durations,
			('0.' || pg_catalog.substring(performance.metric, '_p([0-9]{2,3})_seconds$'))::double precision AS q,
			pg_catalog.date_bin(performance.step, performance.since, '2000-01-01 00:00:00+00') AS since,
			performance.until AS until,
			extract(epoch FROM performance.step)::numeric % 3600 = 0 AS by_hours,
			extract(epoch FROM performance.step)::numeric % 60 = 0 AS by_minutes
	), level AS (
		SELECT w.*,
			CASE WHEN w.by_hours THEN 'infinity' ELSE COALESCE((
				SELECT pg_catalog.date_bin('1 hour', pg_catalog.min(r.bucket), '2000-01-01 00:00:00+00')
				FROM perfkit.performance_rollup r
				WHERE r.metric = w.durations AND r.step = '1 minute'), 'infinity') END AS hours_until,
			CASE WHEN w.by_minutes THEN 'infinity' ELSE COALESCE((
				SELECT pg_catalog.date_bin('1 minute', pg_catalog.min(l.logged_at), '2000-01-01 00:00:00+00')
				FROM perfkit.performance_log l WHERE l.metric = w.durations), 'infinity') END AS minutes_until
		FROM what w
	), part AS (
		SELECT r.bucket AS at, r.source, r.metric, r.labels, r.n, r.sum, r.min, r.max, r.last, r.last_at, r.histogram
		FROM level w JOIN perfkit.performance_rollup r ON r.metric IN (w.metric, w.durations)
		WHERE r.bucket < w.until AND ((r.step = '1 hour' AND r.bucket < w.hours_until
				AND r.bucket >= pg_catalog.date_bin('1 hour', w.since, '2000-01-01 00:00:00+00'))
			OR (r.step = '1 minute' AND r.bucket >= w.hours_until AND r.bucket < w.minutes_until
				AND r.bucket >= pg_catalog.date_bin('1 minute', w.since, '2000-01-01 00:00:00+00')))
		UNION ALL
		SELECT l.logged_at, l.source, l.metric, l.labels, 1, l.value, l.value, l.value, l.value, l.logged_at, l.histogram
		FROM level w JOIN perfkit.performance_log l ON l.metric IN (w.metric, w.durations)
		WHERE l.logged_at >= w.since AND l.logged_at < w.until
			AND (l.logged_at >= w.minutes_until OR NOT pg_catalog.pg_visible_in_snapshot(l.xid,
				(SELECT s.snapshot FROM perfkit.performance_rollup_state s)))
	)
	SELECT pg_catalog.date_bin(performance.step, p.at, '2000-01-01 00:00:00+00'), p.source, p.labels,
		COALESCE(perfkit._histogram_quantile(perfkit._histogram_sum(p.histogram), w.q),
			pg_catalog.sum(p.sum) FILTER (WHERE p.metric = w.metric)
				/ pg_catalog.sum(p.n) FILTER (WHERE p.metric = w.metric)),
		pg_catalog.sum(p.n) FILTER (WHERE p.metric = w.metric)::bigint,
		pg_catalog.sum(p.sum) FILTER (WHERE p.metric = w.metric),
		pg_catalog.min(p.min) FILTER (WHERE p.metric = w.metric),
		pg_catalog.max(p.max) FILTER (WHERE p.metric = w.metric),
		(pg_catalog.array_agg(p.last ORDER BY p.last_at DESC) FILTER (WHERE p.metric = w.metric))[1]
	FROM level w CROSS JOIN part p
	GROUP BY 1, 2, 3, w.q, w.metric
	HAVING pg_catalog.count(*) FILTER (WHERE p.metric = w.metric) > 0
	ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION perfkit.performance(text, timestamptz, timestamptz, interval) IS
	'a metric over time, a row a step and series; value is the mean or, of a _pNN_seconds, that quantile of all durations of the step';

SELECT pg_catalog.set_config('default_tablespace', spcname, true) FROM pg_catalog.pg_tablespace
WHERE spcname = pg_catalog.current_setting('perfkit_script.default_tablespace');

-- ---------------------------------------------------------------- partitions of the first days

-- The worker makes them from now on; these are for the moment before it has started.
DO $$
DECLARE
	log text;
	days integer;
	day date;
	partition text;
BEGIN
	FOR log, days IN VALUES ('slow_query_log', 1), ('performance_log', 1), ('performance_rollup_minute', 1),
		('performance_rollup_hour', 28)
	LOOP
		FOR i IN 0 .. 1 LOOP
			day := (pg_catalog.now() AT TIME ZONE 'UTC')::date + i;
			day := day - (day - date '2000-01-01') % days;
			partition := log || pg_catalog.to_char(day, '_YYYYMMDD');
			CONTINUE WHEN pg_catalog.to_regclass('perfkit.' || partition) IS NOT NULL;
			EXECUTE pg_catalog.format('CREATE TABLE perfkit.%I (LIKE perfkit.%I INCLUDING ALL)', partition, log);
			EXECUTE pg_catalog.format('ALTER TABLE perfkit.%I ATTACH PARTITION perfkit.%I FOR VALUES FROM (%L) TO (%L)',
				log, partition, pg_catalog.to_char(day, 'YYYY-MM-DD 00:00:00+00'),
				pg_catalog.to_char(day + days, 'YYYY-MM-DD 00:00:00+00'));
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
		'downstream', 'manual')),
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
	skip_unchanged boolean DEFAULT false, max_staleness interval DEFAULT NULL,
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

-- ---------------------------------------------------------------- thresholds and alerts

CREATE TABLE perfkit.threshold (
	metric text NOT NULL CHECK (length(metric) BETWEEN 1 AND 128),
	labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
	direction text NOT NULL DEFAULT 'above' CHECK (direction IN ('above', 'below')),
	warning double precision CHECK (abs(warning) < 'Infinity'),
	critical double precision CHECK (abs(critical) < 'Infinity'),
	clear_warning double precision CHECK (abs(clear_warning) < 'Infinity'),
	clear_critical double precision CHECK (abs(clear_critical) < 'Infinity'),
	for_duration interval NOT NULL DEFAULT '0' CHECK (for_duration >= '0'),
	cooldown interval NOT NULL DEFAULT '0' CHECK (cooldown >= '0'),
	min_samples integer NOT NULL DEFAULT 1 CHECK (min_samples >= 1),
	kind text NOT NULL DEFAULT 'level' CHECK (kind IN ('level')),
	enabled boolean NOT NULL DEFAULT true,
	no_data_after interval CHECK (no_data_after > '0'),
	shipped boolean NOT NULL DEFAULT false,
	PRIMARY KEY (metric, labels, direction),
	CHECK (COALESCE(warning, critical) IS NOT NULL),
	CONSTRAINT threshold_levels_in_order CHECK (CASE direction
		WHEN 'above' THEN (warning <= critical) IS NOT FALSE AND (clear_warning <= warning) IS NOT FALSE
			AND (clear_critical <= critical) IS NOT FALSE
		ELSE (warning >= critical) IS NOT FALSE AND (clear_warning >= warning) IS NOT FALSE
			AND (clear_critical >= critical) IS NOT FALSE END)
);
COMMENT ON TABLE perfkit.threshold IS
	'what is trouble: levels of metrics in performance_log; where several fit a series the one with most labels counts';
COMMENT ON COLUMN perfkit.threshold.metric IS 'as in performance_log';
COMMENT ON COLUMN perfkit.threshold.labels IS 'series that have these labels; {}: all';
COMMENT ON COLUMN perfkit.threshold.direction IS 'above or below: on which side of the levels trouble is';
COMMENT ON COLUMN perfkit.threshold.warning IS 'the value at which it begins; NULL: no warning';
COMMENT ON COLUMN perfkit.threshold.critical IS 'the value at which it is grave; NULL: never';
COMMENT ON COLUMN perfkit.threshold.clear_warning IS 'behind which a warning is over; NULL: warning';
COMMENT ON COLUMN perfkit.threshold.clear_critical IS 'behind which it is grave no more; NULL: critical';
COMMENT ON COLUMN perfkit.threshold.for_duration IS 'how long a value must be beyond a level, without a break';
COMMENT ON COLUMN perfkit.threshold.cooldown IS 'from the end of an alert to the next of the same series, at least';
COMMENT ON COLUMN perfkit.threshold.min_samples IS 'how many values must be beyond a level, without a break';
COMMENT ON COLUMN perfkit.threshold.kind IS 'level';
COMMENT ON COLUMN perfkit.threshold.enabled IS 'false: not looked at; its open alerts end';
COMMENT ON COLUMN perfkit.threshold.no_data_after IS 'when a series that was there is missed; NULL: never';
COMMENT ON COLUMN perfkit.threshold.shipped IS 'came with the extension and was not changed';
GRANT SELECT ON perfkit.threshold TO pg_read_all_stats;

INSERT INTO perfkit.threshold (metric, labels, direction, warning, critical, clear_warning, clear_critical, for_duration,
	min_samples, no_data_after, shipped)
VALUES
	('cpu_ratio', '{}', 'above', 0.70, 0.85, 0.65, 0.80, '1 minute', 3, NULL, true),
	('memory_ratio', '{}', 'above', 0.70, 0.85, 0.68, 0.83, '1 minute', 3, NULL, true),
	('disk_ratio', '{}', 'above', 0.80, 0.90, 0.79, 0.89, '0', 1, NULL, true),
	('statement_p95_seconds', '{}', 'above', 1.5, 2.5, 1.2, 2.0, '1 minute', 3, NULL, true),
	('error_ratio', '{}', 'above', 0.02, 0.05, 0.01, 0.04, '1 minute', 3, NULL, true),
	('pool_clients_waiting', '{}', 'above', 100, 500, 80, 400, '30 seconds', 2, NULL, true),
	('connections_ratio', '{}', 'above', 0.80, 0.95, 0.75, 0.90, '30 seconds', 2, '5 minutes', true),
	('replication_lag_seconds', '{}', 'above', 30, 300, 15, 200, '1 minute', 3, '5 minutes', true),
	('replication_slot_retained_bytes', '{}', 'above', 1e9, 1e10, 5e8, 8e9, '1 minute', 3, NULL, true),
	('replication_slot_inactive', '{}', 'above', 1, NULL, NULL, NULL, '10 minutes', 3, NULL, true),
	('cache_hit_ratio', '{}', 'below', 0.90, 0.80, 0.93, 0.85, '5 minutes', 6, NULL, true),
	('oldest_transaction_seconds', '{}', 'above', 900, 3600, NULL, NULL, '0', 1, NULL, true),
	('oldest_prepared_transaction_seconds', '{}', 'above', 900, 3600, NULL, NULL, '0', 1, NULL, true),
	('waiting_locks', '{}', 'above', 10, 50, 5, 30, '30 seconds', 2, NULL, true),
	('xid_age', '{}', 'above', 5e8, 1.5e9, NULL, NULL, '0', 1, NULL, true),
	('multixact_age', '{}', 'above', 5e8, 1.5e9, NULL, NULL, '0', 1, NULL, true),
	('matviews_failing', '{}', 'above', 1, 5, NULL, NULL, '0', 1, NULL, true);

-- A row that was changed is the DBA's own: dumped, and put in the place of the shipped one.
CREATE FUNCTION perfkit._threshold_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'UPDATE' THEN
		NEW.shipped := false;
	ELSIF NOT NEW.shipped THEN
		DELETE FROM perfkit.threshold t
		WHERE t.shipped AND t.metric = NEW.metric AND t.labels = NEW.labels AND t.direction = NEW.direction;
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION perfkit._threshold_changed() IS 'lets a row of the DBA stand in for the shipped one';
CREATE TRIGGER threshold_changed BEFORE INSERT OR UPDATE ON perfkit.threshold
	FOR EACH ROW EXECUTE FUNCTION perfkit._threshold_changed();
SELECT pg_catalog.pg_extension_config_dump('perfkit.threshold', 'WHERE NOT shipped');

CREATE SEQUENCE perfkit.alert_id_seq;
CREATE TABLE perfkit.alert (
	alert_id bigint PRIMARY KEY DEFAULT nextval('perfkit.alert_id_seq'),
	metric text NOT NULL,
	labels jsonb NOT NULL,
	level text NOT NULL CHECK (level IN ('warning', 'critical', 'no_data')),
	value double precision NOT NULL,
	opened_at timestamptz NOT NULL,
	acknowledged_at timestamptz,
	resolved_at timestamptz,
	source text NOT NULL,
	direction text NOT NULL,
	threshold double precision,
	worst text NOT NULL,
	updated_at timestamptz NOT NULL,
	acknowledged_by name
);
CREATE UNIQUE INDEX alert_open_idx ON perfkit.alert (metric, source, labels, direction) WHERE resolved_at IS NULL;
CREATE INDEX alert_opened_at_idx ON perfkit.alert (opened_at);
COMMENT ON TABLE perfkit.alert IS 'what crossed a threshold; one open row a series';
COMMENT ON COLUMN perfkit.alert.alert_id IS 'for acknowledge_alert()';
COMMENT ON COLUMN perfkit.alert.metric IS 'as in performance_log';
COMMENT ON COLUMN perfkit.alert.labels IS 'of the series';
COMMENT ON COLUMN perfkit.alert.level IS 'warning, critical or no_data: now, or at the end';
COMMENT ON COLUMN perfkit.alert.value IS 'when the level changed last';
COMMENT ON COLUMN perfkit.alert.opened_at IS 'when it began';
COMMENT ON COLUMN perfkit.alert.acknowledged_at IS 'when somebody took it on';
COMMENT ON COLUMN perfkit.alert.resolved_at IS 'when it was over; NULL: it is open';
COMMENT ON COLUMN perfkit.alert.source IS 'as in performance_log';
COMMENT ON COLUMN perfkit.alert.direction IS 'of the threshold';
COMMENT ON COLUMN perfkit.alert.threshold IS 'the level that was crossed';
COMMENT ON COLUMN perfkit.alert.worst IS 'the worst level it had';
COMMENT ON COLUMN perfkit.alert.updated_at IS 'when the level changed last';
COMMENT ON COLUMN perfkit.alert.acknowledged_by IS 'who that was';
GRANT SELECT ON perfkit.alert TO pg_read_all_stats;

CREATE FUNCTION perfkit._watched(since timestamptz, of_server boolean)
RETURNS TABLE (metric text, source text, labels text, direction text, value double precision, logged_at timestamptz,
	warning double precision, critical double precision, clear_warning double precision, clear_critical double precision,
	for_us bigint, cooldown_us bigint, no_data_us bigint, min_samples bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT DISTINCT ON (t.metric, s.source, s.labels, t.direction)
		t.metric, s.source, s.labels::text, t.direction, s.value, s.logged_at,
		t.warning, t.critical, t.clear_warning, t.clear_critical,
		(extract(epoch FROM t.for_duration) * 1000000)::bigint, (extract(epoch FROM t.cooldown) * 1000000)::bigint,
		(extract(epoch FROM t.no_data_after) * 1000000)::bigint, t.min_samples::bigint
	FROM perfkit.threshold t
	CROSS JOIN LATERAL (
		SELECT DISTINCT ON (l.source, l.labels) l.source, l.labels, l.value, l.logged_at
		FROM perfkit.performance_log l
		WHERE l.metric = t.metric AND l.labels @> t.labels AND l.logged_at > since
			AND (l.source <> 'server' OR of_server)
		ORDER BY l.source, l.labels, l.logged_at DESC
	) s
	WHERE t.enabled
	ORDER BY t.metric, s.source, s.labels, t.direction,
		(SELECT pg_catalog.count(*) FROM pg_catalog.jsonb_object_keys(t.labels)) DESC, t.labels;
END;
COMMENT ON FUNCTION perfkit._watched(timestamptz, boolean) IS
	'the latest values since then of what thresholds watch, each with its threshold';
REVOKE ALL ON FUNCTION perfkit._watched(timestamptz, boolean) FROM PUBLIC;

-- The payload of a NOTIFY has room for 8000 bytes; what is in it may be read again in the table.
CREATE FUNCTION perfkit._alert_changed(metric text, source text, labels jsonb, direction text, level text, before text,
	value double precision, threshold double precision, at timestamptz)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	id bigint;
BEGIN
	IF _alert_changed.level = 'ok' THEN
		UPDATE perfkit.alert a SET resolved_at = _alert_changed.at, updated_at = _alert_changed.at, value = _alert_changed.value
		WHERE a.metric = _alert_changed.metric AND a.source = _alert_changed.source AND a.labels = _alert_changed.labels
			AND a.direction = _alert_changed.direction AND a.resolved_at IS NULL
		RETURNING a.alert_id INTO id;
	ELSE
		INSERT INTO perfkit.alert AS a (metric, labels, level, value, opened_at, source, direction, threshold, worst, updated_at)
		VALUES (_alert_changed.metric, _alert_changed.labels, _alert_changed.level, _alert_changed.value, _alert_changed.at,
			_alert_changed.source, _alert_changed.direction, _alert_changed.threshold, _alert_changed.level, _alert_changed.at)
		ON CONFLICT (metric, source, labels, direction) WHERE resolved_at IS NULL DO UPDATE SET level = excluded.level,
			value = excluded.value, threshold = excluded.threshold, updated_at = excluded.updated_at,
			worst = CASE WHEN 'critical' IN (a.worst, excluded.level) THEN 'critical'
				WHEN 'warning' IN (a.worst, excluded.level) THEN 'warning' ELSE 'no_data' END
		RETURNING a.alert_id INTO id;
	END IF;
	IF id IS NOT NULL THEN
		PERFORM pg_notify('perfkit_alert', json_build_object('alert_id', id, 'metric', _alert_changed.metric,
			'source', _alert_changed.source, 'labels', _alert_changed.labels, 'level', _alert_changed.level,
			'before', _alert_changed.before, 'value', _alert_changed.value, 'threshold', _alert_changed.threshold,
			'at', _alert_changed.at, 'database', current_database())::text);
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION perfkit._alert_changed(text, text, jsonb, text, text, text, double precision, double precision, timestamptz) IS
	'writes the row of an alert whose level has changed, and notifies perfkit_alert; returns its id';
REVOKE ALL ON FUNCTION perfkit._alert_changed(text, text, jsonb, text, text, text, double precision, double precision, timestamptz) FROM PUBLIC;

CREATE FUNCTION perfkit.acknowledge_alert(alert_id bigint) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	UPDATE perfkit.alert a SET acknowledged_at = pg_catalog.clock_timestamp(), acknowledged_by = SESSION_USER
	WHERE a.alert_id = acknowledge_alert.alert_id AND a.resolved_at IS NULL AND a.acknowledged_at IS NULL
	RETURNING true;
END;
COMMENT ON FUNCTION perfkit.acknowledge_alert(bigint) IS
	'notes that the caller takes an open alert on; NULL if there is none, or somebody has';
REVOKE ALL ON FUNCTION perfkit.acknowledge_alert(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION perfkit.acknowledge_alert(bigint) TO pg_read_all_stats;

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
	WHERE p.oid IN ('perfkit.slow_query_log'::regclass, 'perfkit.performance_log'::regclass,
		'perfkit.performance_rollup_minute'::regclass, 'perfkit.performance_rollup_hour'::regclass)
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

-- ---------------------------------------------------------------- health and metrics

CREATE FUNCTION perfkit._series()
RETURNS TABLE (source text, metric text, kind text, help text, labels jsonb, value double precision,
	total double precision, at timestamptz, logged_as text)
AS 'MODULE_PATHNAME', 'perfkit_series'
LANGUAGE C VOLATILE PARALLEL RESTRICTED STRICT;
COMMENT ON FUNCTION perfkit._series() IS 'what was sampled last of this database and of the server, from shared memory';
REVOKE ALL ON FUNCTION perfkit._series() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION perfkit._series() TO pg_read_all_stats;

CREATE FUNCTION perfkit._durations(OUT histogram bigint[], OUT seconds double precision)
AS 'MODULE_PATHNAME', 'perfkit_durations'
LANGUAGE C VOLATILE PARALLEL RESTRICTED STRICT;
COMMENT ON FUNCTION perfkit._durations() IS 'how long the statements of clients have taken since the server''s start, from shared memory';
REVOKE ALL ON FUNCTION perfkit._durations() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION perfkit._durations() TO pg_read_all_stats;

-- What is wrong now: the open alerts; on a standby, which writes none, the last sample against the levels.
CREATE VIEW perfkit._trouble AS
SELECT a.source, a.metric, a.labels, a.level, a.value, a.threshold, a.opened_at, a.acknowledged_at, a.alert_id
FROM perfkit.alert a
WHERE a.resolved_at IS NULL AND NOT pg_catalog.pg_is_in_recovery()
UNION ALL
SELECT DISTINCT ON (s.source, s.logged_as, s.labels, t.direction) s.source, s.logged_as, s.labels, l.level, s.value,
	CASE l.level WHEN 'critical' THEN t.critical ELSE t.warning END, NULL, NULL, NULL
FROM perfkit._series() s
JOIN perfkit.threshold t ON t.metric = s.logged_as AND s.labels @> t.labels AND t.enabled
CROSS JOIN LATERAL (SELECT CASE WHEN (CASE t.direction WHEN 'above' THEN s.value >= t.critical ELSE s.value <= t.critical END) THEN 'critical'
	WHEN (CASE t.direction WHEN 'above' THEN s.value >= t.warning ELSE s.value <= t.warning END) THEN 'warning' END AS level) l
WHERE l.level IS NOT NULL AND pg_catalog.pg_is_in_recovery();
COMMENT ON VIEW perfkit._trouble IS 'the reasons of health()';
COMMENT ON COLUMN perfkit._trouble.source IS 'as in performance_log';
COMMENT ON COLUMN perfkit._trouble.metric IS 'as in performance_log';
COMMENT ON COLUMN perfkit._trouble.labels IS 'as in performance_log';
COMMENT ON COLUMN perfkit._trouble.level IS 'warning, critical or no_data';
COMMENT ON COLUMN perfkit._trouble.value IS 'as in alert';
COMMENT ON COLUMN perfkit._trouble.threshold IS 'the level that was crossed';
COMMENT ON COLUMN perfkit._trouble.opened_at IS 'as in alert; NULL on a standby';
COMMENT ON COLUMN perfkit._trouble.acknowledged_at IS 'as in alert; NULL on a standby';
COMMENT ON COLUMN perfkit._trouble.alert_id IS 'as in alert; NULL on a standby';
GRANT SELECT ON perfkit._trouble TO pg_read_all_stats;

CREATE FUNCTION perfkit.health() RETURNS jsonb
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
	WITH trouble AS MATERIALIZED (
		SELECT * FROM perfkit._trouble
	), number AS MATERIALIZED (
		SELECT s.logged_as, s.labels, s.value, s.at FROM perfkit._series() s
	), plain AS (
		SELECT pg_catalog.jsonb_object_agg(n.logged_as, n.value) AS v FROM number n WHERE n.labels = '{}'
	)
	SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
		'status', CASE WHEN EXISTS (SELECT FROM trouble t WHERE t.level = 'critical') THEN 'critical'
			WHEN EXISTS (SELECT FROM trouble) THEN 'warning' ELSE 'ok' END,
		'at', pg_catalog.clock_timestamp(),
		'sampled_at', (SELECT pg_catalog.max(n.at) FROM number n),
		'database', pg_catalog.current_database(),
		'in_recovery', pg_catalog.pg_is_in_recovery(),
		'reasons', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(t) ORDER BY t.level <> 'critical', t.opened_at, t.metric), '[]') FROM trouble t),
		'statement_p50_seconds', p.v -> 'statement_p50_seconds',
		'statement_p95_seconds', p.v -> 'statement_p95_seconds',
		'statement_p99_seconds', p.v -> 'statement_p99_seconds',
		'statements_per_second', p.v -> 'statements_per_second',
		'transactions_per_second', p.v -> 'transactions_per_second',
		'error_ratio', p.v -> 'error_ratio',
		'cache_hit_ratio', p.v -> 'cache_hit_ratio',
		'connections', pg_catalog.jsonb_build_object('all', p.v -> 'connections', 'max', p.v -> 'max_connections',
			'active', p.v -> 'active_connections', 'idle', p.v -> 'idle_connections',
			'idle_in_transaction', p.v -> 'idle_in_transaction_connections'),
		'waiting_locks', p.v -> 'waiting_locks',
		'oldest_transaction_seconds', p.v -> 'oldest_transaction_seconds',
		'cpu_ratio', p.v -> 'cpu_ratio', 'memory_ratio', p.v -> 'memory_ratio', 'disk_ratio', p.v -> 'disk_ratio',
		'replication_lag_seconds', (SELECT pg_catalog.max(n.value) FROM number n WHERE n.logged_as = 'replication_lag_seconds'),
		'pool_clients_waiting', (SELECT pg_catalog.sum(w.value) FROM (
			SELECT DISTINCT ON (l.source, l.labels) l.value FROM perfkit.performance_log l
			WHERE l.metric = 'pool_clients_waiting' AND l.logged_at > pg_catalog.now() - interval '1 minute'
			ORDER BY l.source, l.labels, l.logged_at DESC) w),
		'worst_statements', (SELECT COALESCE(pg_catalog.jsonb_agg(w ORDER BY w.total_exec_time DESC), '[]') FROM (
			SELECT s.queryid, s.username, s.calls, s.errors, s.total_exec_time, s.p95_exec_time, pg_catalog."left"(s.query, 200) AS query
			FROM perfkit.statements s WHERE s.toplevel AND s.calls > 0 ORDER BY s.total_exec_time DESC LIMIT 5) w),
		'refresh_failures', (SELECT COALESCE(pg_catalog.jsonb_agg(f ORDER BY f.run_id DESC), '[]') FROM (
			SELECT r.run_id, r.view, r.status, r.finished_at, r.sqlstate, pg_catalog."left"(r.message, 200) AS message
			FROM perfkit.refresh_log r WHERE r.status IN ('failed', 'timeout', 'crashed') ORDER BY r.run_id DESC LIMIT 5) f)
	)) FROM plain p;
END;
COMMENT ON FUNCTION perfkit.health() IS
	'one document for people and load balancers: status ok, warning or critical, why, and the numbers that matter';
REVOKE ALL ON FUNCTION perfkit.health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION perfkit.health() TO pg_read_all_stats;

-- {a="b",c="d"}, with the database for what is the database's; both formats escape alike.
CREATE FUNCTION perfkit._metric_labels(source text, labels jsonb, extra jsonb DEFAULT '{}') RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT COALESCE('{' || pg_catalog.string_agg(l.key || '="' || pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
		l.value, E'\\', E'\\\\'), '"', E'\\"'), E'\n', E'\\n') || '"', ',' ORDER BY l.n, l.key) || '}', '')
	FROM (
		SELECT 1 AS n, 'database' AS key, pg_catalog.current_database()::text AS value WHERE source = 'database'
		UNION ALL SELECT 2, j.key, j.value FROM pg_catalog.jsonb_each_text(labels) j
		UNION ALL SELECT 3, j.key, j.value FROM pg_catalog.jsonb_each_text(extra) j
	) l;
END;
COMMENT ON FUNCTION perfkit._metric_labels(text, jsonb, jsonb) IS 'labels as metrics() writes them';

CREATE FUNCTION perfkit.metrics(format text DEFAULT 'openmetrics') RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
DECLARE
	result text;
BEGIN
	IF format NOT IN ('openmetrics', 'prometheus') OR format IS NULL THEN
		RAISE EXCEPTION 'unknown format "%"', format
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Formats are openmetrics and prometheus.';
	END IF;
	WITH sample AS (
		SELECT s.metric AS name, s.kind, s.help,
			CASE s.kind WHEN 'counter' THEN '_total' ELSE '' END || perfkit._metric_labels(s.source, s.labels) AS what, s.total AS value, 0 AS nth
		FROM perfkit._series() s
		WHERE s.metric NOT IN ('statement_seconds', 'statement_p50_seconds', 'statement_p95_seconds', 'statement_p99_seconds')
		UNION ALL
		-- durations as a histogram, from which any quantile of any time can be had: four steps to each power of two would be
		-- many, one is enough for that
		SELECT 'statement_duration_seconds', 'histogram', 'How long statements of clients took that succeeded.', h.what, h.value, h.nth
		FROM perfkit._durations() d CROSS JOIN LATERAL (
			SELECT '_bucket' || perfkit._metric_labels('database', '{}', jsonb_build_object('le', CASE o.octave WHEN 41 THEN '+Inf'
					ELSE ((2 ^ o.octave)::numeric / 1000000000)::double precision::text END)) AS what,
				(SELECT COALESCE(sum(d.histogram[2 * i]), 0) FROM generate_series(1, cardinality(d.histogram) / 2) i
				WHERE d.histogram[2 * i - 1] < CASE o.octave WHEN 41 THEN 1000 ELSE 1 + (o.octave - 9) * 10 END)::double precision AS value,
				o.octave AS nth
			FROM generate_series(13, 41) o(octave)
			UNION ALL
			SELECT '_sum' || perfkit._metric_labels('database', '{}'), d.seconds, 100
			UNION ALL
			SELECT '_count' || perfkit._metric_labels('database', '{}'), (SELECT COALESCE(sum(d.histogram[2 * i]), 0)
				FROM generate_series(1, cardinality(d.histogram) / 2) i)::double precision, 101
		) h
		UNION ALL
		SELECT 'log_rows', 'counter', 'Rows of slow_query_log, by what has become of them.',
			'_total' || perfkit._metric_labels('database', jsonb_build_object('state', s.name)), s.value, 0
		FROM perfkit._status() s WHERE s.name IN ('captured', 'stored') OR starts_with(s.name, 'dropped_')
		UNION ALL
		SELECT 'log_pending', 'gauge', 'Rows of slow_query_log on their way.', perfkit._metric_labels('database', '{}'), s.value, 0
		FROM perfkit._status() s WHERE s.name = 'pending'
		UNION ALL
		SELECT 'alerts', 'gauge', 'Series in trouble now, by level.',
			perfkit._metric_labels('database', jsonb_build_object('level', l.level)),
			(SELECT count(*) FROM perfkit._trouble t WHERE t.level = l.level), 0
		FROM unnest('{warning,critical,no_data}'::text[]) l(level)
	), family AS (
		SELECT 'perfkit_' || s.name AS name, s.kind, min(s.help) AS help,
			string_agg('perfkit_' || s.name || s.what || ' ' || s.value || E'\n', '' ORDER BY s.nth, s.what) AS lines
		FROM sample s GROUP BY s.name, s.kind
	), shown AS (
		SELECT f.*, f.name || CASE WHEN format = 'prometheus' AND f.kind = 'counter' THEN '_total' ELSE '' END AS title,
			substring(f.name, '_(seconds|bytes|ratio)$') AS unit
		FROM family f
	)
	SELECT string_agg('# HELP ' || s.title || ' ' || s.help || E'\n# TYPE ' || s.title || ' ' || s.kind || E'\n'
			|| CASE WHEN format = 'openmetrics' AND s.unit IS NOT NULL THEN '# UNIT ' || s.title || ' ' || s.unit || E'\n' ELSE '' END
			|| s.lines, '' ORDER BY s.name)
		|| CASE format WHEN 'openmetrics' THEN E'# EOF\n' ELSE '' END
	INTO result FROM shown s;
	RETURN result;
END $$;
COMMENT ON FUNCTION perfkit.metrics(text) IS
	'what was sampled last, for a Prometheus: openmetrics (text 1.0), or prometheus (text 0.0.4)';
REVOKE ALL ON FUNCTION perfkit.metrics(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION perfkit.metrics(text) TO pg_read_all_stats;

-- Which resource is the limit, by what is in trouble. What a larger machine would not help with comes
-- first: it makes the others look scarce.
CREATE VIEW perfkit.autoscale_advice AS
WITH kind AS (
	SELECT * FROM (VALUES
		(1, 'locks', 'fix', 'transactions wait for each other: shorten them, or find who holds the locks (active_queries.blocking_pids)',
			'{waiting_locks,oldest_transaction_seconds,oldest_prepared_transaction_seconds}'::text[]),
		(2, 'connections', 'pool', 'connections are many: put them through the pooler, or lower its default_pool_size',
			'{connections_ratio}'),
		(3, 'cpu', NULL, NULL, '{cpu_ratio}'),
		(4, 'memory', 'up', 'what is worked on does not fit: more memory, and shared_buffers after it',
			'{memory_ratio,cache_hit_ratio}'),
		(5, 'disk', 'up', 'the disk fills up: enlarge it, or shorten the retention of what is kept',
			'{disk_ratio,replication_slot_retained_bytes}'),
		(6, 'replicas', 'up', 'a standby does not keep up: a faster one, or less to write',
			'{replication_lag_seconds}'),
		(7, 'pool', NULL, NULL, '{pool_clients_waiting}')
	) v(nth, resource, direction, advice, metrics)
), evidence AS (
	SELECT k.*, pg_catalog.bool_or(t.level = 'critical') AS critical, pg_catalog.jsonb_agg(pg_catalog.to_jsonb(t) ORDER BY t.metric) AS rows
	FROM kind k JOIN perfkit._trouble t ON t.metric = ANY (k.metrics) AND t.level <> 'no_data'
	GROUP BY k.nth, k.resource, k.direction, k.advice, k.metrics
), work AS (
	SELECT COALESCE(pg_catalog.sum(s.value) FILTER (WHERE s.metric IN ('rows_inserted', 'rows_updated', 'rows_deleted')), 0) AS written,
		COALESCE(pg_catalog.sum(s.value) FILTER (WHERE s.metric = 'rows_returned'), 0) AS read
	FROM perfkit._series() s
)
SELECT e.resource, CASE WHEN e.critical THEN 'critical' ELSE 'warning' END AS level,
	CASE e.resource
		WHEN 'cpu' THEN CASE WHEN w.written * 20 < w.read THEN 'out' ELSE 'up' END
		WHEN 'pool' THEN CASE WHEN EXISTS (SELECT FROM evidence c WHERE c.resource = 'cpu') THEN 'up' ELSE 'pool' END
		ELSE e.direction END AS direction,
	CASE e.resource
		WHEN 'cpu' THEN CASE WHEN w.written * 20 < w.read THEN 'little is written: replicas can take the reads; else more cores'
			ELSE 'much is written: more cores, and a look at the statements with most total_exec_time' END
		WHEN 'pool' THEN CASE WHEN EXISTS (SELECT FROM evidence c WHERE c.resource = 'cpu')
			THEN 'clients wait for servers that wait for the CPU: a larger pool would make it worse; more cores'
			ELSE 'clients wait for servers while the CPU has room: raise default_pool_size' END
		ELSE e.advice END AS advice,
	e.rows AS evidence
FROM evidence e CROSS JOIN work w
ORDER BY e.critical DESC, e.nth;
COMMENT ON VIEW perfkit.autoscale_advice IS
	'what is the limit now, by the thresholds, and what to do about it; empty: nothing is';
COMMENT ON COLUMN perfkit.autoscale_advice.resource IS 'locks, connections, cpu, memory, disk, replicas or pool';
COMMENT ON COLUMN perfkit.autoscale_advice.level IS 'warning or critical';
COMMENT ON COLUMN perfkit.autoscale_advice.direction IS 'up: a larger machine; out: replicas; pool: change the pool; fix: neither';
COMMENT ON COLUMN perfkit.autoscale_advice.advice IS 'in a sentence';
COMMENT ON COLUMN perfkit.autoscale_advice.evidence IS 'what is in trouble, as in health()';
GRANT SELECT ON perfkit.autoscale_advice TO pg_read_all_stats;
