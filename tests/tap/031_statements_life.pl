# Statement statistics through the life of a server: backends that exit or die, restarts, crashes, a damaged
# file, a table too small for the statements, DROP EXTENSION and DROP DATABASE, a standby.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = perfkit_node('life', <<'EOF_CONF', init => { allows_streaming => 1 });
perfkit.slow_query_threshold = -1
perfkit.max_statements = 64
perfkit.statement_text_size = 64kB
restart_after_crash = on
EOF_CONF

# Only readers and backends themselves merge: the worker is far away.
$node->append_conf('postgresql.conf', q{perfkit.flush_interval = '1h'});
$node->reload;

# calls_of(query, node, database): calls|errors of a text, or '' if it has none
sub calls_of
{
	my ($query, $on, $database) = @_;

	return ask($on // $node, "SELECT calls || '|' || errors FROM perfkit.statements WHERE query = \$q\$$query\$q\$", $database);
}

sub repeated
{
	my ($sql, $times) = @_;

	return join('', map { "$sql;\n" } 1 .. $times);
}

# ---- backends that live, exit, are terminated
my $c = PerfkitWire->new($node, 'postgres');
$c->query(q{SELECT 'living'}) for 1 .. 7;
is(calls_of('SELECT $1'), '7|0', 'what a backend has counted is there while it lives');
$c->query(q{SELECT 'living'}) for 1 .. 3;
$c->quit;
is(calls_of('SELECT $1'), '10|0', '... and after it has gone');
$c = PerfkitWire->new($node, 'postgres', application_name => 'victim');
$c->query('SELECT 1, 2') for 1 .. 5;
$c->send(Query => "SELECT pg_sleep(600), 3\0");
ok(await($node, q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim' AND wait_event = 'PgSleep'}, '1'), 'a statement runs');
ask($node, q{SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = 'victim'});
is(calls_of('SELECT $1, $2'), '5|0', 'a terminated backend has lost nothing');
is(calls_of('SELECT pg_sleep($1), $2'), '0|1', '... and what it was ended in has failed');

# a thousand backends one after the other use the same sheets
run_as($node, 'x', q{SELECT 1, 2, 3}) for 1 .. 20;
is(calls_of('SELECT $1, $2, $3'), '20|0', 'backends that come and go');

# ---- reset: by statement, by user, of everything; what backends have not merged yet goes too
$node->safe_psql('postgres', 'CREATE ROLE bob SUPERUSER LOGIN');
$c = PerfkitWire->new($node, 'postgres');
my $bob = PerfkitWire->new($node, 'postgres', user => 'bob');
$_->query('SELECT 1, 2') for $c, $bob;
$_->query('SELECT 1, 2, 3') for $c, $bob;
my $id = ask($node, q{SELECT DISTINCT queryid FROM perfkit.statements WHERE query = 'SELECT $1, $2'});
$_->query('SELECT 1, 2') for $c, $bob;
ask($node, "SELECT perfkit.reset_statements(queryid => $id)");
is(calls_of('SELECT $1, $2'), '', 'one statement is reset');
is(ask($node, q{SELECT sum(calls) FROM perfkit.statements WHERE query = 'SELECT $1, $2, $3'}), '22', '... and no other');
$_->query('SELECT 1, 2') for $c, $bob, $bob;
is(ask($node, q{SELECT username <> 'bob', calls FROM perfkit.statements WHERE query = 'SELECT $1, $2' ORDER BY calls}), "t|1\nf|2", '... which counts anew, with its text');
ask($node, q{SELECT perfkit.reset_statements('bob')});
is(ask($node, q{SELECT count(*) FROM perfkit.statements WHERE username = 'bob'}), '0', 'a role is reset');
is(calls_of('SELECT $1, $2'), '1|0', '... and no other');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION perfkit');
run_as($node, 'x', 'SELECT 1, 2', 'other');
is(calls_of('SELECT $1, $2', $node, 'other'), '1|0', 'another database has statistics of its own');
ask($node, 'SELECT perfkit.reset_statements()');
is(ask($node, q{SELECT count(*) FROM perfkit.statements}), '0', 'a database is reset');
is(calls_of('SELECT $1, $2', $node, 'other'), '1|0', '... and no other');
ask($node, q{SELECT perfkit.reset_statements(database => 'other')});
is(calls_of('SELECT $1, $2', $node, 'other'), '', '... unless it is named');
isnt($node->psql('postgres', q{SELECT perfkit.reset_statements('nobody there')}), 0, 'a role that does not exist is an error');
$_->quit for $c, $bob;

# ---- more statements than there is room for on a sheet, in the table, and for texts
my %columns = map { $_ => join(', ', 1 .. $_) } 1 .. 60;
$c = PerfkitWire->new($node, 'postgres');
for (1 .. 3)
{
	# in one message, so that the worker has no time to merge them before
	$c->query(join(';', map { "SELECT $columns{$_}" } 1 .. 50));
}
is( ask($node, q{SELECT count(*), min(calls), max(calls) FROM perfkit.statements WHERE query LIKE 'SELECT $1%'}),
	'50|3|3', 'fifty statements of one backend');
cmp_ok(counter($node, 'statement_merges_by_need'), '>=', 3, '... which had to merge by itself');
is(counter($node, 'statements_evicted'), '0', '... without anything given up');
$c->query("SELECT 'often', 1, 2 AS a") for 1 .. 500;
is(calls_of('SELECT $1, $2, $3 AS a'), '500|0', 'one is executed often');
$node->safe_psql('postgres', join('', map { "CREATE TABLE t$_ ();" } 1 .. 150));
$c->query("SELECT FROM t$_") for 1 .. 150;
cmp_ok(counter($node, 'statements_evicted'), '>', 100, 'a table that is full gives up statements');
is(calls_of('SELECT $1, $2, $3 AS a'), '500|0', '... those used least');
cmp_ok(counter($node, 'statements'), '<=', 64, '... and stays as large as it is');
$c->quit;
ask($node, 'SELECT perfkit.reset_statements()');
ask($node, q{SELECT perfkit.reset_statements(database => 'other')});
is(counter($node, 'statement_text_bytes') <= 1024, 1, 'texts give their room back');
run_as($node, 'x', "SELECT '" . 'x' x 1000 . "' AS \"" . 'y' x 50 . "\", " . join(', ', map { "count(*) AS \"column number $_ of this long list\"" } 1 .. 400) . " FROM t$_") for 1 .. 10;
cmp_ok(counter($node, 'statement_texts_refused'), '>', 0, 'texts that find no room are counted');
is( ask($node, q{SELECT count(*), count(query) < count(*) FROM perfkit.statements WHERE calls = 1 AND rows = 1 AND query IS DISTINCT FROM 'x' AND shared_blks_hit >= 0 AND (query IS NULL OR query LIKE '%column number%')}),
	'10|t', '... and their statements are, without them');
is(counter($node, 'statements_lost'), '0', 'no execution was lost');
ask($node, 'SELECT perfkit.reset_statements()');

# ---- restarts
run_as($node, 'x', repeated('SELECT 1, 2', 40) . 'SELECT 1/0;');
my $KEPT = q{SELECT queryid, query, calls, errors, total_exec_time, min_exec_time, max_exec_time, stddev_exec_time, p50_exec_time, p99_exec_time, rows, stats_since
	FROM perfkit.statements WHERE query IN ('SELECT $1, $2', 'SELECT $1/$2') ORDER BY query};
my $kept = ask($node, $KEPT);
$node->restart;
is(ask($node, $KEPT), $kept, 'a clean restart keeps everything');
run_as($node, 'x', 'SELECT 1, 2;');
is(calls_of('SELECT $1, $2'), '41|0', '... and counting goes on');
$c = PerfkitWire->new($node, 'postgres');
$c->query('SELECT 1, 2') for 1 .. 9;
$node->restart;
is(calls_of('SELECT $1, $2'), '50|0', '... with what a backend has not merged when it is sent away');
$c = PerfkitWire->new($node, 'postgres', application_name => 'killed');
$c->query('SELECT 1, 2');
kill 'KILL', ask($node, q{SELECT pid FROM pg_stat_activity WHERE application_name = 'killed'});
ok(await($node, q{SELECT count(*) FROM perfkit.statements WHERE query = 'SELECT $1, $2'}, '0'), 'a crash begins anew');
run_as($node, 'x', 'SELECT 1, 2;');
is(calls_of('SELECT $1, $2'), '1|0', '... and counting goes on');
$node->stop('immediate');
$node->start;
is(calls_of('SELECT $1, $2'), '', 'so does an immediate stop');

# ---- a file that cannot be trusted
run_as($node, 'x', 'SELECT 1, 2;');
$node->stop('fast');
my $file = $node->data_dir . '/pg_stat/perfkit.statements';
my $content = slurp_file($file);
substr($content, length($content) / 2, 1) ^= "\x01";
open(my $out, '>:raw', $file) or die "$file: $!";
print $out $content;
close $out;
my $offset = log_at($node);
$node->start;
like(slurp_file($node->logfile, $offset), qr/WARNING: +perfkit: file "\S+statements" is damaged/, 'a damaged file is named in the log');
ok(-s "$file.bad", '... and kept');
is(calls_of('SELECT $1, $2'), '', '... and not believed');
$node->append_conf('postgresql.conf', 'perfkit.max_statements = 16');
run_as($node, 'x', join('', map { "SELECT $columns{$_};" } 1 .. 40));
$node->restart;
is(counter($node, 'statements'), '16', 'a smaller table takes what it can');

# ---- off
run_as($node, 'x', 'SET perfkit.track_statements = off; SELECT 1, 2, 3; SELECT 1/0;');
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET perfkit.track_statements = off');
run_as($node, 'x', repeated('SELECT now(), 1', 5));
is(calls_of('SELECT now(), $1'), '', 'what is not tracked is not counted');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET perfkit.track_statements');
$node->append_conf('postgresql.conf', "perfkit.max_statements = 1000\nperfkit.flush_interval = '50ms'\ncompute_query_id = off");
$node->restart;
run_as($node, 'x', 'SELECT now(), 1;');
is(calls_of('SELECT now(), $1'), '', 'without query ids nothing is');
like(ask($node, q{SELECT detail FROM perfkit.status WHERE name = 'configuration_warnings'}), qr/compute_query_id is off.*not counted/, '... and status says so');
$node->append_conf('postgresql.conf', 'compute_query_id = auto');
$node->restart;

# ---- the worker merges
$c = PerfkitWire->new($node, 'postgres');
$c->query('SELECT now(), 1');
my $merges = counter($node, 'statement_merges');
$c->query('SELECT now(), 1');
ok(await($node, "SELECT value > $merges FROM perfkit.status WHERE name = 'statement_merges'"), 'the worker merges what nobody reads');
is(calls_of('SELECT now(), $1'), '2|0', '... and it is still there');
$c->quit;

# ---- the extension or the database goes
run_as($node, 'x', 'SELECT now(), 1', 'other');
my $had = counter($node, 'statements');
$node->safe_psql('other', 'DROP EXTENSION perfkit');
ok(await($node, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = 'other'}, '0'), 'the worker goes with the extension');
ok(await($node, "SELECT value < $had FROM perfkit.status WHERE name = 'statements'"), '... and its statements');
$node->safe_psql('other', 'CREATE EXTENSION perfkit');
is(calls_of('SELECT now(), $1', $node, 'other'), '', '... of which there are none when it is made again');
run_as($node, 'x', join('', map { "SELECT $columns{$_};" } 1 .. 9), 'other');
ok(await($node, 'SELECT count(*) >= 9 FROM perfkit.statements', 't', 'other'), '... which begin anew');
my $all = counter($node, 'statements');
$node->safe_psql('postgres', 'DROP DATABASE other');
ok(await($node, "SELECT value < $all FROM perfkit.status WHERE name = 'statements'"), 'a database that is dropped takes its statements along');

# ---- a standby has its own
my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('base');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is(calls_of('SELECT now(), $1', $standby), '', 'a standby begins without the statistics of the primary');
run_as($standby, 'x', repeated('SELECT now(), 1', 4));
is(calls_of('SELECT now(), $1', $standby), '4|0', '... and counts its own, with their text');
$standby->restart;
is(calls_of('SELECT now(), $1', $standby), '4|0', '... across a restart');
$standby->promote;
run_as($standby, 'x', 'SELECT now(), 1');
is(calls_of('SELECT now(), $1', $standby), '5|0', '... and promotion');
$standby->stop;
$node->stop;

done_testing();
