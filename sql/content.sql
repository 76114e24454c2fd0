--
-- What a row holds besides the statement's text: normalized text, tags, parameters.
--
\getenv source PG_ABS_SRCDIR
\i :source/tests/regress/setup.sql

CREATE TABLE content_t (a int, b text);
INSERT INTO content_t SELECT g, 'row ' || g FROM generate_series(1, 100) g;
CREATE FUNCTION content_f(n int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT count(*) FROM content_t WHERE a <= n AND b <> 'x');
END $$;

-- normalized text
SET application_name = 'content normalized';
SET perfkit.track = 'all';
SET perfkit.slow_query_threshold = 0;
SELECT count(*) FROM content_t WHERE a = 5 AND b = 'it''s' AND a > -3;
SELECT E'a\'b' AS e, B'101' AS b, X'1F' AS x, U&'\0041' AS u, $q$ it's $$ $q$ AS d, 1.5e-3 AS f, .5 AS g;
SELECT true AS t, NULL AS n, date '2001-01-01' AS d, extract(year FROM date '2001-01-01') AS y, 'a'
	'b' AS two;
SELECT 5 /* not 6 */ AS a, 'x'::varchar(10) AS v -- nor 7
;
	SELECT count(*) FROM content_t ORDER BY 1 LIMIT 10;
SELECT 'first' AS x \; SELECT 'second', 2 AS y;
INSERT INTO content_t VALUES (1000, 'parked'), (1001, 'until its commit');
PREPARE content_p(int) AS SELECT b FROM content_t WHERE a = $1 AND b <> 'y' LIMIT 1;
EXECUTE content_p(2);
EXECUTE content_p(3);
SELECT content_f(7);
SELECT 1 / (a - 5) FROM content_t WHERE a = 5 AND b > 'a';
SELECT * FROM content_missing WHERE a = 5;
SELECT 'unfinished
;';
SET perfkit.slow_query_threshold = -1;
RESET perfkit.track;
RESET application_name;
SELECT pg_temp.flush();
SELECT nesting_level AS level, outcome, query_normalized FROM perfkit.slow_query_log
WHERE application_name = 'content normalized' AND coalesce(command_tag, '') NOT IN ('SET', 'PREPARE') ORDER BY sequence;

-- one statement, one normalized text
SELECT count(DISTINCT query_normalized) AS texts, count(DISTINCT queryid) AS ids, count(*) AS rows
FROM perfkit.slow_query_log WHERE application_name = 'content normalized' AND query LIKE 'PREPARE content_p%' AND command_tag = 'SELECT';

-- without a queryid there is none; without room it is cut at a character
SET application_name = 'content cut';
SET perfkit.slow_query_threshold = 0;
SET compute_query_id = off;
SELECT 'no queryid' AS x;
RESET compute_query_id;
SET perfkit.max_query_size = '128B';
SELECT 'äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöü' = '' AS ääääääääääääääääääääääääääääää, 'xx' AS ööööööööööööööööööööööööööööö;
SET perfkit.slow_query_threshold = -1;
RESET perfkit.max_query_size;
RESET application_name;
SELECT pg_temp.flush();
SELECT octet_length(query_normalized) AS bytes, query_normalized FROM perfkit.slow_query_log
WHERE application_name = 'content cut' AND command_tag = 'SELECT' ORDER BY sequence;

-- more constants than fit into a slot
SET application_name = 'content many';
SELECT format('SELECT count(*) FROM content_t WHERE a IN (%s)', string_agg(g::text, ', ')) AS statement
FROM generate_series(1, 300) g \gset
SET perfkit.slow_query_threshold = 0;
:statement;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT query_normalized !~ '[^$0-9]299' AS no_constant, query_normalized LIKE '%$300)' OR query_normalized LIKE '%/*, ... */)' AS last
FROM perfkit.slow_query_log WHERE application_name = 'content many' AND command_tag = 'SELECT';

-- tags
SELECT value AS truncated_before FROM perfkit.status WHERE name = 'truncated_tags' \gset
SET application_name = 'content tags';
SET perfkit.slow_query_threshold = 0;
SELECT 1 AS x /*action='show',controller='orders'*/;
/* route='/a%2Fb%20c' , traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01' */ SELECT 2 AS x;
/*a='1',both='first'*/ SELECT 3 AS x /*b='2',both='last'*/;
SELECT 4 AS x /*quote='it\'s',percent='100%',bad='%zz',empty='',nul='a%00b',utf8='%C3%A4',invalid='%ff',json='"\\'*/;
SELECT 5 AS x /* only a comment */;
SELECT 6 AS x /*a='1', and more*/;
SELECT 7 AS x /*a='1',*/;
SELECT 8 AS x /*a=1*/;
SELECT 9 AS x /* /*a='1'*/ */;
SELECT '/*a=''1''*/' AS x;
SELECT 10 AS x /*a='unfinished*/;
SELECT 11 AS x /**/;
/*/ SELECT 12; /*/ SELECT 12 AS x; */ */ SELECT 12 AS x;
SELECT 13 AS x /*password='secret',url='postgres://u:secret@host/db'*/;
INSERT INTO content_t VALUES (14, 'parked') /*k='v'*/;
SELECT 1 / 0 /*failed='yes'*/;
SELEC 16 /*unparsed='yes'*/;
SELECT format('SELECT 17 AS x /*%s*/', string_agg(format('k%s=''v''', g), ',')) AS statement FROM generate_series(1, 40) g \gset
:statement;
SELECT format('SELECT 18 AS x /*a=''%s'',b=''2''*/', repeat('x', 3000)) AS statement \gset
:statement;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT substr(query, 1, 60) AS query, tags FROM perfkit.slow_query_log
WHERE application_name = 'content tags' AND query NOT LIKE '%format(%' AND query !~ '^(SET|RESET)' ORDER BY sequence;
SELECT value - :truncated_before AS truncated FROM perfkit.status WHERE name = 'truncated_tags';

-- parameters
SELECT value AS truncated_before FROM perfkit.status WHERE name = 'truncated_parameters' \gset
CREATE TYPE content_mood AS ENUM ('sad', 'happy');
CREATE TABLE content_big (v text);
ALTER TABLE content_big ALTER v SET STORAGE EXTERNAL;
INSERT INTO content_big VALUES (repeat('toasted', 2000));
CREATE FUNCTION content_g(n int, unused text, t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	x text;
BEGIN
	SELECT n + 1 AS next, 'field' AS f INTO r;
	SELECT b INTO x FROM content_t WHERE a = r.next AND b <> t AND a <> n;
	EXECUTE 'SELECT b FROM content_t WHERE a = $1 AND b <> $2' INTO x USING n, t;
	RETURN (SELECT v || x FROM content_big WHERE v <> t);
END $$;
SET application_name = 'content parameters';
SET perfkit.slow_query_threshold = 0;
PREPARE content_p1(bool, int2, int4, int8, oid, real, double precision) AS SELECT $1, $2, $3, $4, $5, $6, $7;
EXECUTE content_p1(true, -1, 2, -9223372036854775808, 4294967295, 1.5, 'NaN');
EXECUTE content_p1(false, NULL, NULL, NULL, 0, '-Infinity', 1e300);
PREPARE content_p2(numeric, numeric, numeric, numeric) AS SELECT $1 = $2, $3 = $4;
EXECUTE content_p2(0, -1.50, 12345678901234567890.123456789, 0.000012);
EXECUTE content_p2('NaN', 'Infinity', '-Infinity', 1e30);
EXECUTE content_p2(10000, 0.10000, -0.0001, 99999999.9999);
PREPARE content_p3(text, varchar, char(5), name, "char", uuid, json) AS SELECT $1 = $2, $3, $4, $5, $6, $7;
EXECUTE content_p3('it''s "quoted" \ ä', '', 'ab', 'a name', 'c', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": 1}');
PREPARE content_p4(date, time, timestamp, timestamptz) AS SELECT $1, $2, $3, $4;
EXECUTE content_p4('2024-02-29', '12:34:56.789', '2024-02-29 12:34:56', '2024-02-29 12:34:56.5+00');
EXECUTE content_p4('infinity', '24:00', '-infinity', '0044-03-15 12:00 BC');
PREPARE content_p5(int[], content_mood, interval, bytea, jsonb, timetz) AS SELECT $1, $2, $3, $4, $5, $6;
EXECUTE content_p5('{1,NULL,3}', 'happy', '1 day 2 hours', '\xdeadbeef', '{"b": [1, null]}', '12:00+02');
PREPARE content_p6(text) AS SELECT length($1);
EXECUTE content_p6(repeat('ä', 1000));
EXECUTE content_p6('host=h password=secret');
INSERT INTO content_t VALUES (1, 'no parameters');
PREPARE content_p7(int, text) AS INSERT INTO content_t VALUES ($1, $2);
EXECUTE content_p7(2000, 'parked');
-- failed: no catalogs, no output functions
PREPARE content_p8(int, numeric, text, content_mood, uuid, date) AS
	SELECT 1 / (g - $1), $2, $3, $4, $5, $6 FROM generate_series(0, 0) g;
EXECUTE content_p8(0, 1.25, 'text', 'sad', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-02-29');
SET perfkit.capture_parameters = off;
EXECUTE content_p6('not captured');
RESET perfkit.capture_parameters;
SET perfkit.max_parameter_size = 5;
EXECUTE content_p6('äöü');
RESET perfkit.max_parameter_size;
SET perfkit.track = 'all';
SELECT length(content_g(7, 'unused', 'text'));
RESET perfkit.track;
SET perfkit.slow_query_threshold = -1;
RESET application_name;
SELECT pg_temp.flush();
SELECT nesting_level AS level, regexp_replace(query, '^PREPARE (\w+).*', '\1') AS statement, outcome, truncated,
	CASE WHEN length(parameters::text) > 500 THEN to_jsonb(length(parameters ->> 0)) ELSE parameters END AS parameters
FROM perfkit.slow_query_log
WHERE application_name = 'content parameters' AND command_tag NOT IN ('SET', 'RESET', 'PREPARE') ORDER BY sequence;
SELECT value - :truncated_before AS truncated FROM perfkit.status WHERE name = 'truncated_parameters';

DROP FUNCTION content_g(int, text, text);
DROP TYPE content_mood;
DROP TABLE content_big;
DROP FUNCTION content_f(int);
DROP TABLE content_t;
