# Refreshing materialized views: it happens when it should, as the owner, in the right way, upstream
# first; and what fails is tried again, suspended and resumed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Runs that take long are runs that wait for a lock that the test holds.
my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = -1
perfkit.max_refresh_workers = 4
perfkit.refresh_max_block = 1h
max_worker_processes = 24
EOF_CONF

# of_view(view, columns, condition): the newest row of refresh_log of that view
sub of_view
{
	my ($view, $columns, $condition) = @_;

	$condition //= 'true';
	return "SELECT $columns FROM perfkit.refresh_log WHERE view = '$view' AND $condition ORDER BY run_id DESC LIMIT 1";
}

# has_run(view, condition, test name): there is a row of that view
sub has_run
{
	my ($view, $condition, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(await($node, "SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = '$view' AND $condition"), $name)
		|| diag(ask($node, of_view($view, 'refresh_log')));
}

# gate(): a session that holds the advisory lock which views over gate() wait for
sub gate
{
	my $session = do
	{
		local $ENV{PGOPTIONS} = '-c perfkit.track=none';
		$node->background_psql('postgres');
	};
	$session->query_safe('SELECT pg_advisory_lock(42)');
	return $session;
}

sub do_sql
{
	my ($sql) = @_;

	return ask($node, $sql);
}

do_sql(<<'EOF_SQL');
CREATE ROLE app LOGIN;
CREATE ROLE other LOGIN;
CREATE ROLE mute;
GRANT CREATE ON SCHEMA public TO app, mute;
CREATE FUNCTION gate() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN 1; END $$;
CREATE TABLE base AS SELECT 1 AS n;
CREATE TABLE divisor AS SELECT 0 AS d;
GRANT SELECT ON base, divisor TO app, mute;
EOF_SQL

# ---- it happens, again and again, concurrently or not, and for which reason
do_sql(<<'EOF_SQL');
CREATE MATERIALIZED VIEW "Every Second" AS SELECT n FROM base;
CREATE UNIQUE INDEX ON "Every Second" (n);
SELECT perfkit.schedule_refresh('"Every Second"', 'every 1 second', method => 'concurrently');
EOF_SQL
has_run('public."Every Second"', "status = 'success' AND method = 'concurrently' AND method_reason = 'asked for' AND trigger = 'schedule'",
	'a view is refreshed when it is due');
do_sql('UPDATE base SET n = 2');
ok(await($node, 'SELECT n FROM "Every Second"', '2'), '... and again, with what has changed');
has_run('public."Every Second"', "status = 'success' AND rows = 1 AND inserted = 1 AND deleted = 1 AND wal_bytes > 0 AND pid > 0
	AND attempt = 1 AND waited_ms >= 0 AND finished_at >= started_at AND started_at >= planned_at AND planned_at = date_trunc('second', planned_at)",
	'... its row says what it did');
is( ask($node, q{SELECT string_agg(DISTINCT state, ' ') FROM perfkit.matviews WHERE view = 'public."Every Second"' AND state IN ('active', 'running')
		AND next_run > last_success AND staleness < interval '1 minute' AND avg_duration > interval '0' AND p95_duration >= avg_duration / 2 AND reads >= 0}) ne '',
	1, 'matviews shows it');
do_sql(q{SELECT perfkit.unschedule_refresh('"Every Second"')});
is(ask($node, q{SELECT state IS NULL OR state = 'running' FROM perfkit.matviews WHERE view = 'public."Every Second"'}), 't', 'unscheduled, it has no state');

# ---- as the owner
do_sql(<<'EOF_SQL');
SET ROLE app;
CREATE MATERIALIZED VIEW who AS SELECT current_user::text AS cu, session_user::text AS su, current_setting('work_mem') AS setting WITH NO DATA;
RESET ROLE;
ALTER ROLE app SET work_mem = '5MB';
GRANT other TO app;
ALTER ROLE app SET role = 'other';
EOF_SQL
my ($out, $err) = run_as($node, 'app', "SET ROLE app; SELECT perfkit.schedule_refresh('who', '\@yearly'); SELECT perfkit.refresh_now('who')");
has_run('public.who', "status = 'success' AND trigger = 'manual' AND method = 'plain' AND method_reason LIKE 'not populated%'", 'an owner refreshes its own view');
is(ask($node, 'SELECT * FROM who'), 'app|app|5MB', '... as its current and session user, with its settings');
($out, $err) = run_as($node, 'other', "SET ROLE other; SELECT perfkit.refresh_now('who'); SELECT perfkit.schedule_refresh('who', '\@daily'); SELECT perfkit.unschedule_refresh('who')");
is(scalar(() = $err =~ /must be owner of materialized view who/g), 3, 'another role may do nothing to it');
($out, $err) = run_as($node, 'other', "SET ROLE other; SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.who'; RESET ROLE; SET ROLE app; SELECT count(*) > 0 FROM perfkit.refresh_log WHERE view = 'public.who'");
is($out, "0\nt", '... nor see its rows, which its owner does');
do_sql('SET ROLE mute; CREATE MATERIALIZED VIEW silent AS SELECT n FROM base WITH NO DATA;');
if (ask($node, 'SHOW server_version_num') < 170000)
{
	($out, $err) = run_as($node, 'mute', "SELECT perfkit.schedule_refresh('silent', '\@daily')");
	like($err, qr/owner "mute" cannot log in.*HINT:  ALTER ROLE mute LOGIN/s, 'an owner that cannot log in is refused, with a hint');
}
else
{
	do_sql("SELECT perfkit.schedule_refresh('silent', '\@yearly', method => 'plain'), perfkit.refresh_now('silent')");
	has_run('public.silent', "status = 'success'", 'an owner that cannot log in has its views refreshed');
}

# ---- the choice of the method
do_sql(<<'EOF_SQL');
CREATE MATERIALIZED VIEW bare AS SELECT n FROM base;
SELECT perfkit.schedule_refresh('bare', '@yearly', fallback => 'never'), perfkit.refresh_now('bare');
EOF_SQL
has_run('public.bare', "status = 'failed' AND sqlstate = '55000' AND method IS NULL AND message LIKE 'cannot be refreshed concurrently: the view has no unique index%'",
	'without a unique index readers are not locked out unasked');
is(ask($node, q{SELECT array_to_string(flags, ' '), advice FROM perfkit.matviews WHERE view = 'public.bare'}),
	'needs_unique_index|CREATE UNIQUE INDEX ON public.bare (columns that tell its rows apart)', '... matviews says what is missing');
do_sql(q{SELECT perfkit.alter_refresh('bare', fallback => 'always'), perfkit.refresh_now('bare')});
has_run('public.bare', "status = 'success' AND method = 'plain' AND method_reason = 'the view has no unique index on plain columns, and fallback is always'",
	'... asked, they are');
do_sql(q{SELECT perfkit.alter_refresh('bare', fallback => 'never'), perfkit.refresh_now('bare')});
has_run('public.bare', "status = 'success' AND method_reason LIKE 'the last run took % ms, less than perfkit.refresh_max_block'",
	'auto is plain where the last run was short');
do_sql(q{CREATE UNIQUE INDEX ON bare (n)});
my $reader = do { local $ENV{PGOPTIONS} = '-c perfkit.track=none'; $node->background_psql('postgres'); };
$reader->query_safe('BEGIN; SELECT * FROM bare');
do_sql(q{SELECT perfkit.refresh_now('bare')});
has_run('public.bare', "status = 'success' AND method = 'concurrently' AND method_reason LIKE 'somebody reads the view%'",
	'... but never stands in a queue in front of readers');
do_sql(q{SELECT perfkit.alter_refresh('bare', method => 'plain', lock_timeout => '50 ms'), perfkit.refresh_now('bare')});
has_run('public.bare', "status = 'timeout' AND sqlstate = '55P03' AND message ~ 'lock timeout'", 'a lock that is not to be had ends a plain one in time');
$reader->quit;

# ---- what other sessions see of it: every lock on the view, looked at as fast as one can
do_sql(<<'EOF_SQL');
CREATE FUNCTION sample(watched text, runs bigint, OUT looks bigint, OUT locked bigint, OUT exclusive bigint) LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
	looks := 0; locked := 0; exclusive := 0;
	WHILE (SELECT count(*) < runs FROM perfkit.refresh_log WHERE view = 'public.' || watched AND status = 'success') AND clock_timestamp() < deadline LOOP
		SELECT looks + 1, locked + (count(*) > 0)::int, exclusive + count(*) FILTER (WHERE mode = 'AccessExclusiveLock') INTO looks, locked, exclusive
		FROM pg_locks WHERE relation = watched::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
	END LOOP;
END $$;
CREATE TABLE wide AS SELECT i AS n, i % 10 AS d FROM generate_series(1, 20000) i;
CREATE MATERIALIZED VIEW sampled AS SELECT n, d FROM wide;
CREATE UNIQUE INDEX ON sampled (n);
UPDATE wide SET d = d + 1;
SELECT perfkit.schedule_refresh('sampled', 'every 1 second', method => 'concurrently');
EOF_SQL
is(do_sql(q{SELECT looks > 0, locked > 0, exclusive FROM sample('sampled', 4)}), 't|t|0', 'concurrently, nobody ever sees an AccessExclusiveLock');
do_sql(q{SELECT perfkit.unschedule_refresh('sampled')});

# ---- what follows
do_sql(<<'EOF_SQL');
SELECT perfkit.alter_refresh('bare', after_action => 'analyze'), perfkit.refresh_now('bare');
EOF_SQL
ok(await($node, q{SELECT analyze_count = 1 AND vacuum_count = 0 FROM pg_stat_all_tables WHERE relname = 'bare'}), 'ANALYZE afterwards');
do_sql(q{SELECT perfkit.alter_refresh('bare', after_action => 'vacuum'), perfkit.refresh_now('bare')});
ok(await($node, q{SELECT vacuum_count = 1 FROM pg_stat_all_tables WHERE relname = 'bare'}), 'VACUUM afterwards');
ok(await($node, q{SELECT count(*) = 0 FROM perfkit.refresh_log WHERE message LIKE 'refreshed;%' OR status = 'running'}), '... without an error');

# ---- timeouts, cancelled, terminated
my $gate = gate();
do_sql(<<'EOF_SQL');
CREATE MATERIALIZED VIEW slow AS SELECT gate() AS g WITH NO DATA;
CREATE UNIQUE INDEX ON slow (g);
SELECT perfkit.schedule_refresh('slow', '@yearly', statement_timeout => '100 ms'), perfkit.refresh_now('slow');
EOF_SQL
has_run('public.slow', "status = 'timeout' AND sqlstate = '57014' AND message ~ 'statement timeout'", 'a statement_timeout is held');
do_sql(q{SELECT perfkit.schedule_refresh('slow', '@yearly', max_runtime => '3 seconds', lock_timeout => '0'), perfkit.refresh_now('slow')});
has_run('public.slow', "status = 'timeout' AND sqlstate = '57014' AND message ~ 'max_runtime'", '... a max_runtime too');
do_sql(q{SELECT perfkit.schedule_refresh('slow', '@yearly', lock_timeout => '0'), perfkit.refresh_now('slow')});
has_run('public.slow', "status = 'running' AND pid IS NOT NULL AND finished_at IS NULL", 'a run under way has its row');
ok(await($node, of_view('public.slow', "(SELECT backend_type || '|' || application_name || '|' || (usename = current_user) FROM pg_stat_activity a WHERE a.pid = refresh_log.pid)"),
	'perfkit refresh|perfkit refresh|true'), '... and a process of that name');
is(ask($node, q{SELECT state FROM perfkit.matviews WHERE view = 'public.slow'}), 'running', '... and that state');
ok(await($node, q{SELECT count(*) FROM pg_locks WHERE relation = 'slow'::regclass AND mode = 'AccessExclusiveLock' AND granted}, '1'),
	'... which holds the lock of a plain one');
ask($node, of_view('public.slow', 'pg_cancel_backend(pid)'));
has_run('public.slow', "status = 'cancelled' AND sqlstate = '57014'", 'pg_cancel_backend cancels it');
do_sql(q{SELECT perfkit.refresh_now('slow')});
has_run('public.slow', "status = 'running' AND pid IS NOT NULL", '... again under way');
ask($node, of_view('public.slow', 'pg_terminate_backend(pid)', "status = 'running'"));
has_run('public.slow', "status = 'cancelled' AND sqlstate = '57P01'", 'pg_terminate_backend ends it');

# ---- overlap
do_sql(q{SELECT perfkit.schedule_refresh('slow', 'every 1 second', lock_timeout => '0')});
has_run('public.slow', "status = 'skipped_overlap'", 'what comes due while it runs is skipped');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.slow' AND status = 'running'}), '1', '... it runs once');
do_sql(q{SELECT perfkit.alter_refresh('slow', overlap => 'queue')});
my $planned = ask($node, of_view('public.slow', 'planned_at', "status = 'running'"));
my $noted = ask($node, 'SELECT clock_timestamp()');
ok(await($node, "SELECT clock_timestamp() > '$noted'::timestamptz + interval '5 seconds'"), 'some slots later');
do_sql(q{SELECT perfkit.alter_refresh('slow', schedule => '@yearly')}); # with overlap queue, one has been queued
$gate->query_safe('SELECT pg_advisory_unlock(42)');
has_run('public.slow', "status = 'success' AND trigger = 'queued' AND planned_at > '$planned'", 'or queued, once');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.slow' AND trigger = 'queued'}), '1', '... however many came due');

# ---- failures: tried again, suspended, resumed
do_sql(<<'EOF_SQL');
CREATE MATERIALIZED VIEW fragile AS SELECT 1 / d AS one FROM divisor WITH NO DATA;
SELECT perfkit.schedule_refresh('fragile', 'every 5 seconds', max_retries => 1, retry_delay => '100 ms', suspend_after => 2);
EOF_SQL
my $listener = do { local $ENV{PGOPTIONS} = '-c perfkit.track=none'; $node->background_psql('postgres', on_error_stop => 0); };
$listener->query_safe('LISTEN perfkit_alert');
has_run('public.fragile', "status = 'failed' AND sqlstate = '22012' AND message = 'division by zero' AND trigger = 'retry' AND attempt = 2", 'a failed run is tried again');
ok(await($node, q{SELECT state FROM perfkit.matviews WHERE view = 'public.fragile'}, 'suspended'), '... and suspended after too many');
is(ask($node, q{SELECT count(*) FILTER (WHERE attempt = 1), count(*) FILTER (WHERE attempt = 2) FROM perfkit.refresh_log WHERE view = 'public.fragile'}),
	'2|2', '... of all their attempts');
my $told = '';
ok( until_true(
		sub {
			$told .= $listener->query('SELECT 1');
			return $told =~ /notification "perfkit_alert" with payload ".*public\.fragile.*division by zero/;
		},
		'the notification'),
	'... with a notification');
ok( until_true(
		sub { slurp_file($node->logfile) =~ /WARNING:  perfkit: refreshing public\.fragile is suspended after 2 failures, the last: division by zero/ },
		'the warning'),
	'... and a line in the log');
is(ask($node, q{SELECT next_run IS NULL AND flags @> '{failing}' FROM perfkit.matviews WHERE view = 'public.fragile'}), 't', '... it will not run by itself');
my $by_hand = do_sql(q{SELECT perfkit.refresh_now('fragile')});
has_run('public.fragile', "run_id = $by_hand AND status = 'failed' AND trigger = 'manual'", '... by hand it fails as before');
unlike($listener->query('SELECT 1'), qr/perfkit_alert/, '... which is no news');
$listener->quit;
do_sql('UPDATE divisor SET d = 1');
do_sql(q{SELECT perfkit.resume_refresh('fragile')});
has_run('public.fragile', "status = 'success' AND trigger = 'schedule'", 'resumed, it runs');
is(ask($node, q{SELECT failures FROM perfkit.matviews WHERE view = 'public.fragile'}), '0', '... and the failures are forgotten');
do_sql(q{SELECT perfkit.pause_refresh('fragile')});
ok(await($node, q{SELECT state, next_run IS NULL FROM perfkit.matviews WHERE view = 'public.fragile'}, 'paused|t'), 'paused, it does not');

# ---- upstream first, through a plain view
do_sql(<<'EOF_SQL');
CREATE TABLE source AS SELECT 1 AS n, 1 AS d;
CREATE MATERIALIZED VIEW first AS SELECT n, n / d AS q FROM source;
CREATE VIEW between AS SELECT n + 0 AS n FROM first;
CREATE MATERIALIZED VIEW second AS SELECT n FROM between;
CREATE MATERIALIZED VIEW third AS SELECT n FROM second;
CREATE UNIQUE INDEX ON first (n);
CREATE UNIQUE INDEX ON second (n);
CREATE UNIQUE INDEX ON third (n);
UPDATE source SET n = 7;
EOF_SQL
is( ask($node, q{SELECT string_agg(view_oid::regclass || ' < ' || upstream_oid::regclass, ', ' ORDER BY view_oid) FROM perfkit.matview_dependencies}),
	'second < first, third < second', 'what reads from what, through plain views');
do_sql(q{SELECT perfkit.refresh_now('third', cascade => true)});
ok(await($node, 'SELECT n FROM third', '7'), 'a cascade refreshes what a view reads from first');
ok(await($node, q{SELECT string_agg(view, ' ' ORDER BY started_at) FROM perfkit.refresh_log WHERE status = 'success' AND view IN ('public.first', 'public.second', 'public.third')},
	'public.first public.second public.third'), '... each once, in order');
do_sql('UPDATE source SET n = 8');
do_sql(q{SELECT perfkit.refresh_now('first', cascade => true)});
ok(await($node, 'SELECT n FROM third', '8'), '... and those that read from it after it');

do_sql(<<'EOF_SQL');
SELECT perfkit.schedule_refresh('first', 'every 1 second', max_retries => 0, suspend_after => 0),
	perfkit.schedule_refresh('second', 'every 1 second'), perfkit.schedule_refresh('third', 'every 1 second', on_upstream_failure => 'run');
UPDATE source SET n = 9;
EOF_SQL
ok(await($node, 'SELECT n FROM third', '9'), 'schedules of the same second run in that order');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log l JOIN perfkit.refresh_log u ON u.view = 'public.first' AND l.view = 'public.second'
		AND u.planned_at = l.planned_at WHERE l.status = 'success' AND u.status = 'success' AND l.started_at < u.finished_at}),
	'0', '... none began before what it reads from had ended');
do_sql('UPDATE source SET d = 0');
has_run('public.second', "status = 'skipped_upstream' AND message ~ 'public.first'", 'after an upstream that failed it is skipped');
has_run('public.third', "status = 'success' AND planned_at >= (SELECT max(planned_at) FROM perfkit.refresh_log WHERE view = 'public.second' AND status = 'skipped_upstream')",
	'... or runs, as one likes');
do_sql('UPDATE source SET d = 1, n = 10');
ok(await($node, 'SELECT n FROM third', '10'), '... and all goes on when it is well again');

# ---- what does not depend on each other is refreshed at the same time
do_sql(<<'EOF_SQL');
CREATE MATERIALIZED VIEW root AS SELECT 1 AS n;
CREATE UNIQUE INDEX ON root (n);
CREATE MATERIALIZED VIEW branch_a AS SELECT gate() AS g, n FROM root WITH NO DATA;
CREATE MATERIALIZED VIEW branch_b AS SELECT gate() AS g, n FROM root WITH NO DATA;
CREATE MATERIALIZED VIEW leaf AS SELECT a.n FROM branch_a a JOIN branch_b b USING (n) WITH NO DATA;
EOF_SQL
$gate->query_safe('SELECT pg_advisory_lock(42)');
my $batch = do_sql(q{SELECT perfkit.schedule_refresh('branch_a', '@yearly', method => 'plain', lock_timeout => '0'),
	perfkit.schedule_refresh('branch_b', '@yearly', method => 'plain', lock_timeout => '0'), perfkit.refresh_now('leaf', cascade => true)});
ok(await($node, q{SELECT string_agg(view, ' ' ORDER BY view) FROM perfkit.refresh_log WHERE status = 'running' AND pid IS NOT NULL AND view LIKE 'public.branch%'}, 'public.branch_a public.branch_b'),
	'a cascade refreshes branches at the same time');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.leaf'}), '0', '... and what reads from both later');
$gate->query_safe('SELECT pg_advisory_unlock(42)');
ok(await($node, 'SELECT n FROM leaf', '1'), '... when they are done');
do_sql(q{SELECT perfkit.unschedule_refresh('branch_a'), perfkit.unschedule_refresh('branch_b')});

# ---- as often as others need
do_sql(<<'EOF_SQL');
SELECT perfkit.alter_refresh('first', schedule => 'downstream'), perfkit.alter_refresh('third', schedule => '@yearly');
UPDATE source SET n = 11;
EOF_SQL
ok(await($node, 'SELECT n FROM second', '11'), 'downstream: refreshed for those that read from it');
has_run('public.first', "status = 'success' AND trigger = 'downstream'", '... with that reason');
do_sql(q{SELECT perfkit.unschedule_refresh(v) FROM unnest('{first,second,third}'::text[]) v});

# ---- a target_lag
do_sql(<<'EOF_SQL');
CREATE MATERIALIZED VIEW lagging AS SELECT n FROM source;
CREATE UNIQUE INDEX ON lagging (n);
SELECT perfkit.schedule_refresh('lagging', target_lag => '2 seconds');
EOF_SQL
ok(await($node, q{SELECT count(*) >= 3 FROM perfkit.refresh_log WHERE view = 'public.lagging' AND trigger = 'target_lag' AND status = 'success'}), 'a target_lag is kept by itself');
is( ask($node, q{SELECT count(*) FROM (SELECT finished_at - lag(planned_at) OVER (ORDER BY run_id) AS age FROM perfkit.refresh_log WHERE view = 'public.lagging') a WHERE age < interval '1 second'}),
	'0', '... without being busier than needed');
do_sql(q{SELECT perfkit.unschedule_refresh('lagging')});

# ---- identity: by OID, then by name
do_sql(<<'EOF_SQL');
CREATE SCHEMA elsewhere;
CREATE MATERIALIZED VIEW moved AS SELECT n FROM source;
CREATE UNIQUE INDEX ON moved (n);
SELECT perfkit.schedule_refresh('moved', 'every 1 second');
EOF_SQL
has_run('public.moved', "status = 'success'", 'before');
do_sql('ALTER MATERIALIZED VIEW moved RENAME TO gone; ALTER MATERIALIZED VIEW gone SET SCHEMA elsewhere;');
has_run('elsewhere.gone', "status = 'success'", 'a view that is renamed and moved is followed');
do_sql('DROP MATERIALIZED VIEW elsewhere.gone');
ok(await($node, q{SELECT state FROM perfkit.matviews WHERE view = 'elsewhere.gone'}, 'missing'), 'dropped, it is missing');
do_sql('CREATE MATERIALIZED VIEW elsewhere.gone AS SELECT 1 AS again; CREATE UNIQUE INDEX ON elsewhere.gone (again);');
has_run('elsewhere.gone', "status = 'success' AND view_oid = 'elsewhere.gone'::regclass", '... and created, refreshed again');
do_sql(q{DROP MATERIALIZED VIEW elsewhere.gone; SELECT perfkit.unschedule_refresh('elsewhere.gone')});
is(ask($node, q{SELECT count(*) FROM perfkit.matviews WHERE view LIKE 'elsewhere%'}), '0', 'the schedule of a view that is gone can be ended');

# ---- jobs of pg_cron: what docs/from-pg_cron.md makes of them
do_sql(<<'EOF_SQL');
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint, schedule text, command text, database text, active boolean);
INSERT INTO cron.job VALUES (1, '*/5 * * * *', 'REFRESH MATERIALIZED VIEW CONCURRENTLY public.lagging', 'postgres', true),
	(2, '30 seconds', ' refresh materialized view bare; ', 'postgres', true), (3, '@daily', 'VACUUM', 'postgres', true),
	(4, '@daily', 'REFRESH MATERIALIZED VIEW bare', 'other', true), (5, '@daily', 'REFRESH MATERIALIZED VIEW bare', 'postgres', false);
EOF_SQL
my ($taking_over) = slurp_file("$FindBin::RealBin/../../docs/from-pg_cron.md") =~ /^```sql\n(.*?)^```$/ms;
my $taken = do_sql("SET cron.timezone = 'GMT'; $taking_over");
is($taken, "SELECT perfkit.schedule_refresh('public.lagging', '*/5 * * * *', timezone => 'GMT', method => 'concurrently'); SELECT cron.unschedule(1);\n"
		. "SELECT perfkit.schedule_refresh('bare', '30 seconds', timezone => 'GMT', method => 'plain'); SELECT cron.unschedule(2);", 'jobs of pg_cron can be taken over');
$taken =~ s/SELECT cron\.unschedule\(\d+\);//g;
do_sql($taken);
is(do_sql(q{SELECT string_agg(schedule || ' ' || method, ', ' ORDER BY view) FROM perfkit.matviews WHERE view IN ('public.bare', 'public.lagging')}),
	'30 seconds plain, */5 * * * * concurrently', '... as they were');
do_sql(q{SELECT perfkit.unschedule_refresh('bare'), perfkit.unschedule_refresh('lagging')});

# ---- nothing of all this was an error of the worker's own
is(counter($node, 'flush_errors'), '0', 'the worker had no error');
books_ok($node, 'the books balance');
$node->stop;

done_testing();
