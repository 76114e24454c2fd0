--
-- status: names, and the equation that holds at rest.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

SELECT name FROM perfkit.status;
SET perfkit.slow_query_threshold = 0;
SELECT 'captured' AS x;
SELECT 1 / 0;
SET perfkit.slow_query_threshold = -1;
SET perfkit.log_errors = off;
SELECT pg_temp.flush();

-- captured = stored + pending + every dropped_*
SELECT sum(CASE WHEN name = 'captured' THEN value ELSE -value END) AS difference,
	bool_or(name = 'captured' AND value > 0) AS something
FROM perfkit.status
WHERE name IN ('captured', 'stored', 'pending') OR name LIKE 'dropped\_%';

-- the worker, its ring, its partitions
SELECT s.name, CASE WHEN s.name = 'worker_pid'
	THEN (SELECT count(*) FROM pg_stat_activity a WHERE a.pid = s.value AND a.backend_type = 'perfkit worker' AND a.datname = current_database())
	ELSE s.value END AS value, s.detail
FROM perfkit.status s
WHERE s.name IN ('worker_pid', 'waiting_for_worker', 'unclean_starts', 'ring_size_bytes', 'ring_used_bytes', 'configuration_warnings', 'flush_errors');
SELECT name, value >= 2 AS ahead FROM perfkit.status WHERE name LIKE '%\_partitions' AND name NOT LIKE '%hour%' ORDER BY name;

-- the worker's own statements are not captured
SELECT count(*) FROM perfkit.slow_query_log l
WHERE l.pid = (SELECT value FROM perfkit.status WHERE name = 'worker_pid');

