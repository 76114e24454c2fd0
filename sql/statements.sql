--
-- Statement statistics as one session sees them: what counts as what, and who may see whose.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

SET perfkit.slow_query_threshold = -1;
CREATE ROLE regress_perfkit_ann;
CREATE ROLE regress_perfkit_dba;
GRANT pg_read_all_stats TO regress_perfkit_dba;
SELECT perfkit.reset_statements();

-- successes, failures, rows, constants
SELECT g FROM generate_series(1, 3) g;
SELECT g FROM generate_series(1, 7) g;
SELECT 10 / (g - 2) AS quotient FROM generate_series(1, 3) g;
SELECT 10 / (g - 5) AS quotient FROM generate_series(1, 3) g;
SELECT 10 / (g * 0) AS never FROM generate_series(3, 4) g;
SELECT nothing_there;
CREATE TEMP TABLE t (a int);
INSERT INTO t SELECT generate_series(1, 20);
UPDATE t SET a = a + 1 WHERE a > 10;
COPY t TO '/dev/null';
BEGIN;
DECLARE c CURSOR FOR SELECT a FROM t ORDER BY a;
FETCH 2 FROM c;
MOVE 3 FROM c;
COMMIT;
PREPARE p AS SELECT a FROM t WHERE a = $1 OR a = 17;
EXECUTE p (1);
EXECUTE p (12);
DEALLOCATE p;
CREATE ROLE regress_perfkit_secret PASSWORD 'do not tell';
DROP ROLE regress_perfkit_secret;
-- (what of utility statements counts as a constant, and where a prepared one begins, has changed over the versions)
SELECT calls, errors, rows, toplevel, regexp_replace(regexp_replace(query, '^PREPARE p AS ', ''), '^(FETCH|MOVE|DEALLOCATE|DECLARE).*', '\1 ...') AS query
FROM perfkit.statements
WHERE query NOT LIKE '%perfkit.%' AND query !~ '^(RE)?SET' ORDER BY 5 USING ~<~;

-- what is computed where there is no success, and where there is one
SELECT calls, errors, mean_exec_time, min_exec_time, p50_exec_time, p99_exec_time, total_exec_time, total_error_time > 0 AS took
FROM perfkit.statements WHERE query LIKE '%nothing_there' OR query LIKE '%AS never%';
SELECT calls, mean_exec_time = total_exec_time AND min_exec_time = max_exec_time AND p50_exec_time = max_exec_time
	AND p999_exec_time = max_exec_time AS all_the_same, stddev_exec_time, total_exec_time > 0 AS took
FROM perfkit.statements WHERE query = 'INSERT INTO t SELECT generate_series($1, $2)';

-- inside functions, once they are tracked
CREATE FUNCTION pg_temp.twice() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM count(*) FROM t;
	PERFORM count(*) FROM t;
END $$;
SELECT pg_temp.twice();
SET perfkit.track = 'all';
SELECT pg_temp.twice();
SELECT count(*) FROM t;
SET perfkit.track = 'none';
SELECT count(*) FROM t;
RESET perfkit.track;
SELECT calls, toplevel, query FROM perfkit.statements
WHERE query LIKE '%twice()' OR query LIKE 'SELECT count(*) FROM t' ORDER BY 3 USING ~<~, 2;
SET perfkit.track_statements = off;
SELECT count(*) FROM t;
RESET perfkit.track_statements;
SET perfkit.track_utility = off;
COPY t TO '/dev/null';
RESET perfkit.track_utility;
SELECT calls, query FROM perfkit.statements WHERE toplevel AND query IN ('COPY t TO ''/dev/null''', 'SELECT count(*) FROM t') ORDER BY query USING ~<~;

-- ann sees that others have worked, not what
SELECT 'of the superuser' AS secret;
SET ROLE regress_perfkit_ann;
SELECT 'of ann' AS secret;
SELECT username = current_user AS mine, calls, query FROM perfkit.statements
WHERE query LIKE '%AS secret' OR queryid = (SELECT max(queryid) FROM perfkit.statements WHERE query LIKE '%AS secret') ORDER BY 1;
SELECT count(*) FROM perfkit.statements WHERE username <> current_user AND query <> '<insufficient privilege>';
SELECT perfkit.reset_statements();
RESET ROLE;
SET ROLE regress_perfkit_dba;
SELECT username = 'regress_perfkit_ann' AS of_ann, calls, query FROM perfkit.statements WHERE query LIKE '%AS secret' ORDER BY 1;
RESET ROLE;

-- reset by role and by statement
SELECT perfkit.reset_statements('regress_perfkit_ann');
SELECT count(*) FROM perfkit.statements WHERE username = 'regress_perfkit_ann';
SELECT perfkit.reset_statements(queryid => queryid) FROM perfkit.statements WHERE query LIKE '%AS secret';
SELECT count(*) FROM perfkit.statements WHERE query LIKE '%AS secret';
SELECT count(*) > 5 AS others_stay FROM perfkit.statements;
SELECT perfkit.reset_statements('nobody of this name');
SELECT perfkit.reset_statements(database => 'no database of this name');
SELECT perfkit.reset_statements();
SELECT count(*) FROM perfkit.statements WHERE query NOT LIKE 'SELECT perfkit.reset%';
DROP ROLE regress_perfkit_ann;
DROP ROLE regress_perfkit_dba;
