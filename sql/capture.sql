--
-- Statements that succeed: one row each, with the right tag, rows and text.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

CREATE TABLE capture_t (a int, b text);
CREATE FUNCTION capture_f(n int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT count(*) FROM capture_t WHERE a <= n);
END $$;
CREATE PROCEDURE capture_p() LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO capture_t VALUES (1000, 'committed inside');
	COMMIT;
	INSERT INTO capture_t VALUES (1001, 'rolled back inside');
	ROLLBACK;
END $$;

SET application_name = 'capture';
SET perfkit.slow_query_threshold = 0;

INSERT INTO capture_t SELECT g, 'row ' || g FROM generate_series(1, 100) g;
SELECT count(*) FROM capture_t;
UPDATE capture_t SET b = upper(b) WHERE a <= 10;
DELETE FROM capture_t WHERE a > 90;
MERGE INTO capture_t t USING (VALUES (1), (500)) v(a) ON t.a = v.a
	WHEN MATCHED THEN UPDATE SET b = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (v.a, 'new');
TABLE capture_t LIMIT 0;
INSERT INTO capture_t VALUES (200, 'x'), (201, 'y') RETURNING a;

-- several in one message: each alone
SELECT 'one' AS x \; SELECT 'two' AS x \; SELECT 'three' AS x;

-- utility statements
COPY capture_t FROM stdin;
300	copied
301	copied
\.
CREATE MATERIALIZED VIEW capture_mv AS SELECT a FROM capture_t WHERE a < 50;
REFRESH MATERIALIZED VIEW capture_mv;
CREATE TABLE capture_as AS SELECT a FROM capture_t WHERE a < 20;
DO $$ BEGIN PERFORM capture_f(5); END $$;
CALL capture_p();
PREPARE capture_prepared(int) AS SELECT b FROM capture_t WHERE a = $1;
EXECUTE capture_prepared(2);
EXPLAIN (COSTS OFF) SELECT 'never executed';
\o /dev/null
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT 'executed by explain';
\o

-- cursors: each FETCH is a statement, the query behind it is not
BEGIN;
DECLARE capture_c CURSOR FOR SELECT a FROM capture_t ORDER BY a;
FETCH 2 FROM capture_c;
FETCH 3 FROM capture_c;
MOVE 1 FROM capture_c;
CLOSE capture_c;
COMMIT;

-- errors inside, caught: the statement succeeds, and that is all
DO $$ BEGIN PERFORM 1 / (SELECT 0); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
SELECT capture_f(5);

SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT command_tag, rows, outcome, reason, nesting_level AS level, regexp_replace(query, '\s+', ' ', 'g') AS query
FROM perfkit.slow_query_log
WHERE application_name = 'capture' AND command_tag NOT IN ('SET', 'RESET')
ORDER BY sequence;

-- what holds for every row
SELECT count(*) FILTER (WHERE started_at > ended_at) AS time_runs_backwards,
	count(*) FILTER (WHERE duration_ms < coalesce(planning_ms, 0) + execution_ms + coalesce(commit_ms, 0) - 0.001) AS parts_exceed_whole,
	count(*) FILTER (WHERE extract(epoch FROM ended_at - started_at) * 1000 < duration_ms - 1) AS more_than_wall,
	count(*) FILTER (WHERE queryid IS NULL) AS no_queryid,
	count(*) FILTER (WHERE database <> current_database() OR username <> current_user OR userid <> current_user::regrole) AS wrong_who,
	count(*) FILTER (WHERE pid <> pg_backend_pid()) AS wrong_pid,
	count(*) FILTER (WHERE sqlstate IS NOT NULL OR message IS NOT NULL) AS errors,
	count(*) - count(DISTINCT id) AS ids_twice
FROM perfkit.slow_query_log WHERE application_name = 'capture';

-- counters: the INSERT wrote WAL and dirtied blocks, its commit took time
SELECT wal_records > 0 AS wal, wal_bytes > 0 AS bytes, shared_blks_hit > 0 AS hit, commit_ms > 0 AS commit
FROM perfkit.slow_query_log WHERE application_name = 'capture' AND query LIKE 'INSERT INTO capture_t SELECT%';
-- COMMIT after BEGIN has its own, whatever the transaction did
SELECT commit_ms >= 0 AS commit FROM perfkit.slow_query_log WHERE application_name = 'capture' AND command_tag = 'COMMIT';

-- track = all: statements inside, with their parents
SET application_name = 'capture all';
SET perfkit.track = 'all';
SET perfkit.slow_query_threshold = 0;
SELECT capture_f(7);
SET perfkit.slow_query_threshold = -1;
RESET perfkit.track;
RESET application_name;
SELECT pg_temp.flush();
SELECT inner_.nesting_level, inner_.command_tag, inner_.query, outer_.nesting_level AS parent_level, outer_.query AS parent
FROM perfkit.slow_query_log inner_ LEFT JOIN perfkit.slow_query_log outer_ ON outer_.id = inner_.parent_id
WHERE inner_.application_name = 'capture all' AND inner_.command_tag <> 'SET' ORDER BY inner_.id;

-- track = none, track_utility = off
SET application_name = 'capture none';
SET perfkit.slow_query_threshold = 0;
SET perfkit.track_utility = off;
DO $$ BEGIN NULL; END $$;
SELECT 'still seen' AS x;
SET perfkit.track = 'none';
SELECT 'not seen' AS x;
SELECT 1 / 0;
RESET perfkit.track;
RESET perfkit.track_utility;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT command_tag, query FROM perfkit.slow_query_log
WHERE application_name = 'capture none' AND command_tag <> 'SET' ORDER BY sequence;

-- long texts are cut at a character, and counted
SELECT value AS truncated_before FROM perfkit.status WHERE name = 'truncated_query' \gset
SET application_name = 'capture long';
SET perfkit.max_query_size = '128B';
SET perfkit.slow_query_threshold = 0;
SELECT 'äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöü' = '' AS x;
SET perfkit.slow_query_threshold = -1;
RESET perfkit.max_query_size;
RESET application_name;
SELECT pg_temp.flush();
SELECT octet_length(query), length(query), query FROM perfkit.slow_query_log
WHERE application_name = 'capture long' AND command_tag = 'SELECT';
SELECT value > :truncated_before AS counted FROM perfkit.status WHERE name = 'truncated_query';

DROP MATERIALIZED VIEW capture_mv;
DROP TABLE capture_t, capture_as;
DROP FUNCTION capture_f(int);
DROP PROCEDURE capture_p();
