# What goes wrong around performance_log: no room on the disk for the worker, clocks that are set forward and
# back, a DBA who reads an old day while it is to be dropped, and a server that was down for weeks. The sampler
# goes on, no rate is negative or absurd, nothing is stored twice, and alerts are as if it had not been.
#
# The server's clocks are moved by a library (see PerfkitClock). By the one that only counts each sample is a
# second or more after the last, so the sum of a rate over all samples is never more than what was counted.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitClock;
use PerfkitSeries;
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $MB = 1024 * 1024;
my $HOUR = 3600;
my $DAY = 24 * $HOUR;
my @LOGS = qw(slow_query_log performance_log performance_rollup_minute);

my $clock = PerfkitClock->new;
plan skip_all => 'there is no C compiler' unless $clock;
$clock->set($DAY / 2 - time % $DAY); # at noon, so that an hour more or less is the same day
my $node = perfkit_node('main', <<'EOF_CONF', clock => $clock, init => { extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ] });
perfkit.sample_interval = '1s'
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
min_wal_size = 4MB
EOF_CONF

# days_of(table): SQL, the days of its partitions, counted from today by the server's clock
sub days_of
{
	my ($table) = @_;

	return "SELECT string_agg((to_date(right(relname, 8), 'YYYYMMDD') - (now() AT TIME ZONE 'UTC')::date)::text, ' ' ORDER BY relname)
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'perfkit.$table'::regclass";
}

# days_ok(days, name): each log has these
sub days_ok
{
	my ($days, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(await($node, days_of($_), $days), "$name: $_") for @LOGS;
	return;
}

# goes_on(name): samples of now come, whatever now is, a statement is stored, rows are rolled up, which takes a minute
sub goes_on
{
	my ($name) = @_;
	my $xid = ask($node, 'SELECT pg_current_xact_id()');
	my $marker = 'mark_' . int(rand(1e9));
	my $samples = "FROM perfkit.performance_log WHERE xid > '$xid' AND metric = 'transactions_per_second' AND logged_at BETWEEN now() - interval '1 minute' AND now()";

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $n (1 .. 3)
	{
		$clock->pass(1);
		ok(await($node, "SELECT count(*) >= $n $samples"), "$name: sample $n");
	}
	run_as($node, 'goes on', "SELECT '$marker'");
	is(stored($node, "query = 'SELECT ''$marker''' AND started_at BETWEEN now() - interval '1 minute' AND now()"), '1', '... statements are stored');
	ask($node, q{SELECT perfkit.log_metric('async', 1, async => true)});
	ok(await($node, "SELECT count(*) > 0 FROM perfkit.performance_log WHERE xid > '$xid' AND metric = 'async'"), '... an application is heard');
	$clock->pass(61);
	ok(await($node, "SELECT pg_visible_in_snapshot('$xid', snapshot) FROM perfkit.performance_rollup_state"), '... rows are rolled up');
	rates_ok('... no rate is wrong');
	return;
}

# hears_of_server(name): a database whose worker does not measure the server stores what the other's has measured
sub hears_of_server
{
	my ($name) = @_;
	my $xid = ask($node, 'SELECT pg_current_xact_id()');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( await($node, "SELECT count(*) FILTER (WHERE logged_at BETWEEN now() - interval '1 minute' AND now()) >= 2 FROM perfkit.performance_log
			WHERE xid > '$xid' AND metric = 'uptime_seconds'", 't', 'other'), $name);
	return;
}

# rates_ok(name)
sub rates_ok
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( ask($node, q{SELECT string_agg(DISTINCT concat_ws(' ', metric, value), ', ') FROM perfkit.performance_log WHERE source <> 'application'
			AND (value < 0 OR value >= 'Infinity' OR (metric LIKE '%\_ratio' AND value > 1))}), '', $name);
	is( ask($node, q{SELECT string_agg(r.metric, ', ') FROM pg_stat_database d,
				LATERAL (VALUES ('rows_inserted', tup_inserted), ('transactions', xact_commit + xact_rollback), ('rows_returned', tup_returned)) c (name, counted)
			CROSS JOIN LATERAL (SELECT metric, sum(value) FROM perfkit.performance_log WHERE metric = c.name || '_per_second' GROUP BY metric) r
			WHERE d.datname = current_database() AND r.sum > 1.001 * c.counted}), '', '... nor more than what happened');
	is( ask($node, q{SELECT count(*) FROM (SELECT FROM perfkit.performance_log WHERE source <> 'application' GROUP BY source, metric, labels, xid, logged_at HAVING count(*) > 1) x}),
		'0', '... and nothing is stored twice');
	return;
}

# note_metric(metric, value)
sub note_metric
{
	my ($metric, $value) = @_;

	ask($node, "SELECT perfkit.log_metric('$metric', $value)");
	return;
}

# alerts_of(metric): SQL, whether each is over
sub alerts_of
{
	my ($metric) = @_;

	return "SELECT string_agg(CASE WHEN resolved_at IS NULL THEN 'open' ELSE 'over' END, ' ' ORDER BY alert_id) FROM perfkit.alert WHERE metric = '$metric'";
}

# judged(name): the thresholds have been looked at, from now on
my $look = 0;

sub judged
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->safe_psql('postgres', "INSERT INTO perfkit.threshold (metric, warning) VALUES ('look_" . ++$look . "', 1)");
	note_metric("look_$look", 1);
	ok(await($node, alerts_of("look_$look"), 'open'), $name);
	return;
}

$node->safe_psql('postgres', q{INSERT INTO perfkit.threshold (metric, warning, for_duration, no_data_after) VALUES
	('lasting', 1, '0', NULL), ('brief', 1, '2 hours', NULL), ('regular', 1, '0', '2 hours'), ('late', 1, '0', NULL), ('echo', 1, '0', NULL)});
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION perfkit');
goes_on('at first');
hears_of_server('another database is told of the server');
days_ok('0 1', 'today and tomorrow');

# ---- the disk is full
ask($node, q{INSERT INTO perfkit.performance_log (logged_at, source, metric, value) SELECT now() - i * interval '1 us', 'application', 'bulk', i FROM generate_series(1, 20000) i});
my $worker = worker_pid($node);
my $errors = counter($node, 'flush_errors');
system('prlimit', "--pid=$worker", "--fsize=$MB:") == 0 or BAIL_OUT('prlimit does not work');
ok(await($node, "SELECT value > $errors + 1 FROM perfkit.status WHERE name = 'flush_errors'"), 'no room on the disk: each attempt is counted');
like(slurp_file($node->logfile), qr/WARNING: +perfkit: measurements are lost: /, '... the server log says so');
is(ask($node, q{SELECT perfkit.health() IS NOT NULL}), 't', '... health() answers');
is(counter($node, 'worker_pid'), $worker, '... the worker has not died of it');
system('prlimit', "--pid=$worker", '--fsize=unlimited:') == 0 or BAIL_OUT('prlimit does not work');
goes_on('room again');
rollups_ok($node, '... roll-ups are as the rows themselves');
$errors = counter($node, 'flush_errors');

# ---- the clock is set forward by a day
note_metric($_, 2) for qw(lasting brief);
note_metric('regular', 0);
ok(await($node, alerts_of('lasting'), 'open'), 'an alert is open');
$clock->set($DAY);
note_metric('brief', 2);
judged('a clock set forward by a day: thresholds are looked at');
goes_on('... and then');
days_ok('-1 0 1', '... a day more');
is(ask($node, alerts_of('lasting')), 'open', '... the alert is open');
is(ask($node, alerts_of('brief')), '', '... what has been bad for seconds has not been so for hours');
is(ask($node, alerts_of('regular')), '', '... what was there a moment ago is not missed');

# ---- back by an hour
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN; SELECT pg_current_xact_id()');
note_metric('late', 0);
$clock->set(-$HOUR);
judged('a clock set back by an hour: thresholds are looked at');
goes_on('... and then');
hears_of_server('... another database is told of the server');
days_ok('-1 0 1', '... the same days');
note_metric('late', 2);
ok(await($node, alerts_of('late'), 'open'), '... an alert opens');
note_metric($_, 0) for qw(late look_1);
ok(await($node, alerts_of($_), 'over'), "... and ends: $_") for qw(late look_1);
is(ask($node, 'SELECT count(*) FROM perfkit.alert WHERE resolved_at < opened_at OR updated_at < opened_at'), '0', '... none before it began');
is(ask($node, alerts_of('lasting')), 'open', '... the old one is open');
$old->query_safe('COMMIT');
$old->quit;

# ---- back by a minute: a value of before does not count a second time, when its time comes again
note_metric('echo', 5);
ok(await($node, alerts_of('echo'), 'open'), 'an alert is open');
$clock->set(-60);
note_metric('echo', 0);
ok(await($node, alerts_of('echo'), 'over'), '... a minute earlier it ends');
$clock->pass(61);
judged('... a minute later');
is(ask($node, alerts_of('echo')), 'over', '... it has not come back');

# ---- a DBA reads while old days are to be dropped
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM perfkit.performance_log');
my $blocked = counter($node, 'retention_blocked');
$clock->pass(4 * $DAY);
ok(await($node, "SELECT value > $blocked FROM perfkit.status WHERE name = 'retention_blocked'"), 'somebody reads: old days are not dropped, but that is counted');
goes_on('... and meanwhile');
is($reader->query_safe('SELECT count(*) > 0 FROM perfkit.performance_log'), 't', '... he reads on');
ok(await($node, days_of('performance_log'), '-5 -4 -3 0 1'), '... nothing is dropped, nor made but what is needed');
$reader->query_safe('COMMIT');
$reader->quit;
$clock->pass(61);
ok(await($node, days_of('performance_log'), '0 1'), '... when he has gone they are dropped');

# ---- down for weeks
note_metric('farewell', 42);
$node->stop;
$clock->pass(40 * $DAY);
$clock->start($node);
goes_on('down for forty days');
$clock->pass(61);    # it tries once a minute, and our looks may have been in its way
days_ok('0 1', '... only the days that are needed are there');
is(ask($node, q{SELECT value FROM perfkit.performance('farewell', '-infinity', 'infinity', '1 hour')}), '42', '... the last row of before is in its hour');
is(ask($node, alerts_of('lasting')), 'open', '... the old alert is open');
note_metric('lasting', 0);
ok(await($node, alerts_of('lasting'), 'over'), '... and ends');
rollups_ok($node, '... roll-ups are as the rows themselves');
is(counter($node, 'flush_errors'), '0', '... all without an error');

# ---- without samples, whose time-outs are signals, nothing wakes the worker but its own clock
$node->append_conf('postgresql.conf', 'perfkit.sample_interval = 0');
$node->stop;
$clock->start($node);
for my $application (qw(before after))
{
	run_as($node, $application, 'SELECT 1');
	is(stored($node, "application_name = '$application'"), '1', "no samples, and the clock is set back by an hour: statements of $application are stored");
	$clock->set(-$HOUR);
}
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'nothing has crashed');
done_testing();
