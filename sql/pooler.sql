--
-- log_pooler(): how a pooler's numbers get into performance_log.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS perfkit;
RESET client_min_messages;
\set VERBOSITY default
\set run '''00000000-0000-4000-8000-000000000001'''

-- rows of one batch have one time, so many seconds ago, and the pooler's name among their labels
SELECT perfkit.log_pooler(:run, 1, 'west', 90, '[["pool_clients_waiting", {"database": "app", "user": "joe"}, 3],
	["pool_wait_p95_seconds", {"database": "app", "user": "joe"}, 0.25], ["pooler_uptime_seconds", {}, 1e2]]');
SELECT source, metric, labels, value, logged_at BETWEEN now() - interval '100 seconds' AND now() - interval '80 seconds' AS when_measured
FROM perfkit.performance_log WHERE source = 'pooler' ORDER BY metric;
SELECT count(DISTINCT logged_at) FROM perfkit.performance_log WHERE source = 'pooler';
SELECT run, name, batch, logged_at < now() - interval '80 seconds' AS when_measured FROM perfkit.pooler;

-- a batch that comes again is known by its number, and by its run; it may grow by any step
SELECT perfkit.log_pooler(:run, 1, 'west', 91, '[["pool_clients_waiting", {}, 3]]') IS NULL AS known;
SELECT perfkit.log_pooler(:run, 7, 'west', 30, '[["pool_clients_waiting", {}, 4]]');
SELECT perfkit.log_pooler(:run, 6, 'west', 30, '[["pool_clients_waiting", {}, 4]]') IS NULL AS known;
SELECT perfkit.log_pooler('00000000-0000-4000-8000-000000000002', 1, 'west', 30, '[["pool_clients_waiting", {}, 5]]');
SELECT value FROM perfkit.performance_log WHERE source = 'pooler' AND metric = 'pool_clients_waiting' ORDER BY value;

-- one that fails was not there; of one that does not, labels that are too long are left out
\set VERBOSITY terse
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '[["pool_clients_waiting", {}, "NaN"]]');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '[["pool_clients_waiting", {}, null]]');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '[["pool_clients_waiting", null, 1]]');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '[["pool_clients_waiting", {"a": {}}, 1]]');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '[["pool_clients_waiting", {"a": null}, 1]]');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '[["Pool", {}, 1]]');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '[[null, {}, 1]]');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '[{"pool_clients_waiting": 1}]');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, '{}');
SELECT perfkit.log_pooler(:run, 8, 'west', 0, NULL);
SELECT perfkit.log_pooler(:run, 8, NULL, 0, '[]');
SELECT perfkit.log_pooler(:run, 8, 'west', -1, '[]');
SELECT perfkit.log_pooler(:run, 8, 'west', 'NaN', '[]');
\set VERBOSITY default
SELECT perfkit.log_pooler(:run, 8, 'west', 0, jsonb_build_array('["pool_short", {"database": "app"}, 1]'::jsonb,
	jsonb_build_array('pool_long', jsonb_build_object('database', repeat('x', 2000)), 1)));
SELECT metric FROM perfkit.performance_log WHERE metric IN ('pool_short', 'pool_long');

-- durations come with their histogram: what is none fails the batch, and counts that are too large stay bounded
SELECT perfkit.log_pooler(:run, 9, 'west', 0, '[["pool_query_seconds", {"user": "joe"}, 0.5, [100, 90, 311, 10]],
	["pool_query_seconds", {"user": "ann"}, 0.5, [100, 90]], ["pool_query_seconds", {"user": "bob"}, 0.5]]');
SELECT perfkit.log_pooler(:run, 10, 'west', 0, '[["pool_query_seconds", {"user": "joe"}, 0.5, [0, 3, 100, 29562089861714025]],
	["pool_query_seconds", {"user": "ann"}, 0.5, [100, 29562089861714025]]]');
SELECT labels ->> 'user' AS "user", perfkit._histogram_sum(histogram) FROM perfkit.performance_log
WHERE metric = 'pool_query_seconds' GROUP BY 1 ORDER BY 1;
SELECT perfkit._histogram_quantile(perfkit._histogram_sum(histogram), 0.99) BETWEEN perfkit._bucket_start(100) AND perfkit._bucket_start(101) AS p99
FROM perfkit.performance_log WHERE metric = 'pool_query_seconds';
\set VERBOSITY terse
SELECT perfkit.log_pooler(:run, 11, 'west', 0, '[["pool_query_seconds", {"user": "eve"}, 0.5, [100, 1]]]');
CREATE FUNCTION refused(histogram text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM perfkit.log_pooler('00000000-0000-4000-8000-000000000001', 12, 'west', 0,
		format('[["pool_fine", {}, 1], ["pool_query_seconds", {"user": "mallory"}, 0.5, %s]]', histogram)::jsonb);
	RETURN 'stored';
EXCEPTION WHEN data_exception THEN
	RETURN format('%s: %s', SQLSTATE, SQLERRM);
END $$;
SELECT h, refused(h) FROM unnest(ARRAY['null', '5', '"100, 1"', '{}', '{"100": 1}', '[]', '[100]', '[100, 1, 101]', '[312, 1]', '[-1, 1]',
	'[100, 0]', '[100, -1]', '[100, 1, 100, 1]', '[101, 1, 100, 1]', '[100, 1.5]', '[100.5, 1]', '[100, "1"]', '[100, null]', '[[100, 1]]',
	'[[100], [1]]', '[100, 29562089861714026]', '[100, 9223372036854775807]', '[100, 1e30]', '[1e300, 1]', '[true, 1]']) h;
SELECT refused((SELECT jsonb_agg(1) FROM generate_series(1, 626))::text) AS too_long;
SELECT refused((SELECT jsonb_agg(CASE i % 2 WHEN 0 THEN i / 2 ELSE 1 END ORDER BY i) FROM generate_series(0, 623) i)::text) AS all_buckets;
SELECT labels ->> 'user' AS "user", cardinality(histogram) AS length FROM perfkit.performance_log
WHERE metric = 'pool_query_seconds' AND labels ->> 'user' IN ('eve', 'mallory') OR metric = 'pool_fine' ORDER BY 1;
DROP FUNCTION refused;
\set VERBOSITY default

-- a day that has no partition gets one, if it would not be dropped at once
SELECT perfkit.log_pooler(:run, 13, 'west', 86400 + 3600, '[["pool_old", {}, 1]]');
SELECT perfkit.log_pooler(:run, 14, 'west', 3 * 86400, '[["pool_older", {}, 1]]');
SELECT metric, logged_at < now() - interval '1 day' AS when_measured FROM perfkit.performance_log WHERE metric LIKE 'pool_old%';

-- runs that have been silent for a week are forgotten
UPDATE perfkit.pooler SET logged_at = now() - interval '8 days';
SELECT perfkit.log_pooler(:run, 15, 'east', 0, '[]');
SELECT name, batch FROM perfkit.pooler;

-- members of pg_monitor may call it, and none may touch the tables
CREATE ROLE regress_perfkit_pooler;
SET ROLE regress_perfkit_pooler;
SELECT perfkit.log_pooler(:run, 15, 'east', 0, '[]');
RESET ROLE;
GRANT pg_monitor TO regress_perfkit_pooler;
SET ROLE regress_perfkit_pooler;
SELECT perfkit.log_pooler(:run, 16, 'east', 0, '[["pool_by_monitor", {}, 1]]');
INSERT INTO perfkit.pooler VALUES (:run, 'x', 1, now());
SELECT perfkit._room_for_metrics(now());
RESET ROLE;
DROP ROLE regress_perfkit_pooler;
SELECT value FROM perfkit.performance_log WHERE metric = 'pool_by_monitor';
DELETE FROM perfkit.performance_log WHERE source = 'pooler';
DELETE FROM perfkit.performance_rollup WHERE source = 'pooler';
