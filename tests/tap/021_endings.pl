# Ends of statements that are nobody's wish: conflicts, sessions that are cut off, clients that go away, a
# standby that is not there. Each statement has exactly one row that says how it ended.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Select;
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = perfkit_node('main', <<'EOF_CONF', init => { allows_streaming => 1 });
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
jit = off
log_destination = jsonlog
logging_collector = on
synchronous_standby_names = 'nobody' # for who asks to wait, below
synchronous_commit = local
EOF_CONF

$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE t (id int PRIMARY KEY, v int);
INSERT INTO t SELECT g, g FROM generate_series(1, 100) g;
CREATE TABLE copies (id int PRIMARY KEY);
INSERT INTO copies VALUES (1001);
CREATE TABLE originals (id int);
CREATE FUNCTION copy_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO copies VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER copy AFTER INSERT ON originals FOR EACH ROW EXECUTE FUNCTION copy_row();
EOF_SQL

# client(application, settings): one that is captured under that name
sub client
{
	my ($application, %settings) = @_;

	return PerfkitWire->new($node, 'postgres', application_name => $application, %settings);
}

# gone(application): waits until its backend has left
sub gone
{
	my ($application) = @_;

	return await($node, "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$application'", '0');
}

# state(application, state): waits until its backend is in that state
sub state
{
	my ($application, $state) = @_;

	return await($node, "SELECT state FROM pg_stat_activity WHERE application_name = '$application'", $state);
}

# story(name, application, lines...): exactly these rows
sub story
{
	my ($name, $application, @lines) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(rows_of($node, $application), join("\n", @lines), $name);
	return;
}

# one_queryid(application, condition): of all these rows
sub one_queryid
{
	my ($application, $condition) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is( ask($node, "SELECT count(DISTINCT queryid) || '|' || bool_and(queryid IS NOT NULL) FROM perfkit.slow_query_log
			WHERE application_name = '$application' AND $condition"),
		'1|true', '... of one queryid');
	return;
}

# ---- constraints and conflicts
run_as($node, 'after', 'INSERT INTO originals VALUES (1000); INSERT INTO originals VALUES (1001);');
story('a unique violation in an AFTER trigger', 'after', 'INSERT|ok|-|1|0', 'INSERT|error|23505|1|0');
one_queryid('after', 'true');

{
	my ($one, $two) = map { client("serial$_") } 1, 2;
	my $count = 'SELECT count(*) FROM t WHERE v = 7';

	for my $c ($one, $two)
	{
		$c->query('BEGIN ISOLATION LEVEL SERIALIZABLE');
		$c->query($count);
	}
	$_->query('UPDATE t SET v = v WHERE v = 7') for $one;
	is_deeply([ $one->query('COMMIT') ], [], 'two that are in each other\'s way: the first commits');
	is_deeply([ $two->query('UPDATE t SET v = v WHERE v = 7') ], ['40001'], '... the second cannot update');
	$two->query('ROLLBACK');
	$_->quit for $one, $two;
	story('... and has its row', 'serial2', 'BEGIN|ok|-|-|0', 'SELECT|ok|-|1|0', 'UPDATE|error|40001|0|0', 'ROLLBACK|ok|-|-|0');
	settle($node);
	is( ask($node, q{SELECT count(DISTINCT queryid) FROM perfkit.slow_query_log WHERE application_name LIKE 'serial_' AND command_tag = 'UPDATE'}),
		'1', '... of one queryid');
}

# A reader that sees the state between two writers makes the one of them that is still at work give way.
{
	my %c = map { $_ => client("pivot $_") } qw(first second reader);

	$c{first}->query('BEGIN ISOLATION LEVEL SERIALIZABLE');
	$c{first}->query('SELECT sum(v) FROM t WHERE id < 3');
	$c{second}->query('BEGIN ISOLATION LEVEL SERIALIZABLE');
	$c{second}->query('UPDATE t SET v = v + 1 WHERE id = 1');
	$c{second}->query('COMMIT');
	$c{reader}->query(q{SET default_transaction_isolation = 'serializable'});
	$c{reader}->query('SELECT sum(v) FROM t WHERE id IN (1, 50)');
	is_deeply([ $c{first}->query('UPDATE t SET v = v + 1 WHERE id = 50') ], ['40001'], 'a dangerous structure');
	is_deeply([ $c{first}->query('COMMIT') ], [], '... which is rolled back');
	$_->quit for values %c;
	story('... has its row', 'pivot first', 'BEGIN|ok|-|-|0', 'SELECT|ok|-|1|0', 'UPDATE|error|40001|0|0', 'ROLLBACK|ok|-|-|0');
	story('... and nobody else has one', 'pivot reader', 'SET|ok|-|-|0', 'SELECT|ok|-|1|0');
}

# ---- sessions that are cut off
{
	my $c = client('idle in transaction');

	$c->query('BEGIN');
	$c->query('SELECT 1');
	$c->query(q{SET idle_in_transaction_session_timeout = '100ms'});    # it counts from here on
	gone('idle in transaction');
	story('idle_in_transaction_session_timeout between statements: none of them is hurt', 'idle in transaction',
		'BEGIN|ok|-|-|0', 'SELECT|ok|-|1|0', 'SET|ok|-|-|0');
}
{
	my $c = client('idle portal');

	$c->query('BEGIN');
	$c->parse('', 'SELECT id FROM t');
	$c->bind('p', '');
	$c->execute('p', 5);
	$c->parse('', q{SET idle_in_transaction_session_timeout = '100ms'});
	$c->bind('', '');
	$c->execute('');
	$c->sync;
	gone('idle portal');
	story('... nor one in the middle of its result, which had nothing to do', 'idle portal',
		'BEGIN|ok|-|-|0', 'SET|ok|-|-|0', 'SELECT|ok|-|5|0');
}
{
	my $c = client('idle');

	$c->query(q{SET idle_session_timeout = '100ms'});
	gone('idle');
	story('idle_session_timeout', 'idle', 'SET|ok|-|-|0');
}
{
	my $c = client('terminated portal');

	$c->query('BEGIN');
	$c->parse('', 'SELECT id FROM t');
	$c->bind('p', '');
	$c->execute('p', 5);
	$c->sync;
	ask($node, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'terminated portal'});
	gone('terminated portal');
	story('pg_terminate_backend between two fetches of a portal', 'terminated portal',
		'BEGIN|ok|-|-|0', 'SELECT|ok|-|5|0');
}

# ---- clients that go away
for my $sql ('SELECT pg_sleep(600)', 'DO $$ BEGIN PERFORM pg_sleep(600); END $$', 'SELECT count(*) FROM generate_series(1, 1000000000000)')
{
	my $application = 'left ' . substr($sql, 0, 12);
	my $c = client($application, options => '-c client_connection_check_interval=100ms');

	$c->send(Query => "$sql\0");
	await($node, "SELECT count(*) FROM perfkit.active_queries WHERE application_name = '$application'", '1');
	close $c->{socket};
	gone($application);
	is(rows_of($node, $application) =~ s/\|0\|0$/|-|0/r, ($sql =~ /^DO/ ? 'DO' : 'SELECT') . '|client_gone|08006|-|0', "the client goes away: $sql");
}
{
	my $c = client('deaf');

	$c->send(Query => "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)\0");
	IO::Select->new($c->{socket})->can_read(30);
	close $c->{socket};
	gone('deaf');
	like(rows_of($node, 'deaf'), qr/^SELECT\|client_gone\|08006\|\d+\|0$/, 'the client goes away in the middle of its result');
}
{
	my $c = client('hung up');

	$c->query('SELECT 1');
	close $c->{socket};
	gone('hung up');
	story('the client goes away between two statements', 'hung up', 'SELECT|ok|-|1|0');
}
{
	my $c = client('COPY left');

	$c->send(Query => "COPY copies FROM STDIN\0");
	$c->until('G');
	close $c->{socket};
	gone('COPY left');
	story('the client goes away in the middle of its COPY', 'COPY left', 'COPY|client_gone|08006|-|0');
}

# ---- the standby that is not there
# waits(application, sql, function): runs it until it waits for the standby, and ends that wait
sub waits
{
	my ($application, $sql, $function) = @_;
	my $c = client($application, options => '-c synchronous_commit=on');

	$c->query($_) for @$sql[ 0 .. $#$sql - 1 ];
	$c->send(Query => "$sql->[-1]\0");
	await($node, "SELECT wait_event FROM pg_stat_activity WHERE application_name = '$application'", 'SyncRep');
	ask($node, "SELECT $function(pid) FROM pg_stat_activity WHERE application_name = '$application'");
	eval { $c->until('Z') };
	$c->quit;
	gone($application);
	return;
}

# message(application, tag)
sub message
{
	my ($application, $tag) = @_;

	return ask($node, "SELECT message FROM perfkit.slow_query_log WHERE application_name = '$application' AND command_tag = '$tag'");
}

waits('sync commit', [ 'BEGIN', 'UPDATE t SET v = v WHERE id = 2', 'COMMIT' ], 'pg_cancel_backend');
story('a cancelled wait for a standby: the COMMIT has succeeded', 'sync commit',
	'BEGIN|ok|-|-|0', 'UPDATE|ok|-|1|0', 'COMMIT|ok|-|-|0');
is(message('sync commit', 'COMMIT'), 'canceling wait for synchronous replication due to user request', '... with the warning as its message');
is(message('sync commit', 'UPDATE'), '', '... which is not that of others');
waits('sync implicit', ['UPDATE t SET v = v WHERE id = 3'], 'pg_cancel_backend');
story('the same without BEGIN', 'sync implicit', 'UPDATE|ok|-|1|0');
is(message('sync implicit', 'UPDATE'), 'canceling wait for synchronous replication due to user request', '... with the warning as its message');
waits('sync terminated', ['UPDATE t SET v = v WHERE id = 4'], 'pg_terminate_backend');
story('terminated while it waits: what it has committed has succeeded, and has one row', 'sync terminated', 'UPDATE|ok|-|1|0');
like(message('sync terminated', 'UPDATE'), qr/terminating connection due to administrator command/, '... with the warning as its message');
is(stored($node, q{application_name LIKE 'sync %' AND (sqlstate IS NOT NULL OR reason <> 'threshold')}), '0', '... none of them counts as failed');

errors_ok($node, "each error in the server's log has its row, and each failed row its error");
books_ok($node, 'the books balance');
is(counter($node, 'unclean_starts'), '0', 'the server has not crashed');
$node->stop;

done_testing();
