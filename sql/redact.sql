--
-- Passwords never reach the table.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

SET application_name = 'redact';
SET perfkit.slow_query_threshold = 0;
\set VERBOSITY terse
CREATE ROLE regress_perfkit_r PASSWORD 'hunter2';
ALTER ROLE regress_perfkit_r ENCRYPTED PASSWORD 'it''s hunter2';
ALTER USER regress_perfkit_r WITH password /* note */ E'hun\'ter2' VALID UNTIL '2099-01-01';
ALTER ROLE regress_perfkit_r PASSWORD $pw$hunter2$pw$;
ALTER ROLE regress_perfkit_r PASSWORD U&'hunter\0032';
ALTER ROLE regress_perfkit_r PASSWORD '';
ALTER ROLE regress_perfkit_r PASSWORD NULL;
DO $$ BEGIN EXECUTE 'ALTER ROLE regress_perfkit_r PASSWORD ''hunter2'''; END $$;
DO $x$ BEGIN ALTER ROLE regress_perfkit_r PASSWORD 'hunter2'; END $x$;
-- statements that fail
ALTER ROLE regress_perfkit_nobody PASSWORD 'hunter2';
CREATE ROLE regress_perfkit_x PASSWORT 'hunter2 password';
CREATE ROLE regress_perfkit_x PASSWORD hunter2;
CREATE ROLE regress_perfkit_x PASSWORD 'hunter2;
';
SELECT 'password', 'hunter2' FORM nowhere WHERE pin = 4711;
-- connection strings
SELECT 'host=h user=u password=hunter2 dbname=d' AS x;
SELECT 'host=h password=''hunter2'' user=u' AS x;
SELECT 'postgresql://u:hunter2@h/d' AS x, 'postgres://u@h/d' AS y;
-- made by expressions: only the statement that is built has the password, and it has its own row
SET perfkit.track = 'all';
DO $$ DECLARE s text := 'hunt' || 'er2'; BEGIN EXECUTE format('ALTER ROLE regress_perfkit_r PASSWORD %L', s); END $$;
DO $$ DECLARE s text := E'hun\\t\'' || 'er2'; BEGIN EXECUTE 'ALTER ROLE regress_perfkit_r PASSWORD ' || quote_literal(s); END $$;
DO $$ DECLARE s text := 'hunt' || 'er2'; BEGIN EXECUTE format('ALTER ROLE regress_perfkit_nobody PASSWORD %L', s); END $$;
DO $$ DECLARE s text := 'hunt' || 'er2'; BEGIN EXECUTE format('SELECT length(%L)', 'host=h password=' || s); END $$;
SET perfkit.track = 'top';
-- nothing to hide
SELECT 'password' AS password, 1 AS x;
SELECT 'a' AS password_hint WHERE 'x' <> 'password is required';
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT query, message FROM perfkit.slow_query_log
WHERE application_name = 'redact' AND command_tag IS DISTINCT FROM 'SET' ORDER BY sequence;
-- (nothing of them is left)
SELECT count(*) AS leaks FROM perfkit.slow_query_log
WHERE application_name = 'redact' AND (query ~ 'hunter|ter2|4711' OR message ~ 'hunter|ter2|4711');
DROP ROLE regress_perfkit_r;
