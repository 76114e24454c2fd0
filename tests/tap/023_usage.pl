# What a row says of where its client is and of what its statement has used: addresses, blocks of parallel
# workers and of files, times of blocks, JIT.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Socket::IP;
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Socket qw(AF_INET6);
use Test::More;

# Has this machine IPv6 on its loopback?
my $ipv6 = defined IO::Socket::IP->new(Family => AF_INET6, LocalHost => '::1', LocalPort => 0, Listen => 1);
my $node = perfkit_node('main', <<'EOF_CONF' . "listen_addresses = '" . ($ipv6 ? '127.0.0.1,::1' : '127.0.0.1') . "'\n");
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
max_parallel_workers = 8
EOF_CONF

# row_of(application, expressions): of its one SELECT that says so
sub row_of
{
	my ($application, $expressions) = @_;

	settle($node);
	return ask($node, "SELECT concat_ws('|', $expressions) FROM perfkit.slow_query_log WHERE application_name = '$application' AND command_tag = 'SELECT'");
}

# ---- the client's address
append_to_file($node->data_dir . '/pg_hba.conf', "host all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\n");
$node->reload;
for my $host ('127.0.0.1', $ipv6 ? '::1' : ())
{
	local $ENV{PGAPPNAME} = "at $host";
	my $connection = "host=$host port=" . $node->port . ' dbname=postgres';
	my $port = $node->safe_psql('postgres', 'SELECT inet_client_port()', connstr => $connection);
	is(row_of("at $host", 'host(client_addr), client_port'), "$host|$port", "a client at $host");
}
run_as($node, 'at home', 'SELECT 1');
is(row_of('at home', 'num_nulls(client_addr, client_port)'), '2', 'a client at a unix socket has no address');

# ---- parallel workers: one row, and all that they have read
$node->safe_psql('postgres', 'CREATE TABLE wide AS SELECT i, repeat(chr(65 + i % 26), 500) AS filler FROM generate_series(1, 20000) i; ANALYZE wide');
my $pages = ask($node, q{SELECT pg_relation_size('wide') / current_setting('block_size')::int});
my $PARALLEL = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off;';
run_as($node, 'in parallel', "$PARALLEL SELECT count(*) FROM wide");
is(row_of('in parallel', 'count(*)'), '1', 'a parallel statement has one row');
is(row_of('in parallel', "min(shared_blks_hit + shared_blks_read) >= $pages, min(rows)"), 't|1', '... with the blocks of its workers');
SKIP:
{
	skip 'before 18 nobody counts workers', 1 if $node->pg_version < 18;
	is(row_of('in parallel', 'parallel_workers_to_launch > 0, parallel_workers_launched > 0'), 't|t', '... which are counted');
}

# ---- files, times of blocks, JIT
run_as($node, 'with files', q{SET work_mem = '64kB'; SET perfkit.capture_plan = off; SELECT count(*) FROM (SELECT filler FROM wide ORDER BY filler OFFSET 0) s});
is( row_of('with files', 'temp_blks_written > 0, temp_blks_read > 0, num_nulls(shared_blk_read_time, temp_blk_write_time)'),
	't|t|2', 'blocks of temporary files; and no times, without track_io_timing');
run_as($node, 'timed', q{SET track_io_timing = on; SET work_mem = '64kB'; SELECT count(*) FROM (SELECT filler FROM wide ORDER BY filler OFFSET 0) s});
is(row_of('timed', 'shared_blk_read_time >= 0, temp_blk_write_time > 0'), 't|t', '... with it they are there');
is(row_of('timed', 'num_nulls(local_blk_read_time)'), $node->pg_version < 17 ? '1' : '0', '... those of local blocks since 17');
SKIP:
{
	skip 'this PostgreSQL has no JIT', 3 if ask($node, 'SELECT pg_jit_available()') ne 't';
	my $JIT = 'SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = 0; SET jit_optimize_above_cost = 0;';
	run_as($node, 'compiled', "$JIT SET max_parallel_workers_per_gather = 0; SELECT sum(i + 1) FROM wide");
	is( row_of('compiled', 'jit_functions > 0, jit_generation_time > 0, jit_inlining_time > 0, jit_optimization_time > 0, jit_emission_time > 0'),
		't|t|t|t|t', 'what JIT has done');
	run_as($node, 'compiled in parallel', "$JIT $PARALLEL SELECT sum(i + 1) FROM wide");
	my ($alone, $together) = map { row_of($_, 'jit_functions') } 'compiled', 'compiled in parallel';
	cmp_ok($together, '>', $alone, '... by parallel workers too');
	run_as($node, 'not compiled', 'SET jit = off; SELECT sum(i + 1) FROM wide');
	is(row_of('not compiled', 'jit_functions, jit_generation_time'), '0|0', '... which is nothing without it');
}

books_ok($node, 'the books balance');
$node->stop;
done_testing();
