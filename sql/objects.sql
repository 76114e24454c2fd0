--
-- What CREATE EXTENSION makes: names, columns in their order, comments, privileges.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS perfkit;
RESET client_min_messages;

SELECT c.relkind, c.relname
FROM pg_class c
WHERE c.relnamespace = 'perfkit'::regnamespace AND c.relkind IN ('p', 'v') ORDER BY 1, 2;

SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, p.prosecdef
FROM pg_proc p WHERE p.pronamespace = 'perfkit'::regnamespace ORDER BY 1;

-- the contract's columns, in its order
SELECT attnum, attname, atttypid::regtype
FROM pg_attribute
WHERE attrelid = 'perfkit.slow_query_log'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum;

SELECT attnum, attname, atttypid::regtype
FROM pg_attribute
WHERE attrelid = 'perfkit.statements'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum;

-- the views have the same columns
SELECT relation, count(*) FILTER (WHERE l.attnum IS NULL) AS missing
FROM unnest(ARRAY['perfkit.slow_queries', 'perfkit.failed_queries']::regclass[]) relation
JOIN pg_attribute v ON v.attrelid = relation AND v.attnum > 0
LEFT JOIN pg_attribute l ON l.attrelid = 'perfkit.slow_query_log'::regclass
	AND l.attname = v.attname AND l.attnum = v.attnum AND l.atttypid = v.atttypid
GROUP BY 1 ORDER BY 1;

-- nothing without a comment
SELECT c.relname, a.attname
FROM pg_class c
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'perfkit'::regnamespace AND c.relkind IN ('p', 'r', 'v') AND NOT c.relispartition
	AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL);
SELECT p.proname FROM pg_proc p
WHERE p.pronamespace = 'perfkit'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;

-- partitions of today and tomorrow for each log, members of the extension
SELECT i.inhparent::regclass AS log, count(*) >= 2 AS ahead,
	bool_and(d.deptype = 'e') AS members
FROM pg_inherits i
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.inhrelid
	AND d.refclassid = 'pg_extension'::regclass
WHERE i.inhparent IN ('perfkit.slow_query_log'::regclass, 'perfkit.performance_log'::regclass, 'perfkit.statement_rollup'::regclass)
GROUP BY 1 ORDER BY 1;

-- the names of the partitions say the day, and their bounds are that day in UTC
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT count(*) AS wrong
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('perfkit.slow_query_log'::regclass, 'perfkit.performance_log'::regclass, 'perfkit.statement_rollup'::regclass)
	AND pg_get_expr(c.relpartbound, c.oid) <> format('FOR VALUES FROM (%L) TO (%L)',
		to_char(right(c.relname, 8)::date, 'YYYY-MM-DD 00:00:00+00'),
		to_char(right(c.relname, 8)::date + 1, 'YYYY-MM-DD 00:00:00+00'));
RESET timezone;
RESET datestyle;

-- who may read what
SELECT r.role, t.relation,
	has_table_privilege(r.role, 'perfkit.' || t.relation, 'SELECT') AS may_read,
	has_table_privilege(r.role, 'perfkit.' || t.relation, 'INSERT, UPDATE, DELETE, TRUNCATE') AS may_write
FROM unnest(ARRAY['public', 'pg_read_all_stats']) WITH ORDINALITY r(role, n),
	unnest(ARRAY['slow_query_log', 'performance_log', 'slow_queries', 'failed_queries', 'active_queries', 'statements', 'slow_query_digest', 'statement_rollup', 'statement_text', 'statement_history',
		'plan_changes', 'misestimates', 'index_advice', 'status'])
		WITH ORDINALITY t(relation, n)
ORDER BY r.n, t.n;
