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
DROP FUNCTION perfkit._comment_columns(regclass);

GRANT SELECT ON perfkit.slow_query_log TO pg_read_all_stats;
GRANT SELECT ON perfkit.slow_queries, perfkit.failed_queries TO PUBLIC;

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
