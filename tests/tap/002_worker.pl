# The launcher and the workers: who gets one, when it goes, and that it comes back.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The launcher looks at pg_database every 60 s by itself: what is there after half of that, was told
# to it.
my $POKED = 30;

my $node = perfkit_node('main', 'allow_in_place_tablespaces = on');

# worker(database): SQL for the pid of its worker
sub worker
{
	my ($database) = @_;

	return "SELECT pid FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = '$database'";
}

# has_worker(database, test name): one appears without waiting for the launcher's next look
sub has_worker
{
	my ($database, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(await($node, "SELECT count(*) FROM (" . worker($database) . ") w", '1', undef, $POKED), $name);
	return;
}

sub has_no_worker
{
	my ($database, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(await($node, "SELECT count(*) FROM (" . worker($database) . ") w", '0', undef, $POKED), $name);
	return;
}

# stores(database, test name): a statement run there gets its row
sub stores
{
	my ($database, $name) = @_;
	my $marker = "mark_" . int(rand(1e9));

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	run_as($node, 'stores', "SET perfkit.slow_query_threshold = 0; SELECT '$marker';", $database);
	ok( await(
			$node, "SELECT count(*) FROM perfkit.slow_query_log WHERE command_tag = 'SELECT' AND query LIKE '%$marker%'
				AND database = '$database'", '1', $database, $POKED),
		$name);
	return;
}

# ---- discovery
has_worker('postgres', 'CREATE EXTENSION brings a worker');
stores('postgres', '... that stores');
$node->safe_psql('postgres', 'CREATE DATABASE second');
has_no_worker('second', 'a database without the extension has none, after a look into it');
$node->safe_psql('second', 'CREATE EXTENSION perfkit');
has_worker('second', 'a second database gets one of its own');
stores('second', '... that stores');
is(stored($node, "database <> 'postgres'"), '0', "rows stay with the database they belong to");

$node->safe_psql('postgres', 'CREATE DATABASE third');
$node->safe_psql('third', 'BEGIN; CREATE EXTENSION perfkit; ROLLBACK;');
is($node->psql('third', 'CREATE EXTENSION perfkit'), 0, 'CREATE EXTENSION after one that was rolled back');
has_worker('third', '... brings a worker');
$node->safe_psql('third', 'BEGIN; DROP EXTENSION perfkit; ROLLBACK;');
stores('third', 'a DROP EXTENSION that is rolled back changes nothing');

# ---- the end of the extension
$node->safe_psql('second', 'DROP EXTENSION perfkit');
has_no_worker('second', 'DROP EXTENSION ends the worker');
has_worker('third', '... of that database only');
$node->safe_psql('second', 'CREATE EXTENSION perfkit');
has_worker('second', 'created again, it has a worker again');
stores('second', '... that stores');
books_ok($node, '... with counters that begin anew', 'second');
$node->safe_psql('second', 'BEGIN; DROP EXTENSION perfkit; CREATE EXTENSION perfkit; COMMIT;');
has_worker('second', 'dropped and created in one transaction, it has a worker');
stores('second', '... that stores');
$node->safe_psql('second', 'CREATE ROLE boss SUPERUSER; DROP EXTENSION perfkit; SET ROLE boss; CREATE EXTENSION perfkit;');
has_worker('second', 'created by another role, it has a worker');
$node->safe_psql('second', 'DROP OWNED BY boss');
has_no_worker('second', 'DROP OWNED ends the worker too');
$node->safe_psql('second', 'CREATE EXTENSION perfkit');
has_worker('second', 'created once more, it has a worker');
stores('second', '... that stores');

# ---- ended in the middle of a transaction, in a database that was once found without the extension
my $lock = do
{
	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	$node->background_psql('second');
};
$lock->query_safe('BEGIN; LOCK TABLE perfkit.slow_query_log IN ACCESS EXCLUSIVE MODE;');
run_as($node, 'blocked', "SET perfkit.slow_query_threshold = 0; SELECT 'blocked';", 'second');
ok( await($node, "SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = 'second'", 'Lock'),
	'a worker waits for a lock');
my $blocked = ask($node, worker('second'));
ask($node, "SELECT pg_terminate_backend($blocked)");
ok(await($node, "SELECT pid <> $blocked FROM (" . worker('second') . ') w', 't', undef, $POKED), '... terminated, it comes back');
$lock->query_safe('ROLLBACK');
$lock->quit;
is(stored($node, q{query = 'SELECT ''blocked'''}, 'second'), '1', '... and stores what was waiting');

# ---- statements that want a database for themselves
$node->safe_psql('postgres', 'ALTER DATABASE second RENAME TO renamed');
has_worker('renamed', 'ALTER DATABASE RENAME works, and the worker comes back');
stores('renamed', '... and stores, under the new name');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE renamed');
has_worker('renamed', 'CREATE DATABASE TEMPLATE works, and the worker of the template comes back');
has_worker('copy', '... and the copy has one too');
stores('renamed', '... the first stores');
stores('copy', '... and the second');
$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION ''");
$node->safe_psql('postgres', 'ALTER DATABASE copy SET TABLESPACE elsewhere');
has_worker('copy', 'ALTER DATABASE SET TABLESPACE works, and the worker comes back');
stores('copy', '... and stores');
my $impatient = $node->background_psql('postgres', on_error_stop => 0);
my $stopped = ask($node, worker('copy')) or die 'no worker';
$impatient->query_safe(q{SET statement_timeout = '2s'});
kill 'STOP', $stopped;
$impatient->query('ALTER DATABASE copy RENAME TO renamed_copy');
kill 'CONT', $stopped;
ok(await($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $stopped", '0'), 'an ALTER DATABASE that was cancelled has sent the worker away');
has_worker('copy', '... and it comes back, while that session lives on');
stores('copy', '... and stores');
$impatient->query('SET statement_timeout = 0');
$impatient->query('ALTER DATABASE copy RENAME TO renamed_copy');
has_worker('renamed_copy', '... under the new name, once the session has renamed it after all');
$impatient->query('BEGIN; ALTER DATABASE renamed_copy RENAME TO copy; ALTER DATABASE third RENAME TO last; COMMIT;');
has_worker($_, 'two renamed in one transaction: there is a worker again') for qw(copy last);
$impatient->query('ALTER DATABASE last RENAME TO third');
$impatient->quit;
has_worker('third', '... under the old name too');

$node->safe_psql('postgres', 'ALTER DATABASE copy IS_TEMPLATE true');
$node->safe_psql('postgres', 'CREATE DATABASE offspring TEMPLATE copy');
has_worker('offspring', 'a database made from a template that has the extension gets a worker');
$node->safe_psql('postgres', 'ALTER DATABASE copy IS_TEMPLATE false');

my $held = $node->background_psql('copy', on_error_stop => 0);
my ($code, $out, $err) = $node->psql('postgres', 'DROP DATABASE copy');
isnt($code, 0, 'DROP DATABASE fails while a client is connected');
like($err, qr/1 other session using the database/, '... for that session alone');
has_worker('copy', '... and the worker comes back');
stores('copy', '... and stores');
($code, $out, $err) = $node->psql('postgres', 'DROP DATABASE copy WITH (FORCE)');
is($code, 0, 'DROP DATABASE WITH (FORCE) works') or diag($err);
eval { $held->quit };
($code, $out, $err) = $node->psql('postgres', 'DROP DATABASE offspring');
is($code, 0, 'DROP DATABASE works while its worker runs') or diag($err);
ok(await($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker'}, '3'), 'three workers are left');

$node->safe_psql('postgres', 'CREATE ROLE nobody_special LOGIN CREATEDB');
my $pid = ask($node, worker('renamed'));
($code, $out, $err) = $node->psql('postgres', 'SET ROLE nobody_special; DROP DATABASE renamed');
isnt($code, 0, 'who does not own a database cannot drop it');
is(ask($node, worker('renamed')), $pid, '... nor send its worker away');

# ---- killed
$pid = ask($node, worker('postgres'));
ask($node, "SELECT pg_terminate_backend($pid)");
ok(await($node, "SELECT pid <> $pid FROM (" . worker('postgres') . ') w', 't', undef, $POKED),
	'a worker that was terminated comes back');
stores('postgres', '... and stores');
my $launcher = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'perfkit launcher'};
$pid = ask($node, $launcher);
ask($node, "SELECT pg_terminate_backend($pid)");
ok(await($node, "SELECT pid <> $pid FROM ($launcher) l", 't', undef, $POKED), 'the launcher that was terminated comes back');
ask($node, 'SELECT pg_terminate_backend(pid) FROM (' . worker('postgres') . ') w');
stores('postgres', '... and looks after the workers again');
ok( await($node, q{SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_stat_activity WHERE backend_type = 'perfkit worker'},
		'postgres renamed third'),
	'... one for each database');
books_ok($node, "the books balance in $_", $_) for qw(postgres renamed third);
$node->stop;

# ---- too few processes: the two launchers take the only ones
$node = perfkit_node('narrow', 'max_worker_processes = 2');
ok(await($node, q{SELECT value FROM perfkit.status WHERE name = 'waiting_for_worker'}, '1', undef, $POKED),
	'without a free process status shows waiting_for_worker');
my $log = slurp_file($node->logfile);
my @warnings = $log =~ /WARNING: +(perfkit: no background worker is free)/g;
is(@warnings, 1, '... and the log has one warning');
like($log, qr/HINT: +Set max_worker_processes to at least 3 /, '... with the number to set');
$node->safe_psql('postgres', q{SET perfkit.slow_query_threshold = 0; SELECT 'patience'});
is(counter($node, 'pending') > 0, 1, '... while statements wait in the ring');
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
is(stored($node, q{query = 'SELECT ''patience'''}), '1', 'with that number they are stored');
is(counter($node, 'waiting_for_worker'), '0', '... and nobody waits');
$node->stop;

# ---- more databases than rings
$node = perfkit_node('rings', 'perfkit.max_databases = 1');
has_worker('postgres', 'the first database has a worker');
$node->safe_psql('postgres', 'CREATE DATABASE second');
($code, $out, $err) = $node->psql('second', 'CREATE EXTENSION perfkit');
like($err, qr/WARNING: +perfkit has no ring/, 'CREATE EXTENSION in one database too many warns');
like($err, qr/HINT: .*perfkit\.max_databases \(now 1\)/, '... and names the setting');
has_worker('second', '... but has a worker');
$node->safe_psql('second', q{SET perfkit.slow_query_threshold = 0; SELECT 1});
cmp_ok(counter($node, 'dropped_no_ring', 'second'), '>=', 1, '... and counts what it cannot keep');
books_ok($node, '... and the books balance', 'second');
$node->safe_psql('postgres', 'DROP EXTENSION perfkit');
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'ring_size_bytes'}, 't', 'second', $POKED),
	'the ring of a dropped extension goes to who waits for one');
stores('second', '... who then stores');
books_ok($node, '... and the books balance', 'second');
$node->stop;

done_testing();
