--
-- Plans of captured statements: what is taken, when, and the number of their shape.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

-- Nodes of a plan from the top, with the counters that are there.
CREATE FUNCTION pg_temp.nodes(plan jsonb) RETURNS text LANGUAGE sql AS $$
	WITH RECURSIVE n(node, path) AS (
		SELECT plan -> 'Plan', '{}'::bigint[]
		UNION ALL
		SELECT c.value, n.path || c.ordinality
		FROM n, jsonb_array_elements(n.node -> 'Plans') WITH ORDINALITY c
	)
	SELECT string_agg(concat_ws(' ', node ->> 'Node Type', coalesce(node ->> 'Index Name', node ->> 'Relation Name'),
		'rows=' || round((node ->> 'Actual Rows')::numeric), CASE WHEN node ? 'Shared Hit Blocks' THEN 'blocks' END,
		CASE WHEN node ? 'Actual Total Time' THEN 'time' END), ' > ' ORDER BY path) FROM n
$$;

CREATE TABLE plan_t (a int PRIMARY KEY, b int, c text);
INSERT INTO plan_t SELECT g, g % 10, 'row ' || g FROM generate_series(1, 1000) g;
CREATE TABLE plan_u (a int, d text);
INSERT INTO plan_u SELECT g, 'u' || g FROM generate_series(1, 100) g;
CREATE TABLE plan_p (k int, v text, PRIMARY KEY (k)) PARTITION BY RANGE (k);
CREATE TABLE plan_p1 PARTITION OF plan_p FOR VALUES FROM (0) TO (100);
CREATE TABLE plan_p2 PARTITION OF plan_p FOR VALUES FROM (100) TO (200);
CREATE TABLE plan_p3 PARTITION OF plan_p FOR VALUES FROM (200) TO (300);
INSERT INTO plan_p SELECT g, 'p' FROM generate_series(0, 299) g;
ANALYZE plan_t, plan_u, plan_p;
CREATE VIEW plan_log AS SELECT * FROM perfkit.slow_query_log
WHERE application_name = current_setting('perfkit_test.story') AND command_tag NOT IN ('SET', 'RESET', 'PREPARE', 'DEALLOCATE');
SET max_parallel_workers_per_gather = 0;
SET jit = off;

-- which statements have one
SET application_name = 'plan kinds';
SET perfkit_test.story = 'plan kinds';
SET perfkit.slow_query_threshold = 0;
SELECT count(*) FROM plan_t WHERE a = 5;
INSERT INTO plan_u VALUES (1, 'inserted');
UPDATE plan_t SET b = b + 1 WHERE a = 7;
DELETE FROM plan_u WHERE d = 'inserted';
EXPLAIN (COSTS OFF) SELECT count(*) FROM plan_u;
\o /dev/null
EXPLAIN ANALYZE SELECT count(*) FROM plan_u;
\o
CREATE TABLE plan_ctas AS SELECT * FROM plan_t WHERE a < 5;
CREATE MATERIALIZED VIEW plan_mv AS SELECT b, count(*) FROM plan_t GROUP BY b;
REFRESH MATERIALIZED VIEW plan_mv;
COPY (SELECT a FROM plan_u WHERE a < 2) TO STDOUT;
BEGIN;
DECLARE plan_cursor CURSOR FOR SELECT d FROM plan_u;
FETCH 1 FROM plan_cursor;
CLOSE plan_cursor;
COMMIT;
TRUNCATE plan_ctas;
SELECT a / 0 FROM plan_u;
SELECT * FROM plan_missing;
SELEC 1;
SET perfkit.capture_plan = off;
SELECT count(*) FROM plan_u;
RESET perfkit.capture_plan;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT command_tag, outcome, plan_id IS NOT NULL AS id, plan_kind, pg_temp.nodes(plan) AS nodes, truncated
FROM plan_log ORDER BY sequence;

-- as EXPLAIN shows it
SELECT left(query, 38) AS query, plan ? 'Plan' AS object, plan -> 'Plan' ? 'Total Cost' AS costs, jsonb_path_query_first(plan, '$.**.Filter') AS filter
FROM plan_log WHERE query LIKE 'DELETE%' OR query LIKE '%WHERE a = 5' ORDER BY sequence;

-- with the rows of each node, the blocks, the times
SET application_name = 'plan actual';
SET perfkit_test.story = 'plan actual';
CREATE UNIQUE INDEX plan_mv_b ON plan_mv (b);
SET perfkit.slow_query_threshold = 0;
SET perfkit.capture_plan = actual;
SELECT count(*) FROM plan_u WHERE a < 50;
CREATE TABLE plan_ctas2 AS SELECT * FROM plan_t WHERE a < 5;
REFRESH MATERIALIZED VIEW CONCURRENTLY plan_mv;
PREPARE plan_p(int) AS SELECT c FROM plan_t WHERE a = $1;
EXECUTE plan_p(3);
SET perfkit.capture_plan = timing;
SELECT count(*) FROM plan_u WHERE a < 50;
\o /dev/null
EXPLAIN ANALYZE SELECT count(*) FROM plan_u;
\o
RESET perfkit.capture_plan;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT command_tag, plan_kind, pg_temp.nodes(plan) AS nodes FROM plan_log ORDER BY sequence;

-- one shape, one number: constants, parameters, pruned partitions and limits do not count
SET application_name = 'plan shape';
SET perfkit_test.story = 'plan shape';
SET perfkit.slow_query_threshold = 0;
/*same 1*/ SELECT c FROM plan_t WHERE a = 1;
/*same 1*/ SELECT c FROM plan_t WHERE a = 999 LIMIT ALL;
SET plan_cache_mode = force_custom_plan;
EXECUTE plan_p(1);
SET plan_cache_mode = force_generic_plan;
EXECUTE plan_p(2);
RESET plan_cache_mode;
/*same 2*/ SELECT v FROM plan_p WHERE k = 5;
/*same 2*/ SELECT v FROM plan_p WHERE k = 150;
/*same 3*/ SELECT count(v) FROM plan_p WHERE k < 150;
/*same 3*/ SELECT count(v) FROM plan_p WHERE k < 290;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
/*other 1*/ SELECT c FROM plan_t WHERE a = 1;
/*other 2*/ SELECT v FROM plan_p WHERE k = 5;
RESET enable_indexscan;
RESET enable_bitmapscan;
/*other 3*/ SELECT sum(a) FROM plan_p1, plan_u WHERE a = k;
/*other 4*/ SELECT sum(a) FROM plan_p2, plan_u WHERE a = k;
SET enable_hashjoin = off;
/*other 5*/ SELECT sum(a) FROM plan_p1, plan_u WHERE a = k;
RESET enable_hashjoin;
/*other 6*/ SELECT count(*) FROM plan_t x LEFT JOIN plan_u y ON x.a = y.a;
/*other 7*/ SELECT count(*) FROM plan_t x WHERE NOT EXISTS (SELECT FROM plan_u y WHERE x.a = y.a);
CREATE INDEX plan_other_index ON plan_t (a) WHERE a < 10;
/*other 8*/ SELECT c FROM plan_t WHERE a = 1 AND a < 10;
/*same 4*/ SELECT c FROM plan_t WHERE a = 1;
DROP INDEX plan_other_index;
/*same 5*/ SELECT c FROM plan_t WHERE a = 1;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT kind, count(*) AS statements, count(DISTINCT plan_id) AS shapes
FROM (SELECT coalesce(substring(query FROM '/\*(same \d)\*/'), substring(query FROM '/\*(other)'), query) AS kind, plan_id
	FROM plan_log WHERE plan_id IS NOT NULL) x
GROUP BY kind ORDER BY kind;
SELECT count(DISTINCT plan_id) AS shapes_of_the_key FROM plan_log
WHERE query LIKE '/*same 1*/%' OR query LIKE '/*same 5*/%' OR command_tag = 'SELECT' AND query LIKE 'PREPARE%';

-- the same in another session
SELECT plan_id AS before FROM plan_log WHERE query LIKE '/*same 5*/%' \gset
\c
SET application_name = 'plan shape again';
SET perfkit_test.story = 'plan shape again';
SET perfkit.slow_query_threshold = 0;
/*same 5*/ SELECT c FROM plan_t WHERE a = 77;
SET perfkit.slow_query_threshold = -1;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
CREATE OR REPLACE FUNCTION pg_temp.flush() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
	WHILE (SELECT value > 0 FROM perfkit.status WHERE name = 'pending') LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'captured statements were not stored';
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SELECT pg_temp.flush();
SELECT plan_id = :before AS same FROM plan_log;
CREATE FUNCTION pg_temp.nodes(plan jsonb) RETURNS text LANGUAGE sql AS $$
	WITH RECURSIVE n(node, path) AS (
		SELECT plan -> 'Plan', '{}'::bigint[]
		UNION ALL
		SELECT c.value, n.path || c.ordinality
		FROM n, jsonb_array_elements(n.node -> 'Plans') WITH ORDINALITY c
	)
	SELECT string_agg(concat_ws(' ', node ->> 'Node Type', coalesce(node ->> 'Index Name', node ->> 'Relation Name'),
		'rows=' || round((node ->> 'Actual Rows')::numeric), CASE WHEN node ? 'Shared Hit Blocks' THEN 'blocks' END,
		CASE WHEN node ? 'Actual Total Time' THEN 'time' END), ' > ' ORDER BY path) FROM n
$$;

-- nested statements, each its own
SET application_name = 'plan nested';
SET perfkit_test.story = 'plan nested';
CREATE FUNCTION plan_f(n int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM 1 / (a - n) FROM plan_u WHERE a = n;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	RETURN (SELECT count(*) FROM plan_t WHERE a < n);
END $$;
SET perfkit.track = 'all';
SET perfkit.slow_query_threshold = 0;
SELECT plan_f(5);
SET perfkit.slow_query_threshold = -1;
RESET perfkit.track;
RESET application_name;
SELECT pg_temp.flush();
SELECT nesting_level AS level, command_tag, outcome, plan_id IS NOT NULL AS id, plan_kind, plan -> 'Plan' ->> 'Node Type' AS top
FROM plan_log WHERE query NOT LIKE 'CREATE%' ORDER BY sequence;

-- too large: left out, and counted
SELECT value AS truncated_before FROM perfkit.status WHERE name = 'truncated_plan' \gset
SELECT value AS failed_before FROM perfkit.status WHERE name = 'explain_failed' \gset
SET application_name = 'plan large';
SET perfkit_test.story = 'plan large';
SELECT string_agg('SELECT count(*) FROM plan_t WHERE b = ' || g, ' UNION ALL ') AS statement FROM generate_series(1, 20) g \gset
SELECT 'SELECT count(*) FROM plan_t WHERE c <> ''' || repeat('x', 2000) || '''' AS constant \gset
SET perfkit.slow_query_threshold = 0;
SET perfkit.max_plan_size = '1kB';
:statement;
:constant;
RESET perfkit.max_plan_size;
:constant;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT plan_id IS NOT NULL AS id, plan_kind, plan IS NOT NULL AS plan, truncated FROM plan_log ORDER BY sequence;
SELECT value - :truncated_before AS truncated FROM perfkit.status WHERE name = 'truncated_plan';
SELECT value - :failed_before AS failed FROM perfkit.status WHERE name = 'explain_failed';

-- passwords are masked, and it is still JSON
SET application_name = 'plan secrets';
SET perfkit_test.story = 'plan secrets';
SET perfkit.slow_query_threshold = 0;
SELECT count(*) FROM plan_t WHERE c = 'host=h password=secret dbname=d' OR c = 'postgres://u:secret@h/d' OR c = 'a "quoted" \ ä';
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT plan_kind, jsonb_path_query_first(plan, '$.**.Filter') AS filter FROM plan_log ORDER BY sequence;

-- expensive ones are taken before and while they run: the plan is there when they fail
SET application_name = 'plan live';
SET perfkit_test.story = 'plan live';
SET perfkit.live_plan_min_cost = 0;
SET perfkit.slow_query_threshold = '1h';
SELECT count(*) FROM plan_u WHERE 1 / (a - 50) > 7;
CREATE TABLE plan_ctas3 AS SELECT count(*) FROM plan_u WHERE 1 / (a - 50) > 7;
SET perfkit.slow_query_threshold = 1;
SET statement_timeout = '200ms';
SELECT count(*) FROM plan_t x, plan_t y, plan_t z WHERE x.b + y.b + z.b < 0;
CREATE TABLE plan_ctas3 AS SELECT count(*) FROM plan_t x, plan_t y, plan_t z WHERE x.b + y.b + z.b < 0;
RESET statement_timeout;
SET perfkit.slow_query_threshold = 0;
SELECT count(*) FROM plan_u;
\o /dev/null
EXPLAIN ANALYZE SELECT count(*) FROM plan_u;
\o
SET perfkit.live_plan_min_cost = -1;
SELECT count(*) FROM plan_u;
SELECT count(*) FROM plan_u WHERE 1 / (a - 50) > 7;
RESET perfkit.live_plan_min_cost;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT command_tag, outcome, reason, plan_id IS NOT NULL AS id, plan_kind,
	CASE WHEN plan_kind <> 'partial' THEN pg_temp.nodes(plan) ELSE plan -> 'Plan' ->> 'Node Type' END AS nodes,
	plan -> 'Plan' ? 'Actual Rows' AS counted
FROM plan_log ORDER BY sequence;

-- statements with a plan that is new
SET application_name = 'plan news';
SET perfkit_test.story = 'plan news';
SET perfkit.slow_query_threshold = '1h';
SET perfkit.log_new_plans = 'all';
SELECT max(b) FROM plan_t WHERE a = 1;
SELECT max(b) FROM plan_t WHERE a = 2;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT max(b) FROM plan_t WHERE a = 3;
SELECT max(b) FROM plan_t WHERE a = 4;
RESET enable_indexscan;
RESET enable_bitmapscan;
SELECT max(b) FROM plan_t WHERE a = 5;
INSERT INTO plan_u VALUES (200, 'implicit transaction');
SET perfkit.log_new_plans = 'changed';
SELECT min(b) FROM plan_t WHERE a = 1;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT min(b) FROM plan_t WHERE a = 3;
SET perfkit.slow_query_threshold = 0;
SET perfkit.log_new_plans = 'all';
SELECT min(b), max(b) FROM plan_t WHERE a = 3;
SET perfkit.slow_query_threshold = -1;
SET compute_query_id = off;
SELECT sum(b) FROM plan_t WHERE a = 3;
RESET compute_query_id;
SET perfkit.log_new_plans = 'off';
SELECT avg(b) FROM plan_t WHERE a = 3;
RESET perfkit.log_new_plans;
RESET application_name;
SELECT pg_temp.flush();
SELECT reason, outcome, query, pg_temp.nodes(plan) AS nodes FROM plan_log ORDER BY sequence;
SELECT value >= 4 AS known FROM perfkit.status WHERE name = 'plan_statements';
SELECT sum(CASE WHEN name = 'captured' THEN value ELSE -value END) AS difference FROM perfkit.status
WHERE name IN ('captured', 'stored', 'pending') OR name LIKE 'dropped%';

DROP FUNCTION plan_f(int);
DROP VIEW plan_log;
DROP MATERIALIZED VIEW plan_mv;
DROP TABLE plan_t, plan_u, plan_p, plan_ctas, plan_ctas2;
