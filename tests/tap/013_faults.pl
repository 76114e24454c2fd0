# What goes wrong around the log: no room on the disk for the worker, no memory for a statement, and an
# extension that is dropped and made again under load. The server stays up, nothing hangs, the books
# balance.
#
# Limits are put upon single processes by prlimit: PostgreSQL takes a file that may not grow for a full
# disk. WAL segments are small so that the limit hits tables only.
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

my $MB = 1024 * 1024;

my $node = perfkit_node('main', <<'EOF_CONF', init => { extra => [ '--encoding=UTF8', '--locale=C', '--wal-segsize=1' ] });
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.max_query_size = 64kB
perfkit.ring_size = 16MB
min_wal_size = 4MB
EOF_CONF

# limit(pid, resource, soft limit or 'unlimited')
sub limit
{
	my ($pid, $resource, $soft) = @_;

	system('prlimit', "--pid=$pid", "--$resource=$soft:") == 0 or BAIL_OUT('prlimit does not work');
	return;
}

# ---- the disk is full
my $worker = worker_pid($node);
limit($worker, 'fsize', 2 * $MB);
my $bulky = join("\n", map { "SELECT '" . join('', map { sprintf '%08x', rand 2**32 } 1 .. 7000) . "' IS NULL;" } 1 .. 60);
run_as($node, 'bulky', $bulky);
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'flush_errors'}), 'no room on the disk: the attempt is counted');
like(slurp_file($node->logfile), qr/WARNING: +perfkit: captured statements wait unstored/, '... the server log says so');
my ($out) = run_as($node, 'meanwhile', "SELECT 'answered'");
is($out, 'answered', '... clients are served');
cmp_ok(counter($node, 'pending'), '>', 0, '... statements wait in the ring');
is(counter($node, 'worker_pid'), $worker, '... the worker has not died of it');
limit($worker, 'fsize', 'unlimited');
is(stored($node, q{application_name = 'bulky'}), '60', 'room again: all of them are stored');
is(stored($node, q{application_name = 'meanwhile'}), '1', '... with what came meanwhile');
books_ok($node, '... the books balance');

# ---- no memory for a statement
{
	my $client = PerfkitWire->new($node, 'postgres', application_name => 'hungry');
	my $hungry = q{SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 400000)};
	my ($pid, $kb);

	$client->query('SELECT 1');
	$pid = ask($node, q{SELECT pid FROM pg_stat_activity WHERE application_name = 'hungry'});
	($kb) = slurp_file("/proc/$pid/status") =~ /^VmSize:\s+(\d+) kB/m;
	limit($pid, 'as', ($kb + 64 * 1024) * 1024);
	is_deeply([ $client->query($hungry) ], ['53200'], 'a statement runs out of memory');
	is_deeply([ $client->query('SELECT 2') ], [], '... the session goes on');
	limit($pid, 'as', 'unlimited');
	is_deeply([ $client->query($hungry) ], [], '... and with memory it succeeds');
	$client->quit;
	is( rows_of($node, 'hungry', q{query ~ 'repeat'}),
		"SELECT|error|53200|0|0\nSELECT|ok|-|1|0", '... each has its row');
	is( ask($node, q{SELECT count(DISTINCT queryid) FROM perfkit.slow_query_log WHERE application_name = 'hungry' AND query ~ 'repeat'}),
		'1', '... with the same queryid');
	books_ok($node, '... the books balance');
}

# ---- the extension is dropped and made again under load
my $script = $node->basedir . '/load.sql';
append_to_file($script, "SELECT :client_id AS loaded;\n");
my ($load_out, $load_err) = ('', '');
my $load = start(
	[ 'pgbench', '-n', '-c', 3, '-T', 600, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \$load_out, '2>', \$load_err);
ok(await($node, q{SELECT count(*) > 100 FROM perfkit.slow_query_log WHERE query ~ 'loaded'}), 'under load');
for my $round (1 .. 3)
{
	is($node->psql('postgres', 'DROP EXTENSION perfkit'), 0, "round $round: DROP EXTENSION");
	is($node->psql('postgres', 'CREATE EXTENSION perfkit'), 0, '... CREATE EXTENSION');
	ok(await($node, q{SELECT count(*) > 100 FROM perfkit.slow_query_log WHERE query ~ 'loaded'}), '... statements are stored again');
}
$load->signal('INT');
eval { $load->finish };
unlike($load_err, qr/ERROR|FATAL|PANIC/, 'no client has met an error');
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'worker_pid'}), 'there is a worker');
books_ok($node, 'the books balance');
is(ask($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker'}), '1', '... one');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, 'nothing has crashed');
done_testing();
