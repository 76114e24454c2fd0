# Stops and crashes in the middle of work: what was stored stays, a clean stop loses nothing, a crash
# loses only what was not yet written, nothing is there twice, and the work goes on.
#
# pgbench runs INSERTs, each its own transaction, so that table `done` knows how many statements there
# were; the log must know the same ones.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use IPC::Run qw(start);
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The ring is large enough for everything, so that no statement may be missing for want of room.
my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.ring_size = 32MB
restart_after_crash = on
EOF_CONF
my $script = $node->basedir . '/done.sql';

append_to_file($script, "INSERT INTO done VALUES (:phase, nextval('n'));\n");
$node->safe_psql('postgres', 'CREATE TABLE done (phase int, n bigint); CREATE SEQUENCE n;');

# Statements that are done, and rows of the log, each with the number drawn. The log has no
# parameters, so a number is told from the order: what counts is how many.
my $LOGGED = q{query LIKE 'INSERT INTO done%' AND outcome = 'ok'};

# load(phase): pgbench in the background
sub load
{
	my ($phase) = @_;
	my ($out, $err) = ('', '');

	local $ENV{PGAPPNAME} = "phase$phase";
	return start(
		[   'pgbench', '-n', '-c', 4, '-T', 600, '-D', "phase=$phase", '-f', $script,
			'-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \$out, '2>', \$err);
}

# under_way(phase): many of its statements are done
sub under_way
{
	my ($phase) = @_;

	return await($node, "SELECT count(*) > 200 FROM done WHERE phase = $phase");
}

sub done_in
{
	my ($phase) = @_;

	return ask($node, "SELECT count(*) FROM done WHERE phase = $phase");
}

sub logged_in
{
	my ($phase) = @_;

	return stored($node, "$LOGGED AND application_name = 'phase$phase'");
}

sub no_row_twice
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(ask($node, 'SELECT count(*) - count(DISTINCT (boot, sequence)) FROM perfkit.slow_query_log'), '0', '... no row is there twice');
	is(ask($node, 'SELECT count(*) - count(DISTINCT id) FROM perfkit.slow_query_log'), '0', '... nor an id');
	return;
}

# work_goes_on(): a statement of now is captured and stored
sub work_goes_on
{
	my $marker = 'mark_' . int(rand(1e9));

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	run_as($node, 'after', "SELECT '$marker'");
	is(stored($node, "query = 'SELECT ''$marker'''"), '1', '... and the work goes on');
	return;
}

# ---- a clean stop in the middle of work
my $bench = load(1);
ok(under_way(1), 'fast stop: pgbench is under way');
$node->stop('fast');
$bench->finish;
$node->start;
is(logged_in(1), done_in(1), '... every statement that was done is stored after the next start');
is(counter($node, 'unclean_starts'), '0', '... the start counts as clean');
books_ok($node, '... the books balance');
no_row_twice();
work_goes_on();

# ---- and when nothing has been written at all since the start
$node->append_conf('postgresql.conf', q{perfkit.flush_interval = '1h'});
$node->restart;
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'worker_pid'}), 'unwritten: the worker is there');
# what comes before its first turn is stored at once
my $kept = 0;
ok(until_true(sub { run_as($node, 'kept', 'SELECT ' . ++$kept); counter($node, 'pending') >= 3 }, 'statements in the ring'), '... and statements wait in the ring');
$node->stop('fast');
ok(-s $node->data_dir . '/pg_stat/perfkit.state', '... the stop leaves them in a file');
$node->append_conf('postgresql.conf', q{perfkit.flush_interval = '50ms'});
$node->start;
is(stored($node, q{application_name = 'kept'}), $kept, '... the next start stores them');
$node->restart;
is(stored($node, q{application_name = 'kept'}), $kept, '... once');
books_ok($node, '... the books balance');

# ---- a smart stop
run_as($node, 'smart', 'SELECT 1');
$node->stop('smart');
$node->start;
is(stored($node, q{application_name = 'smart'}), '1', 'smart stop: nothing is lost');
is(counter($node, 'unclean_starts'), '0', '... it counts as clean');

# struck(what, phase, code): code kills something in the middle of work
sub struck
{
	my ($what, $phase, $strike) = @_;
	my ($done_before, $stored_before, $unclean, $boot);

	$bench = load($phase);
	ok(under_way($phase), "$what: pgbench is under way");
	$unclean = counter($node, 'unclean_starts');

	# The ring is emptied in order: when the witness is stored, all that was done before it ran is.
	$done_before = done_in($phase);
	run_as($node, "witness$phase", 'SELECT 1');
	ok(await($node, "SELECT count(*) FROM perfkit.slow_query_log WHERE application_name = 'witness$phase'", '1'),
		'... rows are stored while it works');
	$stored_before = ask($node, "SELECT count(*) FROM perfkit.slow_query_log WHERE $LOGGED AND application_name = 'phase$phase'");
	cmp_ok($stored_before, '>=', $done_before, '... all that were done before');

	$strike->();
	$bench->finish;
	ok(await($node, 'SELECT 1', '1'), '... the server comes back');
	ok( await($node, "SELECT value > $unclean FROM perfkit.status WHERE name = 'unclean_starts'"),
		'... which counts as an unclean start');
	is(counter($node, 'unclean_starts'), $unclean + 1, '... one');
	cmp_ok(logged_in($phase), '>=', $stored_before, '... no stored row is lost');

	# A row of a statement whose commit did not survive cannot be: the row is written after it.
	cmp_ok(logged_in($phase), '<=', done_in($phase), '... nor is there a row of what never happened');
	books_ok($node, '... the books balance');
	no_row_twice();
	work_goes_on();
	return;
}

# killed(condition): kill -9 of one process
sub killed
{
	my ($condition) = @_;
	my $pid = ask($node, "SELECT pid FROM pg_stat_activity WHERE $condition LIMIT 1");

	kill 'KILL', $pid or BAIL_OUT("no process with $condition");
	until_true(sub { !kill 0, $pid }, "$pid is gone");
	return;
}

struck('kill -9 of a backend', 2, sub { killed(q{application_name = 'phase2'}) });
struck('kill -9 of the worker', 3, sub { killed(q{backend_type = 'perfkit worker'}) });
struck('kill -9 of the launcher', 4, sub { killed(q{backend_type = 'perfkit launcher'}) });
struck(
	'immediate stop',
	5,
	sub {
		$node->stop('immediate');
		$node->start;
	});
struck(
	'kill -9 of the postmaster',
	6,
	sub {
		my @children = split /\n/, ask($node, 'SELECT pid FROM pg_stat_activity');

		$node->kill9;
		until_true(sub { !grep { kill 0, $_ } @children }, 'the children of the postmaster are gone');
		$node->start;
	});

# ---- a state file that cannot be trusted
run_as($node, 'before the damage', 'SELECT 1');
$node->stop('fast');
my $state = $node->data_dir . '/pg_stat/perfkit.state';
my $content = slurp_file($state);
substr($content, -1) = chr(255 - ord substr($content, -1));
open(my $file, '>:raw', $state) or die "$state: $!";
print $file $content;
close $file;
my $offset = log_at($node);
$node->start;
like(slurp_file($node->logfile, $offset), qr/WARNING: +perfkit: file "\S+" is damaged/, 'a damaged state file is named in the log');
ok(-s "$state.bad", '... and kept');
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'worker_pid'}), '... the worker is found without it');
work_goes_on();

# a truncated one
$node->stop('fast');
truncate($state, 10) or die "$state: $!";
$node->start;
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'worker_pid'}), 'a truncated state file does no harm either');
work_goes_on();
books_ok($node, '... the books balance');
$node->stop;

done_testing();
