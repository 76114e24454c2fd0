# What plans tell: misestimates are those of EXPLAIN ANALYZE; index_advice finds the indexes that are missing, and none
# of the decoys; what it advises can be run, is used, and is not advised again; ANALYZE and extended statistics come
# first; indexes that nobody misses.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP;
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Scans in full where there is an index, for the decoys that have one.
my $node = perfkit_node('advice', <<'EOF_CONF');
perfkit.slow_query_threshold = -1
perfkit.capture_plan = actual
perfkit.statement_history_interval = 0
perfkit.record_rate = 0
max_parallel_workers_per_gather = 0
jit = off
EOF_CONF

# run(times, statements...): logs them, by a session that scans tables in full
sub run_slowly
{
	my ($times, @statements) = @_;

	run_as($node, 'slow', "SET perfkit.slow_query_threshold = 0; SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;\n" . join('', map { "$_;\n" } @statements) x $times . 'SELECT pg_stat_force_next_flush();');
	settle($node);
	return;
}

# forget(): empties the log
sub forget
{
	settle($node);
	ask($node, 'DELETE FROM perfkit.slow_query_log');
	return;
}

# advice(condition): kind, table and DDL, in the order of their tables
sub advice
{
	my ($condition) = @_;

	return ask($node, "SELECT kind, relation, ddl FROM perfkit.index_advice WHERE $condition ORDER BY relation COLLATE \"C\", ddl");
}

# ---- misestimates: columns that belong together, a join on them, a set of rows the planner knows nothing of
$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE pair AS SELECT i AS id, i % 50 AS a, i % 50 AS b FROM generate_series(1, 20000) i;
CREATE TABLE other AS SELECT i AS id, i % 10 AS c FROM generate_series(1, 2000) i;
CREATE FUNCTION many() RETURNS SETOF int LANGUAGE plpgsql ROWS 5 AS $$ BEGIN RETURN QUERY SELECT generate_series(1, 1000); END $$;
SELECT pg_stat_force_next_flush(); -- what is reported after ANALYZE counts as changed since
ANALYZE pair, other;
EOF_SQL
my @wrong = (
	'SELECT count(*) FROM pair JOIN other ON other.id = pair.id WHERE pair.a = 3 AND pair.b = 3',
	'SELECT count(*) FROM pair WHERE a = 1 AND b = 2 AND id < 10000',
	'SELECT count(*) FROM many() m JOIN other ON other.id = m',
	'SELECT * FROM pair WHERE a = 1 AND b = 1 ORDER BY id LIMIT 3',
	'SELECT * FROM pair WHERE id > 0 LIMIT 3',
	'SELECT count(*) FROM pair WHERE EXISTS (SELECT FROM other WHERE other.c = pair.a)',
	'SELECT c, count(*) FROM other GROUP BY c');

# nodes(plan node, path, list): those off by ten and more, of a hundred rows and more
sub nodes
{
	my ($plan, $path, $list) = @_;
	my ($estimate, $actual) = map { $_ < 1 ? 1 : $_ } $plan->{'Plan Rows'}, $plan->{'Actual Rows'};
	my $factor = $estimate > $actual ? $estimate / $actual : $actual / $estimate;

	push @$list, sprintf('{%s}|%s|%s|%s|%s', $path, $plan->{'Node Type'}, $plan->{'Plan Rows'}, $plan->{'Actual Rows'} + 0, $plan->{'Actual Loops'})
	  if $factor >= 10 && ($estimate >= 100 || $actual >= 100) && $plan->{'Actual Loops'} > 0;
	my $n = 0;
	nodes($_, $path eq '' ? ++$n : $path . ',' . ++$n, $list) for @{ $plan->{'Plans'} // [] };
	return;
}
my $seen = 0;
for my $query (@wrong)
{
	my $plan = decode_json(ask($node, "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON) $query"));
	my @expected;

	run_as($node, 'slow', "SET perfkit.slow_query_threshold = 0;\n$query;");
	settle($node);
	nodes($plan->[0]{'Plan'}, '', \@expected);
	# what stops early has not the rows it would have given
	@expected = grep { !/Seq Scan/ } @expected if $query =~ /id > 0 LIMIT/;
	is( ask($node, q{SELECT '{' || array_to_string(node_path, ',') || '}', node_type, estimated_rows, actual_rows, loops FROM perfkit.misestimates ORDER BY node_path}),
		join("\n", sort { ($a =~ /\{(.*)\}/)[0] cmp ($b =~ /\{(.*)\}/)[0] } @expected), "as EXPLAIN ANALYZE has it: $query");
	$seen += @expected;
	forget();
}
cmp_ok($seen, '>=', 4, 'nodes were misestimated');

# ---- ANALYZE first, then extended statistics
run_slowly(6, 'SELECT * FROM pair WHERE a = 3 AND b = 3');
like(advice(q{kind = 'statistics'}), qr/^statistics\|pair\|CREATE STATISTICS ON a, b FROM pair; ANALYZE pair;$/, 'columns that belong together want extended statistics');
is(ask($node, q{SELECT kind FROM perfkit.index_advice WHERE relation = 'pair' LIMIT 1}), 'statistics', '... first');
$node->safe_psql('postgres', 'CREATE STATISTICS pair_ab ON a, b FROM pair; ANALYZE pair;');
is(advice(q{kind = 'statistics'}), '', '... until they have them');
forget();
$node->safe_psql('postgres', 'CREATE TABLE fresh (id int, a int, note text); ANALYZE fresh; INSERT INTO fresh SELECT i, i % 1000, NULL FROM generate_series(1, 20000) i');
run_slowly(6, 'SELECT * FROM fresh WHERE note IS NULL AND a = 3', 'SELECT count(*) FROM fresh WHERE note IS NULL');
ok(await($node, q{SELECT n_live_tup > 0 FROM pg_stat_all_tables WHERE relname = 'fresh'}), 'statistics know of the rows');
is(advice(q{relation = 'fresh'}), 'analyze|fresh|ANALYZE fresh;', 'a table that was not analyzed wants that, and nothing else yet');
forget();

# ---- twelve indexes that are missing, and what is like them but needs none
$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE m1 AS SELECT i AS id, i % 1000 AS a FROM generate_series(1, 20000) i;
CREATE TABLE m2 (id int, name varchar(40)); INSERT INTO m2 SELECT i, 'name ' || i % 2000 FROM generate_series(1, 20000) i;
CREATE TABLE m3 AS SELECT i AS id, i % 40 AS a, i / 40 % 50 AS b FROM generate_series(1, 20000) i;
CREATE TABLE m4 AS SELECT i AS id, i % 20 AS a, '2024-01-01'::timestamptz + i * interval '1 min' AS at FROM generate_series(1, 20000) i;
CREATE TABLE m5 AS SELECT i AS id, '2000-01-01'::date + i / 10 AS day FROM generate_series(1, 20000) i;
CREATE TABLE m6 AS SELECT i AS id, i * 7919 % 20011 AS score FROM generate_series(1, 20000) i;
CREATE TABLE m7 AS SELECT i AS id, i % 50 AS a, i * 7919 % 20011 AS score FROM generate_series(1, 20000) i;
CREATE TABLE m8 AS SELECT i AS id, i % 5000 AS customer FROM generate_series(1, 40000) i;
CREATE TABLE m8c AS SELECT i AS id, i % 2500 AS region FROM generate_series(0, 4999) i;
CREATE TABLE "M 9" ("Col ""x""" int, id int); INSERT INTO "M 9" SELECT i % 1000, i FROM generate_series(1, 20000) i;
CREATE TABLE ma (id int, a int) PARTITION BY HASH (id);
CREATE TABLE ma_0 PARTITION OF ma FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE ma_1 PARTITION OF ma FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO ma SELECT i, i % 1000 FROM generate_series(1, 40000) i;
CREATE TABLE mb AS SELECT i AS id, i % 1000 AS a FROM generate_series(1, 20000) i;
CREATE TABLE mc AS SELECT i AS id, CASE WHEN i % 1000 <> 0 THEN i END AS a FROM generate_series(1, 20000) i;

CREATE TABLE small AS SELECT i AS id, i AS a FROM generate_series(1, 1000) i;
CREATE TABLE unselective AS SELECT i AS id, i % 3 AS a FROM generate_series(1, 20000) i;
CREATE TABLE has_one AS SELECT i AS id, i % 1000 AS a FROM generate_series(1, 20000) i;
CREATE INDEX has_one_a ON has_one (a, id);
CREATE TABLE has_two AS SELECT i AS id, i % 40 AS a, i / 40 % 50 AS b FROM generate_series(1, 20000) i;
CREATE INDEX has_two_ab ON has_two (a, b);
CREATE TABLE is_key (id int PRIMARY KEY, a int); INSERT INTO is_key SELECT i, i % 1000 FROM generate_series(1, 20000) i;
CREATE TABLE expression AS SELECT i AS id, 'N' || i AS name FROM generate_series(1, 20000) i;
CREATE TABLE either AS SELECT i AS id, i AS a, i AS b FROM generate_series(1, 20000) i;
CREATE TABLE once AS SELECT i AS id, i % 1000 AS a FROM generate_series(1, 20000) i;
CREATE TABLE written AS SELECT i AS id, i % 1000 AS a FROM generate_series(1, 20000) i;
CREATE SCHEMA one; CREATE TABLE one.twice AS SELECT i AS id, i AS a FROM generate_series(1, 20000) i;
CREATE SCHEMA two; CREATE TABLE two.twice (id int, a int);
CREATE TABLE pattern AS SELECT i AS id, 'n' || i AS name FROM generate_series(1, 20000) i;
CREATE TABLE itself AS SELECT i AS id, i AS a, i + (i % 1000 <> 0)::int AS b FROM generate_series(1, 20000) i;
CREATE TABLE unordered (id int, a json); INSERT INTO unordered SELECT i, '{}' FROM generate_series(1, 20000) i;
CREATE TABLE cast_away AS SELECT i AS id, i AS a FROM generate_series(1, 20000) i;
CREATE TABLE half AS SELECT i AS id, i % 2 AS a, 'N' || i AS name FROM generate_series(1, 20000) i;
CREATE TABLE whole AS SELECT i AS id, i % 100 AS a FROM generate_series(1, 20000) i;
ANALYZE;
SELECT pg_stat_force_next_flush();
EOF_SQL
$node->safe_psql('postgres', 'DO $$ BEGIN FOR i IN 1 .. 40 LOOP UPDATE written SET id = id + 1; END LOOP; END $$; SELECT pg_stat_force_next_flush(); ANALYZE written');
my @missing = (
	'SELECT * FROM m1 WHERE a = 5', q{SELECT * FROM m2 WHERE name = 'name 7'}, 'SELECT * FROM m3 WHERE a = 5 AND b = 7',
	q{SELECT * FROM m4 WHERE at > '2024-01-14' AND a = 5}, q{SELECT * FROM m5 WHERE day BETWEEN '2001-01-01' AND '2001-01-10'},
	'SELECT * FROM m6 ORDER BY score LIMIT 10', 'SELECT * FROM m7 WHERE a = 7 ORDER BY score DESC LIMIT 5',
	'SELECT count(*) FROM m8 JOIN m8c ON m8c.id = m8.customer WHERE m8c.region = 3', 'SELECT * FROM "M 9" WHERE "Col ""x""" = 3',
	'SELECT * FROM ma WHERE a = 3', 'SELECT * FROM mb WHERE a IN (3, 4)', 'SELECT * FROM mc WHERE a IS NULL');
run_slowly(6, @missing,
	'SELECT * FROM small WHERE a = 3', 'SELECT * FROM unselective WHERE a = 1', 'SELECT * FROM has_one WHERE a = 1', 'SELECT * FROM has_two WHERE b = 7 AND a = 5',
	'SELECT * FROM is_key WHERE id = 4 AND a = 4', q{SELECT * FROM expression WHERE lower(name) = 'n1'}, 'SELECT * FROM either WHERE a = 1 OR b = 2',
	'SELECT * FROM written WHERE a = 1', 'SELECT * FROM one.twice WHERE a = 1', q{SELECT * FROM pattern WHERE name LIKE '%n123%'},
	'SELECT * FROM itself WHERE a = b', q{SELECT * FROM unordered WHERE a::text = 'x'}, q{SELECT * FROM cast_away WHERE a::text = '5'},
	q{SELECT * FROM half WHERE a = 1 AND lower(name) = 'n7'}, 'SELECT * FROM whole ORDER BY a', 'SELECT * FROM whole w1 JOIN whole w2 USING (id)');
run_slowly(1, 'SELECT * FROM once WHERE a = 5');
is( advice(q{kind = 'index'}),
	<<'EOF_ADVICE' =~ s/\n\z//r, 'twelve missing indexes, and none of seventeen decoys');
index|"M 9"|CREATE INDEX CONCURRENTLY ON public."M 9" USING btree ("Col ""x""");
index|m1|CREATE INDEX CONCURRENTLY ON public.m1 USING btree (a);
index|m2|CREATE INDEX CONCURRENTLY ON public.m2 USING btree (name);
index|m3|CREATE INDEX CONCURRENTLY ON public.m3 USING btree (b, a);
index|m4|CREATE INDEX CONCURRENTLY ON public.m4 USING btree (a, at);
index|m5|CREATE INDEX CONCURRENTLY ON public.m5 USING btree (day);
index|m6|CREATE INDEX CONCURRENTLY ON public.m6 USING btree (score);
index|m7|CREATE INDEX CONCURRENTLY ON public.m7 USING btree (a, score DESC);
index|m8|CREATE INDEX CONCURRENTLY ON public.m8 USING btree (customer);
index|ma|CREATE INDEX CONCURRENTLY ma_0_a_idx ON public.ma_0 USING btree (a);
CREATE INDEX CONCURRENTLY ma_1_a_idx ON public.ma_1 USING btree (a);
CREATE INDEX ma_a_idx ON ONLY public.ma USING btree (a);
ALTER INDEX public.ma_a_idx ATTACH PARTITION public.ma_0_a_idx;
ALTER INDEX public.ma_a_idx ATTACH PARTITION public.ma_1_a_idx;
index|mb|CREATE INDEX CONCURRENTLY ON public.mb USING btree (a);
index|mc|CREATE INDEX CONCURRENTLY ON public.mc USING btree (a);
EOF_ADVICE
is( ask($node, q{SELECT bool_and(evidence = 'actual' AND executions = 6 AND cardinality(queryids) = 1 AND rows_read >= 10000 AND share_needed <= 0.05 AND size_bytes > 0 AND total_ms > 0
	AND caveats @> '{not verified: see verify_index()}') FROM perfkit.index_advice WHERE kind = 'index'}),
	't', '... with their evidence');
is(ask($node, q{SELECT kind FROM perfkit.index_advice WHERE relation = 'm1'}), 'index', 'a table has one advice');
# what takes a tenth of all the time needs to recur but twice: how long each took must not be left to the machine
ask($node, 'UPDATE perfkit.slow_query_log SET duration_ms = 1');
is(ask($node, q{SELECT count(*) FROM perfkit.index_advice(min_executions => 7) WHERE kind = 'index'}), '0', 'what does not recur often enough is let be');
ask($node, q{UPDATE perfkit.slow_query_log SET duration_ms = 10 WHERE query LIKE '%m1 WHERE a = 5%'});
is(ask($node, q{SELECT relation FROM perfkit.index_advice(min_executions => 7) WHERE kind = 'index'}), 'm1', '... but for what takes a tenth of all the time');
is(ask($node, q{SELECT count(*) FROM perfkit.index_advice(min_rows => 100000) WHERE kind = 'index'}), '0', '... and what is too small');
is(ask($node, q{SELECT count(*) FROM perfkit.index_advice(until => '2020-01-01') WHERE kind = 'index'}), '0', '... or was not seen in the time asked for');

# a hypothetical index tells before a real one is made, where hypopg is installed
SKIP:
{
	skip 'hypopg is not installed', 3 if ask($node, q{SELECT count(*) FROM pg_available_extensions WHERE name = 'hypopg'}) eq '0';
	$node->safe_psql('postgres', 'CREATE EXTENSION hypopg');
	is( ask($node, q{SELECT v.used, v.cost_after < v.cost_before / 2, v.size_bytes > 0, v.plan ? 'Plan' FROM perfkit.index_advice a
		JOIN LATERAL (SELECT max(id) AS id FROM perfkit.slow_queries q WHERE q.queryid = a.queryids[1]) q ON true
		CROSS JOIN LATERAL perfkit.verify_index(a.ddl, q.id) v WHERE a.relation = 'm1'}),
		't|t|t|t', 'an index that would be used');
	is( ask($node, q{SELECT v.used, v.cost_after = v.cost_before FROM perfkit.index_advice a
		JOIN LATERAL (SELECT max(id) AS id FROM perfkit.slow_queries q WHERE q.queryid = a.queryids[1]) q ON true
		CROSS JOIN LATERAL perfkit.verify_index('CREATE INDEX ON public.m1 (id)', q.id) v WHERE a.relation = 'm1'}),
		'f|t', '... and one that would not');
	is(ask($node, q{SELECT count(*) FROM pg_indexes WHERE tablename = 'm1'}), '0', '... without making any');
}

# what is advised can be run as it stands, is used, and is not advised again
for my $ddl (split /;\n?/, ask($node, q{SELECT string_agg(ddl, E'\n') FROM perfkit.index_advice WHERE kind = 'index'}))
{
	$node->safe_psql('postgres', $ddl);
}
$node->safe_psql('postgres', 'ANALYZE');
is(advice(q{kind = 'index'}), '', 'advice that was followed is not given again');
is( join("\n", grep { ask($node, "EXPLAIN $_") !~ /Index (Only )?Scan|Bitmap Index Scan/ } @missing), '', 'the new indexes are used by all twelve');
forget();

# ---- of plans as estimated only: the planner's word for the rows
$node->safe_psql('postgres', 'CREATE TABLE guess AS SELECT i AS id, i % 1000 AS a FROM generate_series(1, 20000) i; ANALYZE guess; SELECT pg_stat_force_next_flush()');
run_as($node, 'slow', "SET perfkit.capture_plan = estimate; SET perfkit.slow_query_threshold = 0;\n" . "SELECT * FROM guess WHERE a = 5;\n" x 6 . 'SELECT pg_stat_force_next_flush();');
settle($node);
is( ask($node, q{SELECT kind, relation, evidence, caveats @> '{rows are estimates: perfkit.capture_plan = actual measures them}' FROM perfkit.index_advice WHERE relation = 'guess'}),
	'index|guess|estimate|t', 'estimated plans give advice that says so');

# an index on two columns serves a statement that needs the first: one advice for both
run_slowly(6, 'SELECT * FROM guess WHERE a = 5 AND id BETWEEN 100 AND 3000');
is(advice(q{relation = 'guess'}), 'index|guess|CREATE INDEX CONCURRENTLY ON public.guess USING btree (a, id);', 'advice for one index that serves two statements');
is(ask($node, q{SELECT cardinality(queryids), executions FROM perfkit.index_advice WHERE relation = 'guess'}), '2|12', '... counts both');

# ---- indexes to drop
$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE spare (id int PRIMARY KEY, a int, b int UNIQUE, c text);
CREATE INDEX spare_id ON spare (id);
CREATE INDEX spare_a1 ON spare (a);
CREATE INDEX spare_a2 ON spare (a);
CREATE INDEX spare_a_desc ON spare (a DESC);
CREATE INDEX spare_a_partial ON spare (a) WHERE b > 0;
CREATE INDEX spare_lower ON spare (lower(c));
INSERT INTO spare SELECT i, i, i, 'x' FROM generate_series(1, 1000) i;
ANALYZE spare;
SET enable_seqscan = off;
SELECT count(*) FROM spare WHERE lower(c) = 'y';
EOF_SQL
ok(await($node, q{SELECT idx_scan > 0 FROM pg_stat_user_indexes WHERE indexrelname = 'spare_lower'}), 'an index was used');
is( advice(q{relation = 'spare'}),
	"duplicate|spare|DROP INDEX CONCURRENTLY spare_a2;\nduplicate|spare|DROP INDEX CONCURRENTLY spare_id;",
	'an index that is there twice; statistics are too young to tell which are unused');
is( ask($node, q{SELECT ddl FROM perfkit.index_advice(unused_after => '0') WHERE kind = 'unused' AND relation = 'spare' ORDER BY ddl}),
	"DROP INDEX CONCURRENTLY spare_a1;\nDROP INDEX CONCURRENTLY spare_a_desc;\nDROP INDEX CONCURRENTLY spare_a_partial;", 'unused ones; constraints keep theirs');
like(ask($node, q{SELECT caveats FROM perfkit.index_advice(unused_after => '0') WHERE kind = 'unused' AND relation = 'spare' LIMIT 1}), qr/standbys/, '... with their caveats');

# ---- who may not see the plans gets no advice from them
$node->safe_psql('postgres', 'CREATE ROLE nobody_special');
is(ask($node, q{SET ROLE nobody_special; SELECT count(*) FROM perfkit.index_advice WHERE kind NOT IN ('duplicate', 'unused')}), '0', 'plans of others give no advice');
$node->stop;
done_testing();
