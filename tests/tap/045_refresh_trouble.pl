# Refreshing when others are in the way: a full disk, locks held for long, views that are dropped and renamed
# all the time, owners that are groups. Nothing is lost, nobody waits for long, and when the trouble is over it
# goes on by itself.
#
# A full disk is a limit on the size of files that refresh processes inherit from the postmaster; WAL segments
# are smaller than it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $MB = 1024 * 1024;

my $node = perfkit_node('main', <<'EOF_CONF', init => { extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ] });
perfkit.slow_query_threshold = -1
perfkit.max_refresh_workers = 4
min_wal_size = 4MB
EOF_CONF

sub session
{
	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	return $node->background_psql('postgres', on_error_stop => 0);
}

# has_run(view, condition, test name): there is such a row
sub has_run
{
	my ($view, $condition, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(await($node, "SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = '$view' AND $condition"), $name)
		|| diag(ask($node, "SELECT refresh_log FROM perfkit.refresh_log WHERE view = '$view' ORDER BY run_id DESC LIMIT 3"));
}

# now(view): refreshes it by hand, returns the number of the run
sub now
{
	my ($view) = @_;

	return ask($node, "SELECT perfkit.refresh_now('$view')");
}

# ---- the disk is full
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];

sub limit
{
	my ($soft) = @_;

	system('prlimit', "--pid=$postmaster", "--fsize=$soft:") == 0 or BAIL_OUT('prlimit does not work');
	return;
}

ask($node, <<'EOF_SQL');
CREATE TABLE bulky_base AS SELECT i AS n, repeat(md5(i::text), 10) AS t FROM generate_series(1, 10000) i;
CREATE MATERIALIZED VIEW bulky AS SELECT n, t FROM bulky_base WITH NO DATA;
CREATE UNIQUE INDEX ON bulky (n);
CREATE MATERIALIZED VIEW small AS SELECT count(*) AS c FROM bulky_base;
CREATE UNIQUE INDEX ON small (c);
SELECT perfkit.schedule_refresh('bulky', '@yearly', method => 'concurrently', max_retries => 0, after_action => 'none');
EOF_SQL
my $run = now('bulky');
has_run('public.bulky', "run_id = $run AND status = 'success'", 'filled');
ask($node, 'UPDATE bulky_base SET n = n + 1');
limit(2 * $MB);
for my $method (qw(plain concurrently))
{
	ask($node, "SELECT perfkit.alter_refresh('bulky', method => '$method')");
	$run = now('bulky');
	has_run('public.bulky', "run_id = $run AND status = 'failed' AND sqlstate IS NOT NULL AND message ~ 'could not (extend|write)'", "no room on the disk: the $method run fails and says so");
	is(ask($node, 'SELECT min(n), count(*) FROM bulky'), '1|10000', '... the view is what it was');
}
$run = now('small');
has_run('public.small', "run_id = $run AND status = 'success'", '... others that need less are refreshed');
is(ask($node, q{SELECT count(*) FROM pg_class WHERE relname LIKE 'pg_temp%' AND relkind = 'r' AND relpersistence = 't'}), '0', '... nothing is left of it');
limit('unlimited');
$run = now('bulky');
has_run('public.bulky', "run_id = $run AND status = 'success'", '... with room again it is refreshed');
is(ask($node, 'SELECT min(n), count(*) FROM bulky'), '2|10000', '... to what it should be');

# ---- a reader that does not end
ask($node, <<'EOF_SQL');
CREATE TABLE base AS SELECT 1 AS n;
CREATE MATERIALIZED VIEW held AS SELECT n FROM base;
CREATE UNIQUE INDEX ON held (n);
CREATE MATERIALIZED VIEW free AS SELECT n FROM base;
CREATE UNIQUE INDEX ON free (n);
UPDATE base SET n = 2;
EOF_SQL
my $reader = session();
$reader->query_safe('BEGIN; SELECT * FROM held');
ask($node, q{SELECT perfkit.schedule_refresh('held', 'every 1 second', method => 'plain', lock_timeout => '100 ms', suspend_after => 0)});
has_run('public.held', "status = 'timeout' AND sqlstate = '55P03' AND trigger = 'schedule'", 'a view that somebody reads for long: a plain refresh gives up');
$run = ask($node, 'SELECT max(run_id) FROM perfkit.refresh_log');
ok(await($node, "SELECT count(*) >= 2 FROM perfkit.refresh_log WHERE view = 'public.held' AND status = 'timeout' AND run_id > $run"), '... and tries again at each slot');
is(ask($node, 'SELECT n FROM held'), '1', '... other readers are answered');
is(ask($node, q{SELECT count(*) <= 1 FROM pg_stat_activity WHERE backend_type = 'perfkit refresh'}), 't', '... there is never more than one that waits');
$run = now('free');
has_run('public.free', "run_id = $run AND status = 'success'", '... other views are refreshed');
is(ask($node, q{SELECT flags @> '{failing}' FROM perfkit.matviews WHERE view = 'public.held'}), 't', '... matviews shows it as failing');
ask($node, q{SELECT perfkit.schedule_refresh('held', target_lag => '1 hour', method => 'plain', lock_timeout => '100 ms', max_retries => 1000, retry_delay => '200 ms')});
has_run('public.held', "status = 'timeout' AND trigger = 'retry' AND attempt >= 3", '... or retried before the next');
$reader->query_safe('COMMIT');
$reader->quit;
has_run('public.held', "status = 'success' AND trigger = 'retry'", '... until the reader has gone');
is(ask($node, 'SELECT n FROM held'), '2', '... then it is refreshed');
ask($node, q{SELECT perfkit.unschedule_refresh('held')});

# ---- a lock on what it reads, and on the view itself
for my $lock ('LOCK TABLE base IN ACCESS EXCLUSIVE MODE', 'REFRESH MATERIALIZED VIEW CONCURRENTLY free')
{
	my $holder = session();

	ask($node, q{SELECT perfkit.schedule_refresh('free', '@yearly', method => 'concurrently', lock_timeout => '100 ms', max_retries => 0)});
	$holder->query_safe("BEGIN; $lock");
	$run = now('free');
	has_run('public.free', "run_id = $run AND status = 'timeout' AND sqlstate = '55P03'", "a concurrent one gives up, too, where it has to: $lock");
	is(ask($node, 'SELECT count(*) FROM free'), '1', '... readers are answered') if $lock !~ /LOCK TABLE/;
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	$run = now('free');
	has_run('public.free', "run_id = $run AND status = 'success'", '... and is done when it is over');
}

# ---- views come, go and are renamed all the time, while the scheduler looks at them
ask($node, q{CREATE SCHEMA aside; CREATE MATERIALIZED VIEW steady AS SELECT n FROM base; CREATE UNIQUE INDEX ON steady (n);
	SELECT perfkit.schedule_refresh('steady', 'every 1 second')});
for my $schedule (q{'every 1 second', skip_unchanged => true, suspend_after => 0},
	q{'on change', min_interval => '1 second', retry_delay => '1 second', max_retries => 1000})
{
	my $restless = <<'EOF_SQL';
CREATE MATERIALIZED VIEW restless AS SELECT n FROM base;
CREATE UNIQUE INDEX ON restless (n);
EOF_SQL
	ask($node, $restless . "SELECT perfkit.schedule_refresh('restless', $schedule)");
	has_run('public.restless', "status = 'success' AND view_oid = 'restless'::regclass", "refreshed: $schedule");
	# Each by itself: dropped under a name that nobody has seen it by, a view is not known again.
	ask($node, "UPDATE base SET n = n + 1; DROP MATERIALIZED VIEW restless; $restless") for 1 .. 10;
	ask($node, 'UPDATE base SET n = n + 1');
	ok(await($node, 'SELECT r.n = b.n FROM restless r, base b'), '... dropped and made again and again, it is at last');
	ask($node, 'ALTER MATERIALIZED VIEW restless RENAME TO other; ALTER MATERIALIZED VIEW other SET SCHEMA aside;'
			. 'ALTER MATERIALIZED VIEW aside.other RENAME TO restless; ALTER MATERIALIZED VIEW aside.restless SET SCHEMA public;'
			. 'UPDATE base SET n = n + 1') for 1 .. 10;
	ok(await($node, 'SELECT r.n = b.n FROM restless r, base b'), '... renamed and moved again and again, too');
	ask($node, 'ALTER MATERIALIZED VIEW restless RENAME TO settled; UPDATE base SET n = n + 1');
	ok(await($node, 'SELECT r.n = b.n FROM settled r, base b'), '... under its new name');
	ok( until_true(
			sub {
				ask($node, 'UPDATE base SET n = n + 1');
				return ask($node, q{SELECT count(*) FROM perfkit.refresh_schedule WHERE view_name = 'settled'}) eq '1';
			},
			'the name'),
		'... which the schedule knows');
	ask($node, q{SELECT perfkit.unschedule_refresh('settled'); DROP MATERIALIZED VIEW settled});
}
$run = ask($node, q{SELECT max(run_id) FROM perfkit.refresh_log WHERE view = 'public.steady'});
has_run('public.steady', "status = 'success' AND run_id > $run", '... and the others go on');

# ---- a view that is filled while its refresh waits: what was right for one that nobody could read no longer is
ask($node, q{CREATE MATERIALIZED VIEW filled AS SELECT n FROM base WITH NO DATA;
	SELECT perfkit.schedule_refresh('filled', '@yearly', lock_timeout => '0', fallback => 'never', max_retries => 0)});
my $filler = session();
$filler->query_safe('BEGIN; CREATE UNIQUE INDEX ON filled (n)');
$run = now('filled');
ok(await($node, q{SELECT count(*) FROM pg_locks WHERE relation = 'filled'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted}, '1'), 'a refresh waits for a view that is not populated');
$filler->query_safe('REFRESH MATERIALIZED VIEW filled; COMMIT');
has_run('public.filled', "run_id = $run AND status = 'failed' AND sqlstate = '55000' AND message ~ 'has changed while'", '... and does not lock out the readers that it has then');
$filler->quit;
$run = now('filled');
has_run('public.filled', "run_id = $run AND status = 'success' AND method = 'concurrently'", '... the next goes concurrently');
ask($node, q{SELECT perfkit.unschedule_refresh('filled')});

# ---- views that read from each other, through a plain view that was replaced
ask($node, <<'EOF_SQL');
CREATE VIEW seam AS SELECT 1 AS n;
CREATE MATERIALIZED VIEW circle_a AS SELECT n FROM seam;
CREATE UNIQUE INDEX ON circle_a (n);
CREATE MATERIALIZED VIEW circle_b AS SELECT n FROM circle_a;
CREATE UNIQUE INDEX ON circle_b (n);
CREATE OR REPLACE VIEW seam AS SELECT n FROM circle_b;
SELECT perfkit.schedule_refresh('circle_a', 'every 1 second'), perfkit.schedule_refresh('circle_b', 'every 1 second');
EOF_SQL
$run = ask($node, 'SELECT max(run_id) FROM perfkit.refresh_log');
ok(await($node, "SELECT count(*) = 2 FROM (SELECT view FROM perfkit.refresh_log WHERE view LIKE 'public.circle__' AND status = 'success' AND run_id > $run GROUP BY view HAVING count(*) >= 2) v"),
	'views that read from each other in a circle do not wait for each other');
ask($node, q{SELECT perfkit.unschedule_refresh('circle_a'), perfkit.unschedule_refresh('circle_b')});
$run = ask($node, q{SELECT perfkit.refresh_now('circle_a', cascade => true)});
has_run("public.$_", "run_id >= $run AND status = 'success'", "... nor in a cascade: $_") for qw(circle_a circle_b);
is(ask($node, "SELECT count(*) FROM perfkit.refresh_log WHERE run_id >= $run AND view = 'public.circle_a'"), '1', '... where each has its turn once');

# ---- a transaction that stays open over its schedule, or another's, holds up nobody else's (flush_errors, below)
ask($node, q{CREATE MATERIALIZED VIEW fleeting AS SELECT n FROM base; CREATE MATERIALIZED VIEW idle AS SELECT 1 AS n;
	SELECT perfkit.schedule_refresh('fleeting', '@yearly', method => 'plain')});
for my $sql (q{SELECT perfkit.unschedule_refresh('fleeting')}, q{SELECT perfkit.schedule_refresh('idle', '@yearly', method => 'plain')})
{
	my $idler = session();

	# made again, and not looked for yet
	ask($node, 'DROP MATERIALIZED VIEW fleeting; CREATE MATERIALIZED VIEW fleeting AS SELECT n FROM base');
	$idler->query_safe("BEGIN; $sql");
	ask($node, q{SELECT perfkit.alter_refresh('steady', priority => 1)}); # all schedules are loaded
	$run = ask($node, 'SELECT max(run_id) FROM perfkit.refresh_log');
	ok(await($node, "SELECT count(*) >= 2 FROM perfkit.refresh_log WHERE view = 'public.steady' AND status = 'success' AND run_id > $run"), "others are refreshed beside an open transaction: $sql");
	$idler->query_safe('ROLLBACK');
	$idler->quit;
}
$run = now('fleeting');
has_run('public.fleeting', "status = 'success' AND view_oid = 'fleeting'::regclass AND run_id = $run", '... and its own, when that is over');
ask($node, q{SELECT perfkit.unschedule_refresh('fleeting')});

# ---- asked for by hand, a view alone does not wait with a run of its own that waits
ask($node, <<'EOF_SQL');
CREATE FUNCTION gate() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN 1; END $$;
CREATE MATERIALIZED VIEW slow AS SELECT gate() AS n WITH NO DATA;
CREATE MATERIALIZED VIEW waiting AS SELECT n FROM slow WITH NO DATA;
CREATE UNIQUE INDEX ON waiting (n);
REFRESH MATERIALIZED VIEW slow;
EOF_SQL
my $gate = session();
$gate->query_safe('SELECT pg_advisory_lock(42)');
ask($node, q{SELECT perfkit.schedule_refresh('slow', '@yearly', method => 'concurrently', fallback => 'never', lock_timeout => '0', max_retries => 0)});
ask($node, 'CREATE UNIQUE INDEX ON slow (n)');
now('slow');
has_run('public.slow', "status = 'running' AND pid IS NOT NULL", 'a view that another reads from is being refreshed');
ask($node, q{SELECT perfkit.schedule_refresh('waiting', 'every 1 second')});
ok(await($node, q{SELECT clock_timestamp() > changed_at + interval '2 seconds' FROM perfkit.refresh_schedule WHERE view_name = 'waiting'}), 'two slots later');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.waiting'}), '0', '... the other waits for it');
$run = now('waiting');
has_run('public.waiting', "run_id = $run AND status = 'success'", '... but not by hand');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.slow' AND status = 'running'}), '1', '... while the first still runs');
$gate->query_safe('SELECT pg_advisory_unlock(42)');
$gate->quit;
ask($node, q{SELECT perfkit.unschedule_refresh('waiting'), perfkit.unschedule_refresh('slow')});

# ---- refresh_log is bounded by its number of rows, whatever they tell
ask($node, <<'EOF_SQL');
CREATE TABLE divisor AS SELECT 0 AS d;
CREATE MATERIALIZED VIEW failing AS SELECT 1 / d AS n FROM divisor WITH NO DATA;
CREATE MATERIALIZED VIEW skipped AS SELECT n FROM failing WITH NO DATA;
EOF_SQL
$node->append_conf('postgresql.conf', 'perfkit.refresh_log_max_runs = 3');
$node->reload;
for (1 .. 12)
{
	ask($node, q{SELECT perfkit.refresh_now('skipped', cascade => true)});
	await($node, 'SELECT count(*) FROM perfkit.refresh_request', '0');
}
has_run('public.skipped', "status = 'skipped_upstream'", 'a view whose upstream fails is skipped');
cmp_ok(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.skipped'}), '<=', 7, '... and the rows that say so are bounded');
$node->append_conf('postgresql.conf', 'perfkit.refresh_log_max_runs = 1000');
$node->reload;

# ---- a schedule that cannot be read here: of another server, written by hand
ask($node, q{SELECT perfkit.alter_refresh('steady', priority => 0); UPDATE perfkit.refresh_schedule SET timezone = 'Nowhere' WHERE view_name = 'steady'});
my $unread = sub { slurp_file($node->logfile) =~ /WARNING: +perfkit: the schedule of materialized view public\.steady cannot be read/ };
ok(until_true($unread, 'a warning'), 'a schedule that cannot be read is told');
ask($node, q{SELECT perfkit.alter_refresh('steady', timezone => 'UTC')});
$run = ask($node, q{SELECT max(run_id) FROM perfkit.refresh_log});
has_run('public.steady', "status = 'success' AND run_id > $run", '... and runs when it can be again');

# ---- limits on transactions are for sessions
if (ask($node, 'SHOW server_version_num') >= 170000)
{
	my $slow = session();

	$node->append_conf('postgresql.conf', q{transaction_timeout = '300ms'});
	$node->reload;
	$slow->query_safe(q{SET transaction_timeout = 0; SELECT pg_advisory_lock(42)});
	$run = now('slow');
	ok(await($node, "SELECT clock_timestamp() > started_at + interval '1 second' FROM perfkit.refresh_log WHERE run_id = $run"), 'a run goes on for longer than transaction_timeout');
	$slow->query_safe('SELECT pg_advisory_unlock(42)');
	has_run('public.slow', "run_id = $run AND status = 'success'", '... to its end');
	$slow->quit;
	$node->append_conf('postgresql.conf', q{transaction_timeout = 0});
	$node->reload;
}

# ---- an owner that is a group
ask($node, <<'EOF_SQL');
CREATE ROLE team LOGIN;
CREATE ROLE alice LOGIN IN ROLE team;
CREATE ROLE mallory LOGIN;
GRANT CREATE ON SCHEMA public TO team;
SET ROLE team;
CREATE TABLE team_base AS SELECT 1 AS n;
CREATE MATERIALIZED VIEW teams AS SELECT n, current_user::text AS u FROM team_base WITH NO DATA;
EOF_SQL
my ($out, $err) = run_as($node, 'alice', <<'EOF_SQL');
SET SESSION AUTHORIZATION alice;
SELECT perfkit.schedule_refresh('teams', '@yearly', method => 'plain') > 0, perfkit.refresh_now('teams') > 0;
EOF_SQL
is("$out$err", 't|t', 'a member of the group that owns a view schedules it');
has_run('public.teams', "status = 'success' AND userid = 'team'::regrole", '... it is refreshed');
is(ask($node, 'SELECT u FROM teams'), 'team', '... as the group');
($out, $err) = run_as($node, 'alice', <<'EOF_SQL');
SET SESSION AUTHORIZATION alice;
SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = 'public.teams';
SELECT perfkit.pause_refresh('teams') IS NOT NULL, perfkit.resume_refresh('teams') IS NOT NULL, perfkit.alter_refresh('teams', priority => 3) > 0;
SELECT perfkit.unschedule_refresh('teams') IS NOT NULL;
EOF_SQL
is("$out$err", "t\nt|t|t\nt", '... the member sees its runs and manages it');
($out, $err) = run_as($node, 'mallory', <<'EOF_SQL');
SET SESSION AUTHORIZATION mallory;
SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.teams';
SELECT perfkit.schedule_refresh('teams', '@daily');
EOF_SQL
is($out, '0', '... others do not see them');
like($err, qr/must be owner of materialized view teams/, '... nor may they');

# ---- nothing of all this was an error of the worker's own
is(counter($node, 'flush_errors'), '0', 'the worker had no error') or diag(join "\n", slurp_file($node->logfile) =~ /(WARNING: .*)/g);

# ---- a look that cannot be made is a reason to refresh, not an error of the worker's
ask($node, q{SELECT perfkit.unschedule_refresh('steady'); CREATE TABLE child () INHERITS (base);
	CREATE MATERIALIZED VIEW looked AS SELECT n FROM base; CREATE UNIQUE INDEX ON looked (n);
	SELECT perfkit.schedule_refresh('looked', 'every 1 second', skip_unchanged => true, lock_timeout => '0')});
has_run('public.looked', "status = 'skipped_unchanged'", 'a view is skipped');
my $locker = session();
$locker->query_safe('BEGIN; LOCK TABLE pg_catalog.pg_inherits IN ACCESS EXCLUSIVE MODE');
$run = ask($node, q{SELECT max(run_id) FROM perfkit.refresh_log});
has_run('public.looked', "status = 'running' AND run_id > $run", '... until nobody can tell whether it has changed');
like(slurp_file($node->logfile), qr/whether materialized view public\.looked has changed cannot be told\n.*To look at it has failed: canceling statement due to lock timeout/, '... which is told');
unlike(slurp_file($node->logfile), qr/materialized views wait for their refresh/, '... and keeps nobody waiting');
$locker->query_safe('ROLLBACK');
$locker->quit;
has_run('public.looked', "status = 'success' AND run_id > $run", '... and it is refreshed');
books_ok($node, 'the books balance');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'nothing has crashed');

done_testing();
