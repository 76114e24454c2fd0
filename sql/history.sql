--
-- The history of statements and what is told from it and from plans, made of rows put there by hand (tomorrow,
-- where nobody else has any), so that every number is known.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

SET perfkit.slow_query_threshold = -1;
SET perfkit.log_errors = off;
SET timezone = 'UTC';
SET datestyle = 'ISO';
ALTER SYSTEM SET perfkit.statement_history_interval = 0; -- no intervals but this test's
SELECT pg_reload_conf();
CREATE ROLE regress_perfkit_ann;
CREATE ROLE regress_perfkit_dba;
GRANT pg_read_all_stats TO regress_perfkit_dba;
CREATE TEMP TABLE day AS SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '1 day' AS at;
GRANT SELECT ON day TO PUBLIC;

-- histograms: bucket 131 is around 4.3 ms, 151 around 17.3 ms
SELECT perfkit._histogram_sum(h) FROM (VALUES ('{131,5}'::bigint[]), ('{131,2,151,1}'), (NULL), ('{}')) v (h);
SELECT perfkit._histogram_sum(NULL), perfkit._histogram_minus('{131,7,151,1}', '{131,5}'), perfkit._histogram_minus('{}', '{131,5}');
SELECT round(perfkit._histogram_quantile('{131,98,151,2}', q)::numeric, 3) AS ms FROM unnest(ARRAY[0.5, 0.98, 0.99]) q;
SELECT perfkit._histogram_quantile('{}', 0.5), perfkit._histogram_stddev('{}'), round(perfkit._histogram_stddev('{131,1,151,1}')::numeric, 3) AS ms;
SELECT perfkit._histogram_quantile('{1}', 0.5);
SELECT perfkit._histogram_quantile('{312,1}', 0.5);
SELECT perfkit._histogram_quantile('{1,-1}', 0.5);
SELECT perfkit._histogram_quantile('{{1,1},{2,2}}', 0.5);
SELECT perfkit._histogram_quantile('{1,NULL}', 0.5);

-- six intervals of ten minutes; statement 1 gets slow in the second half, 2 fast, 3 goes, 4 comes, 5 stays, 6 has too
-- few calls, 7 is slower for too short a time, 8 varies much, 9 changes its plan
INSERT INTO perfkit.statement_text SELECT -n, r::regrole, 'statement ' || n, now()
FROM generate_series(1, 9) n, unnest(ARRAY['regress_perfkit_ann', 'pg_database_owner']) r WHERE n = 1 OR r <> 'regress_perfkit_ann';
INSERT INTO perfkit.statement_rollup (since, until, queryid, userid, toplevel, stats_since, calls, errors, total_exec_time, rows, histogram)
SELECT at + i * interval '10 min', at + (i + 1) * interval '10 min', -n,
	CASE WHEN n = 1 AND i % 2 = 0 THEN 'regress_perfkit_ann' ELSE 'pg_database_owner' END::regrole, true, at,
	calls, i, calls * CASE WHEN i < 3 THEN ms1 ELSE ms2 END, calls,
	CASE WHEN n = 8 THEN ARRAY[131, calls / 2, 211, calls / 2]
		ELSE ARRAY[CASE WHEN n = 2 OR n = 9 THEN 151 WHEN i < 3 THEN 131 ELSE 151 END, calls] END
FROM day, generate_series(0, 5) i, (VALUES (1, 10, 4.2, 16.9), (2, 10, 16.9, 4.2), (3, 10, 5, NULL), (4, 10, NULL, 5), (5, 10, 5, 5.1),
	(6, 1, 4.2, 16.9), (7, 10, 0.1, 0.3), (8, 10, 500, 800), (9, 10, 5, 5)) v (n, calls, ms1, ms2)
WHERE CASE WHEN i < 3 THEN ms1 ELSE ms2 END IS NOT NULL;
INSERT INTO perfkit.slow_query_log (id, started_at, duration_ms, queryid, plan_id, nesting_level, database, username, pid, query, query_normalized, plan,
	plan_kind, outcome, reason, userid, boot, sequence)
SELECT n, at + minute * interval '1 min', ms, queryid, plan_id, 0, 'db', 'x', 1, 'raw', 'statement ' || - queryid, plan, kind, outcome, reason,
	who::regrole, -2, n
FROM day, (VALUES
	(1, 1, 10.0, -9, 91, '{"Plan": {"Node Type": "Seq Scan"}}'::jsonb, 'estimate', 'ok', 'threshold', 'pg_database_owner'),
	(2, 2, 20.0, -9, 91, NULL, NULL, 'ok', 'threshold', 'pg_database_owner'),
	(3, 31, 90.0, -9, 92, '{"Plan": {"Node Type": "Index Scan"}}', 'estimate', 'ok', 'threshold', 'pg_database_owner'),
	(4, 32, 500.0, -9, 92, NULL, NULL, 'statement_timeout', 'threshold', 'pg_database_owner'),
	(5, 33, 15.0, -9, 91, NULL, NULL, 'ok', 'threshold', 'pg_database_owner'),
	(6, 1, 10.0, -5, 51, NULL, NULL, 'ok', 'threshold', 'pg_database_owner'),
	(7, 35, 10.0, -5, 51, NULL, NULL, 'ok', 'threshold', 'pg_database_owner'),
	(8, 36, 60.0, -1, 11, '{"Plan": {"Node Type": "Result"}}', 'estimate', 'ok', 'plan_changed', 'regress_perfkit_ann')
) v (n, minute, ms, queryid, plan_id, plan, kind, outcome, reason, who);

-- the differences, each alone in its place
SELECT rank, status, query, round(extra_ms) AS extra, calls1, calls2, round(mean1_ms::numeric, 1) AS mean1, round(mean2_ms::numeric, 1) AS mean2,
	round(p95_1_ms) AS p95_1, round(p95_2_ms) AS p95_2, errors1, errors2, plan_changed, plans1, plans2
FROM day, perfkit.compare(at, at + interval '30 min', at + interval '30 min', at + interval '60 min');
-- other gates
SELECT status, query FROM day, perfkit.compare(at, at + interval '30 min', at + interval '30 min', at + interval '60 min', min_calls => 1, min_ratio => 1.01, min_extra_ms => 0);
SELECT status, query FROM day, perfkit.compare(at, at + interval '30 min', at + interval '30 min', at + interval '60 min', min_calls => 1000);
-- an interval belongs where its middle is; nothing is different from itself; nothing is in the year 2000
SELECT count(*) FROM day, perfkit.compare(at, at + interval '5 min', at + interval '5 min', at + interval '14 min') WHERE calls1 = 0;
SELECT count(*) FROM day, perfkit.compare(at, at + interval '60 min', at, at + interval '60 min');
SELECT count(*) FROM perfkit.compare('2000-01-01', '2000-01-02', '2000-01-02', '2000-01-03');

SELECT since - at AS since, until - since AS length, username, query, calls, errors, mean_exec_time, round(p95_exec_time::numeric, 1) AS p95
FROM day, perfkit.statement_history WHERE queryid = -1 ORDER BY since;

SELECT changed_at - at AS at, query, plan_id, plan_id_before, current, calls, mean_ms, calls_before, mean_before_ms, max_before_ms, round(ratio::numeric, 2) AS ratio,
	round(history_mean_ms::numeric, 1) AS history, round(history_mean_before_ms::numeric, 1) AS history_before, plan, plan_before
FROM day, perfkit.plan_changes WHERE queryid < 0 AND queryid > -10 AND changed_at >= at ORDER BY changed_at;

-- misestimates: a scan that gave a thousand times more; below a LIMIT fewer mean nothing; who never ran, or is small, neither
INSERT INTO perfkit.slow_query_log (id, started_at, duration_ms, queryid, plan_id, nesting_level, database, username, pid, query, plan, plan_kind, outcome, reason, userid, boot, sequence)
SELECT 100 + n, at + interval '2 h', 10, -20 - n, 1, 0, 'db', 'x', 1, 'q', plan, kind, 'ok', 'threshold', 'regress_perfkit_ann'::regrole, -2, 100 + n
FROM day, (VALUES
	(1, 'actual', '{"Plan": {"Node Type": "Hash Join", "Join Type": "Inner", "Plan Rows": 10, "Actual Rows": 10000, "Actual Loops": 1, "Hash Cond": "(a.x = b.y)", "Plans": [
		{"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Relation Name": "a", "Alias": "a", "Plan Rows": 10, "Actual Rows": 10000, "Actual Loops": 1, "Filter": "(a.z = 1)"},
		{"Node Type": "Hash", "Parent Relationship": "Inner", "Plan Rows": 500, "Actual Rows": 500, "Actual Loops": 1, "Plans": [
			{"Node Type": "Index Scan", "Parent Relationship": "Outer", "Relation Name": "b", "Alias": "b", "Index Name": "bi", "Plan Rows": 500, "Actual Rows": 500, "Actual Loops": 1}]}]}}'::jsonb),
	(2, 'actual', '{"Plan": {"Node Type": "Limit", "Plan Rows": 10, "Actual Rows": 10, "Actual Loops": 1, "Plans": [
		{"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Relation Name": "a", "Plan Rows": 5000, "Actual Rows": 10, "Actual Loops": 1}]}}'),
	(3, 'actual', '{"Plan": {"Node Type": "Limit", "Plan Rows": 10, "Actual Rows": 10, "Actual Loops": 1, "Plans": [
		{"Node Type": "Sort", "Parent Relationship": "Outer", "Plan Rows": 5000, "Actual Rows": 10, "Actual Loops": 1, "Plans": [
			{"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Relation Name": "a", "Plan Rows": 5000, "Actual Rows": 20, "Actual Loops": 1}]}]}}'),
	(4, 'actual', '{"Plan": {"Node Type": "Nested Loop", "Join Type": "Inner", "Plan Rows": 50, "Actual Rows": 1, "Actual Loops": 1, "Plans": [
		{"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Plan Rows": 1, "Actual Rows": 0, "Actual Loops": 1},
		{"Node Type": "Seq Scan", "Parent Relationship": "Inner", "Plan Rows": 100000, "Actual Rows": 0, "Actual Loops": 0}]}}'),
	(5, 'estimate', '{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 5000}}'),
	(6, 'partial', '{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 5000, "Actual Rows": 1, "Actual Loops": 1}}')) v (n, kind, plan);
SELECT queryid, factor, node_path, node_type, relation, index_name, condition, estimated_rows, actual_rows, loops, is_origin, executions
FROM perfkit.misestimates WHERE queryid < -20 AND queryid > -30 ORDER BY queryid DESC, node_path;
SELECT queryid, factor, node_type FROM perfkit.misestimates(5, 10) WHERE queryid < -20 AND queryid > -30 ORDER BY queryid DESC, factor;

-- conditions of plans
SELECT c, q.* FROM unnest(ARRAY['((a = 1) AND (t."B" > ''x''::text) AND ((c)::text = $1) AND (lower(d) = ''y''::text))', '(u.a = t.b)', 'a)', NULL]) c, perfkit._quals(c, 't') q;
SELECT k, s.* FROM unnest(ARRAY['a DESC', 't.b NULLS FIRST', 'c DESC NULLS LAST', 'lower(a)', NULL]) k, perfkit._sort_key(k, 't') s;

-- who may see what
SET ROLE regress_perfkit_ann;
SELECT DISTINCT username, query FROM day, perfkit.statement_history WHERE queryid IN (-1, -2) AND since >= at ORDER BY 1, 2;
SELECT status, query FROM day, perfkit.compare(at, at + interval '30 min', at + interval '30 min', at + interval '60 min');
SELECT query, plan_id, plan, plan_before FROM day, perfkit.plan_changes WHERE queryid < 0 AND queryid > -10 AND changed_at >= at ORDER BY changed_at;
SELECT count(*) FROM perfkit.misestimates WHERE queryid < -20 AND queryid > -30;
SELECT count(*) FROM perfkit.statement_rollup;
SELECT query FROM perfkit.statement_text;
SELECT perfkit.snapshot_statements();
RESET ROLE;
CREATE ROLE regress_perfkit_bob;
SET ROLE regress_perfkit_bob;
SELECT count(*) FROM perfkit.misestimates WHERE queryid < -20 AND queryid > -30;
SELECT count(*) FROM perfkit.index_advice WHERE kind = 'index';
RESET ROLE;
SET ROLE regress_perfkit_dba;
SELECT count(DISTINCT query) FROM day, perfkit.statement_history WHERE queryid < 0 AND queryid > -10 AND since >= at;
SELECT count(*) > 0 AS tables_too FROM perfkit.statement_rollup JOIN perfkit.statement_text USING (queryid, userid);
RESET ROLE;

-- a stored statement is planned with the rights of the role that ran it, and not executed
\set VERBOSITY terse
SELECT * FROM perfkit.verify_index('CREATE INDEX ON t (a)', 1);
CREATE TABLE regress_secret AS SELECT 1 AS a;
SELECT perfkit._explain_as('regress_perfkit_ann'::regrole, 'SELECT * FROM regress_secret', '{}', 'public');
SELECT perfkit._explain_as('regress_perfkit_ann'::regrole, 'SELECT 1; DROP TABLE regress_secret', '{}', 'public');
CREATE FUNCTION regress_evil() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as %', current_user; END $$;
SELECT perfkit._explain_as('regress_perfkit_ann'::regrole, 'SELECT regress_evil()', '{}', 'public');
SELECT perfkit._explain_as('regress_perfkit_ann'::regrole, 'SELECT set_config(''role'', ''none'', false), $1::int + 1, $2', '{3}', 'public')::jsonb #> '{0,Plan,Node Type}' AS plan, current_user = session_user AS still;
SET ROLE regress_perfkit_ann;
DO $$ -- 15 and 16 word it differently
BEGIN
	PERFORM perfkit._explain_as('regress_perfkit_dba'::regrole, 'SELECT 1', '{}', 'public');
EXCEPTION WHEN insufficient_privilege THEN
	RAISE NOTICE 'refused';
END $$;
RESET ROLE;
DROP TABLE regress_secret;
DROP FUNCTION regress_evil();
\set VERBOSITY default

-- the real thing: nothing is counted twice, and nothing of what was reset (a statement that no other test has,
-- whatever it calls its columns)
SELECT perfkit.reset_statements();
SELECT perfkit.snapshot_statements() AS first \gset
SELECT 'a statement of history' AS a WHERE 1.5 < 2.5 AND 'h' < 'i' \; SELECT 'a statement of history' AS a WHERE 1.5 < 2.5 AND 'h' < 'i';
SELECT 1 / 0 AS "not of history";
SELECT perfkit.snapshot_statements() AS second \gset
SELECT 'a statement of history' AS a WHERE 1.5 < 2.5 AND 'h' < 'i';
SELECT perfkit.snapshot_statements() AS third \gset
SELECT perfkit.snapshot_statements() AS fourth \gset
SELECT query, calls, errors, rows, plans, since >= :'first' AS after, until <= :'third' AS until, p50_exec_time > 0 AS p50, total_exec_time > 0 AS total
FROM perfkit.statement_history WHERE query ~ 'not of history' OR (query = 'SELECT $1 AS a WHERE $2 < $3 AND $4 < $5' AND since >= :'first') ORDER BY until, query;
SELECT 'a statement of history' AS a WHERE 1.5 < 2.5 AND 'h' < 'i';
SELECT perfkit.reset_statements();
SELECT 'a statement of history' AS a WHERE 1.5 < 2.5 AND 'h' < 'i';
SELECT perfkit.snapshot_statements() AS fifth \gset
SELECT query, calls FROM perfkit.statement_history WHERE query = 'SELECT $1 AS a WHERE $2 < $3 AND $4 < $5' AND until = :'fifth';

DELETE FROM perfkit.slow_query_log WHERE boot = -2;
DELETE FROM perfkit.statement_rollup WHERE queryid BETWEEN -10 AND -1;
DELETE FROM perfkit.statement_text WHERE queryid BETWEEN -10 AND -1;
DROP ROLE regress_perfkit_ann, regress_perfkit_bob, regress_perfkit_dba;
ALTER SYSTEM RESET perfkit.statement_history_interval;
SELECT pg_reload_conf();
