--
-- Statements inside functions that fail before they are executed: with track = all each has its row,
-- whether anybody catches its error or not.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql
\set VERBOSITY terse
SET perfkit.slow_query_threshold = 0;
SET perfkit.track = 'all';
SET application_name = 'nested';
-- syntax; caught or not
DO $$ BEGIN EXECUTE 'selct 1'; END $$;
DO $$ BEGIN EXECUTE 'selct 2'; EXCEPTION WHEN OTHERS THEN PERFORM 'caught'; END $$;
-- analysis, planning, execution, a utility statement
DO $$ BEGIN EXECUTE 'SELECT * FROM nope'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN PERFORM nope FROM pg_class; END $$;
DO $$ BEGIN EXECUTE 'SELECT 1 / 0 AS folded'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN EXECUTE 'SELECT 1 / i FROM generate_series(0, 0) i'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ BEGIN EXECUTE 'DROP TABLE nope'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
-- in a function, for each row; in a trigger; deeper; while the client's statement is planned
CREATE FUNCTION nested_run(t text) RETURNS int LANGUAGE plpgsql AS
	$$ BEGIN EXECUTE t; RETURN 1; EXCEPTION WHEN syntax_error THEN RETURN 0; END $$;
SELECT nested_run('selct ' || i) FROM generate_series(3, 4) i;
SELECT nested_run('SELECT 1 / i FROM generate_series(0, 1) i');
CREATE TABLE nested_t (a int);
CREATE FUNCTION nested_trigger() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN EXECUTE 'selct ' || TG_WHEN; RETURN NULL; END $$;
CREATE TRIGGER a AFTER INSERT ON nested_t EXECUTE FUNCTION nested_trigger();
INSERT INTO nested_t VALUES (1);
COPY nested_t FROM STDIN;
1
\.
DO $$ BEGIN EXECUTE $x$DO 'BEGIN EXECUTE ''selct 5''; EXCEPTION WHEN OTHERS THEN NULL; END'$x$; END $$;
ALTER FUNCTION nested_run IMMUTABLE;
SELECT nested_run('selct 6');
-- a password in what does not parse
DO $$ BEGIN EXECUTE 'ALTER ROLE nobody PASSWORD ''sesame'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
-- no statement of their own: the block, a part of EXPLAIN, an error made up
DO $$ BEGIN selct 7; END $$;
EXPLAIN SELECT 1 / 0;
DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'syntax_error', MESSAGE = 'made up'; END $$;
CREATE FUNCTION nested_bad() RETURNS int LANGUAGE sql AS 'selct ''8''';
-- with track = top the client's statement alone
SET perfkit.track = 'top';
DO $$ BEGIN EXECUTE 'selct 9'; END $$;
SET perfkit.track = 'none';
SELECT pg_temp.flush();
SELECT l.nesting_level AS level, l.outcome, l.sqlstate, l.queryid IS NOT NULL AS id, l.query, l.message, left(p.query, 40) AS inside_of
FROM perfkit.slow_query_log l LEFT JOIN perfkit.slow_query_log p ON p.id = l.parent_id
WHERE l.application_name = 'nested' AND (l.nesting_level > 0 OR l.outcome <> 'ok') ORDER BY l.id;
DROP TABLE nested_t;
DROP FUNCTION nested_run, nested_trigger;
