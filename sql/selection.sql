--
-- Which statements get a row: thresholds of roles, databases and sessions, samples, lists.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

-- ---- the threshold of a role, of a database, of a session; the narrower one counts
CREATE ROLE regress_perfkit_slow LOGIN;
CREATE ROLE regress_perfkit_fast LOGIN;
ALTER ROLE regress_perfkit_fast SET perfkit.slow_query_threshold = 0;
SELECT current_user AS me, current_database() AS db \gset
ALTER DATABASE :"db" SET perfkit.slow_query_threshold = '1h';
\c - regress_perfkit_slow
SHOW perfkit.slow_query_threshold;
SELECT 'slow role' AS threshold_test;
\c - regress_perfkit_fast
SHOW perfkit.slow_query_threshold;
SELECT 'fast role' AS threshold_test;
SET perfkit.slow_query_threshold = -1;
ALTER ROLE regress_perfkit_fast SET perfkit.slow_query_threshold = -1;
\c - :me
SHOW perfkit.slow_query_threshold;
SELECT 'database' AS threshold_test;
SET perfkit.slow_query_threshold = 0;
SELECT 'session' AS threshold_test;
SET perfkit.track = 'none';
ALTER DATABASE :"db" RESET perfkit.slow_query_threshold;
GRANT SET ON PARAMETER perfkit.slow_query_threshold TO regress_perfkit_slow;
\c - regress_perfkit_slow
SET perfkit.slow_query_threshold = 0;
SELECT 'granted' AS threshold_test;
\c - :me
\i :source/tests/regress/setup.sql
SET perfkit.track = 'none';
SELECT pg_temp.flush();
SELECT username = :'me' AS mine, query FROM perfkit.slow_query_log WHERE query LIKE '%threshold\_test' ORDER BY id;
REVOKE SET ON PARAMETER perfkit.slow_query_threshold FROM regress_perfkit_slow;

-- ---- samples of what is faster
SET perfkit.sample_rate = 1.1;
SET perfkit.sample_rate = -0.5;
SET perfkit.slow_query_threshold = '1h';
SET perfkit.track = 'top';
SET application_name = 'every';
SET perfkit.sample_rate = 1;
SELECT 'every 1';
SELECT 'every 2';
SELECT 'every 3' / 0;
SET perfkit.slow_query_threshold = 0;
SELECT 'slow';
SET perfkit.slow_query_threshold = -1;
CREATE TABLE selection_t (a int);
INSERT INTO selection_t VALUES (1);
SET perfkit.sample_rate = 0;
SELECT 'none';
SET perfkit.track = 'none';
SELECT pg_temp.flush();
SELECT reason, sample_weight, outcome, query FROM perfkit.slow_query_log WHERE application_name = 'every' ORDER BY id;

-- one in four, by chance: 2,000 throws of which 500 +- 100 (five standard deviations) succeed
CREATE FUNCTION selection_loop(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		EXECUTE 'SELECT 1 AS thrown';
	END LOOP;
END $$;
SET application_name = 'quarter';
SET perfkit.slow_query_threshold = '1h';
SET perfkit.record_rate = 0;
SET perfkit.sample_rate = 0.25;
SET perfkit.track = 'all';
SELECT selection_loop(2000);
SET perfkit.track = 'none';
SET perfkit.sample_rate = 0;
RESET perfkit.record_rate;
SELECT pg_temp.flush();
SELECT min(sample_weight), max(sample_weight), count(*) BETWEEN 400 AND 600 AS about_500,
	sum(sample_weight) BETWEEN 1600 AND 2400 AS estimates_2000
FROM perfkit.slow_query_log WHERE application_name = 'quarter' AND query = 'SELECT 1 AS thrown';

-- ---- lists of what is left out
SET perfkit.excluded_users = 'a,';
SET perfkit.excluded_applications = '"open';
SET perfkit.excluded_queryids = '1, x';
SET perfkit.excluded_queryids = '1,';
SET perfkit.excluded_queryids = '0';
SET perfkit.excluded_queryids = '99999999999999999999';
SET perfkit.excluded_queryids = ' -7 , 12 ';
SHOW perfkit.excluded_queryids;
SET perfkit.excluded_queryids = '';
SET perfkit.slow_query_threshold = 0;
SET application_name = 'selection';
SET perfkit.excluded_applications = 'pgAdmin*, selection, "with, comma"';
SET perfkit.track = 'top';
SELECT 'left out' AS app_test;
SELECT 'left out' / 0 AS app_test;
SELEKT 'left out' AS app_test;
SET application_name = 'with, comma';
SELECT 'left out' AS app_test;
SET application_name = 'pgAdmin 4 - DB:shop';
SELECT 'left out' AS app_test;
SET application_name = 'pgadmin';
SELECT 'logged' AS app_test;
SET application_name = 'selections';
SELECT 'logged' AS app_test;
SELECT 'logged' / 0 AS app_test;
SET perfkit.excluded_applications = '*';
SELECT 'left out' AS app_test;
SET perfkit.excluded_applications = '';
SET perfkit.track = 'none';
SELECT pg_temp.flush();
SELECT application_name, outcome, query FROM perfkit.slow_query_log WHERE query LIKE '%app\_test' ORDER BY id;

SET perfkit.track = 'top';
SELECT a AS id_test FROM selection_t WHERE a = 1;
SET perfkit.track = 'none';
SELECT pg_temp.flush();
SELECT set_config('perfkit.excluded_queryids', '5,' || queryid || ',6', false) IS NOT NULL AS is_set
FROM perfkit.slow_query_log WHERE query LIKE 'SELECT a AS id\_test%';
SET perfkit.track = 'top';
SELECT a AS id_test FROM selection_t WHERE a = 2;
SELECT a / 0 AS id_test FROM selection_t WHERE a = 3;
SET perfkit.track = 'none';
SELECT pg_temp.flush();
SELECT query FROM perfkit.slow_query_log WHERE query LIKE 'SELECT a%AS id\_test%' ORDER BY id;
RESET perfkit.excluded_queryids;

-- ---- plans: samples have theirs; a plan met by what is left out was not seen; what is logged for another
-- reason stands for itself
SET perfkit.slow_query_threshold = '1h';
SET application_name = 'plan test';
SET perfkit.track = 'top';
SET perfkit.log_new_plans = 'all';
SET perfkit.excluded_applications = '"plan test"';
SELECT a AS plan_test FROM selection_t WHERE a = 4;
RESET perfkit.excluded_applications;
SET perfkit.sample_rate = 0.999999;
SELECT a AS plan_test FROM selection_t WHERE a = 5;
SELECT a AS plan_test FROM selection_t WHERE a = 6;
SET perfkit.track = 'none';
RESET perfkit.sample_rate;
RESET perfkit.log_new_plans;
SELECT pg_temp.flush();
SELECT reason, sample_weight > 1 AS stands_for_more, plan_kind, plan_id IS NOT NULL AS has_id, query FROM perfkit.slow_query_log
WHERE query LIKE 'SELECT a AS plan\_test%' ORDER BY id;

-- by the role that logged in, for all sessions that have it
ALTER DATABASE :"db" SET perfkit.excluded_users = 'other, regress_perfkit_slow, "Quoted"';
ALTER DATABASE :"db" SET perfkit.slow_query_threshold = 0;
\c - regress_perfkit_slow
SELECT 'left out' AS user_test;
SELECT 'left out' / 0 AS user_test;
\c - regress_perfkit_fast
SELECT 'below' AS user_test;
SELECT 'failed' / 0 AS user_test;
\c - :me
\i :source/tests/regress/setup.sql
SET perfkit.track = 'none';
ALTER DATABASE :"db" RESET perfkit.excluded_users;
ALTER DATABASE :"db" RESET perfkit.slow_query_threshold;
SELECT pg_temp.flush();
SELECT username, outcome, query FROM perfkit.slow_query_log WHERE query LIKE '%user\_test' ORDER BY id;

-- an application can neither hide nor flood the log
SET ROLE regress_perfkit_slow;
SET perfkit.sample_rate = 1;
SET perfkit.excluded_users = 'regress_perfkit_slow';
SET perfkit.track_cpu = on;
RESET ROLE;

-- ---- CPU
SET perfkit.slow_query_threshold = 0;
SET perfkit.track = 'all';
SET application_name = 'cpu';
CREATE FUNCTION selection_burn(ms float8) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	until timestamptz := clock_timestamp() + ms * interval '1 ms';
	n int := 0;
BEGIN
	WHILE clock_timestamp() < until OR n < ms * 500 LOOP -- it may be kept from working
		n := n + 1;
	END LOOP;
	RETURN n;
END $$;
SELECT selection_burn(5) > 0 AS "cpu off";
SET perfkit.track_cpu = on;
SELECT selection_burn(200) > 0 AS "cpu on";
SELECT 1 AS "cpu outer" FROM (SELECT selection_burn(60)) x WHERE (SELECT selection_burn(60)) > 0;
SELECT pg_sleep(0.2) IS NULL AS "cpu asleep";
SET perfkit.track_cpu = off;
SET perfkit.track = 'none';
SELECT pg_temp.flush();
SELECT substring(query FROM '"(cpu \w+)"') AS what,
	cpu_user_time IS NULL AND cpu_sys_time IS NULL AS none,
	cpu_user_time + cpu_sys_time > 10 AS much,
	cpu_user_time + cpu_sys_time <= duration_ms + 20 AS no_more_than_its_time
FROM perfkit.slow_query_log WHERE application_name = 'cpu' AND query LIKE 'SELECT % "cpu%' AND nesting_level = 0 ORDER BY id;

-- ---- times of blocks are NULL, not 0, where nobody measures them; JIT's are 0 without JIT
SET track_io_timing = off;
SET application_name = 'io';
SET perfkit.track = 'top';
SELECT count(*) AS io_off FROM selection_t;
SET track_io_timing = on;
SELECT count(*) AS io_on FROM selection_t;
SET perfkit.track = 'none';
SELECT pg_temp.flush();
SELECT query, shared_blk_read_time IS NULL AS shared, temp_blk_write_time IS NULL AS temp, jit_functions, jit_emission_time
FROM perfkit.slow_query_log WHERE application_name = 'io' AND query LIKE 'SELECT count%' ORDER BY id;

DROP FUNCTION selection_loop(int), selection_burn(float8);
DROP TABLE selection_t;
DROP ROLE regress_perfkit_slow;
DROP ROLE regress_perfkit_fast;
