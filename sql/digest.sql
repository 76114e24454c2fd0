--
-- Digests of the slow query log, made of rows put there by hand, so that every number is known.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

SET perfkit.slow_query_threshold = -1;
SET perfkit.log_errors = off;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE ROLE regress_perfkit_reader;

-- nobody else writes now, and no row is there but these
SELECT pg_temp.flush();
DELETE FROM perfkit.slow_query_log;
CREATE TEMP TABLE day AS SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS at;
INSERT INTO perfkit.slow_query_log (id, started_at, duration_ms, queryid, plan_id, nesting_level, database, username,
	application_name, pid, query, query_normalized, tags, rows, outcome, reason, userid, boot, sequence)
SELECT n, d.at + make_interval(mins => minute), ms, queryid, plan_id, 0, 'db', who, app, 1, 'raw ' || n, text, tags, 10, outcome, reason,
	'pg_database_owner'::regrole, -1, n
FROM day d, (VALUES
	(1, 0, 100.0, 1, 11, 'ann', 'web', 'one', '{"route": "a"}'::jsonb, 'ok', 'threshold'),
	(2, 1, 200.0, 1, 11, 'ann', 'web', 'one', '{"route": "a", "job": "x"}', 'ok', 'threshold'),
	(3, 2, 300.0, 1, 12, 'bob', 'web', 'one', '{"route": "b"}', 'ok', 'threshold'),
	(4, 11, 400.0, 1, 12, 'bob', 'batch', 'one', NULL, 'statement_timeout', 'threshold'),
	(5, 12, 500.0, 2, NULL, 'bob', 'batch', 'two', NULL, 'ok', 'long_running'),
	(6, 13, 1.0, 2, NULL, 'bob', 'batch', 'two', NULL, 'error', 'error'),
	(7, 14, 1.0, 3, NULL, 'bob', 'batch', 'three', NULL, 'ok', 'sampled'),
	(8, 15, 2.0, 3, NULL, 'bob', 'batch', 'three', NULL, 'ok', 'first_seen'),
	(9, 31, 0.5, NULL, NULL, 'bob', 'batch', NULL, NULL, 'error', 'error'),
	(10, 32, 0.5, NULL, NULL, 'bob', 'batch', NULL, NULL, 'error', 'error')
) v (n, minute, ms, queryid, plan_id, who, app, text, tags, outcome, reason);

-- by statement
SELECT rank, queryid, query, calls, total_ms, round(pct_total::numeric, 2) AS pct, mean_ms, min_ms, max_ms, round(stddev_ms::numeric, 2) AS stddev
FROM perfkit.digest(until => (SELECT at + interval '1 hour' FROM day)) WHERE database = 'db' ORDER BY rank, query;
SELECT query, slow_p50_ms, slow_p95_ms, slow_p99_ms, rows, errors, timeouts, plans, worst_id, usernames, application_names, last_seen - first_seen AS seen
FROM perfkit.slow_query_digest WHERE database = 'db' ORDER BY rank, query;
SELECT queryid, calls, pct_total FROM day, perfkit.digest(at + interval '10 min', at + interval '12 min') WHERE database = 'db';
SELECT count(*) FROM perfkit.digest('2000-01-01', '2000-01-02');

-- by others
SELECT value, calls, total_ms, errors, timeouts, statements FROM day, perfkit.digest_by('application', at, at + interval '1 hour')
WHERE value IN ('web', 'batch');
SELECT value, calls, slow_p50_ms, max_ms FROM day, perfkit.digest_by('user', at, at + interval '1 hour') WHERE value IN ('ann', 'bob');
SELECT value, calls, total_ms, mean_ms, statements FROM day, perfkit.digest_by('tag', at, at + interval '1 hour')
WHERE value ~ '^(route|job)=';
SELECT value, calls, errors FROM day, perfkit.digest_by('database', at, at + interval '1 hour') WHERE value = 'db';
SELECT value, calls, errors FROM day, perfkit.digest_by('outcome', at, at + interval '10 min');
SELECT * FROM perfkit.digest_by('weather');
SELECT * FROM perfkit.digest_by(NULL);

-- over time, empty steps too
SELECT bucket - at AS bucket, calls, total_ms, mean_ms, max_ms, slow_p50_ms, errors, timeouts, statements
FROM day, perfkit.timeline('10 min', at, at + interval '40 min');
SELECT bucket - at AS bucket, calls FROM day, perfkit.timeline('10 min', at + interval '1 min', at + interval '12 min');
SELECT * FROM perfkit.timeline('0 min');

-- somebody who may not see texts sees the numbers
SET ROLE regress_perfkit_reader;
SELECT queryid, query, calls, errors, application_names FROM perfkit.slow_query_digest WHERE database = 'db' ORDER BY rank;
RESET ROLE;
DELETE FROM perfkit.slow_query_log WHERE boot = -1;
DROP ROLE regress_perfkit_reader;

-- the histogram of a statement
SELECT perfkit.reset_statements();
SELECT 'for the histogram' AS x FROM generate_series(1, 2);
SELECT 'for the histogram' AS x FROM generate_series(1, 2);
SELECT sum(h.calls) AS calls, max(h.pct_so_far) AS pct_so_far, round(sum(h.pct)::numeric, 6) AS pct, bool_and(h.from_ms < h.to_ms) AS ordered,
	bool_and(h.to_ms / h.from_ms < 1.13) AS narrow, min(h.from_ms) <= min(s.min_exec_time) AND max(h.to_ms) > max(s.max_exec_time) AS around
FROM perfkit.statements s, perfkit.histogram(s.queryid) h WHERE s.query = 'SELECT $1 AS x FROM generate_series($2, $3)';
SELECT count(*) FROM perfkit.histogram(0);
