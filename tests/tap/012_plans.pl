# Plans of captured statements under real conditions: parallel workers, cancels, terminated backends, portals
# fetched in pieces, errors in EXPLAIN itself, other extensions that EXPLAIN, storms, a restart, a small ring.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $PLAN = "concat_ws('|', coalesce(command_tag, '-'), outcome, reason, coalesce(plan_kind, '-'), plan_id IS NOT NULL, coalesce(array_to_string(truncated, ','), '-'))";

my $node = perfkit_node('plans', <<'EOF_CONF');
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.max_plans = 8
jit = off
EOF_CONF

$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 2000) g;
CREATE FUNCTION plain(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n; END $$;
CREATE FUNCTION drop_plain() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DROP FUNCTION plain(int); RETURN 1; END $$;
ANALYZE t;
EOF_SQL

# plans_of(application): how each of its rows ended and what it has of its plan, one a line; not of SET
sub plans_of
{
	my ($application) = @_;

	settle($node) or return 'never settled';
	return ask($node, <<"EOF_SQL");
SELECT $PLAN FROM perfkit.slow_query_log
WHERE application_name = '$application' AND coalesce(command_tag, '') NOT IN ('SET', 'LOAD') ORDER BY boot, sequence
EOF_SQL
}

# plan_value(application, path): what the JSON path finds first in the plan of its last row
sub plan_value
{
	my ($application, $path) = @_;

	settle($node) or return 'never settled';
	return ask($node, <<"EOF_SQL");
SELECT jsonb_path_query_first(plan, '$path') #>> '{}' FROM perfkit.slow_query_log
WHERE application_name = '$application' AND plan IS NOT NULL ORDER BY boot DESC, sequence DESC LIMIT 1
EOF_SQL
}

my $FOREVER = 'SELECT count(*) FROM t a, t b, t c WHERE length(a.v || b.v || c.v) < 0';

# -- parallel plans --------------------------------------------------------------------------------

my $parallel = <<'EOF_SQL';
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
EOF_SQL
run_as($node, 'parallel', "$parallel SELECT count(*) FROM t WHERE v <> 'x'");
is(plans_of('parallel'), 'SELECT|ok|threshold|estimate|t|-', 'a parallel plan');
is(plan_value('parallel', '$.**."Workers Planned"') > 0, 1, 'its workers are in it');
run_as($node, 'parallel actual', "$parallel SET perfkit.capture_plan = 'actual'; SELECT count(*) FROM t WHERE v <> 'x'");
is(plans_of('parallel actual'), 'SELECT|ok|threshold|actual|t|-', 'and with rows');
is(plan_value('parallel actual', '$.Plan."Actual Rows"') + 0, 1, 'those of all processes');
run_as($node, 'parallel live', "$parallel SET perfkit.live_plan_min_cost = 0; SET statement_timeout = '1s'; $FOREVER");
like(
	plans_of('parallel live'),
	qr/^SELECT\|statement_timeout\|threshold\|(estimate|partial)\|t\|-$/,
	'a parallel one that did not end has a plan');
is(ask($node, "SELECT count(DISTINCT plan_id) FROM perfkit.slow_query_log WHERE application_name LIKE 'parallel%' AND plan_id IS NOT NULL AND outcome = 'ok'"),
	1, 'one shape, however it was taken');
is(counter($node, 'explain_failed'), 0, 'nothing failed so far');

# -- cancelled, terminated -------------------------------------------------------------------------

# end_it(application, function): runs a statement without end and ends it by that function
sub end_it
{
	my ($application, $function) = @_;
	my $client = PerfkitWire->new(
		$node, 'postgres',
		application_name => $application,
		options => '-c perfkit.live_plan_min_cost=0 -c max_parallel_workers_per_gather=0 -c perfkit.slow_query_threshold=1');

	$client->send(Query => "$FOREVER\0");
	await($node, "SELECT plan_kind FROM perfkit.active_queries WHERE application_name = '$application'", 'partial');
	ask($node, "SELECT $function(pid) FROM pg_stat_activity WHERE application_name = '$application'");
	eval { $client->until('Z') };
	$client->quit;
	return;
}

end_it('cancelled', 'pg_cancel_backend');
is(plans_of('cancelled'), 'SELECT|cancel|threshold|partial|t|-', 'a cancelled statement has its plan');
is(plan_value('cancelled', '$.Plan.Plans[*]."Actual Rows"') ne '', 1, 'with rows so far');
end_it('terminated', 'pg_terminate_backend');
is(plans_of('terminated'), 'SELECT|terminated|threshold|partial|t|-', 'a terminated one too');

# -- portals ---------------------------------------------------------------------------------------

my $c = PerfkitWire->new($node, 'postgres', application_name => 'portal');
$c->query('BEGIN');
$c->parse('', 'SELECT v FROM t ORDER BY id');
$c->bind('p', '');
$c->execute('p', 3);
$c->execute('p', 4);
$c->sync;
$c->send(Close => "Pp\0");
$c->query('COMMIT');
$c->parse('s', 'SELECT v FROM t WHERE id = $1');
$c->bind('', 's', 5);
$c->execute('');
$c->sync;
$c->query('BEGIN');
$c->parse('', 'SELECT v FROM t ORDER BY v');
$c->bind('q', '');
$c->execute('q', 3);
$c->sync;
$c->query('ROLLBACK');
$c->quit;
is(plans_of('portal'), <<'EOF_ROWS' =~ s/\n\z//r, 'portals: one that was closed, one at Sync, one that ROLLBACK has dropped');
BEGIN|ok|threshold|-|f|-
SELECT|ok|threshold|estimate|t|-
COMMIT|ok|threshold|-|f|-
SELECT|ok|threshold|estimate|t|-
BEGIN|ok|threshold|-|f|-
ROLLBACK|ok|threshold|-|f|-
SELECT|ok|threshold|-|f|-
EOF_ROWS
is(ask($node, "SELECT string_agg(rows::text, ',' ORDER BY sequence) FROM perfkit.slow_query_log WHERE application_name = 'portal' AND command_tag = 'SELECT'"),
	'7,1,3', 'their rows');

# counted over all fetches, with the live plan's timer set and stopped at each
my $live = PerfkitWire->new($node, 'postgres', application_name => 'live portal', options => '-c perfkit.live_plan_min_cost=0');
$live->query('BEGIN');
$live->parse('', 'SELECT v FROM t ORDER BY id');
$live->bind('p', '');
for (1 .. 5) { $live->execute('p', 100); $live->sync; }
$live->send(Close => "Pp\0");
$live->query('COMMIT');
$live->quit;
is(plans_of('live portal'), "BEGIN|ok|threshold|-|f|-\nSELECT|ok|threshold|actual|t|-\nCOMMIT|ok|threshold|-|f|-", 'an expensive portal');
is(plan_value('live portal', '$.Plan."Actual Rows"') + 0, 500, 'has counted the rows of all its fetches');

# a cursor that outlives its transaction
run_as($node, 'hold', "BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT v FROM t; COMMIT; FETCH 2 FROM h; CLOSE h");
unlike(plans_of('hold'), qr/error/, 'a held cursor');

# -- EXPLAIN fails, others explain too -------------------------------------------------------------

my ($out, $err) = run_as($node, 'broken', "SELECT sum(plain(id)), drop_plain() FROM t WHERE id < 3 AND plain(id) > 0");
is("$out$err", '3|1', 'a statement whose plan cannot be printed any more is not hurt');
is(plans_of('broken'), 'SELECT|ok|threshold|-|t|-', 'it has no plan');
is(counter($node, 'explain_failed'), 1, 'which is counted');

($out, $err) = run_as($node, 'broken live', <<'EOF_SQL');
SET perfkit.live_plan_min_cost = 0;
CREATE FUNCTION plain(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n; END $$;
BEGIN;
SELECT sum(plain(id)), drop_plain() FROM t WHERE id < 3 AND plain(id) > 0;
COMMIT;
SELECT count(*) FROM t WHERE id < 3;
EOF_SQL
is("$out$err", "3|1\n2", 'nor in a transaction block, which goes on');

($out, $err) = run_as($node, 'auto_explain', <<'EOF_SQL');
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET perfkit.live_plan_min_cost = 0;
SELECT count(*) FROM t WHERE id < 3;
SET perfkit.capture_plan = 'timing';
SELECT count(*) FROM t WHERE id < 3;
EOF_SQL
is("$out$err", "2\n2", 'auto_explain beside');
is(plans_of('auto_explain'), "SELECT|ok|threshold|estimate|t|-\nSELECT|ok|threshold|actual|t|-", 'what it counts is not disturbed');
like(slurp_file($node->logfile), qr/plan:\s+Query Text: SELECT count\(\*\) FROM t WHERE id < 3;\s+Aggregate .*actual time=.* rows=1(\.00)? loops=1\)/, 'nor what it logs');

# -- storms ----------------------------------------------------------------------------------------

my $failed = counter($node, 'explain_failed');
run_as($node, 'storm', join ';', 'SET perfkit.live_plan_min_cost = 0', map { "SELECT $_ / (id - id) FROM t" } 1 .. 200);
# One that is slow for once is met by the timer before it fails.
my @storm = split /\n/, plans_of('storm');
is(scalar(grep { /^SELECT\|error\|threshold\|(estimate|partial)\|t\|-$/ } @storm), 200, 'each of a storm of errors has its row and plan');
is(scalar(@storm), 200, '... and no more than that');
is(counter($node, 'explain_failed'), $failed, 'and nothing failed');

# -- plans that are new ----------------------------------------------------------------------------

$node->append_conf('postgresql.conf', "perfkit.slow_query_threshold = 1h\nperfkit.log_new_plans = all\nperfkit.max_plan_size = 1MB");
$node->restart;
$node->pgbench(
	'--no-vacuum --client=8 --jobs=2 --transactions=100',
	0, [qr/processed: 800\/800/], [qr/^(?!.*(error|ERROR))/s],
	'many sessions meet a plan at once', { '012_new' => 'SELECT v FROM t WHERE id = 7;' });
is(stored($node, "query LIKE 'SELECT v FROM t WHERE id = 7%' AND reason = 'first_seen'"), 1, 'one of them tells');
is(stored($node, "query LIKE 'SELECT v FROM t WHERE id = 7%'"), 1, 'and no other');

my $columns = '';
for (1 .. 40) { $columns .= ', id'; run_as($node, 'many', "SELECT v$columns FROM t WHERE id = 7"); }
is(stored($node, "application_name = 'many' AND reason = 'first_seen'"), 40, 'forty statements');
cmp_ok(counter($node, 'plan_statements'), '<=', 8, 'of which no more are remembered than perfkit.max_plans');
cmp_ok(counter($node, 'plan_evictions'), '>=', 32, 'the others made room, and are counted');
is(ask($node, "SELECT count(DISTINCT plan_id) FROM perfkit.slow_query_log WHERE application_name = 'many'"), 1, 'all of one shape');
is(ask($node, "SELECT count(DISTINCT plan_id) FROM perfkit.slow_query_log WHERE query LIKE 'SELECT v%FROM t WHERE id = %'"), 1, 'which is the same after the restart');

# -- a plan larger than the ring -------------------------------------------------------------------

$node->append_conf('postgresql.conf', "perfkit.ring_size = 16kB\nperfkit.slow_query_threshold = 0\nperfkit.log_new_plans = off");
$node->restart;
run_as($node, 'large', join(' UNION ALL ', map { "SELECT v FROM t WHERE id = $_" } 1 .. 100) . ' LIMIT 1');
is(plans_of('large'), 'SELECT|ok|threshold|-|t|plan', 'a plan that no ring can hold is left out of its row');
is(counter($node, 'truncated_plan'), 1, 'and counted');
is(counter($node, 'dropped_too_large'), 0, 'the row is not lost');
books_ok($node, 'the books balance');

done_testing();
