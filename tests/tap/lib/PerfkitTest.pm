# PerfkitTest - what the TAP tests of the extension share.
#
# A node is a PostgreSQL::Test::Cluster with perfkit preloaded. Questions about the log are asked by
# sessions of their own with perfkit.track = none, so that asking never changes the answer, and only
# after the ring is empty: a statement's record is in the ring before its client hears of its end.
# Nothing here sleeps for a time; what takes time is waited for with a deadline.
package PerfkitTest;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(perfkit_node ask await stored counter worker_pid books_ok errors_ok settle run_as rows_of until_true log_at not_at_midnight);

# Seconds after which a condition will not come true any more. Short enough that one failure does not
# end the suite.
my $PATIENCE = 30;

# Columns that tell what a statement was and how it ended.
my $STORY = "concat_ws('|', coalesce(command_tag, '-'), outcome, coalesce(sqlstate, '-'), coalesce(rows::text, '-'), nesting_level)";

# perfkit_node(name, lines of postgresql.conf, init => {...}, install_path => ..., clock => PerfkitClock): a
# started node, and the extension in database postgres.
sub perfkit_node
{
	my ($name, $conf, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, $options{install_path} ? (install_path => $options{install_path}) : ());

	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ], %{ $options{init} // {} });
	$node->append_conf('postgresql.conf', <<EOF_CONF);
shared_preload_libraries = 'perfkit'
max_worker_processes = 16
max_connections = 40
perfkit.flush_interval = '50ms'
perfkit.sample_interval = 0
log_statement = none
autovacuum = off
EOF_CONF
	$node->append_conf('postgresql.conf', $conf) if defined $conf;
	$options{clock} ? $options{clock}->start($node) : $node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION perfkit');
	return $node;
}

# ask(node, sql, database): the answer, from a session that is not captured
sub ask
{
	my ($node, $sql, $database) = @_;

	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	return $node->safe_psql($database // 'postgres', $sql);
}

# until_true(code, what, seconds): until it returns true; false, with a note, when the time is up
sub until_true
{
	my ($code, $what, $seconds) = @_;
	my $deadline = time + ($seconds // $PATIENCE);

	until ($code->())
	{
		if (time > $deadline)
		{
			diag("gave up waiting for: $what");
			return 0;
		}
		usleep(50_000);
	}
	return 1;
}

# await(node, sql, expected = 't', database, seconds): until the answer is as expected; false when the
# time is up. Errors (the server may be restarting) are answers too, only not the expected one.
sub await
{
	my ($node, $sql, $expected, $database, $seconds) = @_;
	my $last = '';
	my $errors = '';
	my $ok;

	$expected //= 't';
	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	$ok = until_true(
		sub {
			# psql may be gone before it has read its input: IPC::Run dies of that pipe
			$last = '';
			eval { $node->psql($database // 'postgres', $sql, stdout => \$last, stderr => \$errors) };
			$errors = $@ if $@;
			return ($last // '') eq $expected;
		},
		$sql, $seconds);
	diag("last answer: '$last' $errors, expected: '$expected'") unless $ok;
	return $ok;
}

# counter(node, name, database): a row of perfkit.status
sub counter
{
	my ($node, $name, $database) = @_;

	return ask($node, "SELECT value FROM perfkit.status WHERE name = '$name'", $database);
}

# worker_pid(node, database): of the worker, once there is one
sub worker_pid
{
	my ($node, $database) = @_;

	await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'worker_pid'}, 't', $database);
	return counter($node, 'worker_pid', $database);
}

# settle(node, database): waits until the ring is empty
sub settle
{
	my ($node, $database) = @_;

	return await($node, "SELECT value = 0 FROM perfkit.status WHERE name = 'pending'", 't', $database);
}

# stored(node, condition, database): how many rows of the log fulfil it
sub stored
{
	my ($node, $condition, $database) = @_;

	settle($node, $database) or return 'never settled';
	return ask($node, "SELECT count(*) FROM perfkit.slow_query_log WHERE $condition", $database);
}

# books_ok(node, test name, database): at rest, captured = stored + pending + all that was dropped
sub books_ok
{
	my ($node, $name, $database) = @_;
	my ($difference, $counters);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	settle($node, $database);
	($difference, $counters) = split /\|/, ask($node, <<'EOF_SQL', $database);
SELECT sum(CASE WHEN name = 'captured' THEN value ELSE -value END),
	string_agg(name || '=' || value, ' ') FILTER (WHERE value <> 0)
FROM perfkit.status WHERE name IN ('captured', 'stored', 'pending') OR name LIKE 'dropped%'
EOF_SQL
	is($difference, 0, $name) or diag($counters);
	return;
}

# errors_ok(node, test name): each ERROR and FATAL of database postgres in the server's jsonlog has its one row,
# and each failed row its line; of a node with log_destination = jsonlog, logging_collector = on
sub errors_ok
{
	my ($node, $name) = @_;
	my ($out, $err) = ('', '');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	settle($node);
	my @judge = ('/usr/bin/python3', "$FindBin::RealBin/../capsuite/errorlog.py", $node->connstr('postgres'), 'postgres');
	# the log's collector may be behind
	my $ok = until_true(
		sub {
			($out, $err) = ('', '');
			return IPC::Run::run([ @judge, glob($node->data_dir . '/log/*.json') ], '>', \$out, '2>', \$err);
		},
		$name, 10);
	ok($ok, $name) or diag($out . $err);
	note($out);
	return;
}

# run_as(node, application, sql, database): runs it in one psql session under that application name,
# going on after errors; returns (stdout, stderr)
sub run_as
{
	my ($node, $application, $sql, $database) = @_;
	my ($out, $err) = ('', '');

	local $ENV{PGAPPNAME} = $application;
	$node->psql($database // 'postgres', $sql, on_error_stop => 0, stdout => \$out, stderr => \$err);
	return ($out, $err);
}

# rows_of(node, application, condition, database): the story of each of its rows, in order, one a line:
# tag|outcome|sqlstate|rows|nesting_level
sub rows_of
{
	my ($node, $application, $condition, $database) = @_;

	$condition //= 'true';
	settle($node, $database) or return 'never settled';
	return ask($node, <<"EOF_SQL", $database);
SELECT $STORY FROM perfkit.slow_query_log
WHERE application_name = '$application' AND ($condition) ORDER BY boot, sequence
EOF_SQL
}

# not_at_midnight(): skips the file when the day (UTC) may end while it runs, for it counts partitions
sub not_at_midnight
{
	plan skip_all => 'the day ends in less than two minutes' if time % 86400 > 86400 - 120;
	return;
}

# log_at(node): where the server's log ends now, for log_contains
sub log_at
{
	my ($node) = @_;

	return -s $node->logfile;
}

1;
