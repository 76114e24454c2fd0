# The log is taken away from under the worker, in ways that only a superuser with a mind to it can: renamed,
# dropped, in the middle of a running statement and before the worker has written anything. The server
# stays up, nothing hangs, what waits is counted as waiting, and all goes on when the log is there again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.persist_running_after = 100ms
EOF_CONF

# ---- renamed: for the worker it is not there
my $renamed = 'renamed';
my $worker = worker_pid($node);

ask($node, 'ALTER TABLE perfkit.slow_query_log RENAME TO elsewhere');
my ($out, $err) = run_as($node, $renamed, "SELECT 'answered'; SELECT 1/0; SELECT 'answered again';");
is($out, "answered\nanswered again", 'the log is renamed: clients are served');
like($err, qr/division by zero/, '... with their own errors');
unlike($err, qr/perfkit|slow_query_log/, '... not with ours');
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'flush_errors'}), '... the worker fails, which is counted');
like(slurp_file($node->logfile), qr/WARNING: +perfkit: captured statements wait unstored: relation "perfkit.slow_query_log" does not exist/,
	'... the server log says why');
is(counter($node, 'worker_pid'), $worker, '... it has not died of it');
is( ask($node, q{SELECT sum(CASE WHEN name = 'captured' THEN value ELSE -value END) || '|' || max(value) FILTER (WHERE name = 'pending')
		FROM perfkit.status WHERE name IN ('captured', 'stored', 'pending') OR name LIKE 'dropped%'}),
	'0|3', '... all three wait, and the books balance');

# A statement that runs long wants a row meanwhile, and its end.
my $runner = PerfkitWire->new($node, 'postgres', application_name => $renamed);
my $errors = counter($node, 'flush_errors');
$runner->send(Query => "SELECT pg_sleep(600) /* long */\0");
ok(await($node, "SELECT value > $errors FROM perfkit.status WHERE name = 'flush_errors'"), 'a statement that runs long finds no place for its row');
ask($node, 'ALTER TABLE perfkit.elsewhere RENAME TO slow_query_log');
ok(await($node, "SELECT outcome FROM perfkit.slow_query_log WHERE application_name = '$renamed' AND query ~ 'long'", 'running'), '... until the log is back');
ask($node, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = '$renamed' AND query ~ 'long'");
$runner->until('Z');
$runner->quit;
is(rows_of($node, $renamed), "SELECT|ok|-|1|0\nSELECT|error|22012|-|0\nSELECT|ok|-|1|0\nSELECT|cancel|57014|0|0", '... and then everything is stored');
books_ok($node, '... the books balance');

# ---- dropped: the views on it belong to the extension, which goes with them
ask($node, <<'EOF_SQL');
DO $$
DECLARE
	what text;
BEGIN
	FOR what IN SELECT relid FROM pg_partition_tree('perfkit.slow_query_log') LOOP
		EXECUTE 'ALTER EXTENSION perfkit DROP TABLE ' || what;
	END LOOP;
	DROP TABLE perfkit.slow_query_log CASCADE;
END $$
EOF_SQL
($out, $err) = run_as($node, 'dropped', "SELECT 'answered'; SELECT 1/0; SELECT 'answered again';");
is($out, "answered\nanswered again", 'the log is dropped, and the extension with it: clients are served');
ok(await($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker'}, '0'), '... the worker leaves');
is(ask($node, q{SELECT count(*) FROM pg_extension WHERE extname = 'perfkit'}), '0', '... nothing is left of it');
is($node->psql('postgres', 'CREATE EXTENSION perfkit'), 0, 'CREATE EXTENSION brings it back');
run_as($node, 'afterwards', "SELECT 'stored'");
is(stored($node, q{application_name = 'afterwards'}), '1', '... statements are stored again');
is(stored($node, q{application_name = 'dropped'}), '0', '... but not those of when there was no log');
books_ok($node, '... the books balance');

is(counter($node, 'unclean_starts'), '0', 'the server has not crashed');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal/, '... at no time');

done_testing();
