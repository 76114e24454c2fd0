# Statement statistics against what the server itself and pg_stat_statements say of the same run: simple and
# extended protocol, prepared statements, functions, errors, cursors, COPY, spilled sorts, parallel workers.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run;
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Behind pg_stat_statements, which hides the queryids of utility statements from libraries before it.
my $node = perfkit_node('judged', <<'EOF_CONF');
shared_preload_libraries = 'pg_stat_statements, perfkit'
pg_stat_statements.max = 5000
perfkit.slow_query_threshold = -1
jit = off
EOF_CONF

# bee_top and bee_all do the same work; the statements inside functions count for the second only.
$node->safe_psql('postgres', <<'EOF_SQL');
CREATE EXTENSION pg_stat_statements;
CREATE ROLE bee_top LOGIN;
CREATE ROLE bee_all LOGIN;
ALTER ROLE bee_all SET perfkit.track = 'all';
ALTER ROLE bee_all SET pg_stat_statements.track = 'all';
CREATE SCHEMA hive;
GRANT ALL ON SCHEMA hive TO bee_top, bee_all;
GRANT pg_read_server_files TO bee_top, bee_all;
CREATE TABLE hive.accounts (id int PRIMARY KEY, balance int CHECK (balance > -1000000), note text);
INSERT INTO hive.accounts SELECT g, 0, repeat('x', g % 50) FROM generate_series(1, 20000) g;
CREATE TABLE hive.history (id int REFERENCES hive.accounts DEFERRABLE INITIALLY DEFERRED, delta int);
CREATE FUNCTION hive.move(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	r record;
	total bigint := 0;
BEGIN
	FOR r IN SELECT id FROM hive.accounts WHERE id <= n LOOP
		UPDATE hive.accounts SET balance = balance + 1 WHERE id = r.id;
		total := total + (SELECT count(*) FROM hive.accounts WHERE id = r.id);
	END LOOP;
	BEGIN
		PERFORM 1 / (n - n);
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	RETURN total;
END $$;
CREATE FUNCTION hive.noted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM count(*) FROM hive.history WHERE id = NEW.id;
	RETURN NULL;
END $$;
CREATE TRIGGER noted AFTER UPDATE OF note ON hive.accounts FOR EACH ROW EXECUTE FUNCTION hive.noted();
GRANT ALL ON ALL TABLES IN SCHEMA hive TO bee_top, bee_all;
ANALYZE;
EOF_SQL

my $SIMPLE = <<'EOF_SQL';
SELECT balance FROM hive.accounts WHERE id = 1;
SELECT balance FROM hive.accounts WHERE id = 2;
SELECT * FROM hive.accounts;
SELECT note, count(*) FROM hive.accounts GROUP BY note;
SELECT 1 \; SELECT 2 \; SELECT 3;
UPDATE hive.accounts SET balance = balance - 1 WHERE id BETWEEN 10 AND 40;
UPDATE hive.accounts SET note = 'seen' WHERE id IN (3, 4, 5);
INSERT INTO hive.history SELECT id, 1 FROM hive.accounts WHERE id < 50;
DELETE FROM hive.history WHERE id = 7;
SELECT 1 / 0;
SELECT 1 / (balance - balance) FROM hive.accounts WHERE id = 9;
SELECT hive.move(20);
SELECT hive.move(30);
BEGIN; INSERT INTO hive.history VALUES (1, 1); ROLLBACK;
BEGIN; UPDATE hive.accounts SET balance = 5 WHERE id = 5; SAVEPOINT s; SELECT 1 / 0; ROLLBACK TO s; COMMIT;
PREPARE p (int) AS SELECT note FROM hive.accounts WHERE id = $1;
EXECUTE p (1); EXECUTE p (2); EXECUTE p (3); EXECUTE p (4); EXECUTE p (5); EXECUTE p (6); EXECUTE p (7);
BEGIN; DECLARE c CURSOR FOR SELECT id FROM hive.accounts ORDER BY id; FETCH 10 FROM c; FETCH 20 FROM c; CLOSE c; COMMIT;
COPY hive.accounts TO '/dev/null';
COPY (SELECT id FROM hive.accounts WHERE id < 100) TO '/dev/null';
CREATE TEMP TABLE mine AS SELECT * FROM hive.accounts;
SELECT count(*) FROM mine;
SET work_mem = '64kB';
SELECT count(*) FROM (SELECT * FROM hive.accounts ORDER BY note, id DESC OFFSET 0) s;
SELECT count(*) FROM hive.accounts a JOIN hive.accounts b USING (note);
RESET work_mem;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SELECT sum(balance) FROM hive.accounts WHERE note <> 'y';
DO $$ BEGIN FOR i IN 1 .. 3 LOOP PERFORM count(*) FROM hive.history; END LOOP; END $$;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM hive.history;
SELECT no_such_column FROM hive.accounts;
CREATE TABLE hive.t_:me (a int PRIMARY KEY);
INSERT INTO hive.t_:me VALUES (1), (2), (2);
INSERT INTO hive.t_:me SELECT generate_series(1, 500);
VACUUM hive.t_:me;
CREATE MATERIALIZED VIEW hive.v_:me AS SELECT * FROM hive.t_:me;
REFRESH MATERIALIZED VIEW hive.v_:me;
DROP MATERIALIZED VIEW hive.v_:me;
DROP TABLE hive.t_:me;
EOF_SQL

# work(role): the same for every role; the wire's part is what psql cannot say
sub work
{
	my ($role) = @_;
	my ($out, $err);
	my $c;

	local $ENV{PGUSER} = $role;
	$node->psql('postgres', $SIMPLE, on_error_stop => 0, stdout => \$out, stderr => \$err, extra_params => [ '-v', "me=$role" ]);
	$c = PerfkitWire->new($node, 'postgres', user => $role);
	$c->parse('s', 'SELECT id FROM hive.accounts WHERE id < $1');
	for my $n (10, 20, 30, 40, 50, 60, 70)
	{
		$c->bind('', 's', $n);
		$c->execute('');
		$c->sync;
	}

	# several in one go, the third of which fails and takes the last with it
	$c->parse('u', 'UPDATE hive.accounts SET balance = balance / $1 WHERE id = 77');
	for my $n (1, 2, 0, 3)
	{
		$c->bind('', 'u', $n);
		$c->execute('');
	}
	$c->sync;

	# fails in Bind, and in commit
	$c->bind('', 'u', 'no number');
	$c->execute('');
	$c->sync;
	$c->query('INSERT INTO hive.history VALUES (-1, 4)');
	$c->quit;
	return;
}

work($_) for 'bee_top', 'bee_all';

# differences(role, column): statements of the role of which the two tell something else
sub differences
{
	my ($role, $column) = @_;

	return ask($node, <<"EOF_SQL");
SELECT coalesce(s.query, p.query), s.toplevel, s.$column AS ours, p.$column AS theirs
FROM (SELECT * FROM perfkit.statements WHERE username = '$role' AND calls > 0) s
FULL JOIN (SELECT * FROM pg_stat_statements
	WHERE userid = '$role'::regrole AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())) p
	USING (queryid, toplevel)
WHERE s.$column IS DISTINCT FROM p.$column

	-- PostgreSQL 15 keeps only the rows of the last chunk of a loop over a cursor
	AND NOT ('$column' = 'rows' AND current_setting('server_version_num')::int < 160000 AND s.query LIKE 'SELECT id FROM hive.accounts WHERE id <= n')

	-- PostgreSQL 18 counts the query of a cursor, where nested statements are tracked; here each FETCH is one
	AND NOT (coalesce(s.query, p.query) LIKE '%SELECT id FROM hive.accounts ORDER BY id%' AND NOT coalesce(s.toplevel, p.toplevel))
ORDER BY 1
EOF_SQL
}

my @COUNTERS = qw(calls rows shared_blks_hit shared_blks_read shared_blks_dirtied shared_blks_written
  local_blks_hit local_blks_read local_blks_dirtied local_blks_written temp_blks_read temp_blks_written
  wal_records wal_fpi wal_bytes);

for my $role ('bee_top', 'bee_all')
{
	cmp_ok(ask($node, "SELECT count(*) FROM perfkit.statements WHERE username = '$role'"), '>', 40, "$role: many statements");
	is(differences($role, $_), '', "$role: $_ as in pg_stat_statements") for @COUNTERS;
}
cmp_ok(ask($node, q{SELECT count(*) FROM perfkit.statements WHERE username = 'bee_all' AND NOT toplevel}), '>=', 5,
	'statements inside functions are counted where they are tracked');
is(ask($node, q{SELECT count(*) FROM perfkit.statements WHERE username = 'bee_top' AND NOT toplevel}), '0', '... and not elsewhere');

# ---- texts
is( ask($node, <<'EOF_SQL'), '', 'texts are those of pg_stat_statements');
SELECT s.query, p.query FROM perfkit.statements s JOIN pg_stat_statements p USING (queryid, userid, toplevel)
WHERE s.username LIKE 'bee%' AND s.query IS DISTINCT FROM p.query
EOF_SQL

# ---- errors
sub errors_of
{
	my ($query, $role) = @_;

	return ask($node, "SELECT calls, errors FROM perfkit.statements WHERE username = '$role' AND toplevel AND query = '$query'");
}
is(errors_of('SELECT $1 / $2', 'bee_top'), '0|2', 'statements that only failed are there, without calls');
is(errors_of('SELECT $1 / (balance - balance) FROM hive.accounts WHERE id = $2', 'bee_top'), '0|1', 'a failure in the middle');
is(errors_of('UPDATE hive.accounts SET balance = balance / $1 WHERE id = $2', 'bee_top'), '2|2', 'successes, a failure of the executor, one of Bind');
is(errors_of('INSERT INTO hive.history VALUES ($1, $2)', 'bee_top'), '2|1', 'a commit that fails is an error of what was executed');
is(errors_of('INSERT INTO hive.t_bee_top VALUES ($1), ($2), ($3)', 'bee_top'), '0|1', 'a constraint');
cmp_ok(ask($node, q{SELECT total_error_time FROM perfkit.statements WHERE username = 'bee_top' AND query = 'SELECT $1 / $2'}),
	'>=', 0, 'failures have their time apart');

# ---- what holds of every row
is( ask($node, <<'EOF_SQL'), '0', 'what is computed fits together');
SELECT count(*) FROM perfkit.statements
WHERE calls > 0 AND NOT (min_exec_time <= p50_exec_time AND p50_exec_time <= p95_exec_time AND p95_exec_time <= p99_exec_time
	AND p99_exec_time <= p999_exec_time AND p999_exec_time <= max_exec_time
	AND abs(mean_exec_time * calls - total_exec_time) < 1e-6 * total_exec_time + 1e-9
	AND stddev_exec_time <= max_exec_time - min_exec_time + 1e-9 AND plans <= calls AND stats_since <= now())
EOF_SQL
is( ask($node, <<'EOF_SQL'), '0', 'every success is in the histogram');
SELECT count(*) FROM perfkit._statements(true) s
WHERE s.calls <> (SELECT coalesce(sum(c), 0) FROM unnest(s.histogram) WITH ORDINALITY AS u (c, n) WHERE n % 2 = 0)
EOF_SQL
cmp_ok(ask($node, q{SELECT plans FROM perfkit.statements WHERE username = 'bee_top' AND query LIKE '%SELECT note FROM hive.accounts WHERE id = $1'}), '<', 7,
	'a generic plan is no planning');

# ---- percentiles against durations that the server has logged
my $offset = log_at($node);
my $c;
my @logged;

$node->safe_psql('postgres', 'ALTER ROLE bee_top SET log_min_duration_statement = 0');
$c = PerfkitWire->new($node, 'postgres', user => 'bee_top');
$c->parse('nap', 'SELECT pg_sleep($1::float8 / 1000)');
for my $i (1 .. 120)
{
	$c->bind('', 'nap', 4 + 50 * (($i * 37 % 120) / 120)**3);
	$c->execute('');
	$c->sync;
}
$c->quit;
@logged = sort { $a <=> $b } slurp_file($node->logfile, $offset) =~ /duration: ([\d.]+) ms  execute nap:/g;
is(scalar @logged, 120, 'the server has logged every execution');
for my $p ([ 'p50', 0.5 ], [ 'p95', 0.95 ], [ 'p99', 0.99 ])
{
	my $exact = $logged[ $p->[1] * @logged - ($p->[1] * @logged == int($p->[1] * @logged) ? 1 : 0) ];
	my $ours = ask($node, "SELECT $p->[0]_exec_time FROM perfkit.statements WHERE username = 'bee_top' AND query LIKE '%pg_sleep%'");

	cmp_ok(abs($ours - $exact) / $exact, '<=', 0.06, "$p->[0] is that of the logged durations") or diag("$ours, exact: $exact");
}

# ---- many at once, one statement: nothing is lost between backends, the worker and readers, and nobody locks
my $before = counter($node, 'statement_merges_by_need');
my $script = $node->basedir . '/many.sql';

append_to_file($script, "SELECT count(*) FROM hive.history WHERE id = :client_id;\n");
my ($out, $err) = ('', '');
my $bench = IPC::Run::start(
	[   'pgbench', '-n', '-U', 'bee_top', '-c', 8, '-j', 2, '-t', 500, '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \$out, '2>', \$err);

# readers take away what backends have counted, all the while
ask($node, 'SELECT sum(calls) FROM perfkit.statements') while $bench->pump_nb && $bench->pumpable;
$bench->finish or diag($err);
is( ask($node, q{SELECT calls, errors FROM perfkit.statements WHERE username = 'bee_top' AND query = 'SELECT count(*) FROM hive.history WHERE id = $1'}),
	'4000|0', 'eight backends and a reader: every execution is counted once');
is(counter($node, 'statement_merges_by_need') - $before, 0, '... and no backend had to merge in the middle of its work');
is(counter($node, 'statements_lost'), '0', 'nothing was lost');
is(counter($node, 'statement_texts_refused'), '0', '... no text either');
$node->stop;

done_testing();
