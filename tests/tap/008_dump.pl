# Dump and restore while the workers run: no error, no log data in the dump, and a database that works
# like the first one.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

not_at_midnight();

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
EOF_CONF
my $file = $node->basedir . '/dump';

$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', <<'EOF_SQL');
CREATE EXTENSION perfkit;
CREATE TABLE t AS SELECT generate_series(1, 10) AS i;
CREATE VIEW slowest AS SELECT * FROM perfkit.slow_queries ORDER BY duration_ms DESC LIMIT 10;
CREATE ROLE reader;
GRANT SELECT ON perfkit.slow_query_log TO reader;
SELECT perfkit.log_metric('queue_length', 3);
EOF_SQL
cmp_ok(stored($node, 'true', 'source'), '>', 0, 'the source has rows');

# works(database, test name): a restored database is complete and its worker stores
sub works
{
	my ($database) = @_;
	my $marker = 'mark_' . int(rand(1e9));

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(ask($node, 'SELECT count(*) FROM t', $database), '10', '... the tables are there');
	is(ask($node, q{SELECT count(*) FROM perfkit.performance_log}, $database), '0', '... no data of the logs has come along');
	is(ask($node, q{SELECT has_table_privilege('reader', 'perfkit.slow_query_log', 'SELECT')}, $database), 't', '... grants have');
	ok( await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = '$database'", '1'),
		'... it has a worker');
	run_as($node, 'works', "SELECT '$marker'", $database);
	is(stored($node, "query = 'SELECT ''$marker'''", $database), '1', '... that stores');
	is(stored($node, "database <> '$database'", $database), '0', '... only its own rows');
	is(ask($node, "SELECT count(*) > 0 FROM slowest", $database), 't', '... views on the log answer');
	is( ask($node, q{SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY 1) FROM
			(SELECT inhrelid::regclass::text AS inhrelid FROM pg_inherits WHERE inhparent = 'perfkit.slow_query_log'::regclass ORDER BY 1) p}, $database),
		ask($node, q{SELECT string_agg(format('perfkit.slow_query_log_%s', to_char((now() AT TIME ZONE 'UTC')::date + i, 'YYYYMMDD')), ' ' ORDER BY i)
			FROM generate_series(0, 1) i}),
		'... the partitions are as they should be');
	books_ok($node, '... the books balance', $database);
	return;
}

# ---- custom format
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$file.custom", 'source' ], 'pg_dump -Fc while the worker runs');
$node->safe_psql('postgres', 'CREATE DATABASE custom');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'custom', "$file.custom" ], 'pg_restore --exit-on-error');
works('custom');
is(counter($node, 'flush_errors', 'custom'), '0', '... without an error');

# ---- plain text, in one transaction
$node->command_ok([ 'pg_dump', '-f', "$file.sql", 'source' ], 'pg_dump as text');
unlike(slurp_file("$file.sql"), qr/COPY perfkit\.(?!refresh_schedule |threshold )|CREATE TABLE perfkit\./, '... with nothing of the extension in it but schedules and thresholds');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
$node->command_ok([ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', "$file.sql" ], 'restored in one transaction');
works('plain');
is(counter($node, 'flush_errors', 'plain'), '0', '... without an error');

# ---- in parallel, and into the database that was dropped
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$file.dir", 'source' ], 'pg_dump -j 2');
$node->safe_psql('postgres', 'DROP DATABASE custom');
$node->safe_psql('postgres', 'DROP DATABASE source');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--create', '-j', '2', '-d', 'postgres', "$file.dir" ], 'pg_restore -j 2 --create');
works('source');

# ---- --clean drops the extension first
$node->command_ok([ 'pg_restore', '--exit-on-error', '--clean', '-d', 'source', "$file.custom" ], 'pg_restore --clean over it');
works('source');

# ---- a dump that waits for nobody: the worker goes on while a dump holds its locks
my $dump = $node->background_psql('source');
$dump->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE perfkit.slow_query_log, perfkit.performance_log IN ACCESS SHARE MODE;');
run_as($node, 'meanwhile', 'SELECT 1', 'source');
is(stored($node, q{application_name = 'meanwhile'}, 'source'), '1', 'rows are stored while a dump is under way');
$dump->quit;
$node->stop;

done_testing();
