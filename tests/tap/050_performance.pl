# What the worker measures is what happened: rates against pg_stat_database, quantiles against the durations
# themselves, roll-ups against the rows. Then thresholds, metrics() and health(), two databases, a standby.
#
# Samples are taken each second. Where a test wants a quiet boundary it waits until a sample is newer than
# all the work and has seen nothing.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitSeries;
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

not_at_midnight();

my $node = perfkit_node('main', <<'EOF_CONF', init => { allows_streaming => 1 });
perfkit.sample_interval = '1s'
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
hot_standby_feedback = on
EOF_CONF

# ---- rates and quantiles
$node->safe_psql('postgres', 'CREATE TABLE t (i int, x text)');
my $from = at_rest($node);
my $statistics = q{SELECT concat_ws('|', tup_inserted, xact_commit + xact_rollback, temp_bytes) FROM pg_stat_database WHERE datname = 'postgres'};
my ($inserted, $transactions, $temp) = split /\|/, ask($node, $statistics);

$node->safe_psql('postgres', join("\n", map { "INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, " . 5 * $_ . ') g;' } 1 .. 200));
$node->safe_psql('postgres', "SET work_mem = '64kB'; SELECT count(*) FROM (SELECT * FROM t ORDER BY x, i DESC OFFSET 0) s");
$node->psql('postgres', "SELECT 1 / 0;\n" x 7, on_error_stop => 0);
my $to = at_rest($node);
my ($inserted_after, $transactions_after, $temp_after) = split /\|/, ask($node, $statistics);

# the worker inserts its own rows meanwhile
close_to(happened($node, 'rows_inserted_per_second', $from, $to), $inserted_after - $inserted, 0.02, 'rows inserted: as in pg_stat_database');
close_to(happened($node, 'transactions_per_second', $from, $to), $transactions_after - $transactions, 0.1, 'transactions: as in pg_stat_database');
close_to(happened($node, 'temp_bytes_per_second', $from, $to), $temp_after - $temp, 0.02, 'temporary bytes: as in pg_stat_database');
is(happened($node, 'statement_errors_per_second', $from, $to), '7', 'every failed statement is counted once');
settle($node);
my $ran = "FROM perfkit.slow_query_log WHERE outcome = 'ok' AND nesting_level = 0 AND started_at > '$from' AND started_at < '$to'";
is(happened($node, 'statements_per_second', $from, $to), ask($node, "SELECT count(*) $ran"), 'so is every other one');
is( ask($node, "SELECT sum(h.n) FROM perfkit.performance_log l, LATERAL (SELECT sum(histogram[2 * i]) AS n
		FROM generate_series(1, cardinality(histogram) / 2) i) h WHERE metric = 'statement_seconds' AND logged_at > '$from' AND logged_at <= '$to'"),
	ask($node, "SELECT count(*) $ran"),
	'... and is in the histograms');
quantiles_ok($node, $from, $to, $ran);

# ---- no holes, no doubles
is( ask($node, q{SELECT count(*) FROM (SELECT logged_at - lag(logged_at) OVER (PARTITION BY source, metric, labels ORDER BY logged_at) AS gap
		FROM perfkit.performance_log WHERE metric IN ('xid_age', 'wal_bytes_per_second', 'transactions_per_second')) g WHERE gap <= '0'}),
	'0', 'a series has one value a sample');
is(ask($node, 'SELECT count(DISTINCT source) FROM perfkit.performance_log'), '2', 'the server and the database are measured');
for my $metric (qw(cpu_ratio memory_ratio disk_ratio cache_hit_ratio connections_ratio))
{
	is(ask($node, "SELECT count(*) > 0 AND bool_and(value BETWEEN 0 AND 1) FROM perfkit.performance_log WHERE metric = '$metric'"),
		't', "$metric is a share");
}

# ---- each level says the same
rollups_ok($node, 'roll-ups: as the rows themselves');

# ---- thresholds: an alert opens once, is acknowledged, and ends once
$node->safe_psql('postgres', q{INSERT INTO perfkit.threshold (metric, warning, critical, clear_warning, min_samples) VALUES ('queue_length', 10, 20, 5, 1)});
my $log = log_at($node);
my $alert = q{SELECT string_agg(concat_ws(' ', level, value, resolved_at IS NOT NULL), ', ' ORDER BY alert_id) FROM perfkit.alert WHERE metric = 'queue_length'};
ask($node, q{SELECT perfkit.log_metric('queue_length', 15, '{"queue": "mail"}')});
ok(await($node, $alert, 'warning 15 f'), 'an alert opens');
ask($node, q{SELECT perfkit.log_metric('queue_length', 25, '{"queue": "mail"}')});
ok(await($node, $alert, 'critical 25 f'), '... escalates');
is(ask($node, q{SELECT perfkit.health() ->> 'status'}), 'critical', '... health() says so');
is(ask($node, q{SELECT perfkit.acknowledge_alert(alert_id) FROM perfkit.alert WHERE metric = 'queue_length'}), 't', '... is acknowledged');
is(ask($node, q{SELECT perfkit.acknowledge_alert(alert_id) IS NULL FROM perfkit.alert WHERE metric = 'queue_length'}), 't', '... by one');
my $worker = ask($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = 'postgres'});
ask($node, "SELECT pg_terminate_backend($worker)");
ok( await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = 'postgres' AND pid <> $worker", '1'),
	'... outlives its worker');
ask($node, q{SELECT perfkit.log_metric('queue_length', 7, '{"queue": "mail"}')});
ok(await($node, $alert, 'warning 7 f'), '... eases, and is held until it is well clear');
ask($node, q{SELECT perfkit.log_metric('queue_length', 4, '{"queue": "mail"}')});
ok(await($node, $alert, 'warning 4 t'), '... and ends');
is(ask($node, q{SELECT worst || acknowledged_by FROM perfkit.alert WHERE metric = 'queue_length'}), 'critical' . ask($node, 'SELECT current_user'),
	'... how bad it was is known');
ok( until_true(
		sub { join(' ', map { /alert \d+ (\w+): application queue_length/ ? $1 : () } split /\n/, slurp_file($node->logfile, $log)) eq 'opened escalated eased resolved' },
		'the lines'),
	'a line in the server log for each transition');

# ---- silence
$node->safe_psql('postgres', q{INSERT INTO perfkit.threshold (metric, warning, no_data_after) VALUES ('heartbeat', 10, '1 second')});
ask($node, q{SELECT perfkit.log_metric('heartbeat', 1)});
my $silence = q{SELECT string_agg(concat_ws(' ', level, resolved_at IS NOT NULL), ', ' ORDER BY alert_id) FROM perfkit.alert WHERE metric = 'heartbeat'};
ok(await($node, $silence, 'no_data f'), 'a series that goes silent is missed');
$node->safe_psql('postgres', q{UPDATE perfkit.threshold SET enabled = false WHERE metric = 'heartbeat'});
ok(await($node, $silence, 'no_data t'), '... until nobody watches it');

# ---- two databases
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION perfkit');
$node->safe_psql($_, q{INSERT INTO perfkit.threshold (metric, warning) VALUES ('uptime_seconds', 1)}) for qw(postgres other);
ok(await($node, q{SELECT count(*) > 3 FROM perfkit.performance_log WHERE metric = 'uptime_seconds'}, 't', 'other'),
	'two databases: both store what the server does');
ok(await($node, q{SELECT count(*) FROM perfkit.alert WHERE metric = 'uptime_seconds'}, '1'), '... one of them judges it');
is(ask($node, q{SELECT count(*) FROM perfkit.alert WHERE metric = 'uptime_seconds'}, 'other'), '0', '... and only one');
is( ask($node, q{SELECT count(*) FROM perfkit.performance_log GROUP BY metric, source, labels, logged_at HAVING count(*) > 1 LIMIT 1}, 'other'),
	'', '... nothing is stored twice');
$node->safe_psql('postgres', 'DROP DATABASE other');

# ---- a flood of series
my $refused = counter($node, 'series_refused');
ask($node, q{SELECT count(perfkit.log_metric('flood', 1, jsonb_build_object('n', g), async => g % 2 = 0)) FROM generate_series(1, 3000) g});
cmp_ok(counter($node, 'series_refused') - $refused, '>=', 1000, 'a flood of series is cut off, and counted');
cmp_ok(ask($node, q{SELECT count(*) FROM perfkit.performance_log WHERE metric = 'flood'}), '<=', 2000, '... the rest is stored');
is(ask($node, q{SELECT perfkit.log_metric('queue_length', 4, '{"queue": "mail"}')}), '', '... a known series goes on');

# ---- DROP and CREATE EXTENSION
$node->safe_psql('postgres', 'DROP EXTENSION perfkit');
$node->safe_psql('postgres', 'CREATE EXTENSION perfkit');
ok(await($node, q{SELECT count(*) > 0 FROM perfkit.performance_log WHERE metric = 'transactions_per_second'}), 'after DROP and CREATE EXTENSION it goes on');
ok(await($node, q{SELECT count(*) > 0 FROM perfkit.performance_log WHERE metric = 'cpu_ratio' OR metric = 'connections'}), '... for the server too');

# ---- for Prometheus
my $promtool = (grep { -x $_ } map { "$_/promtool" } split /:/, $ENV{PATH})[0];
SKIP:
{
	skip 'there is no promtool', 2 unless defined $promtool;
	my ($out, $err) = ('', '');
	my $text = ask($node, q{SELECT perfkit.metrics('prometheus')}) . "\n";

	ok(IPC::Run::run([ $promtool, 'check', 'metrics' ], '<', \$text, '>', \$out, '2>', \$err), 'promtool has nothing against metrics()')
	  or diag($out . $err);
	ok(IPC::Run::run([ $promtool, 'check', 'rules', "$FindBin::RealBin/../../contrib/prometheus/perfkit.rules.yml" ], '>', \$out, '2>', \$err),
		'... nor against the rules')
	  or diag($out . $err);
}
like(ask($node, q{SELECT perfkit.metrics()}), qr/^# TYPE perfkit_transactions counter\nperfkit_transactions_total\{database="postgres"\} [0-9.]+$/m,
	'metrics() has counters');
like(ask($node, q{SELECT perfkit.metrics()}), qr/\n# EOF$/, '... and its end');

# ---- a standby
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
ok(await($standby, q{SELECT perfkit.metrics('prometheus') LIKE '%perfkit_replication_lag_seconds %'}), 'a standby answers metrics()');
ok(await($standby, q{SELECT perfkit.health() ->> 'in_recovery' || (perfkit.health() -> 'connections' ->> 'max')}, 'true40'), '... and health()');
ok(await($node, q{SELECT count(*) > 0 FROM perfkit.performance_log WHERE metric = 'replication_lag_seconds' AND labels = '{"standby": "standby"}'}),
	'the primary measures its lag');
my ($out, $err) = ('', '');
isnt($standby->psql('postgres', q{SELECT perfkit.log_metric('m', 1, async => true); SELECT value FROM perfkit.status WHERE name = 'metrics_lost'},
		stdout => \$out, stderr => \$err), undef, '...');
like($out, qr/^1$/m, 'what cannot be stored there is counted');
$standby->stop;

is(counter($node, 'flush_errors'), '0', 'nothing went wrong in the worker');
$node->stop;
done_testing();
