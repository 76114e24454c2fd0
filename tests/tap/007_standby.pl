# A standby: nothing is stored there, the views answer, replay is not held up, and promotion makes it a
# server like any other.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = perfkit_node('primary', <<'EOF_CONF', init => { allows_streaming => 1 });
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.ring_size = 64kB
EOF_CONF
my $standby = PostgreSQL::Test::Cluster->new('standby');

my $WORKER = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = };

run_as($primary, 'primary', "SELECT 'on the primary'");
is(stored($primary, q{application_name = 'primary'}), '1', 'the primary stores');
$primary->safe_psql('postgres', 'CREATE DATABASE doomed');
$primary->safe_psql('doomed', 'CREATE EXTENSION perfkit');

$primary->safe_psql('postgres', 'CREATE DATABASE late');
my $late = $primary->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'late'});

$primary->backup('base');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'log_min_messages = debug1');
$standby->start;
$primary->wait_for_catchup($standby);

# ---- it answers, and writes nothing
ok(await($standby, $WORKER . q{'postgres'}, '1'), 'the standby has a worker');
ok(await($standby, q{SELECT detail LIKE '%recovery%' FROM perfkit.status WHERE name = 'worker_pid'}), '... which knows that it is one');
is(ask($standby, q{SELECT count(*) FROM perfkit.slow_queries WHERE application_name = 'primary'}), '1', 'slow_queries shows the replicated rows');
is(ask($standby, q{SELECT count(*) FROM perfkit.failed_queries}), '0', 'failed_queries answers');
is( ask($standby, q{SET perfkit.slow_query_threshold = 0; SET perfkit.track = 'top';
		SELECT query ~ 'active_queries', nesting_level FROM perfkit.active_queries}),
	't|0', 'active_queries answers');
my $lsn = $standby->lsn('replay');
run_as($standby, 'standby', "SELECT 'on the standby'; SELECT 1/0; CREATE TABLE no (); SELECT perfkit.log_metric('a', 1);");
my ($out, $err) = run_as($standby, 'standby', "SELECT perfkit.log_metric('a', 1);");
like($err, qr/read-only transaction|recovery/, 'log_metric says that it cannot write');
cmp_ok(counter($standby, 'captured'), '>=', 4, 'statements are captured there');
is(counter($standby, 'stored'), '0', '... but not stored');
run_as($standby, 'standby', join("\n", map { "SELECT $_;" } 1 .. 2000));
ok(await($standby, q{SELECT value > 0 FROM perfkit.status WHERE name = 'dropped_overwritten'}), '... the oldest give way to the newest');
is( ask($standby, q{SELECT sum(CASE WHEN name = 'captured' THEN value ELSE -value END) FROM perfkit.status
		WHERE name IN ('captured', 'stored', 'pending') OR name LIKE 'dropped%'}),
	'0', '... the books balance');
is(counter($standby, 'flush_errors'), '0', '... without an error');

# ---- replay goes on
run_as($primary, 'primary', "SELECT 'while the standby follows'");
is(stored($primary, q{application_name = 'primary'}), '2', 'the primary goes on storing');
$primary->wait_for_catchup($standby);
is(ask($standby, q{SELECT count(*) FROM perfkit.slow_queries WHERE application_name = 'primary'}), '2', '... and the standby follows');
ok(await($standby, $WORKER . q{'doomed'}, '1'), 'the second database has a worker on the standby too');
$primary->safe_psql('postgres', 'DROP DATABASE doomed');
$primary->wait_for_catchup($standby);
is(ask($standby, q{SELECT count(*) FROM pg_database WHERE datname = 'doomed'}), '0', '... which is no obstacle when that is dropped');
ok(await($standby, $WORKER . q{'doomed'}, '0'), '... and goes');

# ---- a restart of the standby
my $unclean = counter($standby, 'unclean_starts');
$standby->restart;
ok(await($standby, $WORKER . q{'postgres'}, '1'), 'after a restart the standby has a worker again');
is(counter($standby, 'unclean_starts'), $unclean, '... and the start counts as clean');

# ---- an extension that comes by replication, to a database that was found to have none
my $probe = qr/starting background worker process "perfkit worker for database $late".*background worker "perfkit worker" \(PID \d+\) exited with exit code 0/s;
ok(until_true(sub { slurp_file($standby->logfile) =~ $probe }, 'the probe'), 'the standby has looked for the extension in another database');
is(ask($standby, $WORKER . q{'late'}), '0', '... in vain');
$primary->safe_psql('late', 'CREATE EXTENSION perfkit');
$primary->wait_for_catchup($standby);

# ---- promotion
my $before = ask($standby, 'SELECT count(*) FROM perfkit.slow_query_log');
run_as($standby, 'standby', "SELECT 'last words of the standby'");
$standby->promote;
ok(await($standby, q{SELECT detail = 'running' FROM perfkit.status WHERE name = 'worker_pid'}), 'promoted: the worker writes');
ok(await($standby, $WORKER . q{'late'}, '1'), '... in the database, too, that was found to have no extension');
run_as($standby, 'promoted', "SELECT 'first words of the primary'");
is(stored($standby, q{application_name = 'promoted'}), '1', '... and stores');
is(stored($standby, q{application_name = 'standby'}), '0', '... but nothing of what the standby ran');
books_ok($standby, '... the books balance');
is(counter($standby, 'flush_errors'), '0', '... without an error');
is(ask($standby, 'SELECT count(*) - count(DISTINCT (boot, sequence)) FROM perfkit.slow_query_log'), '0', '... no row is there twice');
$standby->safe_psql('postgres', 'CREATE DATABASE fresh');
$standby->safe_psql('fresh', 'CREATE EXTENSION perfkit');
ok(await($standby, $WORKER . q{'fresh'}, '1'), '... and CREATE EXTENSION brings a worker');

$standby->stop;
$primary->stop;
done_testing();
