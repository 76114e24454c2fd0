# The daily partitions: made ahead, dropped by age, never in the way of readers, made again when
# missing; and a worker that works whatever the database's settings and its DBA's views are.
#
# The worker looks after partitions when it starts and every minute. Where the test wants it now, it
# sends the worker away and lets a new one come.
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
perfkit.slow_query_retention = '2 d'
perfkit.performance_retention = 0
EOF_CONF

my $WORKER = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = current_database()};

# new_worker(database): waits until one has come that was not there before
sub new_worker
{
	my ($database) = @_;
	my $pid = ask($node, $WORKER, $database);

	ask($node, "SELECT pg_terminate_backend($pid)", $database);
	return await($node, "SELECT pid <> $pid FROM ($WORKER) w", 't', $database);
}

# name_of(table, days from now), as the server's clock and UTC have it
sub name_of
{
	my ($table, $day) = @_;

	return ask($node, "SELECT '${table}_' || to_char((now() AT TIME ZONE 'UTC')::date + $day, 'YYYYMMDD')");
}

# partitions_of(table, database): their names
sub partitions_of
{
	my ($table, $database) = @_;

	return ask($node, "SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text)
		FROM pg_inherits WHERE inhparent = 'perfkit.$table'::regclass", $database);
}

# add_day(table, days from now): a partition as the worker would have made it then, with a row
sub add_day
{
	my ($table, $day) = @_;
	my $name = name_of($table, $day);
	my ($from, $to) = map { ask($node, "SELECT to_char((now() AT TIME ZONE 'UTC')::date + $_, 'YYYY-MM-DD')") } $day, $day + 1;

	ask($node, "CREATE TABLE perfkit.$name (LIKE perfkit.$table INCLUDING ALL);
		ALTER EXTENSION perfkit ADD TABLE perfkit.$name;
		ALTER TABLE perfkit.$table ATTACH PARTITION perfkit.$name FOR VALUES FROM ('$from 00:00+00') TO ('$to 00:00+00')");
	if ($table eq 'slow_query_log')
	{
		ask($node, "INSERT INTO perfkit.$name (id, started_at, duration_ms, nesting_level, database, pid, outcome, reason, userid, boot, sequence)
			VALUES (1, '$from 12:00+00', 1, 0, 'postgres', 1, 'ok', 'threshold', 10, 1, 1)");
	}
	return $name;
}

# drop_day(name): as a DBA who wants the room would
sub drop_day
{
	my ($name) = @_;

	ask($node, "ALTER EXTENSION perfkit DROP TABLE perfkit.$name; DROP TABLE perfkit.$name");
	return;
}

# has(name): SQL
sub has
{
	my ($name) = @_;

	return "SELECT to_regclass('perfkit.$name') IS NOT NULL";
}

# stores(test name, database): a statement of now gets its row
sub stores
{
	my ($name, $database) = @_;
	my $marker = 'mark_' . int(rand(1e9));

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	run_as($node, 'stores', "SELECT '$marker'", $database);
	is(stored($node, "query = 'SELECT ''$marker'''", $database), '1', $name);
	return;
}

# ---- made ahead
for my $table (qw(slow_query_log performance_log))
{
	is(partitions_of($table), join(' ', map { 'perfkit.' . name_of($table, $_) } 0, 1), "$table has today and tomorrow");
}
is( ask($node, q{SELECT count(*) FROM pg_inherits i JOIN pg_depend d ON d.classid = 'pg_class'::regclass
		AND d.objid = i.inhrelid AND d.deptype = 'e' WHERE inhparent::regclass::text LIKE 'perfkit.%log'}),
	'4', '... which belong to the extension');
drop_day(name_of($_, 1)) for qw(slow_query_log performance_log);
ok(new_worker(), 'a new worker comes');
ok(await($node, has(name_of($_, 1))), "... and makes tomorrow's partition of $_ again") for qw(slow_query_log performance_log);
is( ask($node, q{SELECT count(*) FROM pg_inherits i JOIN pg_depend d ON d.classid = 'pg_class'::regclass
		AND d.objid = i.inhrelid AND d.deptype = 'e' WHERE inhparent::regclass::text LIKE 'perfkit.%log'}),
	'4', '... which belong to the extension too');
is( ask($node, q{SELECT count(DISTINCT substring(pg_get_indexdef(indexrelid) FROM 'USING.*')) FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indrelid
		WHERE h.inhparent = 'perfkit.slow_query_log'::regclass}),
	ask($node, q{SELECT count(*) FROM pg_index WHERE indrelid = 'perfkit.slow_query_log'::regclass}),
	'... and have the same indexes');

# ---- a day that is missing when its row comes
drop_day(name_of('slow_query_log', 0));
stores("today's partition is missing: it is made again, and no row is lost");
is(counter($node, 'dropped_invalid'), '0', '... no row was thrown away');
books_ok($node, '... the books balance');

# ---- retention
add_day('slow_query_log', $_) for -5 .. -1;
add_day('performance_log', -5);
$node->safe_psql('postgres', 'CREATE TABLE perfkit.slow_query_log_notes (x int); CREATE TABLE perfkit.slow_query_log_20010101 (x int)');
ok(new_worker(), 'retention: a new worker comes');
ok( await(
		$node, "SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text)
		FROM pg_inherits WHERE inhparent = 'perfkit.slow_query_log'::regclass",
		join(' ', map { 'perfkit.' . name_of('slow_query_log', $_) } -2 .. 1)),
	'... days whose every row is older than two days are dropped');
is(ask($node, has(name_of('performance_log', -5))), 't', '... a retention of 0 keeps everything');
is(ask($node, 'SELECT count(*) FROM perfkit.slow_query_log_notes, perfkit.slow_query_log_20010101'), '0',
	'... tables that are no partitions are left alone');
is(counter($node, 'retention_blocked'), '0', '... nothing was in the way');
stores('... and rows are stored');

# ---- a reader of the table
my $old = add_day('slow_query_log', -5);
my $older = add_day('slow_query_log', -6);
my $reader = do
{
	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	$node->background_psql('postgres');
};
$reader->query_safe('BEGIN; SELECT count(*) FROM perfkit.slow_query_log;');
ok(new_worker(), 'a reader in an open transaction: a new worker comes');
ok(await($node, q{SELECT value > 0 FROM perfkit.status WHERE name = 'retention_blocked'}), '... it cannot drop, and counts that');
is(ask($node, q{SELECT count(*) FROM pg_locks WHERE NOT granted}), '0', '... but does not queue for the lock');
stores('... rows are stored meanwhile');
is($reader->query_safe('SELECT count(*) > 0 FROM perfkit.slow_query_log'), 't', '... the reader reads on');
is(ask($node, has($old)), 't', '... the old day is still there');
$reader->query_safe('COMMIT');

# ---- a reader of one old partition only
$reader->query_safe("BEGIN; SELECT count(*) FROM perfkit.$old;");
ok(new_worker(), 'a reader of one old day: a new worker comes');
ok(await($node, has($older), 'f'), '... the other old day is dropped');
is(ask($node, has($old)), 't', '... that one is kept');
stores('... rows are stored meanwhile');
$reader->query_safe('COMMIT');
ok(new_worker(), '... when it has gone, a new worker comes');
ok(await($node, has($old), 'f'), '... and the day goes');
is(counter($node, 'flush_errors'), '0', '... all without an error');

# ---- a writer that locks the table
$reader->query_safe('BEGIN; LOCK TABLE perfkit.slow_query_log IN SHARE MODE;');
run_as($node, 'locked', 'SELECT 1');
is(ask($node, "SELECT count(*) FROM perfkit.slow_query_log WHERE application_name = 'locked'"), '0', 'a lock on the table: its rows wait');
$reader->query_safe('COMMIT');
is(stored($node, q{application_name = 'locked'}), '1', '... and are stored when it is gone');
books_ok($node, '... the books balance');
$reader->quit;

# ---- what keeps an old day from being dropped does not keep new rows out
$old = add_day('slow_query_log', -7);
ask($node, "CREATE VIEW dba AS SELECT * FROM perfkit.$old");
ok(new_worker(), 'a view on an old day: a new worker comes');
ok(await($node, q{SELECT sum(value) > 0 FROM perfkit.status WHERE name IN ('retention_blocked', 'flush_errors')}),
	'... it cannot drop that day, and counts that');
stores('... but rows are stored');
ask($node, 'DROP VIEW dba');
ok(new_worker(), '... when the view has gone, a new worker comes');
ok(await($node, has($old), 'f'), '... and the day goes');
stores('... and rows are stored');

# ---- a database with settings of its own
$node->safe_psql('postgres', <<'EOF_SQL');
CREATE DATABASE odd;
ALTER DATABASE odd SET timezone = 'Pacific/Kiritimati';
ALTER DATABASE odd SET datestyle = 'SQL, DMY';
ALTER DATABASE odd SET search_path = '';
ALTER DATABASE odd SET default_transaction_isolation = 'serializable';
ALTER DATABASE odd SET default_transaction_read_only = on;
ALTER DATABASE odd SET lock_timeout = '1ms';
ALTER DATABASE odd SET statement_timeout = '1min';
ALTER DATABASE odd SET standard_conforming_strings = off;
ALTER DATABASE odd SET client_encoding = 'LATIN1';
ALTER DATABASE odd SET row_security = off;
ALTER DATABASE odd SET check_function_bodies = off;
ALTER DATABASE odd SET default_tablespace = 'pg_default';
EOF_SQL
# that lock_timeout is for the worker, not for who asks here
$node->safe_psql('odd', 'SET lock_timeout = 0; SET default_transaction_read_only = off; BEGIN READ WRITE; CREATE EXTENSION perfkit; COMMIT;');
is( ask($node, q{SET lock_timeout = 0; BEGIN READ WRITE; DROP EXTENSION perfkit; CREATE EXTENSION perfkit; SHOW default_tablespace; COMMIT;}, 'odd'),
	'pg_default', 'CREATE EXTENSION leaves default_tablespace as it was');
stores('a database with odd settings: rows are stored', 'odd');
is( ask($node, q{SET timezone = 'UTC'; SET datestyle = 'ISO'; SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
		WHERE inhparent = 'perfkit.slow_query_log'::pg_catalog.regclass AND strpos(pg_get_expr(relpartbound, c.oid),
			'FROM (''' || to_char(to_date(right(relname, 8), 'YYYYMMDD'), 'YYYY-MM-DD 00:00:00+00')) > 0}, 'odd'),
	'2', '... the days are days in UTC');
$node->safe_psql('odd', "SET lock_timeout = 0; BEGIN READ WRITE; SELECT perfkit.log_metric('queue_length', 1); COMMIT;");
is(ask($node, 'SELECT count(*) FROM perfkit.performance_log', 'odd'), '1', '... log_metric works');
is(counter($node, 'flush_errors', 'odd'), '0', '... without an error');
books_ok($node, '... the books balance', 'odd');
$node->stop;

# ---- no worker for days: the two launchers take the only processes
$node = perfkit_node('alone', <<'EOF_CONF');
max_worker_processes = 2
allow_in_place_tablespaces = on
perfkit.slow_query_threshold = 0
EOF_CONF
ok(await($node, q{SELECT value FROM perfkit.status WHERE name = 'waiting_for_worker'}, '1'), 'there is no worker');
drop_day(name_of('performance_log', $_)) for 0, 1;
$node->safe_psql('postgres', "CREATE ROLE app; CREATE TABLESPACE elsewhere LOCATION ''; GRANT CREATE ON TABLESPACE elsewhere TO app");
my $first = $node->background_psql('postgres');
$first->query_safe(q{SET ROLE app; SET default_tablespace = 'elsewhere'; BEGIN; SELECT perfkit.log_metric('queue_length', 1);});
is($first->query_safe('SHOW default_tablespace'), 'elsewhere', 'log_metric makes the missing day, and leaves settings as they were');
my $second = $node->background_psql('postgres');
$second->query_until(qr/asked/, "\\echo asked\nSET application_name = 'second'; SELECT perfkit.log_metric('queue_length', 2);\n");
ok( await($node, q{SELECT wait_event_type FROM pg_stat_activity WHERE application_name = 'second'}, 'Lock'),
	'... another first one waits for its end');
$first->query_safe('COMMIT');
$second->query_safe('SELECT 1');
is(ask($node, q{SELECT string_agg(value::text, ' ' ORDER BY value) FROM perfkit.performance_log}), '1 2', '... and both are stored');
is(partitions_of('performance_log'), 'perfkit.' . name_of('performance_log', 0), '... in the partition of the day');
is( ask($node, q{SELECT relowner = 10 AND reltablespace = 0 AND EXISTS (SELECT FROM pg_depend d
		WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'perfkit.performance_log'::regclass}),
	't', '... which belongs to the extension, not to the caller');
my ($out, $err) = run_as($node, 'app', q{SET ROLE app; SELECT 1 FROM perfkit.performance_log});
like($err, qr/permission denied/, '... and who cannot read it');
$_->quit for $first, $second;
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
stores('with a worker again rows are stored');
is(partitions_of('performance_log'), join(' ', map { 'perfkit.' . name_of('performance_log', $_) } 0, 1), '... and it goes on from there');
is(counter($node, 'flush_errors'), '0', '... without an error');
$node->stop;

done_testing();
