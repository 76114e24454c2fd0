-- Which views may be left as they are when nothing has changed: those whose content is a function of
-- their tables. For each other one the reason.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS perfkit;
CREATE SCHEMA regress_unchanged;
SET search_path = regress_unchanged;
CREATE TABLE base (n integer PRIMARY KEY, t text, at timestamptz, d date);
CREATE TABLE parts (n integer, t text) PARTITION BY LIST (n);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE secured (n integer);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE SEQUENCE seq;
CREATE FOREIGN DATA WRAPPER regress_perfkit_nowhere;
CREATE SERVER regress_perfkit_nowhere FOREIGN DATA WRAPPER regress_perfkit_nowhere;
CREATE FOREIGN TABLE far (n integer) SERVER regress_perfkit_nowhere;
CREATE FUNCTION pure(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION impure(integer) RETURNS integer LANGUAGE sql STABLE AS 'SELECT $1 + count(*)::integer FROM base';
CREATE FUNCTION impure_step(integer, integer) RETURNS integer LANGUAGE sql VOLATILE AS 'SELECT $1 + $2';
CREATE AGGREGATE impure_sum(integer) (sfunc = impure_step, stype = integer, initcond = '0');
CREATE VIEW through AS SELECT n, t FROM base;
CREATE VIEW through_impure AS SELECT n FROM through WHERE n < impure(3);
CREATE MATERIALIZED VIEW upstream AS SELECT n FROM base;

-- told: its id is given back; not told: the reason
CREATE FUNCTION try(query text, schedule text DEFAULT '@yearly') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE 'CREATE MATERIALIZED VIEW tried AS ' || query || ' WITH NO DATA';
	BEGIN
		PERFORM perfkit.schedule_refresh('tried', schedule, skip_unchanged => schedule = '@yearly', fallback => 'always');
		PERFORM perfkit.unschedule_refresh('tried');
		detail := 'yes';
	EXCEPTION WHEN feature_not_supported THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	END;
	DROP MATERIALIZED VIEW tried;
	RETURN concat_ws(' / ', message, detail, hint);
END $$;
CREATE FUNCTION reason(query text) RETURNS text LANGUAGE sql AS $$ SELECT split_part(try(query), ' / ', CASE WHEN try(query) = 'yes' THEN 1 ELSE 2 END) $$;

SELECT try('SELECT n, random() FROM base');
SELECT try('SELECT n, now() FROM base', 'on change');

-- a function of its tables
SELECT reason(q) FROM unnest(ARRAY[
	'SELECT n, t FROM base',
	'SELECT count(*), sum(n), avg(n), string_agg(t, $x$,$x$ ORDER BY t) FROM base GROUP BY t HAVING count(*) > 1',
	'SELECT n, row_number() OVER (ORDER BY n), lag(t) OVER (ORDER BY n) FROM base',
	'WITH c AS (SELECT n FROM base), d AS MATERIALIZED (SELECT n FROM c) SELECT * FROM d UNION ALL SELECT n FROM parts WHERE n IN (SELECT n FROM upstream)',
	'SELECT n FROM through JOIN LATERAL generate_series(1, n) g ON true',
	'SELECT pure(n) FROM base',
	'SELECT n FROM base b WHERE EXISTS (SELECT FROM parts p WHERE p.n = b.n)',
	'SELECT lower(t), n || t AS a, concat(t, n), format(''%s-%s'', t, n), t ~ ''x'' AS b FROM base',
	'VALUES (1), (2)']) AS q;
-- of its tables and of settings
SELECT reason(q) FROM unnest(ARRAY[
	'SELECT date_trunc(''day'', at), extract(epoch FROM at), at::date, at AT TIME ZONE ''UTC'', to_char(at, ''YYYY''), d::text, at + ''1 day'' FROM base',
	'SELECT n FROM base WHERE at > d AND d < at AND at::timestamp < at',
	'SELECT d || t AS a, concat(at, d) FROM base']) AS q;
-- not
SELECT reason(q) FROM unnest(ARRAY[
	'SELECT CURRENT_DATE FROM base',
	'SELECT current_user FROM base',
	'SELECT localtimestamp FROM base',
	'SELECT clock_timestamp() FROM base',
	'SELECT age(at) FROM base',
	'SELECT n FROM base WHERE at > now() - interval ''1 day''',
	'SELECT t::timestamptz FROM base',
	'SELECT current_setting(''work_mem'') FROM base',
	'SELECT n FROM base ORDER BY random() LIMIT 1',
	'SELECT nextval(''seq'') FROM base',
	'SELECT last_value FROM seq',
	'SELECT n FROM base TABLESAMPLE bernoulli (50)',
	'SELECT n FROM far',
	'SELECT n FROM secured',
	'SELECT relname FROM pg_class',
	'SELECT count(*) FROM information_schema.tables',
	'SELECT impure(n) FROM base',
	'SELECT n FROM through_impure',
	'SELECT (SELECT max(impure(n)) FROM parts) FROM base',
	'WITH c AS (SELECT impure(n) AS i FROM base) SELECT i FROM c',
	'SELECT impure_sum(n) FROM base',
	'SELECT impure_sum(n) OVER (ORDER BY n) FROM base',
	'SELECT n FROM base GROUP BY n HAVING max(impure(n)) > 1',
	'SELECT array_agg(n)::text FROM base',
	'SELECT t || ''base''::regclass FROM base',
	'SELECT json_agg(n) FROM base',
	'SELECT xmlelement(name a, n) FROM base',
	'SELECT g FROM base, generate_series(1, impure(n)) g']) AS q;

-- what changes later
CREATE MATERIALIZED VIEW mv AS SELECT n FROM through;
SELECT perfkit.schedule_refresh('mv', '@yearly', fallback => 'always') > 0 AS scheduled;
SELECT perfkit.alter_refresh('mv', skip_unchanged => true) > 0 AS altered;
SELECT skip_unchanged, max_staleness, min_interval FROM perfkit.refresh_schedule WHERE view_name = 'mv';
SELECT perfkit.alter_refresh('mv', schedule => 'on change', min_interval => '5 minutes', max_staleness => '1 hour') > 0 AS altered;
SELECT schedule, skip_unchanged, max_staleness, min_interval FROM perfkit.refresh_schedule WHERE view_name = 'mv';
SELECT perfkit.alter_refresh('mv', skip_unchanged => false) > 0 AS altered;
CREATE OR REPLACE VIEW through AS SELECT n, t FROM base WHERE at < now();
SELECT perfkit.alter_refresh('mv', skip_unchanged => true);
SELECT perfkit.alter_refresh('mv', schedule => 'on change');
SELECT perfkit.alter_refresh('mv', schedule => '@daily') > 0 AS altered;
SET track_counts = off;
SELECT try('SELECT n FROM base');
RESET track_counts;

-- the run that was due on change
DO $$
BEGIN
	WHILE EXISTS (SELECT FROM perfkit.refresh_log WHERE view = 'regress_unchanged.mv' AND status = 'running') LOOP
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;
DROP SCHEMA regress_unchanged CASCADE;
DROP FOREIGN DATA WRAPPER regress_perfkit_nowhere CASCADE;
SELECT perfkit.unschedule_refresh('regress_unchanged.mv');
