--
-- Statements that fail: exactly one row each, whatever the stage, told apart by outcome.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

CREATE TABLE failure_t (a int PRIMARY KEY, b int CHECK (b > 0));
INSERT INTO failure_t VALUES (1, 1);
CREATE TABLE failure_deferred (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION failure_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'refused by trigger' USING ERRCODE = 'P4242';
END $$;
CREATE TABLE failure_after (a int);
CREATE TRIGGER failure_after AFTER INSERT ON failure_after FOR EACH ROW EXECUTE FUNCTION failure_trigger();

SET application_name = 'failure';
SET perfkit.slow_query_threshold = -1;
\set VERBOSITY terse

-- before the executor
SELEC 1;
SELECT * FROM failure_nowhere;
SELECT 1 / 0;
SELECT failure_nothing();
-- in it
SELECT 1 / (a - 1) FROM failure_t;
INSERT INTO failure_t VALUES (1, 1);
INSERT INTO failure_t VALUES (2, -1);
INSERT INTO failure_after VALUES (1);
-- utility statements
COPY failure_t FROM stdin;
bad	line
\.
DO $$ BEGIN RAISE EXCEPTION 'from a block'; END $$;
-- the SQLSTATE alone does not say that this server's client is gone, nor that its standby was in the way
DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '08006'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'no such connection' USING ERRCODE = '08003'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'dropped' USING ERRCODE = '57P04'; END $$;
CALL failure_nothing();
DROP TABLE failure_nowhere;
-- at commit
INSERT INTO failure_deferred VALUES (1), (1);
BEGIN;
INSERT INTO failure_deferred VALUES (2), (2);
COMMIT;
-- after an error in a block
BEGIN;
SELECT 1 / 0;
SELECT 'ignored';
ROLLBACK;
-- timeouts
SET statement_timeout = '20ms';
SELECT pg_sleep(60);
DO $$ BEGIN PERFORM pg_sleep(60); END $$;
BEGIN;
DECLARE failure_c CURSOR FOR SELECT pg_sleep(60);
FETCH ALL FROM failure_c;
ROLLBACK;
RESET statement_timeout;
-- a message with several statements: the rest of it is not the failed one's
SELECT 'first' AS x \; SELECT * FROM failure_nowhere_2 \; SELECT 'third' AS x;

RESET application_name;
SELECT pg_temp.flush();
SELECT outcome, sqlstate, command_tag, rows, queryid IS NOT NULL AS has_id, reason,
	query, message
FROM perfkit.slow_query_log WHERE application_name = 'failure' ORDER BY sequence;

-- the failed twin has the queryid of the successful one
SET application_name = 'failure twin';
SET perfkit.slow_query_threshold = 0;
SELECT 10 / b FROM failure_t WHERE a = 1;
SELECT 10 / (b - 1) FROM failure_t WHERE a = 1;
SELECT 20 / (b - 0) FROM failure_t WHERE a = 1;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT l.outcome, count(failed.id) AS failed_twins
FROM perfkit.slow_query_log l
LEFT JOIN perfkit.slow_query_log failed
	ON failed.queryid = l.queryid AND failed.application_name = l.application_name AND failed.outcome = 'error'
WHERE l.application_name = 'failure twin' AND l.command_tag = 'SELECT'
GROUP BY l.sequence, l.outcome ORDER BY l.sequence;

-- durations of what timed out are those of the timeout
SELECT count(*) AS too_short FROM perfkit.slow_query_log
WHERE application_name = 'failure' AND outcome = 'statement_timeout' AND duration_ms < 15;

-- log_errors off: only slow failures
SET application_name = 'failure off';
SET perfkit.log_errors = off;
SELECT 1 / 0;
SET perfkit.slow_query_threshold = '10ms';
SET statement_timeout = '20ms';
SELECT pg_sleep(60);
RESET statement_timeout;
SET perfkit.slow_query_threshold = -1;
RESET perfkit.log_errors;
-- the rate limit: what is over it is counted
SET application_name = 'failure rate';
SET perfkit.log_errors_rate = 1;
SELECT value AS dropped_before FROM perfkit.status WHERE name = 'dropped_errors_rate' \gset
DO $$
BEGIN
	RAISE EXCEPTION 'one';
END $$;
DO $$ BEGIN RAISE EXCEPTION 'two'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'three'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'four'; END $$;
-- a slow one has its row even if its second has no room for slow ones
SET application_name = 'failure slow';
SET perfkit.log_errors_rate = 0;
SET perfkit.slow_query_threshold = 0;
SET perfkit.record_rate = 1;
DO $$ BEGIN RAISE EXCEPTION 'one'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'two'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'three'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'four'; END $$;
SET perfkit.slow_query_threshold = -1;
RESET perfkit.record_rate;
RESET perfkit.log_errors_rate;
RESET application_name;
SELECT pg_temp.flush();
SELECT outcome, reason, query FROM perfkit.slow_query_log WHERE application_name = 'failure off' ORDER BY sequence;
SELECT value - :dropped_before + (SELECT count(*) FROM perfkit.slow_query_log WHERE application_name = 'failure rate') AS all_four,
	value > :dropped_before AS some_dropped
FROM perfkit.status WHERE name = 'dropped_errors_rate';
SELECT message, reason IN ('threshold', 'error') AS reason FROM perfkit.slow_query_log
WHERE application_name = 'failure slow' AND outcome <> 'ok' ORDER BY sequence;

-- failed_queries shows them, newest first
SELECT outcome, message FROM perfkit.failed_queries WHERE application_name = 'failure' LIMIT 3;

DROP TABLE failure_t, failure_deferred, failure_after;
DROP FUNCTION failure_trigger();
