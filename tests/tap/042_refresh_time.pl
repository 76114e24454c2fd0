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

# ---- back by days
move_clock(0);
$often = runs('public.often');
ok(await($node, "SELECT count(*) > $often + 1 FROM perfkit.refresh_log WHERE view = 'public.often' AND status = 'success'"), '... by days too');

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
