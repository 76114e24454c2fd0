# Refreshing only what has changed: every way in which it can is seen, and what is not there is not made
# up. Views that may be skipped are compared with what their queries give now, until both are the same:
# a change that is missed is missed for ever.
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
perfkit.max_refresh_workers = 8
max_worker_processes = 24
max_prepared_transactions = 4
EOF_CONF

# session(): one whose statements are not captured
sub session
{
	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	return $node->background_psql('postgres', on_error_stop => 0);
}

# runs(view, condition): SQL for how many there are
sub runs
{
	my ($view, $condition) = @_;

	return "SELECT count(*) FROM perfkit.refresh_log WHERE view = 'public.$view' AND $condition";
}

# last_run(view): the number of its newest row
sub last_run
{
	my ($view) = @_;

	return ask($node, "SELECT coalesce(max(run_id), 0) FROM perfkit.refresh_log WHERE view = 'public.$view'");
}

# has_run(view, condition, test name): there is such a row
sub has_run
{
	my ($view, $condition, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(await($node, "SELECT (" . runs($view, $condition) . ') > 0'), $name)
		|| diag(ask($node, "SELECT refresh_log FROM perfkit.refresh_log WHERE view = 'public.$view' ORDER BY run_id DESC LIMIT 3"));
}

# skips(view, test name): its last row says so, and there will be no other for an hour unless it changes
sub skips
{
	my ($view, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(await($node, "SELECT status FROM perfkit.refresh_log WHERE view = 'public.$view' ORDER BY run_id DESC LIMIT 1", 'skipped_unchanged'), $name);
}

# follows(view, test name): its content becomes what its query gives
sub follows
{
	my ($view, $name) = @_;
	my $query = ask($node, "SELECT rtrim(pg_get_viewdef('$view'), ';')");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(await($node, "SELECT count(*) FROM ((TABLE $view EXCEPT ALL $query) UNION ALL (($query) EXCEPT ALL TABLE $view)) difference", '0'), $name);
}

# ---- every kind of change, each with a view of its own; all are skipped before
my %changes = (
	inserted => 'INSERT INTO inserted_base VALUES (11)',
	updated => 'UPDATE updated_base SET n = -n WHERE n = 1',
	deleted => 'DELETE FROM deleted_base WHERE n = 1',
	copied => "COPY copied_base FROM STDIN;\n11\n12\n\\.\n",
	truncated => 'TRUNCATE truncated_base',
	truncated_filled => 'BEGIN; TRUNCATE truncated_filled_base; INSERT INTO truncated_filled_base SELECT generate_series(2, 11); COMMIT',
	merged => 'MERGE INTO merged_base b USING (SELECT 1 AS n) s ON b.n = s.n WHEN MATCHED THEN UPDATE SET n = 99',
	in_partition => 'INSERT INTO in_partition_base VALUES (101)',
	in_leaf => 'INSERT INTO in_leaf_base_2 VALUES (102)',
	attached => 'ALTER TABLE attached_base ATTACH PARTITION attached_other FOR VALUES FROM (1000) TO (2000)',
	detached => 'ALTER TABLE detached_base DETACH PARTITION detached_base_2',
	detached_slowly => 'ALTER TABLE detached_slowly_base DETACH PARTITION detached_slowly_base_2 CONCURRENTLY',
	dropped_partition => 'DROP TABLE dropped_partition_base_2',
	inherited => 'ALTER TABLE inherited_other INHERIT inherited_base',
	redefined_view => 'CREATE OR REPLACE VIEW redefined_view_between AS SELECT n + 1000 AS n FROM redefined_view_base',
	redefined_function => q{CREATE OR REPLACE FUNCTION redefined_function_step(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1000'},
	upstream_plain => 'INSERT INTO upstream_plain_base VALUES (11); REFRESH MATERIALIZED VIEW upstream_plain_between',
	upstream_concurrently => 'INSERT INTO upstream_concurrently_base VALUES (11); REFRESH MATERIALIZED VIEW CONCURRENTLY upstream_concurrently_between',
	reset_one => q{SELECT pg_stat_reset_single_table_counters('reset_one_base'::regclass); INSERT INTO reset_one_base SELECT generate_series(101, 110)},
	prepared => q{BEGIN; INSERT INTO prepared_base VALUES (11); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'},
	trigger_filled => 'INSERT INTO trigger_filled_first VALUES (11)',
	widened => 'ALTER TABLE widened_base ADD COLUMN extra integer',
	narrowed => 'ALTER TABLE narrowed_base DROP COLUMN extra',
	cascaded => 'DELETE FROM cascaded_first WHERE n = 1',
	unfilled => 'REFRESH MATERIALIZED VIEW unfilled WITH NO DATA');
my $virtual = ask($node, 'SHOW server_version_num') >= 180000; # columns that are computed when they are read
$changes{recomputed} = 'ALTER TABLE recomputed_base ALTER COLUMN v SET EXPRESSION AS (n * 2)' if $virtual;
my $partitions = join '', map { <<"EOF_SQL" } grep { /partition|leaf|attached|detached/ } keys %changes;
DROP TABLE ${_}_base;
CREATE TABLE ${_}_base (n integer) PARTITION BY RANGE (n);
CREATE TABLE ${_}_base_1 PARTITION OF ${_}_base FOR VALUES FROM (0) TO (100);
CREATE TABLE ${_}_base_2 PARTITION OF ${_}_base FOR VALUES FROM (100) TO (1000);
INSERT INTO ${_}_base VALUES (1), (100);
EOF_SQL
ask($node, join('', map { "CREATE TABLE ${_}_base AS SELECT generate_series(1, 10) AS n;" } keys %changes) . $partitions . <<'EOF_SQL');
CREATE TABLE attached_other AS SELECT 1001 AS n;
CREATE TABLE inherited_other AS SELECT 1001 AS n;
CREATE VIEW redefined_view_between AS SELECT n FROM redefined_view_base;
CREATE FUNCTION redefined_function_step(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE MATERIALIZED VIEW upstream_plain_between AS SELECT n FROM upstream_plain_base;
CREATE MATERIALIZED VIEW upstream_concurrently_between AS SELECT n FROM upstream_concurrently_base;
CREATE UNIQUE INDEX ON upstream_concurrently_between (n);
CREATE TABLE trigger_filled_first (n integer);
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO trigger_filled_base VALUES (NEW.n); RETURN NULL; END $$;
CREATE TRIGGER fill AFTER INSERT ON trigger_filled_first FOR EACH ROW EXECUTE FUNCTION fill();
ALTER TABLE narrowed_base ADD COLUMN extra integer;
CREATE TABLE cascaded_first AS SELECT n FROM cascaded_base;
ALTER TABLE cascaded_first ADD PRIMARY KEY (n);
ALTER TABLE cascaded_base ADD FOREIGN KEY (n) REFERENCES cascaded_first ON DELETE CASCADE;
EOF_SQL
ask($node, 'ALTER TABLE recomputed_base ADD COLUMN v integer GENERATED ALWAYS AS (n) VIRTUAL') if $virtual;
my %froms = (
	recomputed => 'SELECT n, v FROM recomputed_base',
	widened => 'SELECT n, b IS NOT NULL AS complete FROM widened_base b',
	narrowed => 'SELECT n, b IS NOT NULL AS complete FROM narrowed_base b',
	redefined_view => 'SELECT n FROM redefined_view_between',
	redefined_function => 'SELECT redefined_function_step(n) AS n FROM redefined_function_base',
	upstream_plain => 'SELECT n FROM upstream_plain_between',
	upstream_concurrently => 'SELECT n FROM upstream_concurrently_between');
my @views = sort keys %changes;
ask($node, join '', map { "CREATE MATERIALIZED VIEW $_ AS " . ($froms{$_} // "SELECT n FROM ${_}_base") . "; CREATE UNIQUE INDEX ON $_ (n);"
		. "SELECT perfkit.schedule_refresh('$_', 'every 1 second', skip_unchanged => true);" } @views);
my $skipping = q{SELECT count(DISTINCT view) FROM perfkit.refresh_log WHERE status = 'skipped_unchanged'};
ok(await($node, $skipping, scalar @views), 'a view whose tables have not changed is skipped') or diag(ask($node, $skipping));
# DETACH CONCURRENTLY runs alone, MERGE and others in one session
$node->safe_psql('postgres', "$changes{$_};") for @views;
follows($_, "... until they have: $_") for @views;
ask($node, join '', map { "SELECT perfkit.unschedule_refresh('$_');" } @views);

# ---- what decides is the state before the refresh's snapshot: what is written while it runs is not lost
ask($node, <<'EOF_SQL');
CREATE FUNCTION gate(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN $1; END $$;
CREATE TABLE gated_base AS SELECT 1 AS n;
CREATE MATERIALIZED VIEW gated AS SELECT gate(n) AS n FROM gated_base WITH NO DATA;
CREATE UNIQUE INDEX ON gated (n);
EOF_SQL
my $gate = session();
$gate->query_safe('SELECT pg_advisory_lock(42)');
ask($node, q{SELECT perfkit.schedule_refresh('gated', 'every 1 second', skip_unchanged => true, lock_timeout => '0')});
ok(await($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit refresh' AND wait_event_type = 'Lock' AND wait_event = 'advisory'}, '1'),
	'a refresh has its snapshot');
ask($node, 'INSERT INTO gated_base VALUES (2)');
$gate->query_safe('SELECT pg_advisory_unlock(42)');
follows('gated', 'what is committed and counted while a refresh runs is seen by the next');
$gate->quit;
ask($node, q{SELECT perfkit.unschedule_refresh('gated')});

# ---- somebody else refreshes it, and sees an older state
ask($node, <<'EOF_SQL');
CREATE TABLE rewound_base AS SELECT 1 AS n;
CREATE MATERIALIZED VIEW rewound AS SELECT n FROM rewound_base;
CREATE UNIQUE INDEX ON rewound (n);
SELECT perfkit.schedule_refresh('rewound', 'every 1 second', skip_unchanged => true);
EOF_SQL
for my $way ('', 'CONCURRENTLY')
{
	my $old = session();
	my $run;

	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	$run = last_run('rewound');
	ask($node, 'UPDATE rewound_base SET n = n + 1');
	follows('rewound', 'refreshed');
	has_run('rewound', "status = 'skipped_unchanged' AND run_id > $run", '... and skipped');
	# concurrently it may meet rows that were changed since its snapshot, and fail: no harm either
	$old->query("REFRESH MATERIALIZED VIEW $way rewound; COMMIT;");
	$old->quit;
	follows('rewound', "... somebody's REFRESH $way that sees an older state is made good");
}

# ---- who holds a lock to write may be about to
for my $end ('ROLLBACK', "PREPARE TRANSACTION 'open'")
{
	my $writer = session();
	my $run;

	skips('rewound', 'skipped');
	$writer->query_safe('BEGIN; INSERT INTO rewound_base VALUES (99)');
	$writer->query_safe($end) if $end =~ /PREPARE/;
	$run = last_run('rewound');
	ok(await($node, 'SELECT (' . runs('rewound', "status = 'success' AND run_id > $run") . ') >= 2'), "not while somebody may write: $end");
	$writer->query_safe($end =~ /PREPARE/ ? "ROLLBACK PREPARED 'open'" : $end);
	$writer->quit;
}
skips('rewound', '... and skipped again');

# ---- by hand, always; at the latest after max_staleness
my $now = ask($node, q{SELECT perfkit.refresh_now('rewound')});
has_run('rewound', "run_id = $now AND status = 'success' AND trigger = 'manual'", 'refresh_now() never skips');
skips('rewound', '... what it has seen is known, too');
is(ask($node, runs('rewound', "status = 'skipped_unchanged' AND run_id > (SELECT max(run_id) FROM perfkit.refresh_log WHERE view = 'public.rewound' AND status = 'success')")),
	'1', 'one row for skips one after the other');
ask($node, q{SELECT perfkit.alter_refresh('rewound', max_staleness => '2 seconds')});
my $run = last_run('rewound');
ok(await($node, 'SELECT (' . runs('rewound', "status = 'success' AND run_id > $run") . ') >= 2'), 'max_staleness is held, changed or not');
is(ask($node, q{SELECT count(*) FROM (SELECT started_at - lag(planned_at) OVER (ORDER BY run_id) AS pause FROM perfkit.refresh_log WHERE view = 'public.rewound'
	AND status = 'success' AND run_id > } . $run . q{) p WHERE pause < interval '2 seconds'}), '0', '... not more often than that');
ask($node, q{SELECT perfkit.unschedule_refresh('rewound')});

# ---- settings that the content depends on
ask($node, <<'EOF_SQL');
CREATE ROLE zoned LOGIN;
GRANT CREATE ON SCHEMA public TO zoned;
CREATE TABLE zoned_base AS SELECT timestamptz '2026-01-01 00:30+00' AS at;
GRANT SELECT ON zoned_base TO zoned;
ALTER ROLE zoned SET timezone = 'UTC';
SET ROLE zoned;
CREATE MATERIALIZED VIEW by_day AS SELECT to_char(date_trunc('day', at), 'YYYY-MM-DD') AS d FROM zoned_base;
CREATE UNIQUE INDEX ON by_day (d);
SELECT perfkit.schedule_refresh('by_day', 'every 1 second', skip_unchanged => true);
EOF_SQL
skips('by_day', 'a view that depends on the time zone is skipped');
ask($node, q{ALTER ROLE zoned SET timezone = 'America/New_York'});
ok(await($node, 'SELECT d FROM by_day', '2025-12-31'), "... until the owner's is another");
ask($node, q{ALTER ROLE zoned RESET timezone});
$node->append_conf('postgresql.conf', q{timezone = 'UTC'});
$node->reload;
ok(await($node, 'SELECT d FROM by_day', '2026-01-01'), '... or that of the configuration');
$node->append_conf('postgresql.conf', q{timezone = 'America/New_York'});
$node->reload;
ok(await($node, 'SELECT d FROM by_day', '2025-12-31'), '... and another');
ask($node, q{SELECT perfkit.unschedule_refresh('by_day')});

# ---- what can no longer be told
ask($node, <<'EOF_SQL');
CREATE TABLE hidden_base AS SELECT 1 AS n;
CREATE MATERIALIZED VIEW hidden AS SELECT n FROM hidden_base;
CREATE UNIQUE INDEX ON hidden (n);
SELECT perfkit.schedule_refresh('hidden', 'every 1 second', skip_unchanged => true);
EOF_SQL
skips('hidden', 'skipped');
ask($node, 'ALTER TABLE hidden_base ENABLE ROW LEVEL SECURITY');
$run = last_run('hidden');
ok(await($node, 'SELECT (' . runs('hidden', "status = 'success' AND run_id > $run") . ') >= 3'), 'what can no longer be told is a change');
my @warnings = slurp_file($node->logfile) =~ /WARNING: +(perfkit: whether materialized view public.hidden has changed cannot be told)/g;
is(@warnings, 1, '... with one warning');
ask($node, q{SELECT perfkit.unschedule_refresh('hidden')});

# ---- on change
ask($node, <<'EOF_SQL');
CREATE TABLE eager_base AS SELECT 1 AS n, 1 AS d;
CREATE MATERIALIZED VIEW eager AS SELECT n / d AS n FROM eager_base;
CREATE UNIQUE INDEX ON eager (n);
CREATE MATERIALIZED VIEW follower AS SELECT n FROM eager;
CREATE UNIQUE INDEX ON follower (n);
SELECT perfkit.schedule_refresh('eager', 'on change', min_interval => '1 second', retry_delay => '1 second', max_retries => 1000),
	perfkit.schedule_refresh('follower', 'on change', min_interval => '1 second');
EOF_SQL
has_run($_, "status = 'success' AND trigger = 'change'", "on change, $_ is refreshed to begin with") for qw(eager follower);
for my $n (2 .. 4)
{
	ask($node, "UPDATE eager_base SET n = $n");
	ok(await($node, 'SELECT n FROM follower', $n), 'on change, as soon as it has; what reads from it, too');
}
my $before = ask($node, q{SELECT max(run_id) FROM perfkit.refresh_log});
ask($node, 'UPDATE eager_base SET d = 0');
has_run('eager', "status = 'failed' AND run_id > $before", 'one that fails');
ask($node, 'UPDATE eager_base SET n = 5, d = 1');
ok(await($node, 'SELECT n FROM follower', '5'), '... is tried again, and all goes on');
is(ask($node, q{SELECT count(*) FROM perfkit.refresh_log WHERE view IN ('public.eager', 'public.follower') AND status LIKE 'skipped_unchanged'}), '0', 'a look that finds nothing has no row');
is(ask($node, q{SELECT count(*) FROM (SELECT planned_at - lag(planned_at) OVER (PARTITION BY view ORDER BY run_id) AS pause FROM perfkit.refresh_log
		WHERE view IN ('public.eager', 'public.follower') AND trigger = 'change' AND status <> 'skipped_upstream') p WHERE pause < interval '1 second'}),
	'0', 'min_interval is kept')
  or diag(ask($node, q{SELECT concat_ws(' ', run_id, view, trigger, status, planned_at, started_at, finished_at) FROM perfkit.refresh_log WHERE view IN ('public.eager', 'public.follower') ORDER BY run_id}));
ask($node, <<'EOF_SQL');
CREATE MATERIALIZED VIEW patient AS SELECT n FROM eager_base;
CREATE UNIQUE INDEX ON patient (n);
SELECT perfkit.schedule_refresh('patient', 'on change', min_interval => '1 hour');
EOF_SQL
has_run('patient', "status = 'success'", 'one with a min_interval of an hour is refreshed to begin with');
ask($node, 'UPDATE eager_base SET n = 6');
ok(await($node, 'SELECT n FROM follower', '6'), 'others are refreshed');
is(ask($node, 'SELECT n FROM patient'), '5', '... but not that one');
is(ask($node, q{SELECT next_run IS NULL FROM perfkit.matviews WHERE view = 'public.patient'}), 't', '... when it will be nobody knows');

# ---- nothing of all this was an error of the worker's own
is(counter($node, 'flush_errors'), '0', 'the worker had no error') or diag(join "\n", slurp_file($node->logfile) =~ /(WARNING: .*)/g);
books_ok($node, 'the books balance');
$node->stop;

done_testing();
