# The history of statements: intervals written by the worker and by hand add up to what statements shows, over
# resets, restarts and crashes; old days are dropped; compare() finds the regressions that were planted, and only
# these; plan_changes the plans that flipped.
use strict;
use warnings;

use FindBin;
use POSIX ();
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

not_at_midnight();
my $node = perfkit_node('history', <<'EOF_CONF');
perfkit.slow_query_threshold = -1
perfkit.statement_history_interval = 1s
EOF_CONF

# often(n, sql): the statement so often
sub often
{
	my ($n, $sql) = @_;

	return "$sql;\n" x $n;
}

# snapshot(): ends an interval; returns its end
sub snapshot
{
	return ask($node, 'SELECT perfkit.snapshot_statements()');
}

# at_once(code...): each in a process of its own
sub at_once
{
	my @pids;

	for my $code (@_)
	{
		my $pid = fork() // die "fork: $!";

		if ($pid == 0)
		{
			$code->();
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	waitpid($_, 0) for @pids;
	return;
}

# calls(text): calls|errors of a statement in all of the history
sub calls
{
	my ($text) = @_;

	return ask($node, "SELECT sum(calls) || '|' || sum(errors) FROM perfkit.statement_history WHERE query = \$q\$$text\$q\$");
}

# ---- the worker writes each second; what it wrote is what was executed
run_as($node, 'x', often(30, 'SELECT 1, 2') . often(3, 'SELECT 1, 2 / 0'));
ok(await($node, q{SELECT count(*) > 0 FROM perfkit.statement_history WHERE query = 'SELECT $1, $2'}), 'the worker writes history');
run_as($node, 'x', often(20, 'SELECT 1, 2'));
ok(await($node, q{SELECT sum(calls) FROM perfkit.statement_history WHERE query = 'SELECT $1, $2'}, '50'), '... and goes on where it was');
is(calls('SELECT $1, $2 / $3'), '0|3', 'failures too');
is( ask($node, q{SELECT count(*) FROM (SELECT since, until, lag(until) OVER (ORDER BY until) AS before
	FROM (SELECT DISTINCT since, until FROM perfkit.statement_history) i) i WHERE since < before OR until <= since}),
	'0', 'intervals do not overlap');
is( ask($node, q{SELECT count(*) FROM perfkit.statement_history WHERE calls <> (SELECT coalesce(sum(n), 0) FROM unnest(histogram) WITH ORDINALITY u (n, i) WHERE i % 2 = 0)}),
	'0', 'the histogram of an interval has all of its calls');

# ---- from here on by hand
$node->safe_psql('postgres', q{ALTER SYSTEM SET perfkit.statement_history_interval = 0});
$node->restart;
run_as($node, 'x', often(7, 'SELECT 1, 2'));
snapshot();
is(calls('SELECT $1, $2'), '57|0', 'nothing is lost or counted twice over a restart');
my $all = ask($node, q{SELECT count(*) FROM perfkit.statement_history});
snapshot();
is(ask($node, q{SELECT count(*) FROM perfkit.statement_history}), $all, 'an interval without executions has no rows');
run_as($node, 'x', often(5, 'SELECT 1, 2'));
ask($node, q{SELECT perfkit.reset_statements()});
run_as($node, 'x', often(4, 'SELECT 1, 2'));
snapshot();
is(calls('SELECT $1, $2'), '61|0', 'after a reset what came then');
$node->stop('immediate');
$node->start;
run_as($node, 'x', often(3, 'SELECT 1, 2'));
snapshot();
is(calls('SELECT $1, $2'), '64|0', 'after a crash what came then');
$node->safe_psql('postgres', 'SELECT 1, 2; SELECT perfkit.snapshot_statements(); ROLLBACK; BEGIN; SELECT perfkit.snapshot_statements(); ROLLBACK');
snapshot();
is(calls('SELECT $1, $2'), '65|0', 'a snapshot that is rolled back is made up for by the next');

# two at once: one waits for the other
at_once((sub { ask($node, 'SELECT perfkit.snapshot_statements()') for 1 .. 5 }) x 3, sub { run_as($node, 'x', often(200, 'SELECT 1, 2')) });
snapshot();
is(calls('SELECT $1, $2'), '265|0', 'several at once count each execution once');
is( ask($node, q{SELECT s.calls = h.calls AND s.rows = h.rows AND abs(s.total_exec_time - h.total) < 0.001 AND s.plans = h.plans
	FROM perfkit.statements s, (SELECT sum(h.calls) AS calls, sum(h.rows) AS rows, sum(h.total_exec_time) AS total, sum(h.plans) AS plans
		FROM perfkit.statement_history h, perfkit.statements s WHERE h.query = 'SELECT $1, $2' AND s.query = h.query AND h.until > s.stats_since) h
	WHERE s.query = 'SELECT $1, $2'}),
	't', 'the history of a statement adds up to its row in statements');

# ---- retention: a day that is old goes, without its readers in the way
ask($node, <<'EOF_SQL');
CREATE TABLE perfkit.statement_rollup_20200101 (LIKE perfkit.statement_rollup INCLUDING ALL);
ALTER EXTENSION perfkit ADD TABLE perfkit.statement_rollup_20200101;
ALTER TABLE perfkit.statement_rollup ATTACH PARTITION perfkit.statement_rollup_20200101 FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00');
INSERT INTO perfkit.statement_text VALUES (1, 10, 'old', '2020-01-01');
EOF_SQL
$node->reload;
ok(await($node, q{SELECT to_regclass('perfkit.statement_rollup_20200101') IS NULL}), 'an old day is dropped');
snapshot();
is(ask($node, q{SELECT count(*) FROM perfkit.statement_text WHERE query = 'old'}), '0', '... and so are texts that nothing needs');
is(calls('SELECT $1, $2'), '265|0', '... and nothing else');

# ---- regressions: ten statements, of which four get slower, two faster, one goes and one comes. Fifty times as slow, and
# three times is asked for, so that a busy machine makes no difference; all at once, for they sleep.
$node->safe_psql('postgres', join '', map { "CREATE TABLE span$_ AS SELECT 1 AS a;" } 0 .. 9);
my @spans = map { [ 0.1, 0.1 ] } 0 .. 9;
$spans[$_] = [ 0.02, '1.0' ] for 0 .. 3; # of one type, and so of one queryid
$spans[$_] = [ '1.0', 0.02 ] for 4 .. 5;
$spans[6][1] = $spans[7][0] = undef;
my @ends = (snapshot());
for my $window (0, 1)
{
	my @sessions = grep { defined $spans[$_][$window] } 0 .. $#spans;

	at_once(map { my $i = $_; sub { run_as($node, 'x', often(10, "SELECT pg_sleep($spans[$i][$window]) FROM span$i")) } } @sessions);
	push @ends, snapshot();
}
my $compare = "perfkit.compare('$ends[0]', '$ends[1]', '$ends[1]', '$ends[2]', min_ratio => 3)";
is( ask($node, "SELECT status, substring(query FROM 'span.*') FROM $compare WHERE query LIKE '%span%' ORDER BY status, 2"),
	"better|span4\nbetter|span5\ngone|span6\nnew|span7\nworse|span0\nworse|span1\nworse|span2\nworse|span3",
	'planted regressions are found, and only they');
is(ask($node, "SELECT count(*) FROM $compare WHERE status = 'worse'"), '4', '... and nothing else got worse');
is( ask($node, "SELECT bool_and(calls1 = 10 AND calls2 = 10 AND ratio >= 3 AND abs(ratio - mean2_ms / mean1_ms) < 1e-6 * ratio AND extra_ms BETWEEN 1000 AND 60000 AND p50_2_ms > 2 * p50_1_ms) FROM $compare WHERE status = 'worse'"),
	't', '... with their numbers');
is(ask($node, "SELECT bool_and(ok) FROM (SELECT extra_ms <= lag(extra_ms) OVER (ORDER BY rank) IS NOT FALSE AS ok FROM $compare) c"), 't', '... by the time they cost');

# ---- plans that flip: their index goes, or comes; others stay
my $tables = join '', map { "CREATE TABLE flip$_ AS SELECT i AS id, i % 500 AS a FROM generate_series(1, 5000) i; CREATE INDEX flip_$_ ON flip$_ (a); ANALYZE flip$_;\n" } 1 .. 6;
$node->safe_psql('postgres', $tables . 'DROP INDEX flip_3');
$node->safe_psql('postgres', q{ALTER SYSTEM SET perfkit.slow_query_threshold = 0});
$node->reload;
ok(await($node, 'SHOW perfkit.slow_query_threshold', '0'), 'all is logged');
my $reads = join '', map { often(6, "SELECT count(*) FROM flip$_ WHERE a = 7") } 1 .. 6;
my @windows = (snapshot());
run_as($node, 'flip', $reads);
push @windows, snapshot();
$node->safe_psql('postgres', 'DROP INDEX flip_1, flip_2; CREATE INDEX flip_3 ON flip3 (a)');
run_as($node, 'flip', $reads);
push @windows, snapshot();
settle($node);
is( ask($node, q{SELECT query, plan_before::text ~ 'Index', plan::text ~ 'Index', calls_before, calls, mean_ms > 0 AND mean_before_ms > 0, current
	FROM perfkit.plan_changes WHERE query LIKE '%flip%' ORDER BY query}),
	join("\n",
		'SELECT count(*) FROM flip1 WHERE a = $1|t|f|6|6|t|t', 'SELECT count(*) FROM flip2 WHERE a = $1|t|f|6|6|t|t',
		'SELECT count(*) FROM flip3 WHERE a = $1|f|t|6|6|t|t'),
	'plans that flipped are there with their plans and times, and no other');
is( ask($node, "SELECT count(*) FILTER (WHERE plan_changed), count(*) FILTER (WHERE plan_changed AND query ~ 'flip[123] ') FROM perfkit.compare('$windows[0]', '$windows[1]', '$windows[1]', '$windows[2]')"),
	'3|3', 'compare() tells the same');

# a flip whose plan before was too fast for the log
$node->safe_psql('postgres', q{ALTER SYSTEM SET perfkit.slow_query_threshold = '1h'; ALTER SYSTEM SET perfkit.log_new_plans = changed});
$node->reload;
ok(await($node, 'SHOW perfkit.log_new_plans', 'changed'), 'only new plans are logged');
my $fast = often(6, 'SELECT max(id) FROM flip4 WHERE a = 7');
run_as($node, 'flip', $fast);
snapshot();
$node->safe_psql('postgres', 'DROP INDEX flip_4');
run_as($node, 'flip', $fast);
snapshot();
settle($node);
is( ask($node, q{SELECT plan_id_before IS NULL, plan::text ~ 'Seq Scan', history_mean_before_ms > 0, ratio IS NOT NULL FROM perfkit.plan_changes WHERE query LIKE '%max(id)%'}),
	't|t|t|t', 'a fast plan that was left is told by log_new_plans, its time by the history');

# ---- DROP EXTENSION takes everything along
ask($node, 'DROP EXTENSION perfkit; CREATE EXTENSION perfkit');
run_as($node, 'x', often(2, 'SELECT 1, 2, 3'));
is(ask($node, q{SELECT count(*) FROM perfkit.statement_history WHERE query = 'SELECT $1, $2, $3'}), '0', 'a new extension has no history');
snapshot();
is(calls('SELECT $1, $2, $3'), '2|0', '... and begins one');
$node->stop;
done_testing();
