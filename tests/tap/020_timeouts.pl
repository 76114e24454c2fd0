# statement_timeout, wherever it strikes: each time exactly one row, with outcome, SQLSTATE, a duration that
# the client can confirm, and the queryid of the same statement when it succeeds.
#
# The statements are dragged: a function in them sleeps as long as table knob says. With the knob at zero
# they succeed, and their plan shows that the timeout will strike where it is meant to.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# Long enough that parsing and planning are never what it strikes.
my $TIMEOUT_MS = 600;
my $FOREVER_S = 600;

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
jit = off
log_destination = jsonlog
logging_collector = on
EOF_CONF
my $case = 0;

$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE knob (seconds float8);
INSERT INTO knob VALUES (0);
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT g, g % 10 FROM generate_series(1, 100) g;
CREATE TABLE s (id int, v int) WITH (parallel_workers = 2);
INSERT INTO s SELECT g, g FROM generate_series(1, 100) g;
CREATE TABLE sink (id int);
CREATE TABLE sink_before (id int);
CREATE TABLE sink_after (id int);
ANALYZE;

CREATE FUNCTION drag(n int) RETURNS int LANGUAGE plpgsql STABLE PARALLEL SAFE AS
$$ BEGIN PERFORM pg_sleep(seconds) FROM public.knob; RETURN n; END $$;
CREATE FUNCTION drag_index(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN RETURN public.drag(n); END $$;

CREATE FUNCTION drag_less(a int, b int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN drag(a) < b; END $$;
CREATE FUNCTION drag_compare(a int, b int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN drag(a) - b; END $$;
CREATE OPERATOR <<< (LEFTARG = int, RIGHTARG = int, FUNCTION = drag_less);
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE OPERATOR CLASS drag_order FOR TYPE int USING btree AS
	OPERATOR 1 <<<, OPERATOR 3 ===, FUNCTION 1 drag_compare(int, int);

CREATE FUNCTION drag_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM drag(NEW.id); RETURN NEW; END $$;
CREATE TRIGGER before BEFORE INSERT ON sink_before FOR EACH ROW EXECUTE FUNCTION drag_row();
CREATE TRIGGER after AFTER INSERT ON sink_after FOR EACH ROW EXECUTE FUNCTION drag_row();

CREATE FUNCTION spin() RETURNS int LANGUAGE plpgsql AS
$$ DECLARE n int := 0; BEGIN WHILE (SELECT seconds > 0 FROM knob) LOOP n := n + 1; END LOOP; RETURN n; END $$;
CREATE FUNCTION stubborn() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM drag(1); RETURN 'done'; EXCEPTION WHEN OTHERS THEN RETURN 'caught'; END $$;
CREATE FUNCTION swallow() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM drag(1); RETURN 'done'; EXCEPTION WHEN query_canceled THEN RETURN 'caught'; END $$;
CREATE MATERIALIZED VIEW m AS SELECT drag(id) AS id FROM t;
EOF_SQL

# What is run around the statements and judged elsewhere.
my $AROUND = q{command_tag NOT IN ('SET', 'BEGIN', 'ROLLBACK', 'PREPARE', 'DECLARE CURSOR') OR command_tag IS NULL};

sub turn_knob
{
	my ($seconds) = @_;

	ask($node, "UPDATE knob SET seconds = $seconds");
	return;
}

# same_twice(application, elapsed seconds or undef): the two rows have one queryid, and the failed one a duration
# between the timeout and what the client has seen
sub same_twice
{
	my ($application, $elapsed) = @_;
	my $from = "FROM perfkit.slow_query_log WHERE application_name = '$application' AND ($AROUND)";

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(ask($node, "SELECT count(DISTINCT queryid) || '|' || count(queryid) $from"), '1|2', '... of one queryid');
	return unless defined $elapsed;
	my $duration = ask($node, "SELECT duration_ms $from AND outcome = 'statement_timeout'") || 0;
	cmp_ok($duration, '>=', $TIMEOUT_MS - 5, '... which lasted as long as it might');
	cmp_ok($duration, '<=', 1000 * $elapsed, '... and no longer than for the client');
	return;
}

# plan_has(application, node): the plan of the one that succeeded
sub plan_has
{
	my ($application, $node_type) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( ask($node, qq{SELECT count(*) FROM perfkit.slow_query_log WHERE application_name = '$application' AND outcome = 'ok'
			AND plan @? '\$.**."Node Type" ? (@ == "$node_type")'}),
		'1', "... its plan has a $node_type");
	return;
}

# dragged(name, before, statement, row when it succeeds, row when it does not, plan node)
sub dragged
{
	my ($name, $before, $statement, $ok, $failed, $node_type) = @_;
	my $application = 'dragged' . ++$case;
	my $begin;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	turn_knob(0);
	run_as($node, $application, "$before $statement");
	turn_knob($FOREVER_S);
	$begin = time;
	run_as($node, $application, "$before SET statement_timeout = $TIMEOUT_MS; $statement");
	my $elapsed = time - $begin;
	turn_knob(0);
	is(rows_of($node, $application, $AROUND), "$ok\n$failed", "statement_timeout in $name");
	same_twice($application, $elapsed);
	plan_has($application, $node_type) if defined $node_type;
	return;
}

# ---- the executor
dragged('a sequential scan', '', 'SELECT v FROM t WHERE drag(id) > 0;', 'SELECT|ok|-|100|0', 'SELECT|statement_timeout|57014|0|0', 'Seq Scan');
dragged('the middle of a result', '', 'SELECT CASE WHEN id = 8 THEN drag(id) ELSE id END FROM t;',
	'SELECT|ok|-|100|0', 'SELECT|statement_timeout|57014|7|0');
dragged('a sort', '', 'SELECT v FROM t ORDER BY v USING <<<;', 'SELECT|ok|-|100|0', 'SELECT|statement_timeout|57014|0|0', 'Sort');
dragged('a hash build', 'SET enable_mergejoin = off; SET enable_nestloop = off;',
	'SELECT count(*) FROM t JOIN (SELECT v FROM s LIMIT 3) s ON t.v = drag(s.v);', 'SELECT|ok|-|1|0', 'SELECT|statement_timeout|57014|0|0', 'Hash');
dragged('a nested loop with a SubPlan', 'SET enable_mergejoin = off; SET enable_hashjoin = off;',
	'SELECT (SELECT drag(s.id) FROM s WHERE s.id = t.id) FROM t JOIN s x ON x.id < t.v WHERE t.id < 5;',
	'SELECT|ok|-|6|0', 'SELECT|statement_timeout|57014|0|0', 'Nested Loop');
dragged('a Gather that waits for workers',
	'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off;',
	'SELECT count(*) FROM s WHERE drag(id) > 0;', 'SELECT|ok|-|1|0', 'SELECT|statement_timeout|57014|0|0', 'Gather');
dragged('a statement that modifies', '', 'UPDATE t SET v = drag(v) WHERE id < 5;', 'UPDATE|ok|-|4|0', 'UPDATE|statement_timeout|57014|0|0');
dragged('a BEFORE trigger', '', 'INSERT INTO sink_before VALUES (1);', 'INSERT|ok|-|1|0', 'INSERT|statement_timeout|57014|0|0');
dragged('an AFTER trigger', '', 'INSERT INTO sink_after VALUES (1);', 'INSERT|ok|-|1|0', 'INSERT|statement_timeout|57014|1|0');

# ---- utility statements
dragged('COPY TO', '', 'COPY (SELECT drag(id) FROM t) TO STDOUT;', 'COPY|ok|-|100|0', 'COPY|statement_timeout|57014|-|0');
dragged('COPY FROM', '', "COPY sink_before FROM STDIN;\n1\n\\.\n", 'COPY|ok|-|1|0', 'COPY|statement_timeout|57014|-|0');
dragged('CREATE INDEX', '', 'CREATE INDEX ON t (drag_index(id));', 'CREATE INDEX|ok|-|-|0', 'CREATE INDEX|statement_timeout|57014|-|0');
dragged('REFRESH MATERIALIZED VIEW', '', 'REFRESH MATERIALIZED VIEW m;',
	'REFRESH MATERIALIZED VIEW|ok|-|100|0', 'REFRESH MATERIALIZED VIEW|statement_timeout|57014|-|0');
dragged('a FETCH', 'BEGIN; DECLARE c CURSOR FOR SELECT drag(id) FROM t;', 'FETCH 3 FROM c;', 'FETCH|ok|-|3|0', 'FETCH|statement_timeout|57014|-|0');
dragged('EXECUTE', 'PREPARE p AS SELECT drag(id) FROM t WHERE id < $1;', 'EXECUTE p(4);', 'SELECT|ok|-|3|0', 'SELECT|statement_timeout|57014|0|0');
dragged('DO', '', 'DO $$ BEGIN PERFORM drag(1); END $$;', 'DO|ok|-|-|0', 'DO|statement_timeout|57014|-|0');

# ---- PL/pgSQL
dragged('a loop', '', 'SELECT spin();', 'SELECT|ok|-|1|0', 'SELECT|statement_timeout|57014|0|0');
dragged('a block that catches OTHERS, which this is not', '', 'SELECT stubborn();', 'SELECT|ok|-|1|0', 'SELECT|statement_timeout|57014|0|0');
{
	turn_knob($FOREVER_S);
	run_as($node, 'swallowed', "SET statement_timeout = $TIMEOUT_MS; SELECT swallow();");
	is(rows_of($node, 'swallowed', $AROUND), 'SELECT|ok|-|1|0', 'a block that catches query_canceled: the statement succeeds');
	run_as($node, 'swallowed all', "SET perfkit.track = 'all'; SET statement_timeout = $TIMEOUT_MS; SELECT swallow();");
	is( rows_of($node, 'swallowed all', qq{($AROUND) AND (nesting_level = 0 OR outcome <> 'ok')}),
		"SELECT|statement_timeout|57014|0|2\nSELECT|statement_timeout|57014|0|1\nSELECT|ok|-|1|0", '... and with track = all what was caught has its rows');
	turn_knob(0);
}

# ---- planning: fourteen tables, each joined to each, which takes long unless the order is prescribed. None has a
# key, or else 18 would see that they are all the same.
{
	my $join = 'SELECT count(*) FROM s s0' . join('', map { " JOIN s s$_ ON s$_.id = s0.id" } 1 .. 13) . ';';

	run_as($node, 'planned', "SET join_collapse_limit = 1; $join");
	run_as($node, 'planned', "SET join_collapse_limit = 14; SET geqo = off; SET statement_timeout = 250; $join");
	is(rows_of($node, 'planned', $AROUND), "SELECT|ok|-|1|0\nSELECT|statement_timeout|57014|-|0", 'statement_timeout in planning');
	same_twice('planned');
	is( ask($node, q{SELECT execution_ms IS NULL FROM perfkit.slow_query_log WHERE application_name = 'planned' AND outcome <> 'ok'}),
		't', '... nothing was executed');
}

# ---- waiting for a lock, in execution
{
	my $holder = $node->background_psql('postgres');
	my $update = 'UPDATE t SET v = v WHERE id = 50;';

	run_as($node, 'locked', $update);
	$holder->query_safe('BEGIN; UPDATE t SET v = v WHERE id = 50;');
	run_as($node, 'locked', "SET statement_timeout = $TIMEOUT_MS; $update RESET statement_timeout; SET lock_timeout = $TIMEOUT_MS; $update");
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	is( rows_of($node, 'locked', qq{($AROUND) AND command_tag <> 'RESET'}),
		"UPDATE|ok|-|1|0\nUPDATE|statement_timeout|57014|0|0\nUPDATE|lock_timeout|55P03|0|0", 'both timeouts in a wait for a row');
	is(ask($node, q{SELECT count(DISTINCT queryid) FROM perfkit.slow_query_log WHERE application_name = 'locked' AND command_tag = 'UPDATE'}),
		'1', '... of one queryid');
}

# ---- the extended protocol: a portal fetched in pieces, by name and without, with parameters
for my $name ('', 'named')
{
	my $application = "portal $name";
	my $client = PerfkitWire->new($node, 'postgres', application_name => $application);

	for my $seconds (0, $FOREVER_S)
	{
		turn_knob($seconds);
		$client->query("SET statement_timeout = $TIMEOUT_MS") if $seconds;
		$client->query('BEGIN');
		$client->parse($name, 'SELECT CASE WHEN id > $1 THEN drag(id) ELSE id END FROM s WHERE id <= 10') unless $name && $seconds;
		$client->bind('p', $name, 5);
		$client->execute('p', 3);
		$client->execute('p', 4);
		$client->execute('p', 0);
		$client->sync;
		$client->query('ROLLBACK');
	}
	$client->quit;
	turn_knob(0);
	is( rows_of($node, $application, $AROUND), "SELECT|ok|-|10|0\nSELECT|statement_timeout|57014|5|0",
		"statement_timeout in Execute of a portal fetched in pieces, statement '$name'");
	same_twice($application);
	is( ask($node, qq{SELECT count(*) FROM perfkit.slow_query_log WHERE application_name = '$application' AND parameters = '["5"]'}),
		'2', '... both with the parameter');
}

errors_ok($node, "each error in the server's log has its row, and each failed row its error");
books_ok($node, 'the books balance');
is(counter($node, 'unclean_starts'), '0', 'the server has not crashed');
$node->stop;

done_testing();
