--
-- Schedules of materialized views: who may write what. Nothing here waits for a refresh.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS perfkit;
RESET client_min_messages;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';

CREATE ROLE regress_perfkit_owner LOGIN;
CREATE ROLE regress_perfkit_other LOGIN;
CREATE SCHEMA regress_refresh AUTHORIZATION regress_perfkit_owner;
SET ROLE regress_perfkit_owner;
SET search_path = regress_refresh;
CREATE TABLE base (n integer);
CREATE VIEW plain_view AS SELECT n FROM base;
CREATE MATERIALIZED VIEW mv AS SELECT n FROM base;
CREATE UNIQUE INDEX ON mv (n);
CREATE MATERIALIZED VIEW "Odd ""Name" AS SELECT n FROM plain_view;
CREATE UNIQUE INDEX ON "Odd ""Name" (n);
CREATE MATERIALIZED VIEW no_index AS SELECT n FROM mv;
CREATE INDEX ON no_index (n);
CREATE UNIQUE INDEX ON no_index ((n + 1));
CREATE UNIQUE INDEX ON no_index (n) WHERE n > 0;

-- the defaults, and one of everything
SELECT perfkit.schedule_refresh('mv', '@yearly') > 0 AS scheduled;
SELECT perfkit.schedule_refresh('regress_refresh."Odd ""Name"', target_lag => '1 day', timezone => 'Europe/Berlin',
	method => 'concurrently', fallback => 'always', lock_timeout => '1 second', statement_timeout => '1 hour',
	max_retries => 0, retry_delay => '1 minute', suspend_after => 0, overlap => 'queue', catch_up => 'skip',
	jitter => '10 seconds', after_action => 'vacuum', max_runtime => '2 hours', on_upstream_failure => 'run',
	start_window => '5 minutes', priority => -3, enabled => false) > 0 AS scheduled;
SELECT view_schema, view_name, owner_name, schedule, timezone, target_lag, method, fallback, skip_unchanged, max_staleness,
	lock_timeout, statement_timeout, max_retries, retry_delay, suspend_after, overlap, catch_up, jitter, after_action,
	max_runtime, min_interval, on_upstream_failure, start_window, priority, enabled
FROM perfkit.refresh_schedule ORDER BY view_name;
SELECT view, schedule, state, method, owner FROM perfkit.matviews WHERE view LIKE 'regress_refresh.%' ORDER BY view;

-- scheduled again it is one schedule still; altered, the rest stays
SELECT count(DISTINCT id) FROM (SELECT perfkit.schedule_refresh('mv', 'every 3 hours', max_retries => 7) AS id
	UNION ALL SELECT perfkit.alter_refresh('mv', overlap => 'queue')) x;
SELECT schedule, target_lag, max_retries, overlap FROM perfkit.refresh_schedule WHERE view_name = 'mv';
-- (disabled, or it would run at once)
SELECT perfkit.alter_refresh('mv', target_lag => '1 hour', enabled => false) > 0 AS altered;
SELECT schedule, target_lag, max_retries, overlap FROM perfkit.refresh_schedule WHERE view_name = 'mv';
SELECT perfkit.alter_refresh('mv', schedule => 'after 2 days') > 0 AS altered;
SELECT schedule, target_lag FROM perfkit.refresh_schedule WHERE view_name = 'mv';
SELECT perfkit.alter_refresh('mv', schedule => '@yearly', enabled => true) > 0 AS altered;
SELECT perfkit.pause_refresh('mv');
SELECT state, next_run FROM perfkit.matviews WHERE view = 'regress_refresh.mv';
SELECT perfkit.resume_refresh('mv');
SELECT enabled FROM perfkit.refresh_schedule WHERE view_name = 'mv';
SELECT perfkit.unschedule_refresh('mv');
SELECT perfkit.unschedule_refresh('mv');
SELECT perfkit.alter_refresh('mv', priority => 1);
SELECT perfkit.pause_refresh('mv');

-- rolled back, nothing has happened
BEGIN;
SELECT perfkit.schedule_refresh('mv', '@daily') > 0 AS scheduled;
ROLLBACK;
SELECT count(*) FROM perfkit.refresh_schedule WHERE view_name = 'mv';

-- what would fail later is told now
SELECT perfkit.schedule_refresh('no_index', '@yearly') > 0 AS scheduled;
SELECT perfkit.schedule_refresh('no_index', '@yearly', fallback => 'always') > 0 AS scheduled;
SELECT flags, advice FROM perfkit.matviews WHERE view = 'regress_refresh.no_index';
SELECT perfkit.unschedule_refresh('no_index');

-- what reads from what
SELECT view_oid::regclass, upstream_oid::regclass FROM perfkit.matview_dependencies ORDER BY 1, 2;

-- errors
SELECT perfkit.schedule_refresh('mv');
SELECT perfkit.schedule_refresh('mv', '@daily', target_lag => '1 hour');
SELECT perfkit.schedule_refresh(NULL, '@daily');
SELECT perfkit.schedule_refresh('nothing', '@daily');
SELECT perfkit.schedule_refresh('base', '@daily');
SELECT perfkit.schedule_refresh('plain_view', '@daily');
SELECT perfkit.schedule_refresh('mv', '61 * * * *');
SELECT perfkit.schedule_refresh('mv', '@daily', timezone => 'Nowhere');
SELECT perfkit.schedule_refresh('mv', '@daily', method => 'quickly');
SELECT perfkit.schedule_refresh('mv', '@daily', method => NULL);
SELECT perfkit.schedule_refresh('mv', '@daily', overlap => 'SKIP');
SELECT perfkit.schedule_refresh('mv', '@daily', jitter => '-1 second');
SELECT perfkit.schedule_refresh('mv', '@daily', max_runtime => '178000000 years');
SELECT perfkit.schedule_refresh('mv', '@daily', max_retries => -1);
SELECT perfkit.schedule_refresh('mv', target_lag => '1 ms');
SELECT perfkit.schedule_refresh('mv', '@daily', min_interval => '1 minute');
SELECT perfkit.schedule_refresh('mv', 'on change', min_interval => '1 ms');
SELECT perfkit.refresh_now('base');
INSERT INTO perfkit.refresh_schedule (view_name) VALUES ('x');
DELETE FROM perfkit.refresh_request;
SELECT * FROM perfkit.refresh_state;

-- others
RESET ROLE;
SET ROLE regress_perfkit_other;
SELECT perfkit.schedule_refresh('regress_refresh."Odd ""Name"', '@daily');
RESET ROLE;
GRANT USAGE ON SCHEMA regress_refresh TO regress_perfkit_other;
SET ROLE regress_perfkit_other;
SELECT perfkit.schedule_refresh('regress_refresh."Odd ""Name"', '@daily');
SELECT perfkit.alter_refresh('regress_refresh."Odd ""Name"', enabled => true);
SELECT perfkit.unschedule_refresh('regress_refresh."Odd ""Name"');
SELECT perfkit.pause_refresh('regress_refresh."Odd ""Name"');
SELECT perfkit.resume_refresh('regress_refresh."Odd ""Name"');
SELECT perfkit.refresh_now('regress_refresh."Odd ""Name"', true);

-- nobody's search_path gets between
RESET ROLE;
CREATE SCHEMA regress_trap;
CREATE FUNCTION regress_trap.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION regress_trap.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE TABLE regress_trap.refresh_schedule (n integer);
SET search_path = regress_trap, pg_catalog;
SELECT perfkit.schedule_refresh('regress_refresh.mv', '@yearly') > 0 AS scheduled;
SELECT perfkit.unschedule_refresh('regress_refresh.mv');
SHOW search_path;
RESET search_path;

-- the schedule of a view that is gone
DROP MATERIALIZED VIEW regress_refresh."Odd ""Name";
SELECT view, state FROM perfkit.matviews WHERE view LIKE 'regress_refresh.%' ORDER BY view;
SET ROLE regress_perfkit_other;
SELECT perfkit.unschedule_refresh('regress_refresh."Odd ""Name"');
RESET ROLE;
SET ROLE regress_perfkit_owner;
SELECT perfkit.unschedule_refresh('regress_refresh."Odd ""Name"');
RESET ROLE;
SELECT count(*) FROM perfkit.refresh_schedule;

SET client_min_messages = warning;
DROP SCHEMA regress_refresh CASCADE;
DROP SCHEMA regress_trap CASCADE;
DROP ROLE regress_perfkit_owner, regress_perfkit_other;
