# Without shared_preload_libraries: CREATE EXTENSION works, and whatever needs the library says which
# line is missing from postgresql.conf.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('plain');
$node->init;
$node->start;

# refused(sql): 55000, and the hint holds the line
sub refused
{
	my ($sql) = @_;
	my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	isnt($code, 0, "$sql fails");
	like($err, qr/55000: +perfkit must be loaded when the server starts/, '... as an object not in the prerequisite state');
	like($err, qr/^HINT: .*shared_preload_libraries = 'perfkit'/m, '... and names the line to add');
	return;
}

is($node->psql('postgres', 'CREATE EXTENSION perfkit'), 0, 'CREATE EXTENSION works');
refused('SELECT * FROM perfkit.status');
refused(q{SELECT perfkit.log_metric('queue_length', 1)});

is($node->safe_psql('postgres', 'SELECT count(*) FROM perfkit.slow_queries'), '0', 'slow_queries is empty');
is($node->safe_psql('postgres', 'SELECT count(*) FROM perfkit.failed_queries'), '0', 'failed_queries is empty');
is($node->safe_psql('postgres', 'SELECT count(*) FROM perfkit.performance_log'), '0', 'performance_log is empty');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'perfkit%'}),
	'0', 'no process of perfkit runs');
is($node->psql('postgres', 'DROP EXTENSION perfkit'), 0, 'DROP EXTENSION works');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'perfkit'}), '0', '... and leaves nothing');

# LOAD is not preloading: nothing is installed, nothing is shared
is($node->psql('postgres', q{CREATE EXTENSION perfkit; LOAD 'perfkit'; SELECT 1}), 0, 'LOAD does no harm');
$node->append_conf('postgresql.conf', q{session_preload_libraries = 'perfkit'});
$node->reload;
ok(await($node, 'SHOW session_preload_libraries', 'perfkit'), 'session_preload_libraries is set');
refused('SELECT * FROM perfkit.status');

# the line from the hint is all it takes
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'perfkit'});
$node->restart;
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'worker_pid'}),
	'with the line from the hint the worker finds the extension');
is($node->psql('postgres', q{SELECT perfkit.log_metric('queue_length', 1)}), 0, 'log_metric works then');
$node->safe_psql('postgres', q{SET perfkit.slow_query_threshold = 0; SELECT 'first'});
is(stored($node, q{query LIKE 'SELECT ''first''%'}), '1', 'statements are captured then');

# taking the line out again: the rows stay readable, status says what is missing
$node->append_conf('postgresql.conf', q{shared_preload_libraries = ''});
$node->restart;
is($node->safe_psql('postgres', q{SELECT count(*) FROM perfkit.slow_queries WHERE query LIKE 'SELECT ''first''%'}),
	'1', 'without the library again, stored rows are there');
refused('SELECT * FROM perfkit.status');

$node->stop;
done_testing();
