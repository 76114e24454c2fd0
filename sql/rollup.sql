--
-- Roll-ups: each row counts once, whenever it comes, and every level says the same.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS perfkit;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT date_trunc('day', now()) AS day \gset

-- as the worker and applications write them; the worker may roll up at any time, too
CREATE FUNCTION note(at timestamptz, label text, value double precision, histogram bigint[] DEFAULT NULL) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO perfkit.performance_log (logged_at, source, metric, labels, value, histogram)
	SELECT at, 'application', 'rollup_seconds', jsonb_build_object('l', label), value, histogram
$$;
CREATE FUNCTION roll_up() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM perfkit._roll_up(); END $$;

-- what the rows themselves say
CREATE VIEW direct AS
SELECT date_bin(s, logged_at, '2000-01-01 00:00:00+00') AS bucket, s AS step, labels, count(*) AS n, sum(value)::numeric AS sum,
	min(value) AS min, max(value) AS max, (array_agg(value ORDER BY logged_at DESC))[1] AS last
FROM perfkit.performance_log, unnest('{1 minute,1 hour}'::interval[]) s
WHERE metric = 'rollup_seconds' GROUP BY 1, 2, 3;
CREATE VIEW rolled AS
SELECT bucket, step, labels, n, sum::numeric, min, max, last
FROM perfkit.performance_rollup WHERE metric = 'rollup_seconds';
CREATE VIEW wrong AS
(SELECT * FROM direct EXCEPT ALL SELECT * FROM rolled) UNION ALL (SELECT * FROM rolled EXCEPT ALL SELECT * FROM direct);

SELECT note(:'day'::timestamptz + make_interval(secs => i * 7), (i % 3)::text, i % 11) FROM generate_series(0, 999) i \g /dev/null
SELECT roll_up();
SELECT step, count(*) AS rows, sum(n) AS n FROM rolled GROUP BY step ORDER BY step;
SELECT count(*) AS wrong FROM wrong;

-- again: nothing is counted twice
SELECT roll_up();
SELECT count(*) AS wrong FROM wrong;

-- late rows, into buckets that are there and buckets that are not
SELECT note(:'day'::timestamptz + interval '10 seconds', '1', 100), note(:'day'::timestamptz + interval '59.9 seconds', '1', -100),
	note(:'day'::timestamptz + interval '10 hours', 'late', 1);
SELECT roll_up();
SELECT count(*) AS wrong FROM wrong;
SELECT n, sum, min, max, last FROM rolled WHERE bucket = :'day' AND step = '1 minute' AND labels = '{"l": "1"}';

-- rows of this transaction are for the next time
BEGIN;
SELECT note(:'day', 'open', 1);
SELECT roll_up();
SELECT count(*) FROM rolled WHERE labels = '{"l": "open"}';
COMMIT;
SELECT roll_up();
SELECT count(*) AS wrong FROM wrong;

-- what was rolled back never was
BEGIN;
SELECT note(:'day', 'aborted', 1);
ROLLBACK;
SELECT roll_up();
SELECT count(*) AS wrong FROM wrong;

-- each level, and what has not been rolled up: performance() gives the same
SELECT note(:'day'::timestamptz + interval '90 minutes', 'late', 7);
SELECT s.step, count(*) AS wrong FROM unnest('{1 second,10 seconds,1 minute,90 seconds,1 hour,2 hours,1 day}'::interval[]) s(step)
CROSS JOIN LATERAL (
	(SELECT bucket, labels, n, sum::numeric, min, max, last FROM perfkit.performance('rollup_seconds', :'day', 'infinity', s.step))
	EXCEPT ALL
	(SELECT date_bin(s.step, logged_at, '2000-01-01 00:00:00+00'), labels, count(*), sum(value)::numeric, min(value), max(value),
		(array_agg(value ORDER BY logged_at DESC))[1]
	FROM perfkit.performance_log WHERE metric = 'rollup_seconds' GROUP BY 1, 2)
) x GROUP BY 1;
SELECT count(*), sum(n) FROM perfkit.performance('rollup_seconds', :'day', 'infinity', '1 second');
SELECT count(*), sum(n) FROM perfkit.performance('rollup_seconds', :'day', 'infinity', '1 day');

-- once the rows are gone minutes are read, then hours
SELECT roll_up();
DELETE FROM perfkit.performance_log WHERE metric = 'rollup_seconds';
SELECT sum(n), sum(sum), min(min), max(max) FROM perfkit.performance('rollup_seconds', :'day', 'infinity', '1 second');
SELECT sum(n), sum(sum), min(min), max(max) FROM perfkit.performance('rollup_seconds', :'day', 'infinity', '1 minute');
DELETE FROM perfkit.performance_rollup WHERE metric = 'rollup_seconds' AND step = '1 minute';
SELECT sum(n), sum(sum), min(min), max(max) FROM perfkit.performance('rollup_seconds', :'day', 'infinity', '1 minute');
SELECT count(*) FROM perfkit.performance('rollup_seconds', :'day', :'day', '1 minute');
DELETE FROM perfkit.performance_rollup WHERE metric = 'rollup_seconds';

-- durations: quantiles of all of them, not means of quantiles
SELECT note(:'day'::timestamptz, 'd', 1, '{100,90,200,10}'), note(:'day'::timestamptz + interval '1 minute', 'd', 1, '{200,10,300,1}');
SELECT roll_up();
SELECT histogram FROM perfkit.performance_rollup WHERE metric = 'rollup_seconds' AND step = '1 hour';
SELECT perfkit._histogram_quantile('{100,90,200,20,300,1}', 0.5) BETWEEN perfkit._bucket_start(100) AND perfkit._bucket_start(101) AS p50,
	perfkit._histogram_quantile('{100,90,200,20,300,1}', 0.95) BETWEEN perfkit._bucket_start(200) AND perfkit._bucket_start(201) AS p95,
	perfkit._histogram_quantile('{}', 0.5) AS none;
INSERT INTO perfkit.performance_log (logged_at, source, metric, value) VALUES (:'day', 'application', 'rollup_p95_seconds', 0.1);
UPDATE perfkit.performance_log SET labels = '{"l": "d"}' WHERE metric = 'rollup_p95_seconds';
SELECT value = perfkit._histogram_quantile('{100,90,200,20,300,1}', 0.95) / 1000 AS of_all, n, last
FROM perfkit.performance('rollup_p95_seconds', :'day', 'infinity', '1 hour');
-- any quantile, also one that nobody logs; of what has no histogram there is none
SELECT bucket = :'day' AS bucket, labels, value = perfkit._histogram_quantile('{100,90,200,20,300,1}', 0.999) / 1000 AS of_all, n, sum, last
FROM perfkit.performance('rollup_p999_seconds', :'day', 'infinity', '1 hour');
SELECT count(*) FROM perfkit.performance('rollup_p999_seconds', :'day', 'infinity', '1 minute');
SELECT perfkit.log_metric('plain_seconds', 1);
SELECT count(*) FROM perfkit.performance('plain_p95_seconds');
DELETE FROM perfkit.performance_log WHERE metric = 'plain_seconds';
SELECT perfkit._histogram_plus('{1}', '{}');
SELECT perfkit._histogram_plus('{312,1}', '{}');
SELECT perfkit._histogram_plus('{1,-1}', '{}');
DELETE FROM perfkit.performance_log WHERE metric LIKE 'rollup\_%';
SELECT roll_up();
DELETE FROM perfkit.performance_rollup WHERE metric LIKE 'rollup\_%';

-- a row of a day without a partition stops nothing
SELECT perfkit._rollup_room('1 minute', '2001-01-01'), perfkit._rollup_room('1 hour', '2001-01-01'),
	perfkit._rollup_room('1 minute', :'day'), perfkit._rollup_room('1 hour', :'day'), perfkit._rollup_room('1 hour', :'day'::timestamptz + interval '23.9 hours');

-- it is for those who may see statistics
CREATE ROLE regress_perfkit_reader;
SET ROLE regress_perfkit_reader;
SELECT count(*) FROM perfkit.performance('cpu_ratio');
RESET ROLE;
GRANT pg_read_all_stats TO regress_perfkit_reader;
SET ROLE regress_perfkit_reader;
SELECT count(*) FROM perfkit.performance('no_such_metric');
SELECT perfkit._roll_up();
RESET ROLE;
DROP ROLE regress_perfkit_reader;
DROP VIEW wrong, rolled, direct;
DROP FUNCTION note, roll_up;

-- labels as Prometheus wants them
SELECT perfkit._metric_labels('server', jsonb_build_object('a', E'x"y\\z\nw', 'b', 1));
