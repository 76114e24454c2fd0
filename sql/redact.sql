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
-- quotes that are none, or of another kind
CREATE ROLE "regress_perfkit_o'brien" PASSWORD 'hunter2';
DROP ROLE "regress_perfkit_o'brien";
CREATE ROLE "regress_perfkit_o'brien" PASSWORT 'hunter2 password';
SELECT 1 AS "it's" /* it's /* isn't */ */, 'password=hunter2' AS y -- it's
;
DO $$ BEGIN PERFORM E'it\'s'; ALTER ROLE regress_perfkit_r PASSWORD 'hunter2'; END $$;
DO $$ BEGIN EXECUTE E'ALTER ROLE regress_perfkit_r PASSWORD \'hunter2\''; END $$;
DO 'BEGIN EXECUTE ''ALTER ROLE regress_perfkit_r PASSWORD ''''hunter2''''''; END';
ALTER ROLE regress_perfkit_r PASSWORD 'hun'
	'ter2' VALID UNTIL '2099-01-01';
DO $$ BEGIN EXECUTE format('ALTER ROLE regress_perfkit_r PASSWORD %L', 'hunter2'); END $$;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SELECT 'it\'s' AS x, 'password=\'hunter2\'' AS y;
ALTER ROLE regress_perfkit_r PASSWORD 'it\'s hunter2';
RESET escape_string_warning;
RESET standard_conforming_strings;
-- values of connection strings may hold anything
SELECT 'host=h password=#hunter2' AS x, 'password=p&hunter2' AS y, 'password = hunter2' AS z;
SELECT 'password=''hun ter2'' user=u' AS x, 'password=''it\''s hunter2''' AS y;
SELECT 'postgres://u@h/d?password=hunter2&user=u' AS x;
-- messages
SELECT 'host=h password=hunter2'::int;
SELECT 'postgres://u:hunter2@h/d'::int;
DO $$ BEGIN RAISE EXCEPTION 'can''t: %', concat('ALTER ROLE r PASSWORD ''', 'hunt', 'er2', ''''); END $$;
DO $$ BEGIN EXECUTE concat('ALTER ROLE regress_perfkit_r PASSWORD ', 'hunt', 'er2'); END $$;
-- made by expressions: only the statement that is built has the password, and it has its own row
SET perfkit.track = 'all';
DO $$ DECLARE s text := 'hunt' || 'er2'; BEGIN EXECUTE format('ALTER ROLE regress_perfkit_r PASSWORD %L', s); END $$;
DO $$ DECLARE s text := E'hun\\t\'' || 'er2'; BEGIN EXECUTE 'ALTER ROLE regress_perfkit_r PASSWORD ' || quote_literal(s); END $$;
DO $$ DECLARE s text := 'hunt' || 'er2'; BEGIN EXECUTE format('ALTER ROLE regress_perfkit_nobody PASSWORD %L', s); END $$;
DO $$ DECLARE s text := 'hunt' || 'er2'; BEGIN EXECUTE format('SELECT length(%L)', 'host=h password=' || s); END $$;
SET perfkit.track = 'top';
-- nothing to hide
CREATE TEMP TABLE regress_perfkit_u (name text, password text);
SELECT name FROM regress_perfkit_u WHERE password=name AND name = 'x';
UPDATE regress_perfkit_u SET password = md5(name) WHERE name = 'x' AND "password" = 'hunter2';
SELECT 'password' AS password, 1 AS x;
SELECT 'a' AS password_hint WHERE 'x' <> 'password is required';
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT query, message FROM perfkit.slow_query_log
WHERE application_name = 'redact' AND command_tag IS DISTINCT FROM 'SET' ORDER BY sequence;
-- (nothing of them is left)
SELECT count(*) AS leaks FROM perfkit.slow_query_log l
WHERE application_name = 'redact' AND (to_jsonb(l)::text ~ 'hunter|ter2' OR query ~ '4711' OR message ~ '4711');
SELECT jsonb_path_query_first(plan, '$.**.Filter') AS filter FROM perfkit.slow_query_log
WHERE application_name = 'redact' AND query LIKE '%regress_perfkit_u %WHERE%' ORDER BY sequence;
SELECT count(*) AS leaks FROM perfkit.statements WHERE query ~ 'hunter|ter2|4711';
-- wherever the text is cut
SET application_name = 'redact cut';
SET perfkit.max_query_size = '1kB';
SET perfkit.track = 'all';
SET perfkit.slow_query_threshold = 0;
DO $$ BEGIN
	FOR n IN 960..1020 LOOP
		EXECUTE format('SELECT %L AS x, ''postgres://u:hunter2@h'' AS y, ''password=hunter2'' AS z', repeat('x', n));
	END LOOP;
END $$;
SET perfkit.slow_query_threshold = -1;
RESET perfkit.track;
RESET perfkit.max_query_size;
RESET application_name;
SELECT pg_temp.flush();
SELECT count(*) AS statements, count(*) FILTER (WHERE length(query) > 1024) AS long,
	count(*) FILTER (WHERE query ~ ':\*\*\*@') AS masked, count(*) FILTER (WHERE query ~ 'u:h|word=h') AS leaks
FROM perfkit.slow_query_log WHERE application_name = 'redact cut' AND nesting_level = 1;
DROP ROLE regress_perfkit_r;
