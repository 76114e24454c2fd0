# A standby: nothing is stored there, but the views show what it has in memory, the newest whatever
# happens; replay is not held up; and promotion makes it a server like any other, which stores that.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run qw(start);
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

# memory_of(application, expressions): of its rows, as the standby shows them, oldest first, one a line
sub memory_of
{
	my ($application, $expressions) = @_;

	return ask($standby, <<"EOF_SQL");
SELECT concat_ws('|', $expressions) FROM perfkit.slow_queries
WHERE application_name = '$application' AND origin = 'memory' ORDER BY boot, sequence
EOF_SQL
}

# books(): at any time nobody is captured, captured less all that became of it
sub books
{
	return ask($standby, q{SELECT sum(CASE WHEN name = 'captured' THEN value ELSE -value END) FROM perfkit.status
		WHERE name IN ('captured', 'stored', 'pending') OR name LIKE 'dropped%'});
}

my $WORKER = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = };

run_as($primary, 'primary', "SELECT 'on the primary'");
is(stored($primary, q{application_name = 'primary'}), '1', 'the primary stores');
is(ask($primary, 'SELECT count(*) FROM perfkit._memory()'), '0', '... and has no rows that are in memory only');
$primary->safe_psql('postgres', 'CREATE ROLE curious LOGIN; CREATE TABLE rows AS SELECT generate_series(1, 100) AS i');
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
is( memory_of('standby', q{query, outcome, coalesce(sqlstate, '-'), rows, nesting_level, reason, plan IS NOT NULL}),
	join("\n",
		q{SELECT 'on the standby'|ok|-|1|0|threshold|t},
		'SELECT 1/0|error|22012|0|threshold|f',
		'CREATE TABLE no ()|error|25006|0|threshold|f',
		q{SELECT perfkit.log_metric('a', 1)|error|25006|0|0|threshold|f},
		q{SELECT perfkit.log_metric('a', 1)|error|25006|0|0|threshold|f}),
	'... but shown, from memory');
is( ask($standby, q{SELECT count(*), bool_and(message IS NOT NULL AND username = current_user AND database = 'postgres' AND id = boot + sequence)
		FROM perfkit.failed_queries WHERE application_name = 'standby'}),
	'4|t', '... failed_queries has those that failed');
is( ask($standby, q{SELECT count(*) > 0 FROM perfkit.digest(now() - interval '1 hour') WHERE query LIKE '%on the standby%' OR query LIKE 'SELECT $1%'}),
	't', '... digest() counts them');
for my $from ('slow_queries', '_memory()')
{
	is( ask($standby, qq{SET ROLE curious; SELECT DISTINCT query, query_normalized, num_nulls(application_name, client_addr, message, plan, parameters, tags)
			FROM perfkit.$from WHERE origin = 'memory'}),
		'<insufficient privilege>|<insufficient privilege>|6', "... $from keeps from others what is not theirs");
}
is(books(), '0', '... the books balance');

run_as($standby, 'burst', join("\n", map { "SELECT $_;" } 1 .. 2000));
cmp_ok(counter($standby, 'dropped_overwritten'), '>', 0, 'in a full ring the oldest give way to the newest');
is(counter($standby, 'dropped_ring_full'), '0', '... which are never those that go');
is(memory_of('standby', 'query'), '', '... the first are gone');
my @burst = split /\n/, memory_of('burst', 'query');
cmp_ok(scalar @burst, '>', 20, '... many are there');
is("@burst", join(' ', map { "SELECT $_" } 2001 - @burst .. 2000), '... the last ones, without a gap');
is(counter($standby, 'pending'), scalar @burst, '... all that pending counts');
is(books(), '0', '... the books balance');
is(counter($standby, 'flush_errors'), '0', '... without an error');

# ---- what recovery, or an administrator, puts an end to

# patience(how long replay waits for who is in its way): nobody else is to be cancelled
sub patience
{
	my ($delay) = @_;

	$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = $delay");
	$standby->reload;
	return;
}

# sleeper(application): a session with a snapshot, asleep
sub sleeper
{
	my ($application) = @_;

	local $ENV{PGAPPNAME} = $application;
	my $run = start(
		[ 'psql', '-XqAt', '-d', $standby->connstr('postgres'), '-c', 'BEGIN ISOLATION LEVEL REPEATABLE READ', '-c', 'SELECT count(*) FROM rows', '-c', 'SELECT pg_sleep(1000)' ],
		'<', '/dev/null', '>', \my $out, '2>', \my $err);
	await($standby, "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$application' AND wait_event = 'PgSleep'", '1');
	return $run;
}
my $ENDING = 'query, outcome, sqlstate, message';
my $run = sleeper('in the way');
patience('10ms');
$primary->safe_psql('postgres', 'DELETE FROM rows');
until_true(    # an older snapshot keeps the rows
	sub {
		$primary->safe_psql('postgres', 'VACUUM rows');
		return await($standby, q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'in the way'}, '0', undef, 5);
	},
	'the conflict');
eval { $run->finish };
patience('1h');
like(
	memory_of('in the way', $ENDING),
	qr/^SELECT pg_sleep\(1000\)\|recovery_conflict\|40001\|canceling statement due to conflict with recovery$/m,
	'a statement that replay has cancelled has its row');
$run = sleeper('unwanted');
ask($standby, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'unwanted'});
eval { $run->finish };
like(memory_of('unwanted', $ENDING), qr/^SELECT pg_sleep\(1000\)\|terminated\|57P01\|/m, '... and one that was terminated');
is(books(), '0', '... the books balance');

# a column that somebody has added, as an update of the extension may, is no obstacle
$primary->safe_psql('postgres', 'ALTER TABLE perfkit.slow_query_log ADD COLUMN note text');
$primary->wait_for_catchup($standby);
is( ask($standby, q{SELECT (SELECT count(*) > 0 FROM perfkit.slow_queries WHERE origin = 'memory'), (SELECT count(*) = count(*) FILTER (WHERE note IS NULL) FROM perfkit._memory())}),
	't|t', 'a column more in the table, and the rows are shown as before');

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
my $kept = ask($standby, 'SELECT count(*), min(id), max(id) FROM perfkit._memory()');
$standby->restart;
ok(await($standby, $WORKER . q{'postgres'}, '1'), 'after a restart the standby has a worker again');
is(counter($standby, 'unclean_starts'), $unclean, '... and the start counts as clean');
is(ask($standby, 'SELECT count(*), min(id), max(id) FROM perfkit._memory()'), $kept, '... what was in memory is there again');

# ---- an extension that comes by replication, to a database that was found to have none
my $probe = qr/starting background worker process "perfkit worker for database $late".*background worker "perfkit worker" \(PID \d+\) exited with exit code 0/s;
ok(until_true(sub { slurp_file($standby->logfile) =~ $probe }, 'the probe'), 'the standby has looked for the extension in another database');
ok(await($standby, $WORKER . q{'late'}, '0'), '... in vain');
$primary->safe_psql('late', 'CREATE EXTENSION perfkit');
$primary->wait_for_catchup($standby);

# ---- promotion
run_as($standby, 'standby', "SELECT 'last words of the standby'");
my @memory = split /\n/, ask($standby, q{SELECT id FROM perfkit.slow_queries WHERE origin = 'memory'});
$standby->promote;
ok(await($standby, q{SELECT detail = 'running' FROM perfkit.status WHERE name = 'worker_pid'}), 'promoted: the worker writes');
ok(await($standby, $WORKER . q{'late'}, '1'), '... in the database, too, that was found to have no extension');
run_as($standby, 'promoted', "SELECT 'first words of the primary'");
is(stored($standby, q{application_name = 'promoted'}), '1', '... and stores');
is(stored($standby, q{application_name = 'standby' AND query LIKE '%last words%'}), '1', '... and what it has run before');
is(stored($standby, 'id IN (' . join(',', @memory) . ')'), scalar @memory, '... all of that, once');
is(ask($standby, q{SELECT DISTINCT origin FROM perfkit.slow_queries}), 'stored', '... nothing is in memory only');
books_ok($standby, '... the books balance');
is(counter($standby, 'flush_errors'), '0', '... without an error');
is(ask($standby, 'SELECT count(*) - count(DISTINCT (boot, sequence)) FROM perfkit.slow_query_log'), '0', '... no row is there twice');
$standby->safe_psql('postgres', 'CREATE DATABASE fresh');
$standby->safe_psql('fresh', 'CREATE EXTENSION perfkit');
ok(await($standby, $WORKER . q{'fresh'}, '1'), '... and CREATE EXTENSION brings a worker');

$standby->stop;
$primary->stop;
done_testing();
