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
		'origin', 'stored; memory: captured by this standby, and in its memory only',
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

CREATE FUNCTION perfkit._memory() RETURNS SETOF perfkit.slow_query_log
AS 'MODULE_PATHNAME', 'perfkit_memory'
LANGUAGE C STABLE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._memory() IS
	'what a standby has captured and cannot store, from shared memory; no rows elsewhere; texts of others only for pg_read_all_stats';

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
FROM (SELECT * FROM perfkit.slow_query_log UNION ALL SELECT * FROM perfkit._memory()) l
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
	OUT waits jsonb, OUT blocking_pid integer, OUT plan_id bigint, OUT plan jsonb, OUT plan_kind text)
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
	a.waits, a.id, a.plan_id, a.plan, a.plan_kind
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
COMMENT ON COLUMN perfkit.active_queries.plan IS 'as planned, and from the threshold on with the rows of each node then; NULL unless the plan costs perfkit.live_plan_min_cost or more';
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

-- ---------------------------------------------------------------- history of statements

CREATE FUNCTION perfkit._histogram_add(counts internal, histogram bigint[]) RETURNS internal
AS 'MODULE_PATHNAME', 'perfkit_histogram_add_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION perfkit._histogram_counts(counts internal) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'perfkit_histogram_sum_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE AGGREGATE perfkit._histogram_sum(bigint[]) (
	SFUNC = perfkit._histogram_add, STYPE = internal, SSPACE = 2496, FINALFUNC = perfkit._histogram_counts,
	PARALLEL = SAFE);
CREATE FUNCTION perfkit._histogram_minus(histogram bigint[], before bigint[]) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'perfkit_histogram_minus_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
CREATE FUNCTION perfkit._histogram_plus(a bigint[], b bigint[]) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'perfkit_histogram_plus_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
CREATE FUNCTION perfkit._histogram_quantile(histogram bigint[], share double precision) RETURNS double precision
AS 'MODULE_PATHNAME', 'perfkit_histogram_quantile_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
CREATE FUNCTION perfkit._histogram_stddev(histogram bigint[]) RETURNS double precision
AS 'MODULE_PATHNAME', 'perfkit_histogram_stddev_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
CREATE FUNCTION perfkit._histogram_read(histogram jsonb) RETURNS bigint[]
AS 'MODULE_PATHNAME', 'perfkit_histogram_read_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._histogram_add(internal, bigint[]) IS 'step of the aggregate _histogram_sum()';
COMMENT ON FUNCTION perfkit._histogram_counts(internal) IS 'end of the aggregate _histogram_sum()';
COMMENT ON AGGREGATE perfkit._histogram_sum(bigint[]) IS 'the histogram of all executions that several count';
COMMENT ON FUNCTION perfkit._histogram_minus(bigint[], bigint[]) IS 'what has come to a histogram since it was as in the second';
COMMENT ON FUNCTION perfkit._histogram_plus(bigint[], bigint[]) IS 'two histograms as one';
COMMENT ON FUNCTION perfkit._histogram_quantile(bigint[], double precision) IS
	'ms that this share (0 to 1) of the executions did not exceed, within 5 %; NULL: there are none';
COMMENT ON FUNCTION perfkit._histogram_stddev(bigint[]) IS 'ms, population standard deviation, as far as buckets tell it';
COMMENT ON FUNCTION perfkit._histogram_read(jsonb) IS 'of [bucket, count, bucket, count, ...], buckets rising; anything else is an error';

-- What each statement was counted when the last interval ended. Its columns behind stats_since and
-- before histogram are sums: snapshot_statements() takes them from the catalog.
CREATE TABLE perfkit.statement_snapshot AS
SELECT queryid, userid, toplevel, stats_since, calls, errors, total_exec_time, rows,
	shared_blks_hit, shared_blks_read, shared_blks_dirtied, shared_blks_written,
	local_blks_hit, local_blks_read, local_blks_dirtied, local_blks_written,
	temp_blks_read, temp_blks_written,
	shared_blk_read_time, shared_blk_write_time, local_blk_read_time, local_blk_write_time,
	temp_blk_read_time, temp_blk_write_time,
	wal_records, wal_fpi, wal_bytes, wal_buffers_full,
	jit_functions, jit_generation_time, jit_inlining_count, jit_inlining_time,
	jit_optimization_count, jit_optimization_time, jit_emission_count, jit_emission_time,
	jit_deform_count, jit_deform_time, parallel_workers_to_launch, parallel_workers_launched,
	plans, total_plan_time, total_error_time, histogram
FROM perfkit._statements(true) WITH NO DATA;
ALTER TABLE perfkit.statement_snapshot ADD PRIMARY KEY (queryid, userid, toplevel), SET (fillfactor = 70);

CREATE TABLE perfkit.statement_rollup (
	since timestamptz NOT NULL,
	until timestamptz NOT NULL,
	LIKE perfkit.statement_snapshot,
	UNIQUE (queryid, until, userid, toplevel)
) PARTITION BY RANGE (until);

CREATE TABLE perfkit.statement_text (
	queryid bigint,
	userid oid,
	query text,
	last_seen timestamptz NOT NULL,
	PRIMARY KEY (queryid, userid)
);

-- One row: when the last interval ended; history begins with the extension. Who writes it holds the row.
CREATE TABLE perfkit.statement_interval (
	ended_at timestamptz NOT NULL
);
INSERT INTO perfkit.statement_interval VALUES (pg_catalog.clock_timestamp());

-- A statement whose counters began anew (stats_since) since the last interval has all it was counted
-- in this one. `first`: a worker's first look, to which statistics may be older than the history knows,
-- from before the extension was made or of a standby that was promoted: they are only noted.
CREATE FUNCTION perfkit.snapshot_statements(first boolean DEFAULT false) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	last timestamptz;
	this timestamptz;
	retention interval := current_setting('perfkit.statement_history_retention');
	sums text[];
BEGIN
	SELECT ended_at INTO last FROM perfkit.statement_interval FOR UPDATE;
	this := clock_timestamp();
	first := first OR NOT EXISTS (SELECT FROM perfkit.statement_snapshot);
	SELECT array_agg(format('%I', attname) ORDER BY attnum) INTO sums FROM pg_attribute
	WHERE attrelid = 'perfkit.statement_snapshot'::regclass AND attnum > 0 AND NOT attisdropped
		AND attname NOT IN ('queryid', 'userid', 'toplevel', 'stats_since', 'histogram');
	EXECUTE format($sql$
		WITH seen AS MATERIALIZED (
			SELECT queryid, userid, toplevel, query, stats_since, %1$s, histogram FROM perfkit._statements(true)
		), more AS MATERIALIZED (
			SELECT s.queryid, s.userid, s.toplevel, s.stats_since, %2$s,
				perfkit._histogram_minus(s.histogram, COALESCE(b.histogram, '{}')) AS histogram
			FROM seen s
			LEFT JOIN perfkit.statement_snapshot b ON b.queryid = s.queryid AND b.userid = s.userid
				AND b.toplevel = s.toplevel AND b.stats_since = s.stats_since
			WHERE (s.calls > COALESCE(b.calls, 0) OR s.errors > COALESCE(b.errors, 0))
				AND (b.queryid IS NOT NULL OR NOT $3 OR s.stats_since >= $1)
		), rollup AS (
			INSERT INTO perfkit.statement_rollup (since, until, queryid, userid, toplevel, stats_since, %1$s, histogram)
			SELECT LEAST($1, $2), $2, m.* FROM more m
		), texts AS (
			INSERT INTO perfkit.statement_text AS t (queryid, userid, query, last_seen)
			SELECT DISTINCT ON (s.queryid, s.userid) s.queryid, s.userid, s.query, $2
			FROM seen s JOIN more m ON m.queryid = s.queryid AND m.userid = s.userid
			ORDER BY s.queryid, s.userid, s.query
			ON CONFLICT (queryid, userid) DO UPDATE
			SET query = COALESCE(EXCLUDED.query, t.query), last_seen = EXCLUDED.last_seen
			WHERE t.last_seen < EXCLUDED.last_seen - interval '1 day'
				OR (t.query IS NULL AND EXCLUDED.query IS NOT NULL)
		), gone AS (
			DELETE FROM perfkit.statement_snapshot b WHERE NOT EXISTS (
				SELECT FROM seen s
				WHERE s.queryid = b.queryid AND s.userid = b.userid AND s.toplevel = b.toplevel)
		)
		INSERT INTO perfkit.statement_snapshot AS b (queryid, userid, toplevel, stats_since, %1$s, histogram)
		SELECT queryid, userid, toplevel, stats_since, %1$s, histogram FROM seen
		ON CONFLICT (queryid, userid, toplevel) DO UPDATE
		SET (stats_since, %1$s, histogram) = (EXCLUDED.stats_since, %3$s, EXCLUDED.histogram)
		WHERE (b.stats_since, b.calls, b.errors) IS DISTINCT FROM
			(EXCLUDED.stats_since, EXCLUDED.calls, EXCLUDED.errors)$sql$,
		array_to_string(sums, ', '),
		(SELECT string_agg(format('s.%1$s - COALESCE(b.%1$s, 0) AS %1$s', s), ', ' ORDER BY n) FROM unnest(sums) WITH ORDINALITY u (s, n)),
		(SELECT string_agg('EXCLUDED.' || s, ', ' ORDER BY n) FROM unnest(sums) WITH ORDINALITY u (s, n)))
	USING last, this, first;
	IF retention > interval '0' THEN
		DELETE FROM perfkit.statement_text WHERE last_seen < this - retention - interval '2 days';
	END IF;
	UPDATE perfkit.statement_interval SET ended_at = this;
	RETURN this;
END $$;
COMMENT ON FUNCTION perfkit.snapshot_statements(boolean) IS
	'ends an interval of statement_history now, as the worker does each statement_history_interval; returns its end';
REVOKE ALL ON FUNCTION perfkit.snapshot_statements(boolean) FROM PUBLIC;

CREATE VIEW perfkit.statement_history WITH (security_barrier) AS
SELECT
	r.since, r.until, r.queryid,
	pg_catalog.current_database() AS database,
	pg_catalog.pg_get_userbyid(r.userid) AS username,
	r.toplevel,
	CASE WHEN m.visible THEN t.query ELSE '<insufficient privilege>' END AS query,
	r.calls, r.errors, r.total_exec_time,
	r.total_exec_time / NULLIF(r.calls, 0) AS mean_exec_time,
	perfkit._histogram_stddev(r.histogram) AS stddev_exec_time,
	perfkit._histogram_quantile(r.histogram, 0.5) AS p50_exec_time,
	perfkit._histogram_quantile(r.histogram, 0.95) AS p95_exec_time,
	perfkit._histogram_quantile(r.histogram, 0.99) AS p99_exec_time,
	r.rows,
	r.shared_blks_hit, r.shared_blks_read, r.shared_blks_dirtied, r.shared_blks_written,
	r.local_blks_hit, r.local_blks_read, r.local_blks_dirtied, r.local_blks_written,
	r.temp_blks_read, r.temp_blks_written,
	r.shared_blk_read_time, r.shared_blk_write_time, r.local_blk_read_time, r.local_blk_write_time,
	r.temp_blk_read_time, r.temp_blk_write_time,
	r.wal_records, r.wal_fpi, r.wal_bytes, r.wal_buffers_full,
	r.jit_functions, r.jit_generation_time, r.jit_inlining_count, r.jit_inlining_time,
	r.jit_optimization_count, r.jit_optimization_time, r.jit_emission_count, r.jit_emission_time,
	r.jit_deform_count, r.jit_deform_time, r.parallel_workers_to_launch, r.parallel_workers_launched,
	r.plans, r.total_plan_time, r.total_error_time, r.userid, r.histogram
FROM perfkit.statement_rollup r
LEFT JOIN perfkit.statement_text t ON t.queryid = r.queryid AND t.userid = r.userid
CROSS JOIN LATERAL (SELECT perfkit._may_read(r.userid) AS visible OFFSET 0) m;

COMMENT ON VIEW perfkit.statement_history IS
	'what statements were counted in each interval; texts of others only for pg_read_all_stats';
COMMENT ON TABLE perfkit.statement_rollup IS
	'the rows of statement_history; a partition per UTC day, dropped after perfkit.statement_history_retention';
COMMENT ON TABLE perfkit.statement_snapshot IS 'what statements were counted when the last interval ended';
COMMENT ON TABLE perfkit.statement_text IS 'texts of the statements in statement_rollup';
COMMENT ON TABLE perfkit.statement_interval IS 'one row: when the last interval of statement_rollup ended';
COMMENT ON COLUMN perfkit.statement_interval.ended_at IS 'at first, when the extension was made';
COMMENT ON COLUMN perfkit.statement_text.queryid IS 'as in pg_stat_statements';
COMMENT ON COLUMN perfkit.statement_text.userid IS 'OID of the role that ran it';
COMMENT ON COLUMN perfkit.statement_text.query IS 'with constants replaced by $n, passwords redacted; NULL: it was never known';
COMMENT ON COLUMN perfkit.statement_text.last_seen IS 'in which interval, give or take a day';

-- Their columns are those of statements, and so is what there is to say of them.
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN
		SELECT a.attrelid::regclass AS relation, a.attname AS name, pg_catalog.col_description(s.attrelid, s.attnum) AS text
		FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_attribute s ON s.attrelid = 'perfkit.statements'::regclass AND s.attname = a.attname
		WHERE a.attnum > 0 AND a.attrelid IN ('perfkit.statement_history'::regclass,
			'perfkit.statement_rollup'::regclass, 'perfkit.statement_snapshot'::regclass)
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', c.relation, c.name, c.text);
	END LOOP;
	FOR c IN
		SELECT r.relation, n.name, n.text
		FROM (VALUES ('since', 'beginning of the interval: the end of the one before'),
			('until', 'its end'),
			('histogram', 'durations: {bucket, count, bucket, count, ...}; histograms of intervals can be added')) n (name, text),
			(VALUES ('perfkit.statement_history'::regclass), ('perfkit.statement_rollup'), ('perfkit.statement_snapshot')) r (relation)
		WHERE EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = r.relation AND attname = n.name)
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN %s.%I IS %L', c.relation, c.name, c.text);
	END LOOP;
END $$;
GRANT SELECT ON perfkit.statement_history TO PUBLIC;
GRANT SELECT ON perfkit.statement_rollup, perfkit.statement_text TO pg_read_all_stats;

-- An interval belongs to the window in which its middle is.
CREATE FUNCTION perfkit.compare(since1 timestamptz, until1 timestamptz, since2 timestamptz, until2 timestamptz,
	min_calls bigint DEFAULT 5, min_ratio double precision DEFAULT 1.5, min_extra_ms double precision DEFAULT 10)
RETURNS TABLE (rank bigint, status text, queryid bigint, query text, extra_ms double precision,
	calls1 bigint, calls2 bigint, mean1_ms double precision, mean2_ms double precision, ratio double precision,
	p50_1_ms double precision, p50_2_ms double precision, p95_1_ms double precision, p95_2_ms double precision,
	total1_ms double precision, total2_ms double precision, errors1 bigint, errors2 bigint,
	plan_changed boolean, plans1 bigint[], plans2 bigint[])
LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
	WITH window_of AS (
		SELECT w.n, w.since, w.until FROM (VALUES (1, since1, until1), (2, since2, until2)) w (n, since, until)
	), counted AS (
		SELECT h.queryid,
			COALESCE(pg_catalog.max(h.query) FILTER (WHERE h.query <> '<insufficient privilege>'), pg_catalog.max(h.query)) AS query,
			COALESCE(pg_catalog.sum(h.calls) FILTER (WHERE w.n = 1), 0)::bigint AS calls1,
			COALESCE(pg_catalog.sum(h.calls) FILTER (WHERE w.n = 2), 0)::bigint AS calls2,
			COALESCE(pg_catalog.sum(h.errors) FILTER (WHERE w.n = 1), 0)::bigint AS errors1,
			COALESCE(pg_catalog.sum(h.errors) FILTER (WHERE w.n = 2), 0)::bigint AS errors2,
			COALESCE(pg_catalog.sum(h.total_exec_time) FILTER (WHERE w.n = 1), 0) AS total1,
			COALESCE(pg_catalog.sum(h.total_exec_time) FILTER (WHERE w.n = 2), 0) AS total2,
			perfkit._histogram_sum(h.histogram) FILTER (WHERE w.n = 1) AS histogram1,
			perfkit._histogram_sum(h.histogram) FILTER (WHERE w.n = 2) AS histogram2
		FROM perfkit.statement_history h
		JOIN window_of w ON h.until > w.since AND h.since + (h.until - h.since) / 2 >= w.since
			AND h.since + (h.until - h.since) / 2 < w.until
		WHERE h.until > LEAST(since1, since2) -- the days before need not be looked at
		GROUP BY h.queryid
	), planned AS (
		SELECT q.queryid, pg_catalog.array_agg(DISTINCT q.plan_id) FILTER (WHERE w.n = 1) AS plans1,
			pg_catalog.array_agg(DISTINCT q.plan_id) FILTER (WHERE w.n = 2) AS plans2,
			COALESCE(pg_catalog.bool_or(q.reason = 'plan_changed') FILTER (WHERE w.n = 2), false) AS told
		FROM perfkit.slow_queries q
		JOIN window_of w ON q.started_at >= w.since AND q.started_at < w.until
		WHERE q.plan_id IS NOT NULL AND q.started_at >= LEAST(since1, since2) AND q.started_at < GREATEST(until1, until2)
		GROUP BY q.queryid
	), measured AS (
		SELECT c.*, p.plans1, p.plans2, c.total1 / NULLIF(c.calls1, 0) AS mean1, c.total2 / NULLIF(c.calls2, 0) AS mean2,
			COALESCE(NOT p.plans2 <@ p.plans1, p.told, false) AS plan_changed, -- told: with what it ran before was too fast for the log

			-- standard error of the difference of the means
			pg_catalog.sqrt(pg_catalog.pow(perfkit._histogram_stddev(c.histogram1), 2) / NULLIF(c.calls1, 0)
				+ pg_catalog.pow(perfkit._histogram_stddev(c.histogram2), 2) / NULLIF(c.calls2, 0)) AS doubt
		FROM counted c
		LEFT JOIN planned p ON p.queryid = c.queryid
	), judged AS (
		SELECT m.*,
			CASE WHEN m.calls1 = 0 THEN m.total2 WHEN m.calls2 = 0 THEN - m.total1
				ELSE (m.mean2 - m.mean1) * m.calls2 END AS extra,
			CASE WHEN GREATEST(m.calls1, m.calls2) < min_calls THEN NULL
				WHEN m.calls1 = 0 THEN 'new' WHEN m.calls2 = 0 THEN 'gone'
				WHEN LEAST(m.calls1, m.calls2) < min_calls
					OR pg_catalog.abs(m.mean2 - m.mean1) < 3 * m.doubt
					OR pg_catalog.abs(m.mean2 - m.mean1) * m.calls2 < min_extra_ms THEN NULL
				WHEN m.mean2 >= m.mean1 * min_ratio THEN 'worse'
				WHEN m.mean1 >= m.mean2 * min_ratio THEN 'better' END AS verdict
		FROM measured m
	)
	SELECT pg_catalog.rank() OVER (ORDER BY j.extra DESC), COALESCE(j.verdict, 'plan changed'), j.queryid, j.query, j.extra,
		j.calls1, j.calls2, j.mean1, j.mean2, j.mean2 / NULLIF(j.mean1, 0),
		perfkit._histogram_quantile(j.histogram1, 0.5), perfkit._histogram_quantile(j.histogram2, 0.5),
		perfkit._histogram_quantile(j.histogram1, 0.95), perfkit._histogram_quantile(j.histogram2, 0.95),
		j.total1, j.total2, j.errors1, j.errors2, j.plan_changed, j.plans1, j.plans2
	FROM judged j
	WHERE j.verdict IS NOT NULL OR j.plan_changed
	ORDER BY j.extra DESC, j.queryid;
END;
COMMENT ON FUNCTION perfkit.compare(timestamptz, timestamptz, timestamptz, timestamptz, bigint, double precision, double precision) IS
	'statements that are new, gone, worse or better in the second window of statement_history than in the first, or whose plan changed; by the time that costs';

-- ---------------------------------------------------------------- what plans tell

-- A statement that took another plan than before, once for each of its plans; the first is no change,
-- unless perfkit.log_new_plans told that there had been another, too fast for the log.
CREATE VIEW perfkit.plan_changes WITH (security_barrier) AS
WITH logged AS (
	SELECT q.queryid, q.plan_id, q.started_at, q.duration_ms, q.outcome, q.reason, q.sample_weight, q.plan,
		COALESCE(q.query_normalized, q.query) AS query,
		pg_catalog.lag(q.plan_id) OVER statement AS plan_before,
		pg_catalog.row_number() OVER (PARTITION BY q.queryid, q.plan_id ORDER BY q.started_at, q.boot, q.sequence) AS nth
	FROM perfkit.slow_queries q
	WHERE q.queryid IS NOT NULL AND q.plan_id IS NOT NULL
	WINDOW statement AS (PARTITION BY q.queryid ORDER BY q.started_at, q.boot, q.sequence)
), used AS (
	SELECT l.queryid, l.plan_id, pg_catalog.min(l.started_at) AS first_seen, pg_catalog.max(l.started_at) AS last_seen,
		pg_catalog.count(*) FILTER (WHERE l.outcome = 'ok') AS calls,
		pg_catalog.sum(l.duration_ms * l.sample_weight) FILTER (WHERE l.outcome = 'ok')
			/ pg_catalog.sum(l.sample_weight) FILTER (WHERE l.outcome = 'ok') AS mean,
		pg_catalog.max(l.duration_ms) FILTER (WHERE l.outcome = 'ok') AS max,
		pg_catalog.max(l.started_at) FILTER (WHERE l.plan IS NOT NULL) AS with_plan,
		pg_catalog.max(l.started_at) = pg_catalog.max(pg_catalog.max(l.started_at)) OVER (PARTITION BY l.queryid) AS current
	FROM logged l
	GROUP BY l.queryid, l.plan_id
), history AS (
	SELECT h.queryid, h.since, h.until, pg_catalog.sum(h.calls) AS calls, pg_catalog.sum(h.total_exec_time) AS total
	FROM perfkit.statement_history h
	WHERE h.queryid IN (SELECT l.queryid FROM logged l WHERE l.nth = 1 AND (l.plan_before IS NOT NULL OR l.reason = 'plan_changed'))
	GROUP BY h.queryid, h.since, h.until
)
SELECT c.queryid, c.query, c.started_at AS changed_at, c.plan_id, c.plan_before AS plan_id_before,
	n.last_seen, n.current,
	n.calls, n.mean AS mean_ms, n.max AS max_ms,
	b.calls AS calls_before, b.mean AS mean_before_ms, b.max AS max_before_ms,
	COALESCE(n.mean, h.mean_after) / NULLIF(COALESCE(b.mean, h.mean_before), 0) AS ratio,
	h.mean_after AS history_mean_ms, h.mean_before AS history_mean_before_ms,
	(SELECT p.plan FROM perfkit.slow_queries p
	 WHERE p.started_at = n.with_plan AND p.queryid = n.queryid AND p.plan_id = n.plan_id AND p.plan IS NOT NULL LIMIT 1) AS plan,
	(SELECT p.plan FROM perfkit.slow_queries p
	 WHERE p.started_at = b.with_plan AND p.queryid = b.queryid AND p.plan_id = b.plan_id AND p.plan IS NOT NULL LIMIT 1) AS plan_before
FROM logged c
JOIN used n ON n.queryid = c.queryid AND n.plan_id = c.plan_id
LEFT JOIN used b ON b.queryid = c.queryid AND b.plan_id = c.plan_before
CROSS JOIN LATERAL (
	SELECT pg_catalog.sum(h.total) FILTER (WHERE h.until <= c.started_at) / NULLIF(pg_catalog.sum(h.calls) FILTER (WHERE h.until <= c.started_at), 0) AS mean_before,
		pg_catalog.sum(h.total) FILTER (WHERE h.since >= c.started_at) / NULLIF(pg_catalog.sum(h.calls) FILTER (WHERE h.since >= c.started_at), 0) AS mean_after
	FROM history h
	WHERE h.queryid = c.queryid AND h.until > c.started_at - interval '1 day' AND h.since < c.started_at + interval '1 day'
) h
WHERE c.nth = 1 AND (c.plan_before IS NOT NULL OR c.reason = 'plan_changed')
ORDER BY c.started_at DESC;

COMMENT ON VIEW perfkit.plan_changes IS
	'statements of the log that ran with another plan than before: both plans and their times; plans of others only for pg_read_all_stats';
COMMENT ON COLUMN perfkit.plan_changes.queryid IS 'as in pg_stat_statements';
COMMENT ON COLUMN perfkit.plan_changes.query IS 'normalized, where that is known';
COMMENT ON COLUMN perfkit.plan_changes.changed_at IS 'start of the first execution in the log with the new plan';
COMMENT ON COLUMN perfkit.plan_changes.plan_id IS 'the new plan; one of a relation or index that was made anew has another number';
COMMENT ON COLUMN perfkit.plan_changes.plan_id_before IS 'the plan of the execution before it in the log; NULL: was never slow enough for the log';
COMMENT ON COLUMN perfkit.plan_changes.last_seen IS 'start of the last execution in the log with the new plan';
COMMENT ON COLUMN perfkit.plan_changes.current IS 'the last execution in the log used the new plan';
COMMENT ON COLUMN perfkit.plan_changes.calls IS 'executions in the log with the new plan that succeeded';
COMMENT ON COLUMN perfkit.plan_changes.mean_ms IS 'their mean duration';
COMMENT ON COLUMN perfkit.plan_changes.max_ms IS 'their longest';
COMMENT ON COLUMN perfkit.plan_changes.calls_before IS 'executions in the log with the plan before that succeeded';
COMMENT ON COLUMN perfkit.plan_changes.mean_before_ms IS 'their mean duration';
COMMENT ON COLUMN perfkit.plan_changes.max_before_ms IS 'their longest';
COMMENT ON COLUMN perfkit.plan_changes.ratio IS 'mean after to mean before; from the history where the log has no execution';
COMMENT ON COLUMN perfkit.plan_changes.history_mean_ms IS 'mean of all executions, fast ones too, in the day after the change; NULL: no history';
COMMENT ON COLUMN perfkit.plan_changes.history_mean_before_ms IS 'mean of all executions, fast ones too, in the day before';
COMMENT ON COLUMN perfkit.plan_changes.plan IS 'the new plan, as last stored';
COMMENT ON COLUMN perfkit.plan_changes.plan_before IS 'the plan before, as last stored';
GRANT SELECT ON perfkit.plan_changes TO PUBLIC;

-- The nodes of a plan, from the root down. `early`: the node above may have stopped asking before
-- all rows had come, so fewer than estimated mean nothing. `above`: the LIMIT of sorted rows, or the
-- join, for which the node reads, as far as only nodes in between that hand rows on.
CREATE FUNCTION perfkit._plan_nodes(plan jsonb)
RETURNS TABLE (path integer[], node jsonb, early boolean, above jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
	WITH RECURSIVE walk AS (
		SELECT '{}'::integer[] AS path, plan -> 'Plan' AS node, false AS early, '{}'::jsonb AS above
		WHERE plan ? 'Plan'
		UNION ALL
		SELECT w.path || c.nth::integer, c.node,
			CASE WHEN c.node ->> 'Parent Relationship' IN ('InitPlan', 'SubPlan') THEN true
				WHEN w.node ->> 'Node Type' IN ('Limit', 'Merge Join') OR w.node ? 'Run Condition' THEN true
				WHEN w.node ->> 'Node Type' = 'Nested Loop' AND c.node ->> 'Parent Relationship' = 'Inner'
					AND (w.node ->> 'Join Type' IN ('Semi', 'Anti') OR w.node ->> 'Inner Unique' = 'true') THEN true
				WHEN w.node ->> 'Node Type' IN ('Sort', 'Hash', 'Bitmap Heap Scan', 'ModifyTable') THEN false
				WHEN w.node ->> 'Node Type' IN ('Aggregate', 'SetOp') AND w.node ->> 'Strategy' <> 'Sorted' THEN false
				ELSE w.early END,
			CASE WHEN w.node ->> 'Node Type' = 'Limit' THEN
					pg_catalog.jsonb_build_object('Limit', COALESCE(w.node -> 'Actual Rows', w.node -> 'Plan Rows'))
				WHEN w.node ->> 'Node Type' IN ('Gather', 'Gather Merge', 'Hash', 'Materialize') THEN w.above
				WHEN w.node ->> 'Node Type' = 'Sort' AND w.above ? 'Limit' AND NOT w.above ? 'Sort Key' THEN
					w.above || pg_catalog.jsonb_build_object('Sort Key', w.node -> 'Sort Key')
				WHEN w.node ->> 'Node Type' = 'Sort' AND w.above ? 'Join Type' THEN w.above
				WHEN w.node ->> 'Node Type' IN ('Hash Join', 'Merge Join', 'Nested Loop') THEN
					pg_catalog.jsonb_build_object('Join Type', w.node -> 'Join Type', 'Side', c.node -> 'Parent Relationship',
						'Condition', COALESCE(w.node -> 'Hash Cond', w.node -> 'Merge Cond', w.node -> 'Join Filter'),
						'Rows', COALESCE((w.node ->> 'Actual Rows')::double precision * (w.node ->> 'Actual Loops')::double precision,
							(w.node ->> 'Plan Rows')::double precision),
						'Other Rows', (SELECT COALESCE((o.node ->> 'Actual Rows')::double precision * (o.node ->> 'Actual Loops')::double precision,
								(o.node ->> 'Plan Rows')::double precision)
							FROM pg_catalog.jsonb_array_elements(w.node -> 'Plans') WITH ORDINALITY o (node, nth)
							WHERE o.nth <> c.nth AND o.node ->> 'Parent Relationship' IN ('Outer', 'Inner') LIMIT 1))
				ELSE '{}' END
		FROM walk w
		CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(w.node -> 'Plans') WITH ORDINALITY c (node, nth)
	)
	SELECT w.path, w.node - 'Plans', w.early, w.above FROM walk w;
END;
COMMENT ON FUNCTION perfkit._plan_nodes(jsonb) IS
	'the nodes of a plan, each without those below it; early: it may have been stopped; above: the sorted LIMIT or the join that it reads for';

-- Rows of a node are those of one loop, as EXPLAIN ANALYZE has them. Nodes that report no rows, or none
-- of their own, say nothing.
CREATE FUNCTION perfkit.misestimates(min_factor double precision DEFAULT 10, min_rows double precision DEFAULT 100,
	since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (factor double precision, queryid bigint, query text, plan_id bigint, node_path integer[], node_type text,
	relation text, alias text, index_name text, condition text, estimated_rows double precision, actual_rows double precision,
	loops bigint, is_origin boolean, executions bigint, id bigint, started_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH node AS (
		SELECT q.id, q.started_at, q.queryid, q.plan_id, COALESCE(q.query_normalized, q.query) AS query,
			n.path, n.node, (n.node ->> 'Plan Rows')::double precision AS estimated,
			(n.node ->> 'Actual Rows')::double precision AS actual, (n.node ->> 'Actual Loops')::numeric AS loops,
			n.early
		FROM perfkit.slow_queries q
		CROSS JOIN LATERAL perfkit._plan_nodes(q.plan) n
		WHERE q.plan_kind = 'actual' AND q.started_at >= since AND q.started_at < until
	), wrong AS (
		SELECT n.*, GREATEST(n.estimated, 1) / GREATEST(n.actual, 1) AS over, GREATEST(n.actual, 1) / GREATEST(n.estimated, 1) AS under
		FROM node n
		WHERE n.loops > 0 AND n.node ->> 'Node Type' NOT IN ('BitmapAnd', 'BitmapOr', 'ModifyTable', 'LockRows')
			AND GREATEST(n.estimated, n.actual) >= min_rows
	), judged AS (
		SELECT w.*, GREATEST(w.over, w.under) AS factor FROM wrong w
		WHERE w.under >= min_factor OR (w.over >= min_factor AND NOT w.early)
	), traced AS (
		SELECT j.*,
			NOT EXISTS (SELECT FROM judged d WHERE d.id = j.id
				AND pg_catalog.cardinality(d.path) > pg_catalog.cardinality(j.path)
				AND d.path[1 : pg_catalog.cardinality(j.path)] = j.path) AS is_origin,
			pg_catalog.count(*) OVER (PARTITION BY j.queryid, j.plan_id, j.path) AS executions,
			pg_catalog.row_number() OVER (PARTITION BY j.queryid, j.plan_id, j.path ORDER BY j.factor DESC, j.id DESC) AS nth
		FROM judged j
	)
	SELECT t.factor, t.queryid, t.query, t.plan_id, t.path, t.node ->> 'Node Type',
		t.node ->> 'Relation Name', t.node ->> 'Alias', t.node ->> 'Index Name',
		NULLIF(pg_catalog.concat_ws(' AND ', t.node ->> 'Index Cond', t.node ->> 'Recheck Cond', t.node ->> 'Hash Cond', t.node ->> 'Merge Cond',
			t.node ->> 'Join Filter', t.node ->> 'Filter'), ''),
		t.estimated, t.actual, t.loops::bigint, t.is_origin, t.executions, t.id, t.started_at
	FROM traced t
	WHERE t.nth = 1
	ORDER BY t.factor DESC, t.queryid, t.path;
END;
COMMENT ON FUNCTION perfkit.misestimates(double precision, double precision, timestamptz, timestamptz) IS
	'nodes of stored actual plans whose rows were estimated wrong by a factor, the worst execution of each; for nodes of at least min_rows';

CREATE VIEW perfkit.misestimates AS SELECT * FROM perfkit.misestimates();
COMMENT ON VIEW perfkit.misestimates IS
	'nodes of stored actual plans (perfkit.capture_plan = actual) that gave ten times more or fewer rows than estimated; plans of others only for pg_read_all_stats';
COMMENT ON COLUMN perfkit.misestimates.factor IS 'by how much the estimate was wrong, either way';
COMMENT ON COLUMN perfkit.misestimates.queryid IS 'as in pg_stat_statements';
COMMENT ON COLUMN perfkit.misestimates.query IS 'normalized, where that is known';
COMMENT ON COLUMN perfkit.misestimates.plan_id IS 'shape of the plan';
COMMENT ON COLUMN perfkit.misestimates.node_path IS 'where the node is: which input of the root, which input of that ...; {} is the root';
COMMENT ON COLUMN perfkit.misestimates.node_type IS 'as in EXPLAIN';
COMMENT ON COLUMN perfkit.misestimates.relation IS 'table it reads';
COMMENT ON COLUMN perfkit.misestimates.alias IS 'name of the table in the query';
COMMENT ON COLUMN perfkit.misestimates.index_name IS 'index it uses';
COMMENT ON COLUMN perfkit.misestimates.condition IS 'conditions of the node';
COMMENT ON COLUMN perfkit.misestimates.estimated_rows IS 'of one loop';
COMMENT ON COLUMN perfkit.misestimates.actual_rows IS 'of one loop, in the mean; PostgreSQL before 18 rounds it';
COMMENT ON COLUMN perfkit.misestimates.loops IS 'how often the node was run; parallel processes count each';
COMMENT ON COLUMN perfkit.misestimates.is_origin IS 'no node below it was estimated wrong: begin here';
COMMENT ON COLUMN perfkit.misestimates.executions IS 'in the log, in which this node was that wrong; the row shows the worst';
COMMENT ON COLUMN perfkit.misestimates.id IS 'row of slow_queries';
COMMENT ON COLUMN perfkit.misestimates.started_at IS 'when that execution began';
GRANT SELECT ON perfkit.misestimates TO PUBLIC;

-- ---------------------------------------------------------------- advice on indexes

CREATE FUNCTION perfkit._quals(condition text, alias text)
RETURNS TABLE (kind text, column_name text, cast_to text)
AS 'MODULE_PATHNAME', 'perfkit_quals_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._quals(text, text) IS
	'the parts of a condition of a plan, as far as they compare a column of the relation with this alias: equal, range, or other';

CREATE FUNCTION perfkit._sort_key(key text, alias text, OUT column_name text, OUT direction text)
AS 'MODULE_PATHNAME', 'perfkit_sort_key_sql'
LANGUAGE C IMMUTABLE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._sort_key(text, text) IS
	'the column of a sort key of a plan, and its direction as in CREATE INDEX; NULL: it is not just a column of the relation with this alias';

-- EXPLAIN names no schema. A name that two tables with these columns have stands for neither; a
-- partition stands for its table.
CREATE FUNCTION perfkit._table_named(name text, columns text[]) RETURNS oid
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT pg_catalog.min(r.root) FROM (
		SELECT DISTINCT COALESCE(pg_catalog.pg_partition_root(c.oid)::oid, c.oid) AS root
		FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relname = name AND c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't'
			AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'perfkit', 'pg_toast')
			AND NOT EXISTS (SELECT FROM pg_catalog.unnest(columns) u (name) WHERE NOT EXISTS (
				SELECT FROM pg_catalog.pg_attribute a
				WHERE a.attrelid = c.oid AND a.attname = u.name AND a.attnum > 0 AND NOT a.attisdropped))) r
	HAVING pg_catalog.count(*) = 1;
END;
COMMENT ON FUNCTION perfkit._table_named(text, text[]) IS 'the one table of this name that has these columns; NULL: there is none, or several';

-- The column's own type or one that it is without conversion, with an order of its own.
CREATE FUNCTION perfkit._indexable(relation oid, column_name text, cast_to text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT EXISTS (
		SELECT FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
		JOIN pg_catalog.pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
		WHERE a.attrelid = relation AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped
			AND (cast_to IS NULL OR pg_catalog.to_regtype(cast_to) = t.oid OR EXISTS (
				SELECT FROM pg_catalog.pg_cast c
				WHERE c.castsource = t.oid AND c.casttarget = pg_catalog.to_regtype(cast_to) AND c.castmethod = 'b'))
			AND EXISTS (
				SELECT FROM pg_catalog.pg_opclass o
				JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
				WHERE o.opcdefault AND (o.opcintype = t.oid
					OR (t.typtype = 'e' AND o.opcintype = 'pg_catalog.anyenum'::regtype)
					OR EXISTS (SELECT FROM pg_catalog.pg_cast c
						WHERE c.castsource = t.oid AND c.casttarget = o.opcintype AND c.castmethod = 'b'))));
END;
COMMENT ON FUNCTION perfkit._indexable(oid, text, text) IS
	'whether comparisons of this column, cast to this type, can use a btree index on the column';

-- Those of a partitioned table are its partitions' together. Reads are those since the statistics were
-- last reset, as the writes are.
CREATE FUNCTION perfkit._table_numbers(relation oid, OUT pages bigint, OUT tuples double precision,
	OUT reads bigint, OUT writes bigint, OUT hot_share double precision, OUT stale boolean)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT pg_catalog.sum(pg_catalog.pg_relation_size(c.oid)
			/ pg_catalog.current_setting('block_size')::integer)::bigint,
		pg_catalog.sum(GREATEST(c.reltuples, 0))::double precision,
		pg_catalog.sum(COALESCE(s.seq_tup_read, 0) + COALESCE(s.idx_tup_fetch, 0))::bigint,
		pg_catalog.sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::bigint,
		(pg_catalog.sum(s.n_tup_hot_upd) / NULLIF(pg_catalog.sum(s.n_tup_upd), 0))::double precision,
		COALESCE(pg_catalog.bool_or(s.n_live_tup > 0 AND (COALESCE(s.last_analyze, s.last_autoanalyze) IS NULL
			OR s.n_mod_since_analyze > s.n_live_tup * 0.2 + 1000)), true)
	FROM (SELECT relation AS oid UNION SELECT t.relid::oid FROM pg_catalog.pg_partition_tree(relation) t WHERE t.isleaf) r
	JOIN pg_catalog.pg_class c ON c.oid = r.oid AND c.relkind IN ('r', 'm')
	LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid;
END;
COMMENT ON FUNCTION perfkit._table_numbers(oid) IS
	'size, rows, reads and writes of a table; stale: it was never analyzed, or much of it has changed since';

CREATE FUNCTION perfkit._distinct_values(relation oid, column_name text) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT pg_catalog.max(CASE WHEN s.n_distinct < 0 THEN - s.n_distinct * GREATEST(c.reltuples, 0) ELSE s.n_distinct END)
	FROM (SELECT relation AS oid UNION SELECT t.relid::oid FROM pg_catalog.pg_partition_tree(relation) t) r
	JOIN pg_catalog.pg_class c ON c.oid = r.oid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = column_name;
END;
COMMENT ON FUNCTION perfkit._distinct_values(oid, text) IS 'how many values a column has, as ANALYZE saw it; NULL: it did not, or the reader may not know';

-- What each scan in a stored plan would have wanted of an index: one row a stored execution, table and
-- source. Numbers of an actual plan are measured; else they are estimates, known for whole tables only.
-- Of one statement and plan the last twenty executions are looked at.
CREATE FUNCTION perfkit._index_evidence(since timestamptz, until timestamptz)
RETURNS TABLE (queryid bigint, id bigint, source text, relation oid, equal text[], other text, other_direction text,
	measured boolean, exact boolean, examined double precision, kept double precision, misestimate double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH logged AS (
		SELECT q.queryid, q.id, q.plan,
			pg_catalog.row_number() OVER (PARTITION BY q.queryid, q.plan_id ORDER BY q.started_at DESC, q.id DESC) AS nth
		FROM perfkit.slow_queries q
		WHERE q.queryid IS NOT NULL AND q.plan IS NOT NULL AND q.started_at >= since AND q.started_at < until
	), scan AS (
		SELECT l.queryid, l.id, n.path, n.node, n.above, n.node ->> 'Alias' AS alias,
			COALESCE(n.node ? 'Actual Rows', false) AS measured,
			CASE WHEN n.node ->> 'Parallel Aware' = 'true' THEN COALESCE((n.node ->> 'Actual Loops')::double precision, 4) ELSE 1 END AS processes
		FROM logged l
		CROSS JOIN LATERAL perfkit._plan_nodes(l.plan) n
		WHERE l.nth <= 20 AND n.node ->> 'Node Type' IN ('Seq Scan', 'Index Scan', 'Index Only Scan', 'Bitmap Heap Scan')
			AND n.node ->> 'Actual Loops' IS DISTINCT FROM '0'
	), wish AS (
		-- rows that the filter throws away
		SELECT s.*, 'filter' AS source, c.condition FROM scan s
		CROSS JOIN LATERAL (VALUES (s.node ->> 'Filter'), (s.node ->> 'Index Cond'), (s.node ->> 'Recheck Cond')) c (condition)
		WHERE s.node ? 'Filter' AND c.condition IS NOT NULL
		UNION ALL
		-- rows that are sorted for a few of them
		SELECT s.*, 'sort', c.condition FROM scan s
		CROSS JOIN LATERAL (VALUES (''), (s.node ->> 'Filter'), (s.node ->> 'Index Cond'), (s.node ->> 'Recheck Cond')) c (condition)
		WHERE s.above ? 'Sort Key' AND c.condition IS NOT NULL
		UNION ALL
		-- rows that find no partner; a side whose every row is in the result has to be read
		SELECT s.*, 'join', s.above ->> 'Condition' FROM scan s
		WHERE s.above ->> 'Condition' IS NOT NULL AND s.node ->> 'Node Type' = 'Seq Scan'
			AND (s.above ->> 'Join Type' IN ('Inner', 'Semi')
				OR (s.above ->> 'Join Type' IN ('Left', 'Anti') AND s.above ->> 'Side' = 'Inner')
				OR (s.above ->> 'Join Type' = 'Right' AND s.above ->> 'Side' = 'Outer'))
	), part AS (
		SELECT w.queryid, w.id, w.path, w.source, p.kind, p.column_name, p.cast_to
		FROM wish w
		CROSS JOIN LATERAL perfkit._quals(w.condition, w.alias) p
		WHERE w.condition <> ''
	), read AS (
		SELECT w.queryid, w.id, w.path, w.source, pg_catalog.array_agg(DISTINCT p.column_name) FILTER (WHERE p.kind <> 'other') AS columns
		FROM wish w
		LEFT JOIN part p ON p.id = w.id AND p.path = w.path AND p.source = w.source
		GROUP BY w.queryid, w.id, w.path, w.source
	), placed AS (
		SELECT r.*, s.node, s.above, s.alias, s.measured, s.processes,
			perfkit._table_named(s.node ->> 'Relation Name', COALESCE(r.columns, '{}')) AS relation,
			k.column_name AS sort_column, k.direction AS sort_direction
		FROM read r
		JOIN scan s ON s.id = r.id AND s.path = r.path
		LEFT JOIN LATERAL perfkit._sort_key(s.above -> 'Sort Key' ->> 0, s.alias) k ON r.source = 'sort'
	), wanted AS (
		SELECT l.*,
			COALESCE(p.equal, '{}') AS equal, COALESCE(p.ranges, '{}') AS ranges, COALESCE(p.understood, true) AS understood
		FROM placed l
		CROSS JOIN LATERAL (
			SELECT pg_catalog.array_agg(DISTINCT p.column_name ORDER BY p.column_name) FILTER (WHERE p.kind = 'equal' AND u.usable) AS equal,
				pg_catalog.array_agg(DISTINCT p.column_name ORDER BY p.column_name) FILTER (WHERE p.kind = 'range' AND u.usable) AS ranges,
				pg_catalog.bool_and(u.usable) AS understood
			FROM part p
			CROSS JOIN LATERAL (SELECT p.kind <> 'other' AND perfkit._indexable(l.relation, p.column_name, p.cast_to) AS usable) u
			WHERE p.id = l.id AND p.path = l.path AND p.source = l.source
		) p
		WHERE l.relation IS NOT NULL
	), counted AS (
		SELECT w.*,
			CASE WHEN w.measured THEN ((w.node ->> 'Actual Rows')::double precision
					+ COALESCE((w.node ->> 'Rows Removed by Filter')::double precision, 0)
					+ COALESCE((w.node ->> 'Rows Removed by Index Recheck')::double precision, 0)) * w.processes
				WHEN w.node ->> 'Node Type' = 'Seq Scan' THEN
					(SELECT NULLIF(GREATEST(c.reltuples, 0), 0) FROM pg_catalog.pg_class c WHERE c.oid = w.relation) END AS examined,
			CASE w.source WHEN 'sort' THEN (w.above ->> 'Limit')::double precision
				WHEN 'join' THEN GREATEST((w.above ->> 'Rows')::double precision, (w.above ->> 'Other Rows')::double precision)
				ELSE COALESCE((w.node ->> 'Actual Rows')::double precision, (w.node ->> 'Plan Rows')::double precision) * w.processes END AS kept,
			CASE WHEN w.measured THEN
				GREATEST((w.node ->> 'Actual Rows')::double precision, 1) / GREATEST((w.node ->> 'Plan Rows')::double precision, 1) END AS off
		FROM wanted w
		WHERE (w.source <> 'sort' OR (w.sort_column IS NOT NULL AND w.ranges = '{}' AND w.understood
				AND perfkit._indexable(w.relation, w.sort_column, NULL) AND NOT w.sort_column = ANY (w.equal)))
			AND (w.source <> 'join' OR w.equal <> '{}')
	)
	SELECT c.queryid, c.id, c.source, c.relation, c.equal,
		CASE c.source WHEN 'sort' THEN c.sort_column WHEN 'filter' THEN r.column_name END AS other,
		CASE c.source WHEN 'sort' THEN c.sort_direction ELSE '' END AS other_direction,
		pg_catalog.bool_and(c.measured), pg_catalog.bool_and(c.understood AND pg_catalog.cardinality(c.ranges) <= 1),
		pg_catalog.sum(c.examined), pg_catalog.sum(c.kept), pg_catalog.max(GREATEST(c.off, 1 / c.off))
	FROM counted c
	LEFT JOIN LATERAL (
		-- of several ranges the one on the column with the most values; a column that is equal to something needs none
		SELECT u.name AS column_name FROM pg_catalog.unnest(c.ranges) u (name)
		WHERE c.source = 'filter' AND NOT u.name = ANY (c.equal)
		ORDER BY perfkit._distinct_values(c.relation, u.name) DESC NULLS LAST, u.name LIMIT 1) r ON true
	WHERE c.equal <> '{}' OR c.source = 'sort' OR r.column_name IS NOT NULL
	GROUP BY 1, 2, 3, 4, 5, 6, 7;
END;
COMMENT ON FUNCTION perfkit._index_evidence(timestamptz, timestamptz) IS
	'which columns the scans of stored plans compared or sorted by, how many rows they read, and how many of these were needed';

-- The gates: selective, large, recurring, not served by an index that is there, read more than written.
-- What is not known does not pass.
CREATE FUNCTION perfkit._index_candidates(since timestamptz, until timestamptz, min_executions bigint,
	min_rows double precision, max_share double precision)
RETURNS TABLE (relation oid, columns text[], directions text[], equal text[], other text, measured boolean, queryids bigint[], executions bigint,
	total_ms double precision, examined double precision, share double precision, misestimate double precision,
	pages bigint, tuples double precision, writes bigint, hot_share double precision, stale boolean,
	served boolean, worth boolean)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH statement AS (
		SELECT q.queryid, pg_catalog.count(*) AS executions, pg_catalog.sum(q.duration_ms) AS total
		FROM perfkit.slow_queries q
		WHERE q.queryid IS NOT NULL AND q.started_at >= since AND q.started_at < until
		GROUP BY q.queryid
	), by_statement AS (
		SELECT e.relation, e.equal, e.other, e.other_direction, e.queryid, pg_catalog.bool_and(e.measured) AS measured,
			pg_catalog.bool_and(e.exact) AS exact, pg_catalog.avg(e.examined) AS examined,
			pg_catalog.sum(e.kept) / NULLIF(pg_catalog.sum(e.examined), 0) AS share, pg_catalog.max(e.misestimate) AS misestimate
		FROM perfkit._index_evidence(since, until) e
		GROUP BY e.relation, e.equal, e.other, e.other_direction, e.queryid
	), ordered AS (
		SELECT b.*, s.executions, s.total, CASE WHEN b.other IS NULL THEN o.columns ELSE o.columns || b.other END AS columns, o.share_by_statistics
		FROM by_statement b
		JOIN statement s ON s.queryid = b.queryid
		CROSS JOIN LATERAL (
			SELECT pg_catalog.array_agg(v.name ORDER BY v.n DESC NULLS LAST, v.name) FILTER (WHERE v.nth <= 3) AS columns,
				pg_catalog.exp(pg_catalog.sum(pg_catalog.ln(1 / GREATEST(v.n, 1))) FILTER (WHERE v.nth <= 3)) AS share_by_statistics
			FROM (
				SELECT u.name, perfkit._distinct_values(b.relation, u.name) AS n,
					pg_catalog.row_number() OVER (ORDER BY perfkit._distinct_values(b.relation, u.name) DESC NULLS LAST, u.name) AS nth
				FROM pg_catalog.unnest(b.equal) u (name)
			) v
		) o
	), candidate AS (
		SELECT o.relation, o.equal, o.other, o.other_direction, pg_catalog.min(o.columns) AS columns, pg_catalog.bool_and(o.measured) AS measured,
			pg_catalog.array_agg(o.queryid ORDER BY o.queryid) AS queryids, pg_catalog.sum(o.executions)::bigint AS executions,
			pg_catalog.sum(o.total) AS total, pg_catalog.max(o.examined) AS examined,
			pg_catalog.max(CASE WHEN o.exact AND pg_catalog.cardinality(o.equal) <= 3 THEN o.share ELSE GREATEST(o.share, o.share_by_statistics) END) AS share,
			pg_catalog.bool_and(o.share IS NOT NULL AND (o.exact OR o.share_by_statistics IS NOT NULL)) AS known,
			pg_catalog.max(o.misestimate) AS misestimate
		FROM ordered o
		GROUP BY o.relation, o.equal, o.other, o.other_direction
	)
	SELECT c.relation, c.columns,
		pg_catalog.array_fill(''::text, ARRAY[pg_catalog.cardinality(c.columns) - (c.other IS NOT NULL)::integer])
			|| CASE WHEN c.other IS NOT NULL THEN c.other_direction END,
		c.equal, c.other, c.measured, c.queryids, c.executions, c.total, c.examined, c.share, c.misestimate,
		n.pages, n.tuples, n.writes, n.hot_share, n.stale, i.served,
		COALESCE(c.known AND c.share <= max_share
			AND c.examined >= min_rows
			AND (c.executions >= min_executions
				OR (c.executions >= 2 AND c.total >= 0.1 * (SELECT pg_catalog.sum(s.total) FROM statement s)))
			AND n.reads >= 2 * n.writes, false)
	FROM candidate c
	CROSS JOIN LATERAL perfkit._table_numbers(c.relation) n
	CROSS JOIN LATERAL (
		SELECT EXISTS (
			SELECT FROM pg_catalog.pg_index x
			JOIN pg_catalog.pg_class xc ON xc.oid = x.indexrelid
			JOIN pg_catalog.pg_am m ON m.oid = xc.relam AND m.amname = 'btree'
			CROSS JOIN LATERAL (
				SELECT pg_catalog.array_agg(COALESCE(a.attname::text, '') ORDER BY k.nth) AS names
				FROM pg_catalog.unnest(x.indkey::int2[]) WITH ORDINALITY k (attnum, nth)
				LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum AND k.attnum > 0
				WHERE k.nth <= x.indnkeyatts
			) key
			WHERE x.indrelid = c.relation AND x.indisvalid AND x.indpred IS NULL
				AND ((x.indisunique AND key.names <@ c.equal)
					OR (key.names[1 : pg_catalog.cardinality(c.equal)] @> c.equal
						AND (c.other IS NULL OR key.names[pg_catalog.cardinality(c.equal) + 1] = c.other)))
		) AS served
	) i;
END;
COMMENT ON FUNCTION perfkit._index_candidates(timestamptz, timestamptz, bigint, double precision, double precision) IS
	'indexes that stored plans would have wanted: served, there is one; worth, it passes the other gates of index_advice()';

-- A partitioned table cannot have it concurrently: partitions first, then the index that joins them.
CREATE FUNCTION perfkit._index_ddl(relation oid, columns text[], directions text[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH item AS (
		SELECT pg_catalog.string_agg(pg_catalog.quote_ident(u.name) || u.direction, ', ' ORDER BY u.nth) AS list,
			pg_catalog.string_agg(u.name, '_' ORDER BY u.nth) AS names
		FROM ROWS FROM (pg_catalog.unnest(columns), pg_catalog.unnest(directions)) WITH ORDINALITY u (name, direction, nth)
	), named AS (
		SELECT c.oid, c.relkind, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, n.nspname
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	), leaf AS (
		SELECT t.*, pg_catalog.left(t.relname || '_' || i.names, 55) || '_idx' AS index_name
		FROM pg_catalog.pg_inherits h JOIN named t ON t.oid = h.inhrelid CROSS JOIN item i
		WHERE h.inhparent = relation
	)
	SELECT CASE WHEN t.relkind <> 'p' THEN pg_catalog.format('CREATE INDEX CONCURRENTLY ON %s USING btree (%s);', t.name, i.list)
		WHEN EXISTS (SELECT FROM leaf l WHERE l.relkind <> 'r') THEN
			pg_catalog.format('CREATE INDEX ON %s USING btree (%s);', t.name, i.list)
		ELSE (SELECT pg_catalog.string_agg(
					pg_catalog.format('CREATE INDEX CONCURRENTLY %I ON %s USING btree (%s);', l.index_name, l.name, i.list),
					E'\n' ORDER BY l.name) FROM leaf l)
			|| pg_catalog.format(E'\nCREATE INDEX %I ON ONLY %s USING btree (%s);', r.root_index, t.name, i.list)
			|| (SELECT pg_catalog.string_agg(
					pg_catalog.format(E'\nALTER INDEX %I.%I ATTACH PARTITION %I.%I;', t.nspname, r.root_index, l.nspname, l.index_name),
					'' ORDER BY l.name) FROM leaf l)
		END
	FROM named t CROSS JOIN item i
	CROSS JOIN LATERAL (SELECT pg_catalog.left(t.relname || '_' || i.names, 55) || '_idx' AS root_index) r
	WHERE t.oid = relation;
END;
COMMENT ON FUNCTION perfkit._index_ddl(oid, text[], text[]) IS 'how to make a btree index without keeping writers out';

-- Indexes nobody would miss. Not those a constraint needs, or replication identifies rows by.
CREATE FUNCTION perfkit._spare_indexes(unused_after interval)
RETURNS TABLE (kind text, relation oid, index oid, reason text)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	WITH own AS (
		SELECT i.*, c.relam, c.relkind, COALESCE(pg_catalog.pg_stat_get_numscans(i.indexrelid), 0) AS scans,
			i.indisprimary OR i.indisexclusion OR i.indisreplident OR c.relispartition OR t.relispartition
				OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid) AS needed
		FROM pg_catalog.pg_index i
		JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
		JOIN pg_catalog.pg_class t ON t.oid = i.indrelid AND t.relpersistence <> 't'
		JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
			AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'perfkit', 'pg_toast')
		WHERE i.indisvalid AND i.indisready AND i.indislive
	), duplicate AS (
		SELECT DISTINCT ON (a.indexrelid) a.indrelid, a.indexrelid, b.indexrelid AS same_as
		FROM own a
		JOIN own b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid AND b.relam = a.relam
			AND b.indkey::int2[] = a.indkey::int2[] AND b.indnkeyatts = a.indnkeyatts AND b.indclass::oid[] = a.indclass::oid[]
			AND b.indcollation::oid[] = a.indcollation::oid[] AND b.indoption::int2[] = a.indoption::int2[]
			AND b.indexprs::text IS NOT DISTINCT FROM a.indexprs::text AND b.indpred::text IS NOT DISTINCT FROM a.indpred::text
		WHERE NOT a.needed AND (NOT a.indisunique OR b.indisunique)

			-- of two that could both go, the younger
			AND (b.needed OR (b.indisunique AND NOT a.indisunique) OR (b.indisunique = a.indisunique AND b.indexrelid < a.indexrelid))
		ORDER BY a.indexrelid, b.needed DESC, b.indisunique DESC, b.indexrelid
	), age AS (
		SELECT pg_catalog.now() - GREATEST(s.stats_reset, pg_catalog.pg_postmaster_start_time()) AS at_least
		FROM pg_catalog.pg_stat_database s WHERE s.datname = pg_catalog.current_database()
	)
	SELECT 'duplicate', d.indrelid, d.indexrelid, pg_catalog.format('the same as %s', d.same_as::regclass)
	FROM duplicate d
	UNION ALL
	SELECT 'unused', o.indrelid, o.indexrelid,
		pg_catalog.format('not scanned in the statistics, which are %s old or older', pg_catalog.date_trunc('minute', a.at_least))
	FROM own o, age a
	WHERE NOT o.needed AND NOT o.indisunique AND o.relkind = 'i' AND o.scans = 0 AND a.at_least >= unused_after
		AND NOT EXISTS (SELECT FROM duplicate d WHERE d.indexrelid = o.indexrelid);
END;
COMMENT ON FUNCTION perfkit._spare_indexes(interval) IS
	'indexes that are like another, or that no scan has used while statistics were counted for so long';

CREATE FUNCTION perfkit.index_advice(since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity',
	min_executions bigint DEFAULT 5, min_rows double precision DEFAULT 10000, max_share double precision DEFAULT 0.05,
	unused_after interval DEFAULT '7 days')
RETURNS TABLE (rank bigint, kind text, relation text, ddl text, reason text, caveats text[], queryids bigint[],
	executions bigint, total_ms double precision, rows_read double precision, share_needed double precision,
	evidence text, size_bytes bigint, writes bigint, hot_update_share double precision, indexes text[])
LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
	WITH candidate AS (
		SELECT c.* FROM perfkit._index_candidates(since, until, min_executions, min_rows, max_share) c
	), analyze_first AS (
		-- estimates from statistics that do not know the table, or that it has changed
		SELECT c.relation, pg_catalog.max(c.misestimate) AS misestimate, pg_catalog.max(c.total_ms) AS total, pg_catalog.max(c.executions) AS executions,
			pg_catalog.array_agg(DISTINCT q.id ORDER BY q.id) AS queryids
		FROM candidate c CROSS JOIN LATERAL pg_catalog.unnest(c.queryids) q (id)
		WHERE c.stale AND (c.misestimate >= 10 OR c.tuples = 0) AND COALESCE(c.examined >= min_rows, true)
		GROUP BY c.relation
	), correlated AS (
		-- statistics are fresh, and of several columns together wrong
		SELECT c.* FROM candidate c
		WHERE NOT c.stale AND c.misestimate >= 10 AND c.examined >= min_rows AND pg_catalog.cardinality(c.columns) >= 2
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_statistic_ext x
				WHERE x.stxrelid = c.relation AND (SELECT pg_catalog.array_agg(a.attname::text) FROM pg_catalog.pg_attribute a
					WHERE a.attrelid = x.stxrelid AND a.attnum = ANY (x.stxkeys::int2[])) @> c.columns)
	), wanted AS (
		SELECT c.* FROM candidate c
		WHERE c.worth AND NOT c.served
			AND NOT EXISTS (SELECT FROM analyze_first a WHERE a.relation = c.relation)
	), longest AS (
		-- an index on (a, b) is one on (a) too
		SELECT w.* FROM wanted w
		WHERE NOT EXISTS (SELECT FROM wanted l WHERE l.relation = w.relation
			AND pg_catalog.cardinality(l.columns) > pg_catalog.cardinality(w.columns)
			AND l.columns[1 : pg_catalog.cardinality(w.columns)] = w.columns)
	), helped AS (
		SELECT l.relation, l.columns, l.directions, pg_catalog.bool_and(w.measured) AS measured,
			pg_catalog.array_agg(DISTINCT q.id ORDER BY q.id) AS queryids, pg_catalog.max(w.examined) AS examined,
			pg_catalog.max(w.share) AS share, pg_catalog.min(l.tuples) AS tuples, pg_catalog.min(l.writes) AS writes, pg_catalog.min(l.hot_share) AS hot_share
		FROM longest l
		JOIN wanted w ON w.relation = l.relation AND l.columns[1 : pg_catalog.cardinality(w.columns)] = w.columns
		CROSS JOIN LATERAL pg_catalog.unnest(w.queryids) q (id)
		GROUP BY l.relation, l.columns, l.directions
	), advice AS (
		SELECT 1 AS step, 'analyze' AS kind, a.relation, pg_catalog.format('ANALYZE %s;', a.relation::regclass) AS ddl,
			CASE WHEN a.misestimate >= 10 THEN
				pg_catalog.format('rows were misestimated by a factor of %s, and statistics are missing or old', pg_catalog.round(a.misestimate::numeric))
				ELSE 'the planner has no statistics of the table' END AS reason,
			ARRAY['look at advice on its indexes after that'] AS caveats,
			a.queryids, a.executions, a.total, NULL::double precision AS examined, NULL::double precision AS share, NULL::boolean AS measured,
			NULL::bigint AS size, NULL::bigint AS writes, NULL::double precision AS hot_share
		FROM analyze_first a
		UNION ALL
		SELECT DISTINCT ON (c.relation, c.columns) 2, 'statistics', c.relation,
			pg_catalog.format('CREATE STATISTICS ON %s FROM %s; ANALYZE %2$s;',
				(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(u.name), ', ' ORDER BY u.nth) FROM pg_catalog.unnest(c.columns) WITH ORDINALITY u (name, nth)), c.relation::regclass),
			pg_catalog.format('rows were misestimated by a factor of %s though statistics are fresh: values of these columns belong together', pg_catalog.round(c.misestimate::numeric)),
			ARRAY['helps with the estimates of equality conditions only'],
			c.queryids, c.executions, c.total_ms, c.examined, NULL::double precision, NULL::boolean, NULL::bigint, NULL::bigint, NULL::double precision
		FROM correlated c
		UNION ALL
		SELECT 3, 'index', h.relation, perfkit._index_ddl(h.relation, h.columns, h.directions),
			pg_catalog.format('%s slow executions read up to %s rows each and needed at most %s %% of them',
				s.executions, pg_catalog.round(h.examined::numeric), pg_catalog.round((100 * h.share)::numeric, 2)),
			pg_catalog.array_remove(ARRAY[
				'not verified: see verify_index()',
				CASE WHEN NOT h.measured THEN 'rows are estimates: perfkit.capture_plan = actual measures them' END,
				CASE WHEN h.hot_share > 0.2 THEN 'updates of these columns will no longer be HOT' END,
				CASE WHEN (SELECT c.relkind = 'p' FROM pg_catalog.pg_class c WHERE c.oid = h.relation) THEN
					'partitioned: each statement by itself, outside of a transaction' END], NULL),
			h.queryids, s.executions, s.total, h.examined, h.share, h.measured,
			(h.tuples * 1.1 * (16 + (SELECT COALESCE(pg_catalog.sum(COALESCE(t.avg_width, 8)), 8)
				FROM pg_catalog.unnest(h.columns) u (name)
				LEFT JOIN pg_catalog.pg_class c ON c.oid = h.relation
				LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
				LEFT JOIN pg_catalog.pg_stats t ON t.schemaname = n.nspname AND t.tablename = c.relname AND t.attname = u.name
					AND t.inherited = (c.relkind = 'p'))))::bigint,
			h.writes, h.hot_share
		FROM helped h
		CROSS JOIN LATERAL (
			SELECT pg_catalog.count(*) AS executions, pg_catalog.sum(q.duration_ms) AS total FROM perfkit.slow_queries q
			WHERE q.queryid = ANY (h.queryids) AND q.started_at >= since AND q.started_at < until) s
		UNION ALL
		SELECT 4, x.kind, x.relation, pg_catalog.format('DROP INDEX CONCURRENTLY %s;', x.index::regclass), x.reason,
			pg_catalog.array_remove(ARRAY[
				CASE WHEN x.kind = 'unused' THEN 'scans on standbys are not counted here: look there too' END,
				CASE WHEN x.kind = 'unused' THEN 'an index for the month''s end is unused until then' END,
				CASE WHEN x.kind = 'unused' AND EXISTS (SELECT FROM pg_catalog.pg_constraint f, pg_catalog.pg_index i
					WHERE i.indexrelid = x.index AND f.conrelid = i.indrelid AND f.contype = 'f' AND f.conkey[1] = i.indkey[0])
					THEN 'it serves a foreign key: deletes in the other table look it up' END,
				CASE WHEN (SELECT c.relkind = 'I' FROM pg_catalog.pg_class c WHERE c.oid = x.index) THEN
					'partitioned: cannot be dropped concurrently' END,
				'keep its definition: pg_get_indexdef()'], NULL),
			NULL, NULL, NULL, NULL, NULL, NULL, pg_catalog.pg_relation_size(x.index), n.writes, n.hot_share
		FROM perfkit._spare_indexes(unused_after) x
		CROSS JOIN LATERAL perfkit._table_numbers(x.relation) n
	)
	SELECT pg_catalog.row_number() OVER (ORDER BY a.step, a.total DESC NULLS LAST, a.size DESC NULLS LAST, a.ddl), a.kind, a.relation::regclass::text, a.ddl, a.reason, a.caveats, a.queryids,
		a.executions, a.total, a.examined, a.share,
		CASE WHEN a.kind = 'index' THEN CASE WHEN a.measured THEN 'actual' ELSE 'estimate' END END,
		a.size, a.writes, a.hot_share,
		(SELECT pg_catalog.array_agg(i.indexrelid::regclass::text ORDER BY i.indexrelid) FROM pg_catalog.pg_index i WHERE i.indrelid = a.relation)
	FROM advice a
	ORDER BY 1;
END;
COMMENT ON FUNCTION perfkit.index_advice(timestamptz, timestamptz, bigint, double precision, double precision, interval) IS
	'statistics to take, indexes to make and indexes to drop, with the evidence of the slow query log and the catalogs; does nothing by itself';

CREATE VIEW perfkit.index_advice AS SELECT * FROM perfkit.index_advice();
COMMENT ON VIEW perfkit.index_advice IS
	'what index_advice() advises on all of the log: ANALYZE and extended statistics first, then indexes to make, then those to drop';
COMMENT ON COLUMN perfkit.index_advice.rank IS '1: begin here';
COMMENT ON COLUMN perfkit.index_advice.kind IS 'analyze, statistics, index, duplicate or unused';
COMMENT ON COLUMN perfkit.index_advice.relation IS 'table';
COMMENT ON COLUMN perfkit.index_advice.ddl IS 'what to run, if it convinces';
COMMENT ON COLUMN perfkit.index_advice.reason IS 'why';
COMMENT ON COLUMN perfkit.index_advice.caveats IS 'what to think of before';
COMMENT ON COLUMN perfkit.index_advice.queryids IS 'statements of the log it would help';
COMMENT ON COLUMN perfkit.index_advice.executions IS 'rows of the log of these statements';
COMMENT ON COLUMN perfkit.index_advice.total_ms IS 'their durations together';
COMMENT ON COLUMN perfkit.index_advice.rows_read IS 'rows an execution reads of the table, in the mean, of the statement that reads most';
COMMENT ON COLUMN perfkit.index_advice.share_needed IS 'share of these (0 to 1) that it needed';
COMMENT ON COLUMN perfkit.index_advice.evidence IS 'actual: rows were counted (perfkit.capture_plan = actual); estimate: they are the planner''s';
COMMENT ON COLUMN perfkit.index_advice.size_bytes IS 'of the index to make, estimated; of the one to drop';
COMMENT ON COLUMN perfkit.index_advice.writes IS 'rows written to the table since its statistics were reset';
COMMENT ON COLUMN perfkit.index_advice.hot_update_share IS 'share of its updates (0 to 1) that touched no index';
COMMENT ON COLUMN perfkit.index_advice.indexes IS 'that the table has';
GRANT SELECT ON perfkit.index_advice TO PUBLIC;

CREATE FUNCTION perfkit._explain_as(role oid, statement text, parameters text[], search_path text) RETURNS text
AS 'MODULE_PATHNAME', 'perfkit_explain_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT;
COMMENT ON FUNCTION perfkit._explain_as(oid, text, text[], text) IS
	'EXPLAIN (FORMAT JSON) of a statement with these bind values, with the rights of a role that the caller may become; it is not executed';

-- The search path of the one who asks is that of the statement. The hypothetical index is gone when
-- this returns, whatever happens.
CREATE FUNCTION perfkit.verify_index(ddl text, id bigint, search_path text DEFAULT pg_catalog.current_setting('search_path'))
RETURNS TABLE (used boolean, cost_before double precision, cost_after double precision, size_bytes bigint, plan jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	hypopg CONSTANT text := (SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'hypopg');
	statement record;
	bound text[];
	before jsonb;
	after jsonb;
	index oid;
	index_name text;
	bytes bigint;
BEGIN
	IF hypopg IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'extension hypopg is not there',
			HINT = 'CREATE EXTENSION hypopg; its package is postgresql-NN-hypopg or the like.';
	END IF;
	SELECT q.query, q.parameters, q.truncated, q.userid INTO statement FROM perfkit.slow_queries q WHERE q.id = verify_index.id;
	IF NOT FOUND OR statement.query IS NULL OR statement.query = '<insufficient privilege>' OR statement.truncated && ARRAY['query', 'parameters'] THEN
		RAISE EXCEPTION USING ERRCODE = 'no_data_found', MESSAGE = format('there is no row %s of slow_queries with a whole statement that you may see', COALESCE(verify_index.id::text, 'NULL'));
	END IF;
	bound := ARRAY(SELECT value FROM jsonb_array_elements_text(COALESCE(statement.parameters, '[]')) WITH ORDINALITY p (value, n) ORDER BY n);
	statement.query := regexp_replace(statement.query, '^\s*PREPARE\s+("[^"]*"|\w+)\s*(\([^)]*\))?\s*AS\M', '', 'i'); -- the text of an EXECUTE
	before := perfkit._explain_as(statement.userid, statement.query, bound, verify_index.search_path);
	EXECUTE format('SELECT indexrelid, indexname FROM %I.hypopg_create_index($1)', hypopg) INTO index, index_name
	USING regexp_replace(btrim(ddl, E'; \n'), '^CREATE INDEX CONCURRENTLY', 'CREATE INDEX', 'i');
	BEGIN
		EXECUTE format('SELECT %I.hypopg_relation_size($1)', hypopg) INTO bytes USING index;
		after := perfkit._explain_as(statement.userid, statement.query, bound, verify_index.search_path);
	EXCEPTION WHEN OTHERS OR query_canceled THEN
		EXECUTE format('SELECT %I.hypopg_drop_index($1)', hypopg) USING index;
		RAISE;
	END;
	EXECUTE format('SELECT %I.hypopg_drop_index($1)', hypopg) USING index;
	RETURN QUERY SELECT strpos(after::text, format('"Index Name": %s', to_json(index_name))) > 0,
		(before #>> '{0,Plan,Total Cost}')::double precision, (after #>> '{0,Plan,Total Cost}')::double precision, bytes, after -> 0;
END $$;
COMMENT ON FUNCTION perfkit.verify_index(text, bigint, text) IS
	'whether the planner would use an index for the statement of a row of slow_queries, and what it would expect of it; asks hypopg, makes no index';

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

-- Who has written last, so that a batch that is sent twice is stored once.
CREATE TABLE perfkit.pooler (
	run uuid PRIMARY KEY,
	name text NOT NULL,
	batch bigint NOT NULL,
	logged_at timestamptz NOT NULL
);
COMMENT ON TABLE perfkit.pooler IS 'poolers that write into performance_log, a row from the start of one to its end; gone after a week of silence';
COMMENT ON COLUMN perfkit.pooler.run IS 'which start of it';
COMMENT ON COLUMN perfkit.pooler.name IS 'label pooler of its rows';
COMMENT ON COLUMN perfkit.pooler.batch IS 'number of the last batch';
COMMENT ON COLUMN perfkit.pooler.logged_at IS 'when that was measured';
GRANT SELECT ON perfkit.pooler TO pg_read_all_stats;

CREATE FUNCTION perfkit._room_for_metrics(logged_at timestamptz) RETURNS boolean
AS 'MODULE_PATHNAME', 'perfkit_room_for_metrics'
LANGUAGE C VOLATILE PARALLEL UNSAFE STRICT;
COMMENT ON FUNCTION perfkit._room_for_metrics(timestamptz) IS
	'whether performance_log has, or has got now, a partition for it: not beyond perfkit.performance_retention';
REVOKE ALL ON FUNCTION perfkit._room_for_metrics(timestamptz) FROM PUBLIC;

-- The age and not the time, since the clock of the pooler's machine may be wrong. Batches of a run come in order; one
-- that comes again while its first try is still under way waits for that one, at its row. A reading is [metric, labels,
-- value], of durations with their histogram as the fourth. Names of databases and users are what clients make them: rows
-- whose labels are too long for the table are left out, not the batch.
CREATE FUNCTION perfkit.log_pooler(run uuid, batch bigint, pooler text, age_seconds double precision, readings jsonb)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	at timestamptz;
	stored bigint;
BEGIN
	IF log_pooler.run IS NULL OR log_pooler.batch IS NULL OR log_pooler.pooler IS NULL OR readings IS NULL
		OR log_pooler.age_seconds IS NULL OR log_pooler.age_seconds NOT BETWEEN 0 AND 1e9 OR jsonb_typeof(readings) <> 'array' THEN
		RAISE EXCEPTION 'invalid batch of a pooler' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF EXISTS (SELECT FROM jsonb_array_elements(readings) r(reading)
		WHERE (jsonb_typeof(r.reading) = 'array' AND jsonb_typeof(r.reading -> 0) = 'string' AND jsonb_typeof(r.reading -> 1) = 'object'
			AND jsonb_typeof(r.reading -> 2) = 'number' AND r.reading ->> 0 ~ '^[a-z][a-z0-9_]{0,127}$' AND NOT jsonb_path_exists(r.reading -> 1,
				'$.* ? (@.type() == "object" || @.type() == "array" || @.type() == "null")')) IS NOT TRUE) THEN
		RAISE EXCEPTION 'invalid reading of a pooler' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	at := clock_timestamp() - make_interval(secs => log_pooler.age_seconds);
	INSERT INTO perfkit.pooler AS p (run, name, batch, logged_at)
	VALUES (log_pooler.run, log_pooler.pooler, log_pooler.batch, at)
	ON CONFLICT (run) DO UPDATE SET name = excluded.name, batch = excluded.batch, logged_at = excluded.logged_at
	WHERE p.batch < excluded.batch;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	DELETE FROM perfkit.pooler p WHERE p.logged_at < now() - interval '7 days' AND p.run <> log_pooler.run;
	IF NOT perfkit._room_for_metrics(at) THEN
		RETURN 0;
	END IF;
	INSERT INTO perfkit.performance_log (logged_at, source, metric, labels, value, histogram)
	SELECT at, 'pooler', r.reading ->> 0, l.labels, (r.reading ->> 2)::double precision, perfkit._histogram_read(r.reading -> 3)
	FROM jsonb_array_elements(readings) r(reading)
	CROSS JOIN LATERAL (SELECT (r.reading -> 1) || jsonb_build_object('pooler', log_pooler.pooler) AS labels) l
	WHERE pg_column_size(l.labels) <= 1600;
	GET DIAGNOSTICS stored = ROW_COUNT;
	RETURN stored;
END $$;
COMMENT ON FUNCTION perfkit.log_pooler(uuid, bigint, text, double precision, jsonb) IS
	'adds the numbers of a pooler, measured so long ago, to performance_log; returns how many are stored, NULL: this batch was there';
REVOKE ALL ON FUNCTION perfkit.log_pooler(uuid, bigint, text, double precision, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION perfkit.log_pooler(uuid, bigint, text, double precision, jsonb) TO pg_monitor;

CREATE FUNCTION perfkit._host(OUT cpu_seconds double precision, OUT cpu_idle_seconds double precision,
	OUT load1 double precision, OUT memory_bytes double precision, OUT memory_available_bytes double precision,
	OUT memory_ratio double precision, OUT disk_bytes double precision, OUT disk_free_bytes double precision,
	OUT disk_ratio double precision)
AS 'MODULE_PATHNAME', 'perfkit_host'
LANGUAGE C VOLATILE PARALLEL SAFE STRICT;
COMMENT ON FUNCTION perfkit._host() IS 'CPU, memory and disk of the machine; what cannot be read is NULL';
REVOKE ALL ON FUNCTION perfkit._host() FROM PUBLIC;

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
			NULLIF(perfkit._histogram_sum(l.histogram), '{}') AS histogram, max(l.logged_at) AS last_at
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
			histogram = COALESCE(perfkit._histogram_plus(r.histogram, excluded.histogram), r.histogram, excluded.histogram)
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
		COALESCE(perfkit._histogram_quantile(perfkit._histogram_sum(p.histogram), w.q) / 1000,
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
		OR (w.q IS NOT NULL AND pg_catalog.count(p.histogram) > 0)
	ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION perfkit.performance(text, timestamptz, timestamptz, interval) IS
	'a metric over time, a row a step and series; value is the mean or, of a _pNN_seconds, that quantile of all durations of the step, also where it is not logged itself (then n to last are NULL)';

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
	FOR log, days IN VALUES ('slow_query_log', 1), ('performance_log', 1), ('statement_rollup', 1),
		('performance_rollup_minute', 1), ('performance_rollup_hour', 28)
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
COMMENT ON COLUMN perfkit.refresh_schedule.schedule IS 'cron, an interval, on change or downstream; NULL: target_lag counts';
COMMENT ON COLUMN perfkit.refresh_schedule.timezone IS 'in which the fields of cron are read';
COMMENT ON COLUMN perfkit.refresh_schedule.target_lag IS 'how old its content may get; NULL: schedule counts';
COMMENT ON COLUMN perfkit.refresh_schedule.method IS 'auto, concurrently or plain';
COMMENT ON COLUMN perfkit.refresh_schedule.fallback IS 'when plain may stand in for concurrently: never, unpopulated, always';
COMMENT ON COLUMN perfkit.refresh_schedule.skip_unchanged IS 'whether a run that is due is left out when nothing that the view reads has changed';
COMMENT ON COLUMN perfkit.refresh_schedule.max_staleness IS 'the longest that unchanged content is left as it is; NULL, 0: for ever';
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
COMMENT ON COLUMN perfkit.refresh_schedule.min_interval IS 'of on change: from the beginning of one run to the next; NULL: 10 seconds';
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

-- Rows of the future, and of transactions before from_xid, are those of before the clock was set back.
CREATE FUNCTION perfkit._watched(since timestamptz, until timestamptz, from_xid xid8, of_server boolean)
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
		WHERE l.metric = t.metric AND l.labels @> t.labels AND l.logged_at > since AND l.logged_at <= until
			AND l.xid >= from_xid AND (l.source <> 'server' OR of_server)
		ORDER BY l.source, l.labels, l.logged_at DESC
	) s
	WHERE t.enabled
	ORDER BY t.metric, s.source, s.labels, t.direction,
		(SELECT pg_catalog.count(*) FROM pg_catalog.jsonb_object_keys(t.labels)) DESC, t.labels;
END;
COMMENT ON FUNCTION perfkit._watched(timestamptz, timestamptz, xid8, boolean) IS
	'the latest values between these times of what thresholds watch, each with its threshold';
REVOKE ALL ON FUNCTION perfkit._watched(timestamptz, timestamptz, xid8, boolean) FROM PUBLIC;

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
	-- Nothing is over before it began, though the clock be set back meanwhile.
	IF _alert_changed.level = 'ok' THEN
		UPDATE perfkit.alert a SET resolved_at = greatest(_alert_changed.at, a.opened_at),
			updated_at = greatest(_alert_changed.at, a.opened_at), value = _alert_changed.value
		WHERE a.metric = _alert_changed.metric AND a.source = _alert_changed.source AND a.labels = _alert_changed.labels
			AND a.direction = _alert_changed.direction AND a.resolved_at IS NULL
		RETURNING a.alert_id INTO id;
	ELSE
		INSERT INTO perfkit.alert AS a (metric, labels, level, value, opened_at, source, direction, threshold, worst, updated_at)
		VALUES (_alert_changed.metric, _alert_changed.labels, _alert_changed.level, _alert_changed.value, _alert_changed.at,
			_alert_changed.source, _alert_changed.direction, _alert_changed.threshold, _alert_changed.level, _alert_changed.at)
		ON CONFLICT (metric, source, labels, direction) WHERE resolved_at IS NULL DO UPDATE SET level = excluded.level,
			value = excluded.value, threshold = excluded.threshold, updated_at = greatest(excluded.updated_at, a.opened_at),
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
		'perfkit.statement_rollup'::regclass,
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
