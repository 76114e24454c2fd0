# Refreshing under faults: whatever dies, goes away or is missing in the middle of a run, the rest goes
# on, and the log says what became of it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = -1
restart_after_crash = on
max_prepared_transactions = 2
EOF_CONF

my $GATED = <<'EOF_SQL';
CREATE FUNCTION gate() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN 1; END $$;
CREATE MATERIALIZED VIEW slow AS SELECT gate() AS g WITH NO DATA;
CREATE UNIQUE INDEX ON slow (g);
EOF_SQL

# session(database): one whose statements are not captured
sub session
{
	my ($database) = @_;

	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	return $node->background_psql($database // 'postgres', on_error_stop => 0);
}

# gate(database): a session that holds up the refresh of slow there
sub gate
{
	my $session = session(@_);

	$session->query_safe('SELECT pg_advisory_lock(42)');
	return $session;
}

# has_run(condition, test name, database): there is such a row of refresh_log
sub has_run
{
	my ($condition, $name, $database) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(await($node, "SELECT count(*) > 0 FROM perfkit.refresh_log WHERE $condition", 't', $database), $name)
		|| diag(ask($node, 'SELECT refresh_log FROM perfkit.refresh_log ORDER BY run_id DESC LIMIT 3', $database));
}

# begin_slow(database): slow is being refreshed, and waits at the gate
sub begin_slow
{
	my ($database) = @_;

	ask($node, q{SELECT perfkit.schedule_refresh('slow', '@yearly', lock_timeout => '0'), perfkit.refresh_now('slow')}, $database);
	has_run(q{status = 'running' AND pid IS NOT NULL}, 'a run is under way', $database);
	return ask($node, q{SELECT pid FROM perfkit.refresh_log WHERE status = 'running'}, $database);
}

my $REFRESHERS = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit refresh'};

# ---- the database's worker is replaced in the middle: the run goes on, and its end is told
ask($node, $GATED);
my $gate = gate();
my $pid = begin_slow();
my $worker = ask($node, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'perfkit worker'});
ask($node, "SELECT pg_terminate_backend($worker)");
ok(await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND pid <> $worker", '1'), 'another worker has come');
$gate->query_safe('SELECT pg_advisory_unlock(42)');
has_run("status = 'success' AND pid = $pid", '... and tells the end of a run that the first had begun');
ok(await($node, 'SELECT g FROM slow', '1'), '... which has refreshed the view');
is(ask($node, 'SELECT count(*) FROM perfkit.refresh_request'), '0', '... the request is done with');

# ---- SIGKILL: all is lost but the row
$gate->query_safe('SELECT pg_advisory_lock(42)');
$pid = begin_slow();
kill 'KILL', $pid;
eval { $gate->quit };
has_run("status = 'crashed' AND finished_at IS NOT NULL AND message IS NOT NULL", 'a run that the server did not survive is told as crashed');
ask($node, q{SELECT perfkit.refresh_now('slow')});
has_run(q{status = 'success' AND run_id > (SELECT max(run_id) FROM perfkit.refresh_log WHERE status = 'crashed')}, '... and the next is like any other');

# ---- the postmaster is killed; what the run waits for outlives it, so that it does not end before it hears of that
ask($node, q{BEGIN; SELECT pg_advisory_xact_lock(42); PREPARE TRANSACTION 'gate'});
begin_slow();
my $crashed = ask($node, q{SELECT max(run_id) FROM perfkit.refresh_log WHERE status = 'running'});
my @children = split /\n/, ask($node, 'SELECT pid FROM pg_stat_activity');
$node->kill9;
until_true(sub { !grep { kill 0, $_ } @children }, 'the children of the postmaster are gone');
$node->start;
has_run("run_id = $crashed AND status = 'crashed'", 'the postmaster was killed: the run is told as crashed');
ask($node, q{ROLLBACK PREPARED 'gate'});
my $next = ask($node, q{SELECT perfkit.refresh_now('slow')});
has_run("run_id = $next AND status = 'success'", '... and the next is like any other');

# ---- a fast stop in the middle of a run takes no longer for it
$gate = gate();
begin_slow();
eval { $gate->quit };
$node->restart;
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE status = 'running'}, '0'), 'after a restart no run is left open');

# ---- the view goes under it
ask($node, <<'EOF_SQL');
CREATE MATERIALIZED VIEW doomed AS SELECT 1 AS n;
CREATE UNIQUE INDEX ON doomed (n);
SELECT perfkit.schedule_refresh('doomed', '@yearly', lock_timeout => '0');
EOF_SQL
my $holder = session();
$holder->query_safe('BEGIN; LOCK TABLE pg_catalog.pg_statistic IN ACCESS SHARE MODE; DROP MATERIALIZED VIEW doomed;');
ask($node, q{SELECT set_config('lock_timeout', '100ms', false)});
my $requested = ask($node, q{INSERT INTO perfkit.refresh_request (run_id, batch, view_oid, requested_by)
	SELECT n, n, 'doomed'::regclass, 'postgres' FROM nextval('perfkit.refresh_log_run_id_seq') n RETURNING run_id});
ok(await($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit refresh' AND wait_event_type = 'Lock'}, '1'), 'a run waits for a view that is being dropped');
$holder->query_safe('COMMIT');
$holder->quit;
has_run("run_id = $requested AND status = 'failed' AND sqlstate = '42P01'", '... and fails when it is gone');
ok(await($node, q{SELECT state FROM perfkit.matviews WHERE view = 'public.doomed'}, 'missing'), '... its schedule waits for another one');

# ---- the owner goes: the view has none to be refreshed as, and others do not care
ask($node, <<'EOF_SQL');
CREATE ROLE leaver LOGIN;
CREATE MATERIALIZED VIEW left_behind AS SELECT 1 AS n;
CREATE UNIQUE INDEX ON left_behind (n);
ALTER MATERIALIZED VIEW left_behind OWNER TO leaver;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
SELECT perfkit.schedule_refresh('left_behind', '@yearly', max_retries => 0), perfkit.refresh_now('left_behind');
EOF_SQL
has_run(q{view = 'public.left_behind' AND status = 'failed' AND message = 'permission denied for database "postgres"' AND sqlstate = '42501'},
	'an owner that may not connect: the run fails and says why');
ask($node, 'GRANT CONNECT ON DATABASE postgres TO PUBLIC; REASSIGN OWNED BY leaver TO CURRENT_USER; DROP OWNED BY leaver; DROP ROLE leaver;');
ask($node, q{SELECT perfkit.refresh_now('left_behind')});
has_run(q{view = 'public.left_behind' AND status = 'success'}, '... a new owner is followed');

# ---- DROP EXTENSION in the middle of a run
$gate = gate();
begin_slow();
ask($node, 'DROP EXTENSION perfkit CASCADE');
$gate->query_safe('SELECT pg_advisory_unlock(42)');
ok(await($node, $REFRESHERS, '0'), 'DROP EXTENSION lets a run end');
eval { $gate->quit };
ask($node, 'CREATE EXTENSION perfkit');
ask($node, q{SELECT perfkit.refresh_now('slow')});
has_run(q{view = 'public.slow' AND status = 'success'}, '... and a new one begins anew');

# ---- a worker that is held up for so long that its run's seat is given to another database
# stop_worker(): stops the worker where it holds no lock, returns its pid
sub stop_worker
{
	my $held = worker_pid($node);

	until_true(
		sub {
			kill 'STOP', $held;
			return 1 if ask($node, "SELECT coalesce(wait_event_type, '') FROM pg_stat_activity WHERE pid = $held") eq 'Extension';
			kill 'CONT', $held;
			return 0;
		},
		'the worker to sleep');
	return $held;
}

ask($node, 'CREATE DATABASE busy');
ask($node, "CREATE EXTENSION perfkit; $GATED", 'busy');
$gate = gate();
begin_slow();
my $lost = ask($node, q{SELECT max(run_id) FROM perfkit.refresh_log WHERE status = 'running'});
my $held = stop_worker();
$gate->query_safe('SELECT pg_advisory_unlock(42)');
eval { $gate->quit };
ok(await($node, $REFRESHERS, '0'), 'a run ends, and nobody comes for its result');
$node->append_conf('postgresql.conf', 'perfkit.refresh_clock_offset = 600');
$node->reload;
my $busy = gate('busy');
begin_slow('busy');
kill 'CONT', $held;
has_run("run_id = $lost AND status = 'crashed'", '... minutes later it is lost', 'postgres');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE status = 'running'}, 'busy'), '1', '... and the one that has its seat goes on');
$busy->query_safe('SELECT pg_advisory_unlock(42)');
$busy->quit;
has_run(q{status = 'success'}, '... to its own end', 'busy');
$next = ask($node, q{SELECT perfkit.refresh_now('slow')});
has_run("run_id = $next AND status = 'success'", '... as the next one of the first does');
$node->append_conf('postgresql.conf', 'perfkit.refresh_clock_offset = 0');
$node->reload;
ask($node, 'DROP DATABASE busy');

# ---- DROP DATABASE, RENAME in the middle of a run; several databases at once
ask($node, "CREATE DATABASE $_") for qw(second third);
ask($node, "CREATE EXTENSION perfkit; $GATED", $_) for qw(second third);
my $second = gate('second');
my $third = gate('third');
begin_slow($_) for qw(second third);
ok(await($node, $REFRESHERS, '2'), 'databases are refreshed at the same time');
ask($node, q{SELECT perfkit.refresh_now('slow')});
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_request}, '1'), '... a third waits: perfkit.max_refresh_workers are busy');
eval { $second->quit };
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \'second\' AND backend_type = \'client backend\'');
has_run(q{view = 'public.slow' AND status = 'success' AND trigger = 'manual' AND run_id > 1}, '... until one has ended');
$third->quit;
my $again = gate('third');
begin_slow('third');
$again->query_safe(q{SELECT 1});
eval { $again->quit };
my ($code, $out, $err) = $node->psql('postgres', 'ALTER DATABASE third RENAME TO renamed');
is($code, 0, 'ALTER DATABASE RENAME works while a view is refreshed there') or diag($err);
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE status = 'running'}, '0', 'renamed'), '... its row is closed');
($code, $out, $err) = $node->psql('postgres', 'DROP DATABASE renamed');
is($code, 0, 'DROP DATABASE works') or diag($err);
books_ok($node, 'the books balance');
$node->stop;

# ---- a database that always has more to refresh leaves others their turn
$node = perfkit_node('fair', 'perfkit.max_refresh_workers = 1');
ask($node, 'CREATE DATABASE modest');
ask($node, 'CREATE EXTENSION perfkit; CREATE MATERIALIZED VIEW modest AS SELECT 1 AS n; CREATE UNIQUE INDEX ON modest (n)', 'modest');
ask($node, join '', map { "CREATE MATERIALIZED VIEW greedy_$_ AS SELECT pg_sleep(0.3)::text AS n WITH NO DATA; SELECT perfkit.schedule_refresh('greedy_$_', 'every 1 second', method => 'plain');" } 1 .. 8);
ok(await($node, q{SELECT count(DISTINCT view) FROM perfkit.refresh_log WHERE status = 'success'}, '8'), 'a database has more to refresh than one process can');
ask($node, q{SELECT perfkit.refresh_now('modest') FROM generate_series(1, 3)}, 'modest');
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE status = 'success'}, '3', 'modest'), '... another has its turns nevertheless');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_request}, 'modest'), '0', '... all of them');
$node->stop;

# ---- no background worker is free: it waits, says so once, and goes on when there is one
$node = perfkit_node('narrow', 'max_worker_processes = 3'); # logical replication, launcher, worker
ask($node, <<'EOF_SQL');
CREATE MATERIALIZED VIEW patient AS SELECT 1 AS n WITH NO DATA;
CREATE UNIQUE INDEX ON patient (n);
SELECT perfkit.refresh_now('patient');
EOF_SQL
ok(await($node, q{SELECT value >= 2 FROM perfkit.status WHERE name = 'refresh_no_worker'}), 'without a free process it is tried again and again');
my @warnings = slurp_file($node->logfile) =~ /WARNING:  (perfkit: no background worker is free, refreshes)/g;
is(@warnings, 1, '... with one warning');
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log}, '0'), '... and without a row');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
has_run(q{view = 'public.patient' AND status = 'success'}, 'with one, what was asked for is done');
$node->stop;

done_testing();
