# A run of PERFKIT_RUN_SECONDS (a minute) of what `make run` sends: short transactions of several clients, some
# that reconnect, reports, sorts that spill, statements that fail. What performance_log says of it, sampled each
# second, is what pg_stat_database and the durations of the statements say.
#
# The first file, because it takes long and mostly waits: the others go by meanwhile.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run qw(start);
use PerfkitSeries;
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $SECONDS = $ENV{PERFKIT_RUN_SECONDS} || 60;

# not_at_midnight() is for files that are shorter
plan skip_all => 'the day ends while this would run' if time % 86400 > 86400 - 120 - $SECONDS;

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.sample_interval = '1s'
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.ring_size = 16MB
perfkit.flush_interval = '1s'
work_mem = '64kB'
EOF_CONF

# of pg_stat_database, and their metrics
my %COUNTERS = (
	transactions => 'xact_commit + xact_rollback',
	rollbacks => 'xact_rollback',
	rows_inserted => 'tup_inserted',
	rows_updated => 'tup_updated',
	rows_returned => 'tup_returned',
	rows_fetched => 'tup_fetched',
	blocks_hit => 'blks_hit',
	temp_files => 'temp_files',
	temp_bytes => 'temp_bytes',
);
my @COUNTERS = sort keys %COUNTERS;

# statistics(): what they show now
sub statistics
{
	my $columns = join ', ', map { $COUNTERS{$_} } @COUNTERS;
	my %now;

	@now{@COUNTERS} = split /\|/, ask($node, "SELECT $columns FROM pg_stat_database WHERE datname = current_database()");
	return \%now;
}

# script(name, text): a file for pgbench
sub script
{
	my ($name, $text) = @_;
	my $file = $node->basedir . "/$name.sql";

	append_to_file($file, $text);
	return $file;
}

# load(arguments): a pgbench for so long
sub load
{
	my %load = (out => '', err => '');

	$load{run} = start([ 'pgbench', '-n', '-T', $SECONDS, '-h', $node->host, '-p', $node->port, @_, 'postgres' ], '>', \$load{out}, '2>', \$load{err});
	return \%load;
}

# ---- the work
$node->command_ok([ 'pgbench', '-i', '-q', '-s', 1, '-h', $node->host, '-p', $node->port, 'postgres' ], 'tables');
# pgbench goes on after an error of this kind only
ask($node, q{CREATE FUNCTION fail() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as it should' USING ERRCODE = '40001'; END $$});
my $sort = script('sort', "SELECT count(*) FROM (SELECT * FROM pgbench_accounts WHERE aid <= 5000 ORDER BY filler, aid DESC OFFSET 0) s;\n");
my $report = script('report', "SELECT bid, count(*), avg(abalance) FROM pgbench_accounts GROUP BY bid;\n");
my $fail = script('fail', "SELECT fail();\n");

my $from = at_rest($node);
my $before = statistics();
my @loads = (load('-c', 4, '-R', 40, '-b', 'select-only@20', '-b', 'tpcb-like@20', '-f', "$sort\@4", '-f', "$report\@1", '-f', "$fail\@1"),
	load('-c', 1, '-R', 3, '-C', '-S'));
for my $load (@loads)
{
	ok($load->{run}->finish, 'the clients end well') or diag($load->{err});
	note($load->{out});
}
my $to = at_rest($node);
my $after = statistics();
my ($failures) = $loads[0]{out} =~ /number of failed transactions: (\d+)/;
books_ok($node, 'the books balance');
is(ask($node, q{SELECT sum(value) FROM perfkit.status WHERE name LIKE 'dropped%'}), '0', '... and every statement is stored, so that there is something to compare with');

# ---- no holes
my $during = "logged_at BETWEEN '$from' AND '$to'";
my $metrics = join ', ', map { "'$_'" } (map { "${_}_per_second" } @COUNTERS, qw(statements statement_errors deadlocks wal_bytes cpu_seconds)),
  qw(sample_delay_seconds connections active_connections waiting_locks oldest_transaction_seconds xid_age cpu_ratio memory_ratio uptime_seconds);
my ($wanted, $samples, $late) = split /\|/, ask($node, "SELECT round(extract(epoch FROM timestamptz '$to' - '$from')), count(*) - 1, round(max(value)::numeric, 3)
	FROM perfkit.performance_log WHERE metric = 'sample_delay_seconds' AND $during");
note("$samples samples in $wanted s; the one most delayed was due $late s before");
cmp_ok($samples, '>=', 0.75 * $wanted, 'a sample each second, but for a few that were late');

# Half a second is for a process that is sent to sleep between its looks at the two clocks.
is( ask($node, "WITH delay AS (SELECT logged_at, value FROM perfkit.performance_log WHERE metric = 'sample_delay_seconds' AND $during),
		series AS (SELECT logged_at, source, metric, extract(epoch FROM logged_at - lag(logged_at) OVER (PARTITION BY source, metric, labels ORDER BY logged_at)) AS gap
			FROM perfkit.performance_log WHERE metric IN ($metrics) AND labels = '{}' AND $during)
		SELECT string_agg(format('%s %s %s %s', metric, s.logged_at, gap, value), E'\\n')
		FROM series s LEFT JOIN delay d USING (logged_at) WHERE gap IS NOT NULL AND (abs(gap - 1 - value) < 0.5) IS NOT TRUE"),
	'', '... a gap is as long as the worker says that a sample was late, in every series');
is(ask($node, "SELECT count(*) FROM (SELECT FROM perfkit.performance_log WHERE metric IN ($metrics) AND labels = '{}' AND $during
		GROUP BY metric, source HAVING count(*) <> $samples + 1) x"), '0', '... each has a value a sample');
is(ask($node, "SELECT count(DISTINCT (source, metric)) FROM perfkit.performance_log WHERE metric IN ($metrics) AND $during"), scalar(split /, /, $metrics),
	'... and all are there');

# ---- rates. The statistics were read up to two seconds after the samples, when only the worker and this file's
# own questions were at work, some ten transactions a second: a hundredth of what went before, at the most.
for my $counter (@COUNTERS)
{
	close_to(happened($node, "${counter}_per_second", $from, $to), $after->{$counter} - $before->{$counter}, 0.02, "$counter: as in pg_stat_database");
}
cmp_ok($failures, '>', 0, 'some statements failed');
is(happened($node, 'statement_errors_per_second', $from, $to), $failures, '... each is counted once');
my $ran = "FROM perfkit.slow_query_log WHERE outcome = 'ok' AND nesting_level = 0 AND started_at > '$from' AND started_at < '$to'";
is(happened($node, 'statements_per_second', $from, $to), ask($node, "SELECT count(*) $ran"), 'so is every other one');
is(ask($node, "SELECT count(*) FROM perfkit.performance_log WHERE metric LIKE '%\\_per\\_second' AND value < 0"), '0', 'no rate is negative');

# ---- quantiles and roll-ups
quantiles_ok($node, $from, $to, $ran);
rollups_ok($node, 'roll-ups: as the rows themselves');

# ---- alerts: the load is no trouble for the database; the machine may have some of its own, but nothing flaps
is(ask($node, q{SELECT string_agg(concat_ws(' ', metric, level, value), ', ') FROM perfkit.alert WHERE source = 'database'}), '', 'no alert of the database');
is( ask($node, q{SELECT string_agg(DISTINCT x.metric, ', ') FROM (SELECT metric, opened_at - lag(resolved_at) OVER (PARTITION BY metric, source, labels ORDER BY alert_id) AS pause
		FROM perfkit.alert) x JOIN perfkit.threshold t USING (metric) WHERE pause IS NOT NULL AND (pause < for_duration OR for_duration = '0')}),
	'', '... and none that ends and comes back');
is(counter($node, 'flush_errors'), '0', 'nothing went wrong in the worker');
$node->stop;
done_testing();
