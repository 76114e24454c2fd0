# Refreshing and time: what was missed is made up for, clocks may jump, and schedules outlive restarts,
# promotion, and dump and restore. The clock that schedules go by is moved by a setting.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $HOUR = 3600;
my $DAY = 24 * $HOUR;

my $node = perfkit_node('primary', 'perfkit.slow_query_threshold = -1', init => { allows_streaming => 1 });

# move_clock(seconds): from now on schedules believe that it is so much later
sub move_clock
{
	my ($seconds) = @_;

	$node->append_conf('postgresql.conf', "perfkit.refresh_clock_offset = $seconds");
	$node->reload;
	return;
}

# runs(view, condition): how many
sub runs
{
	my ($view, $condition, $where, $database) = @_;

	$condition //= 'true';
	return ask($where // $node, "SELECT count(*) FROM perfkit.refresh_log WHERE view = '$view' AND $condition", $database);
}

ask($node, <<'EOF_SQL');
CREATE MATERIALIZED VIEW daily AS SELECT 1 AS n;
CREATE UNIQUE INDEX ON daily (n);
CREATE MATERIALIZED VIEW lazy AS SELECT 1 AS n;
CREATE UNIQUE INDEX ON lazy (n);
CREATE MATERIALIZED VIEW often AS SELECT 1 AS n;
CREATE UNIQUE INDEX ON often (n);
SELECT perfkit.schedule_refresh('daily', '30 3 * * *', start_window => '0'),
	perfkit.schedule_refresh('lazy', '30 3 * * *', catch_up => 'skip'),
	perfkit.schedule_refresh('often', 'every 2 seconds');
CREATE FUNCTION gate() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN 1; END $$;
CREATE MATERIALIZED VIEW fresh AS SELECT gate() AS g WITH NO DATA;
CREATE MATERIALIZED VIEW broken AS SELECT n / 0 AS n FROM daily WITH NO DATA;
SELECT perfkit.schedule_refresh('fresh', target_lag => '2 seconds', method => 'plain', lock_timeout => '0');
EOF_SQL
ok(await($node, q{SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = 'public.often' AND status = 'success'}), 'what is due every two seconds runs');
is(runs('public.daily') + runs('public.lazy'), 0, 'what is due at half past three does not');
is( ask($node, q{SELECT next_run = (SELECT run_at FROM perfkit.next_runs('30 3 * * *', 1, timezone => m.timezone)) FROM perfkit.matviews m WHERE view = 'public.daily'}),
	't', 'matviews says when it will: as next_runs() does');

# ---- the clock jumps ahead while the worker is there: late, and once
move_clock(3 * $DAY);
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.daily' AND status = 'success'}, '1'), 'a clock set forward: what was due runs');
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.lazy' AND status = 'success'}, '1'), '... every schedule');
my $often = runs('public.often');
ok(await($node, "SELECT count(*) > $often + 1 FROM perfkit.refresh_log WHERE view = 'public.often' AND status = 'success'"), '... and the others go on');
is(runs('public.daily') . runs('public.lazy'), '11', '... each once, however many days were left out');

# ---- back by an hour: fixed times have had their run, intervals go on
move_clock(3 * $DAY - $HOUR);
$often = runs('public.often');
ok(await($node, "SELECT count(*) > $often + 1 FROM perfkit.refresh_log WHERE view = 'public.often' AND status = 'success'"), 'a clock set back by an hour: intervals go on at once');
is(runs('public.daily'), 1, '... and nothing runs twice');

# ---- back by days, in the middle of a run and between a failure and its retry
my $gate = do { local $ENV{PGOPTIONS} = '-c perfkit.track=none'; $node->background_psql('postgres'); };
$gate->query_safe('SELECT pg_advisory_lock(42)');
ok(await($node, q{SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = 'public.fresh' AND status = 'running'}), 'a run is under way');
ask($node, q{SELECT perfkit.schedule_refresh('broken', 'on change', min_interval => '1 second', max_retries => 1000, retry_delay => '1 second', start_window => '0', method => 'plain')});
ok(await($node, q{SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = 'public.broken' AND trigger = 'retry'}), 'another is tried again and again');
move_clock(0);
$often = runs('public.often');
ok(await($node, "SELECT count(*) > $often + 1 FROM perfkit.refresh_log WHERE view = 'public.often' AND status = 'success'"), 'back by days: intervals go on at once');
$gate->query_safe('SELECT pg_advisory_unlock(42)');
$gate->quit;
my $fresh = runs('public.fresh', "status = 'success'");
ok(await($node, "SELECT count(*) > $fresh + 2 FROM perfkit.refresh_log WHERE view = 'public.fresh' AND status = 'success'"), '... a target_lag too, whose run was under way');
my $broken = runs('public.broken', q{trigger = 'retry'});
ok(await($node, "SELECT count(*) > $broken FROM perfkit.refresh_log WHERE view = 'public.broken' AND trigger = 'retry'", 't', 'postgres', 90), '... and retries');
ask($node, q{SELECT perfkit.unschedule_refresh('broken')});

# ---- scheduled by a clock that is ahead of the one that counts
move_clock(-$DAY);
ask($node, q{SELECT perfkit.schedule_refresh('fresh', target_lag => '2 seconds', method => 'plain')});
$fresh = runs('public.fresh', "status = 'success'");
ok(await($node, "SELECT count(*) > $fresh + 2 FROM perfkit.refresh_log WHERE view = 'public.fresh' AND status = 'success'"), 'what was scheduled by a clock that was ahead runs');
ask($node, q{SELECT perfkit.unschedule_refresh('fresh')});

# ---- missed while the server was down: once, or not at all
$node->stop;
$node->append_conf('postgresql.conf', 'perfkit.refresh_clock_offset = ' . 9 * $DAY);
$node->start;
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.daily' AND status = 'success' AND trigger = 'catch_up'}, '1'),
	'what was missed while the server was down is made up for');
$often = runs('public.often');
ok(await($node, "SELECT count(*) > $often + 1 FROM perfkit.refresh_log WHERE view = 'public.often' AND trigger = 'schedule'"), '... and others go on');
is(runs('public.daily', "trigger = 'catch_up'"), 1, '... once');
is(runs('public.lazy', "trigger = 'catch_up'"), 0, '... unless that is not wanted');

# ---- a fixed time that has had its run does not get a second one when the server comes back with its clock set back
ask($node, q{CREATE MATERIALIZED VIEW fixed AS SELECT 1 AS n; CREATE UNIQUE INDEX ON fixed (n)});
my $four = 4 * $HOUR - 15 - time % $DAY + 12 * $DAY;
move_clock($four);
ask($node, q{SELECT perfkit.schedule_refresh('fixed', '0 4 * * *', timezone => 'UTC', start_window => '0')});
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.fixed' AND status = 'success' AND trigger = 'schedule'
	AND extract(hour FROM planned_at AT TIME ZONE 'UTC') = 4}, '1'), 'a fixed time: it runs');
$node->stop;
$node->append_conf('postgresql.conf', 'perfkit.refresh_clock_offset = ' . ($four - 1800));
$node->start;
my $ahead = ask($node, q{SELECT max(run_id) FROM perfkit.refresh_log});
ok(await($node, "SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = 'public.often' AND run_id > $ahead AND status = 'success'"), '... the server comes back half an hour earlier');
is(ask($node, q{SELECT next_run - last_success > interval '23 hours' FROM perfkit.matviews WHERE view = 'public.fixed'}), 't', '... its next run is the next day');
ask($node, q{SELECT perfkit.unschedule_refresh('fixed')});

# ---- a standby does nothing, and takes over after promotion
move_clock(0);
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
ok(await($standby, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker'}, '1'), 'a standby has a worker');
is(ask($standby, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit refresh'}), '0', '... that refreshes nothing');
is(ask($standby, q{SELECT schedule FROM perfkit.matviews WHERE view = 'public.often'}), 'every 2 seconds', '... and shows the schedules');
$node->stop;
my $before = runs('public.often', 'true', $standby);
$standby->promote;
ok(await($standby, "SELECT count(*) > $before + 1 FROM perfkit.refresh_log WHERE view = 'public.often' AND status = 'success'"), 'promoted, it refreshes');
is(runs('public.often', "status = 'running' AND started_at < now() - interval '1 minute'", $standby), 0, '... and leaves no run of the primary open');
$standby->stop;
$node->start;

# ---- a standby that must confirm commits is away: nothing waits for it
ask($node, q{SELECT perfkit.unschedule_refresh('often')});
$node->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'");
$node->reload;
ask($node, q{SET synchronous_commit = local; SELECT perfkit.schedule_refresh('often', 'every 1 second')});
ok(await($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit refresh' AND wait_event = 'SyncRep'}, '1'), 'a refresh waits for a standby that is away');
$node->stop('fast');
ok(1, '... the server stops nevertheless');
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->start;
ok(await($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE status = 'running' AND started_at < now() - interval '10 seconds'}, '0'), '... and no run is left open');

# ---- dump and restore: the schedules come along, what they have come to does not
my $file = $node->basedir . '/dump';
ask($node, q{SELECT perfkit.alter_refresh('daily', priority => 17)});
my $id = ask($node, q{SELECT schedule_id FROM perfkit.refresh_schedule WHERE view_name = 'daily'});
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, 'postgres' ], 'pg_dump');
ask($node, 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $file ], 'pg_restore --exit-on-error');
is(ask($node, q{SELECT schedule_id, schedule, priority FROM perfkit.refresh_schedule WHERE view_name = 'daily'}, 'restored'),
	"$id|30 3 * * *|17", 'schedules are restored');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.lazy'}, 'restored'), '0', '... the log is not');
ok(await($node, q{SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = 'public.often' AND status = 'success'}, 't', 'restored'), '... they run');
cmp_ok(ask($node, q{SELECT perfkit.schedule_refresh('lazy', '@daily')}, 'restored'), '<=', ask($node, 'SELECT max(schedule_id) FROM perfkit.refresh_schedule', 'restored'),
	'... and new ones get ids of their own');

# ---- the log is bounded
$node->append_conf('postgresql.conf', "perfkit.refresh_log_max_runs = 3\nperfkit.refresh_log_retention = '1min'");
$node->restart;
ok(await($node, q{SELECT count(*) <= 4 FROM perfkit.refresh_log WHERE view = 'public.often'}, 't', 'restored'), 'refresh_log keeps as many rows of a view as it may');
$node->stop;

done_testing();
