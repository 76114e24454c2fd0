--
-- Who sees what of whose statements.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

CREATE ROLE regress_perfkit_alice;
CREATE ROLE regress_perfkit_bob;
CREATE ROLE regress_perfkit_dba;
GRANT pg_read_all_stats TO regress_perfkit_dba;

SET application_name = 'masking';
SET perfkit.slow_query_threshold = 0;
SET ROLE regress_perfkit_alice;
SELECT 'secret of alice' AS x;
SELECT 'secret'::int;
SET ROLE regress_perfkit_bob;
SELECT 'secret of bob' AS x;
RESET ROLE;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();

-- alice sees her own texts only
SET ROLE regress_perfkit_alice;
SELECT username, query, message, application_name FROM perfkit.slow_queries
WHERE username LIKE 'regress_perfkit%' AND command_tag = 'SELECT' ORDER BY id;
-- a function in the condition does not see the others' either
CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
	RAISE NOTICE 'saw %', $1;
	RETURN true;
END $$;
SELECT count(*) FROM perfkit.slow_queries
WHERE username = 'regress_perfkit_bob' AND command_tag = 'SELECT' AND pg_temp.leak(query);
SELECT username, query, message FROM perfkit.failed_queries WHERE username = 'regress_perfkit_alice';
SELECT query FROM perfkit.slow_query_log;
SELECT value >= 0 AS status_is_open FROM perfkit.status WHERE name = 'captured';
RESET ROLE;

-- so does bob, and what failed for alice has no message for him
SET ROLE regress_perfkit_bob;
SELECT username, outcome, sqlstate, query, message FROM perfkit.failed_queries
WHERE username = 'regress_perfkit_alice' AND sqlstate = '22P02';
RESET ROLE;

-- pg_read_all_stats sees everything
SET ROLE regress_perfkit_dba;
SELECT username, query FROM perfkit.slow_queries
WHERE username LIKE 'regress_perfkit%' AND command_tag = 'SELECT' AND outcome = 'ok' ORDER BY id;
SELECT count(*) > 0 AS table_too FROM perfkit.slow_query_log;
DELETE FROM perfkit.slow_query_log;
RESET ROLE;

DROP FUNCTION pg_temp.leak(text);
DROP ROLE regress_perfkit_alice;
DROP ROLE regress_perfkit_bob;
DROP ROLE regress_perfkit_dba;
