# Statements that still run: active_queries shows them, what they wait for and who blocks them is in
# their rows, and one that runs long has its row before its end, which then is the same row. A server
# that dies leaves it as crashed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run qw(start);
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = 20ms
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.ring_size = 64kB
perfkit.wait_sample_interval = 10ms
perfkit.persist_running_after = 300ms
perfkit.live_plan_memory = 64kB
deadlock_timeout = 50ms
restart_after_crash = on
EOF_CONF
my @sessions;

# begin(application, role or undef, statement...): psql in the background
sub begin
{
	my ($application, $role, @sql) = @_;
	my %session = (out => '', err => '');

	local $ENV{PGAPPNAME} = $application;
	$session{run} = start(
		[   'psql', '-XqAt', '-h', $node->host, '-p', $node->port, '-U', $role // scalar getpwuid($<), '-d', 'postgres',
			map { ('-c', $_) } @sql ],
		'<', '/dev/null', '>', \$session{out}, '2>', \$session{err});
	push @sessions, \%session;
	return \%session;
}

sub finish
{
	my ($session) = @_;

	eval { $session->{run}->finish };
	return $session->{err};
}

sub active
{
	my ($application, $columns) = @_;

	return "SELECT $columns FROM perfkit.active_queries WHERE application_name = '$application'";
}

sub end_of
{
	my ($application, $how) = @_;

	return ask($node, "SELECT $how(pid) FROM pg_stat_activity WHERE application_name = '$application'");
}

# the rows of an application, without waiting for anything
sub rows_now
{
	my ($application) = @_;

	return "SELECT string_agg(concat_ws('|', outcome, reason, coalesce(sqlstate, '-'), coalesce(rows::text, '-'), ended_at IS NOT NULL), ',')
		FROM perfkit.slow_query_log WHERE application_name = '$application' AND query ~ 'sleep|one SET'";
}

# ---- active_queries
my $secret = begin('secret', undef, "SELECT pg_sleep(600) /* a */, 'host=h password=hunter2' AS x");
ok(await($node, active('secret', q{wait_event_type || wait_event}), 'TimeoutPgSleep'), 'a statement past the threshold is seen');
is( ask($node, active('secret', q{query ~ '^SELECT pg_sleep' AND query !~ 'hunter' AND query ~ 'password=\*\*\*'})),
	't', '... with its text, without its password');
is( ask($node, active('secret', q{elapsed_ms BETWEEN 20 AND 600000 AND started_at < now() AND queryid <> 0 AND database = 'postgres'
		AND username = current_user AND nesting_level = 0 AND command_tag = 'SELECT' AND client_addr IS NULL AND blocking_pids = '{}'})),
	't', '... and all that is known of it');
is( ask($node, q{SELECT a.queryid = s.query_id FROM perfkit.active_queries a JOIN pg_stat_activity s USING (pid) WHERE a.application_name = 'secret'}),
	't', '... its queryid is that of pg_stat_activity');
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN; CREATE ROLE watcher LOGIN; GRANT pg_read_all_stats TO watcher');
is( ask($node, q{SET ROLE stranger; SELECT query, client_addr, application_name, command_tag, wait_event, waits
		FROM perfkit.active_queries WHERE username <> 'stranger'}),
	'<insufficient privilege>|||||', 'a stranger sees that it runs, and no more');
is(ask($node, q{SET ROLE watcher; SELECT query ~ 'pg_sleep', wait_event FROM perfkit.active_queries}), 't|PgSleep', 'pg_read_all_stats sees it');
my $own = begin('own', 'stranger', 'SELECT pg_sleep(600)');
ok(await($node, active('own', 'true')), 'a second one');
is( ask($node, q{SET ROLE stranger; SELECT string_agg(query, ',' ORDER BY started_at) FROM perfkit.active_queries}),
	'<insufficient privilege>,SELECT pg_sleep(600)', 'everybody sees his own');
is(ask($node, q{SELECT count(*) FROM perfkit.active_queries}), '2', 'nothing else runs');
begin('fast', undef, "SET perfkit.slow_query_threshold = '1h'", 'SELECT pg_sleep(600)');
begin('off', undef, 'SET perfkit.slow_query_threshold = -1', 'SELECT pg_sleep(600)');
begin('excluded', undef, "SET perfkit.excluded_applications = 'excluded'", 'SELECT pg_sleep(600)');
my $LAZY = q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name IN ('fast', 'off', 'excluded')};
ok(await($node, $LAZY, '3'), 'three more sleep');

# ---- the row before the end
ok(await($node, rows_now('secret'), 'running|long_running|-|-|f'), 'one that runs long has its row');
ok(await($node, rows_now('own'), 'running|long_running|-|-|f'), '... the second too');
my $id = ask($node, q{SELECT id FROM perfkit.slow_queries WHERE application_name = 'secret'});
is(ask($node, active('secret', 'id')), $id, '... whose number active_queries knows');
is( ask($node, q{SELECT concat_ws('|', username = current_user, query ~ 'password=\*\*\*', duration_ms >= 300, shared_blks_hit IS NULL,
		jit_functions IS NULL, execution_ms IS NULL, waits ? 'Timeout:PgSleep', command_tag, queryid IS NOT NULL)
		FROM perfkit.slow_query_log WHERE application_name = 'secret'}),
	't|t|t|t|t|t|t|SELECT|t', '... with what is known of it while it runs');
ok( await($node, q{SELECT duration_ms >= 1200 FROM perfkit.slow_query_log WHERE application_name = 'secret'}),
	'... and is brought up to date while it goes on');
my $rows = ask($node, q{SELECT value FROM perfkit.status WHERE name = 'running_rows'});
cmp_ok($rows, '>=', 2, 'running_rows counts them');
books_ok($node, '... outside the books, which balance');
is(ask($node, rows_now($_)), '', "$_: no row before its end") for qw(fast off excluded);

end_of('secret', 'pg_cancel_backend');
like(finish($secret), qr/canceling statement/, 'cancelled');
is(stored($node, q{application_name = 'secret'}), '1', '... there is one row');
is( ask($node, q{SELECT concat_ws('|', outcome, reason, sqlstate, id = } . $id . q{, message, ended_at > started_at, shared_blks_hit IS NOT NULL, query ~ 'hunter',
		waits ? 'Timeout:PgSleep', (waits->>'Timeout:PgSleep')::float BETWEEN 1000 AND duration_ms)
		FROM perfkit.slow_query_log WHERE application_name = 'secret'}),
	'cancel|long_running|57014|t|canceling statement due to user request|t|t|f|t|t', '... which is the same, completed');
end_of('own', 'pg_terminate_backend');
finish($own);
is(stored($node, q{application_name = 'own'}), '1', 'terminated: there is one row');
is(ask($node, rows_now('own')), 'terminated|long_running|57P01|0|t', '... completed');
end_of($_, 'pg_terminate_backend') for qw(fast off excluded);
ok(await($node, q{SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('fast', 'off', 'excluded')}, '0'), 'the three have ended');
is(stored($node, q{application_name = 'off' AND reason = 'error'}), '1', 'with threshold -1 only its failure is logged');
is(stored($node, q{application_name = 'excluded' AND query ~ 'sleep'}), '0', 'the excluded one has no row at all');

run_as($node, 'sleeper', 'SELECT pg_sleep(3)');
is(stored($node, q{application_name = 'sleeper'}), '1', 'one that succeeds: one row');
is(ask($node, rows_now('sleeper')), 'ok|long_running|-|1|t', '... with its outcome');

# short ones may end before the worker has looked
# sampled(application, statements, condition...): runs them until there is a row for each condition
sub sampled
{
	my ($application, $statements, @conditions) = @_;

	return until_true(
		sub {
			run_as($node, $application, $statements);
			return !grep { stored($node, "application_name = '$application' AND $_") eq '0' } @conditions;
		},
		"a look at $application");
}
ok(sampled('shorter', 'SELECT pg_sleep(0.1)', q{waits ? 'Timeout:PgSleep'}), 'waits of a shorter one');
is(ask($node, q{SELECT string_agg(DISTINCT concat_ws('|', outcome, reason IN ('threshold', 'long_running'), (waits->>'Timeout:PgSleep')::float BETWEEN 1 AND duration_ms), ' ')
		FROM perfkit.slow_query_log WHERE application_name = 'shorter' AND waits ? 'Timeout:PgSleep'}),
	'ok|t|t', '... are no longer than itself');
run_as($node, 'deaf', 'SET perfkit.track_waits = off; SELECT pg_sleep(0.2)');
is(stored($node, q{application_name = 'deaf' AND query ~ 'sleep' AND waits IS NULL}), '1', 'with track_waits off there are none');

# busy for a while after a sleep, then only a sleep
ok( sampled('twice', q{DO $$ DECLARE start timestamptz; BEGIN PERFORM pg_sleep(0.3); start := clock_timestamp();
			WHILE clock_timestamp() < start + interval '0.3 s' LOOP END LOOP; END $$; SELECT pg_sleep(0.3)},
		q{query ~ '^DO' AND waits ?& '{CPU,Timeout:PgSleep}'}, q{query ~ '^ ?SELECT' AND waits ? 'Timeout:PgSleep'}),
	'waits of two kinds');
is( stored($node, q{application_name = 'twice' AND query ~ '^ ?SELECT' AND (SELECT sum(ms::float8) FROM jsonb_each_text(waits) AS w(event, ms)) > duration_ms}),
	'0', '... are not those of the next statement');

# ---- locks
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT 1 AS one');
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; UPDATE t SET one = 2');
my $holder_pid = $holder->query_safe('SELECT pg_backend_pid()');
my $waiter = begin('waiter', undef, 'UPDATE t SET one = 3');
ok(await($node, active('waiter', q{wait_event_type || ' ' || blocking_pids::text}), "Lock {$holder_pid}"), 'active_queries says who blocks');
ok( await($node, "SELECT blocking_pid FROM perfkit.slow_query_log WHERE application_name = 'waiter'", $holder_pid),
	'the row of the waiting statement says it too');
$holder->query_safe('COMMIT');
finish($waiter);
is( stored($node, qq{application_name = 'waiter' AND outcome = 'ok' AND blocking_pid = $holder_pid AND waits ? 'Lock:transactionid' AND rows = 1}),
	'1', '... and at its end, with the wait');
is(stored($node, q{application_name = 'waiter'}), '1', '... it is one row');
$holder->quit;

# ---- its plan, taken before and after the row was written
# plan_of(application): how its one row ended, and what it has of its plan
sub plan_of
{
	my ($application) = @_;

	is(stored($node, "application_name = '$application' AND query ~ 'AS plan'"), '1', "$application: one row");
	return ask($node, qq{SELECT concat_ws('|', outcome, reason, plan_kind, plan_id IS NOT NULL, (jsonb_path_query_first(plan, '\$.**."Actual Rows"') #>> '{}')::float8, id)
		FROM perfkit.slow_query_log WHERE application_name = '$application' AND query ~ 'AS plan'});
}

$holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(42)');
my @EXPENSIVE = ('SET perfkit.live_plan_min_cost = 0', 'SET max_parallel_workers_per_gather = 0');
my $LOCKS = 'SELECT count(*) FROM generate_series(1, 3) AS plan WHERE pg_advisory_lock_shared(42) IS NOT NULL';
my %planned = (
	'live plan' => begin('live plan', undef, @EXPENSIVE, $LOCKS),
	'plan at the end' => begin('plan at the end', undef, $LOCKS),
	'no plan' => begin('no plan', undef, 'SET perfkit.capture_plan = off', $LOCKS),
	'plan of CTAS' => begin('plan of CTAS', undef, @EXPENSIVE, "CREATE TEMP TABLE x AS $LOCKS"),
	'plan so far' => begin('plan so far', undef, @EXPENSIVE, 'SELECT count(pg_sleep(0.01)) FROM generate_series(1, 1000000) AS plan'),
	'plan left out' =>
	  begin('plan left out', undef, @EXPENSIVE, q{SET perfkit.excluded_applications = '"plan left out"'}, $LOCKS));
my %id_of;
for my $application (sort grep { $_ ne 'plan left out' } keys %planned)
{
	ok(await($node, "SELECT outcome FROM perfkit.slow_query_log WHERE application_name = '$application' AND query ~ 'AS plan'", 'running'), "$application: it runs");
	$id_of{$application} = ask($node, "SELECT id FROM perfkit.slow_query_log WHERE application_name = '$application' AND query ~ 'AS plan'");
}

# what others see of it meanwhile
my $PLAN = q{plan_kind, plan_id IS NOT NULL, plan -> 'Plan' ->> 'Node Type', jsonb_path_exists(plan, '$.**."Actual Rows"')};
# with its rows so far, if the threshold passed before it came to its lock
my $HAS_PLAN = qr/^(estimate\|t\|Aggregate\|f|partial\|t\|Aggregate\|t)$/;
sub has_plan
{
	my ($node_type) = @_;

	return "plan_kind IN ('estimate', 'partial') AND plan_id IS NOT NULL AND plan -> 'Plan' ->> 'Node Type' = '$node_type'";
}
like(ask($node, active('live plan', $PLAN)), $HAS_PLAN, 'active_queries has the plan');
like(ask($node, active('plan of CTAS', $PLAN)), $HAS_PLAN, '... of a utility statement too');
ok(await($node, active('plan so far', $PLAN), 'partial|t|Aggregate|t'), '... with rows once the threshold has passed');
is(ask($node, active($_, 'num_nulls(plan, plan_kind, plan_id)')), '3', "... and none of: $_") for 'plan at the end', 'no plan';
is( ask($node, q{SET ROLE stranger; SELECT count(*) > 4, count(plan), count(plan_kind), count(plan_id) FROM perfkit.active_queries}),
	't|0|0|0', '... nor for strangers');
is( ask($node, q{SELECT plan_id, plan -> 'Plan' ->> 'Node Type' FROM perfkit.slow_queries WHERE outcome = 'running' AND application_name = 'live plan' AND plan_kind IN ('estimate', 'partial')}),
	ask($node, active('live plan', 'plan_id')) . '|Aggregate', 'the row of what still runs has it');
is(counter($node, 'live_plans_refused'), '0', 'there was room for all');
$planned{'huge plan'} = begin(
	'huge plan', undef, @EXPENSIVE,
	q{SET perfkit.max_plan_size = '1MB'},
	"$LOCKS UNION ALL " . join(' UNION ALL ', map { "SELECT $_ WHERE random() < 2" } 1 .. 500));
ok(await($node, q{SELECT value FROM perfkit.status WHERE name = 'live_plans_refused'}, '1'), 'one that finds no room is counted');
is(ask($node, active('huge plan', 'num_nulls(plan, plan_kind, plan_id)')), '3', '... and not shown');
{
	my $client = PerfkitWire->new($node, 'postgres', application_name => 'plan of portal', options => '-c perfkit.live_plan_min_cost=0');

	$client->parse('', 'SELECT i, CASE WHEN i = 2 THEN pg_advisory_lock_shared(42)::text END FROM generate_series(1, 3) AS i');
	$client->bind('p', '');
	$client->execute('p', 1);
	$client->send('Flush');
	$client->until('s');
	is(ask($node, active('plan of portal', 'count(*)')), '0', 'a portal that pauses is not active');
	$client->execute('p');
	$client->send('Flush');
	ok(await($node, active('plan of portal', has_plan('Function Scan'))), '... and has its plan again when it goes on');
	$holder->query_safe('SELECT pg_advisory_unlock(42)');
	$client->until('C');
	$client->quit;
}
$holder->quit;
end_of('plan so far', 'pg_cancel_backend');
finish($planned{$_}) for sort keys %planned;
is(plan_of('live plan'), "ok|long_running|actual|t|1|$id_of{'live plan'}", '... the same, with its plan');
is(plan_of('plan at the end'), "ok|long_running|estimate|t|$id_of{'plan at the end'}", '... the same, with the estimate');
is(plan_of('no plan'), "ok|long_running|t|$id_of{'no plan'}", '... the same, without a plan');
is(plan_of('plan of CTAS'), "ok|long_running|actual|t|1|$id_of{'plan of CTAS'}", '... the same, with that of its query');
like(plan_of('plan so far'), qr/^cancel\|long_running\|partial\|t\|\d+\|$id_of{'plan so far'}$/, '... the same, with the plan from before');
is(stored($node, q{application_name = 'plan left out' AND query ~ 'generate_series'}), '0', 'one that is left out has none');

# each of these takes room for its plan, and gives it back, whatever becomes of it
run_as($node, 'comes and goes', join ';', 'SET perfkit.live_plan_min_cost = 0', map { ("SELECT 1 / (i - i) FROM generate_series(1, 3) AS i", 'SELECT 1') } 1 .. 50);
run_as($node, 'stays away', "SET perfkit.live_plan_min_cost = 0; DECLARE c CURSOR WITH HOLD FOR SELECT 1; FETCH c; SELECT pg_terminate_backend(pg_backend_pid()) FROM generate_series(1, 2)")
  for 1 .. 20;
my $late = begin('late plan', undef, @EXPENSIVE, 'SELECT pg_sleep(600)');
ok(await($node, active('late plan', has_plan('Result'))), 'there is room for the plans of others afterwards');
end_of('late plan', 'pg_cancel_backend');
finish($late);
is(counter($node, 'live_plans_refused'), '1', '... for all of them');

# ---- a portal that pauses
{
	my $client = PerfkitWire->new($node, 'postgres', application_name => 'portal');

	$client->parse('', "SELECT pg_sleep(CASE i WHEN 1 THEN 3 ELSE 0.1 END) FROM generate_series(1, 2) AS i");
	$client->bind('p', '');
	$client->execute('p', 1);
	$client->send('Flush');
	$client->until('s');
	$client->parse('', "SELECT 'between'");
	$client->bind('', '');
	$client->execute('');
	$client->send('Flush');
	$client->until('C');
	ok(await($node, rows_now('portal'), 'running|long_running|-|-|f'), 'a portal between two fetches still runs');
	$client->execute('p');
	is_deeply([ $client->sync ], [], '... and comes to its end');
	$client->quit;
	is(stored($node, q{application_name = 'portal' AND query ~ 'sleep'}), '1', '... in one row');
	is(ask($node, rows_now('portal')), 'ok|long_running|-|2|t', '... which is complete');
}

# ---- a new worker takes over
my $orphan = begin('orphan', undef, 'SELECT pg_sleep(600)');
ok(await($node, rows_now('orphan'), 'running|long_running|-|-|f'), 'one runs');
my $worker = worker_pid($node);
ask($node, "SELECT pg_terminate_backend($worker)");
ok(await($node, "SELECT value NOT IN (0, $worker) FROM perfkit.status WHERE name = 'worker_pid'"), '... a new worker comes');
end_of('orphan', 'pg_cancel_backend');
finish($orphan);
is(stored($node, q{application_name = 'orphan'}), '1', '... one row');
is(ask($node, rows_now('orphan')), 'cancel|long_running|57014|0|t', '... complete');

# ---- its end finds no room in the ring
my $squeezed = begin('squeezed', undef, 'SELECT pg_sleep(600)');
ok(await($node, rows_now('squeezed'), 'running|long_running|-|-|f'), 'one runs');
my $locker = do
{
	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	$node->background_psql('postgres');
};
$locker->query_safe('BEGIN; LOCK TABLE perfkit.slow_query_log IN ACCESS EXCLUSIVE MODE;');
run_as($node, 'flood', "SET perfkit.slow_query_threshold = 0;\n" . join("\n", map { "SELECT $_;" } 1 .. 500));
cmp_ok(counter($node, 'dropped_ring_full'), '>', 0, '... the ring is full');
my $full = counter($node, 'dropped_ring_full');
end_of('squeezed', 'pg_cancel_backend');
finish($squeezed);
is(counter($node, 'dropped_ring_full'), $full + 1, '... its last record is dropped');
$locker->query_safe('ROLLBACK');
$locker->quit;
ok(await($node, rows_now('squeezed'), 'cancel|long_running|57014|0|t'), '... and its numbers close the row');
is(stored($node, q{application_name = 'squeezed'}), '1', '... the only one');
books_ok($node, 'the books balance');
is(counter($node, 'crashed_rows'), '0', 'nothing has crashed so far');

# ---- the server goes down
# falls(name, application, code that lets it fall, expected row)
sub falls
{
	my ($name, $application, $fall, $expected) = @_;
	my $session = begin($application, undef, 'SELECT pg_sleep(600)');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(await($node, rows_now($application), 'running|long_running|-|-|f'), "$name: one runs");
	my $before = ask($node, "SELECT id FROM perfkit.slow_query_log WHERE application_name = '$application'");
	$fall->();
	finish($session);
	ok(await($node, rows_now($application), $expected), '... afterwards it has its outcome');
	is(stored($node, "application_name = '$application'"), '1', '... in one row');
	is(stored($node, "application_name = '$application' AND id = $before"), '1', '... which is the same');
	books_ok($node, '... the books balance');
	return;
}

falls('kill -9 of the backend', 'killed',
	sub {
		my $pid = ask($node, q{SELECT pid FROM pg_stat_activity WHERE application_name = 'killed'});
		kill 'KILL', $pid or BAIL_OUT('no such backend');
		until_true(sub { !kill 0, $pid }, "$pid is gone");
	},
	'crashed|long_running|-|-|f');
ok(await($node, q{SELECT value FROM perfkit.status WHERE name = 'crashed_rows'}, '1'), '... counted as such');
is(ask($node, q{SELECT count(*) FROM perfkit.failed_queries WHERE application_name = 'killed'}), '1', '... failed_queries shows it');
falls('an immediate stop', 'immediate', sub { $node->stop('immediate'); $node->start }, 'crashed|long_running|-|-|f');
falls('a fast stop', 'stopped', sub { $node->stop('fast'); $node->start }, 'terminated|long_running|57P01|0|t');
is(ask($node, q{SELECT count(*) FROM perfkit.slow_query_log WHERE outcome = 'running'}), '0', 'nothing is left running');
is(ask($node, q{SELECT count(*) FROM perfkit.active_queries}), '0', '... nor active');
is(ask($node, q{SELECT count(*) - count(DISTINCT (boot, sequence)) FROM perfkit.slow_query_log}), '0', 'no row is there twice');

finish($_) for @sessions;
$node->stop;
done_testing();
