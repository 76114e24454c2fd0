# Refreshing only what has changed, against chance: views that are skipped when nothing has changed beside
# twins that never are, over tables to which anything happens. After each round every view must come to
# be its twin: a change that is missed once is missed for ever.
#
# PERFKIT_TWIN_ROUNDS: how many rounds; PERFKIT_TWIN_SEED: of a run to be repeated.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $ROUNDS = $ENV{PERFKIT_TWIN_ROUNDS} // 5;
my $SEED = $ENV{PERFKIT_TWIN_SEED} // int(rand 1_000_000);
my $SETS = 6;

srand $SEED;
note("PERFKIT_TWIN_SEED=$SEED");

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = -1
perfkit.max_refresh_workers = 8
max_worker_processes = 24
max_prepared_transactions = 20
restart_after_crash = on
EOF_CONF

# A set: a table, a partitioned one, a parent with a child, a materialized view between; and the views over them.
my %queries = (
	one => 'SELECT id, n, n || \'x\' AS t FROM plain_%d',
	all => 'SELECT id, n FROM parted_%d UNION ALL SELECT id, n FROM family_%d',
	sums => 'SELECT p.n % 10 AS id, count(*) AS c, sum(p.n) AS s FROM plain_%d p JOIN parted_%d q ON q.n % 5 = p.n % 5 GROUP BY 1',
	top => 'SELECT id, c, s FROM sums_%d WHERE s IS NOT NULL');
my @kinds = qw(one all sums top); # in the order in which they are made and refreshed

# of_set(text, set): each %d its number
sub of_set
{
	my ($text, $set) = @_;

	return $text =~ s/%d/$set/gr;
}

my $setup = '';
for my $set (1 .. $SETS)
{
	$setup .= of_set(<<'EOF_SQL', $set);
CREATE SEQUENCE ids_%d;
CREATE TABLE plain_%d (id bigint DEFAULT nextval('ids_%d'), n integer);
CREATE TABLE parted_%d (id bigint DEFAULT nextval('ids_%d'), n integer) PARTITION BY RANGE (n);
CREATE TABLE low_%d PARTITION OF parted_%d FOR VALUES FROM (0) TO (50);
CREATE TABLE high_%d PARTITION OF parted_%d FOR VALUES FROM (50) TO (100);
CREATE TABLE family_%d (id bigint DEFAULT nextval('ids_%d'), n integer);
CREATE TABLE child_%d () INHERITS (family_%d);
INSERT INTO plain_%d (n) SELECT generate_series(1, 20);
INSERT INTO parted_%d (n) SELECT generate_series(1, 99, 3);
EOF_SQL
	for my $kind (@kinds)
	{
		my $query = of_set($queries{$kind}, $set);
		my $twin = $query =~ s/sums_/sums_twin_/r;
		my $schedule = $set % 3 == 0 ? q{'on change', min_interval => '1 second'} : q{'every 1 second', skip_unchanged => true};

		$setup .= "CREATE MATERIALIZED VIEW ${kind}_$set AS $query; CREATE UNIQUE INDEX ON ${kind}_$set (id);"
			. "CREATE MATERIALIZED VIEW ${kind}_twin_$set AS $twin;"
			. "SELECT perfkit.schedule_refresh('${kind}_$set', $schedule);";
	}
}
ask($node, $setup);

# ---- what may happen: SQL for a set; what begins with "open" is done in a session of its own
my $prepared = 0;
my %detached;

sub pick
{
	return $_[ int rand @_ ];
}

sub some_table
{
	return pick('plain_%d', 'plain_%d', 'parted_%d', 'family_%d', 'child_%d');
}

sub write_something
{
	my $table = some_table();
	my $n = int rand 50;
	my $rows = 1 + int rand 30;

	return pick(
		"INSERT INTO $table (n) SELECT generate_series($n, $n + $rows);",
		"UPDATE $table SET n = (n + 1) % 100 WHERE n % 7 = " . $n % 7 . ';',
		"DELETE FROM $table WHERE n % 3 = " . $n % 3 . ';',
		"COPY $table (n) FROM STDIN;\n$n\n" . ($n + 1) . "\n\\.\n",
		"TRUNCATE $table;");
}

my @happenings = (
	sub { write_something() },
	sub { write_something() . write_something() },
	sub { 'BEGIN;' . write_something() . write_something() . 'COMMIT;' },
	sub { 'BEGIN;' . write_something() . 'ROLLBACK;' },
	sub { 'BEGIN; SAVEPOINT a;' . write_something() . 'ROLLBACK TO a;' . write_something() . 'COMMIT;' },
	sub { 'BEGIN; SAVEPOINT a;' . write_something() . 'RELEASE a; SAVEPOINT b;' . write_something() . 'ROLLBACK TO b; COMMIT;' },
	sub {
		$prepared++;
		my $end = pick('COMMIT', 'COMMIT', 'ROLLBACK');
		return "BEGIN; INSERT INTO plain_%d (n) VALUES ($prepared); PREPARE TRANSACTION 'p$prepared';" . pick('', "SELECT pg_stat_force_next_flush();") . "$end PREPARED 'p$prepared';";
	},
	sub { q{SELECT pg_stat_reset_single_table_counters('plain_%d'::regclass);} . write_something() },
	sub { 'SELECT pg_stat_reset();' . write_something() },
	sub { 'VACUUM ' . pick('', '(FULL) ', '(ANALYZE) ') . 'plain_%d;' },
	sub { 'CREATE TABLE new_%d (LIKE plain_%d INCLUDING DEFAULTS); INSERT INTO new_%d (n) VALUES (1), (2); DROP TABLE child_%d;'
			. 'ALTER TABLE new_%d INHERIT family_%d; ALTER TABLE new_%d RENAME TO child_%d;' },
	sub { pick('REFRESH MATERIALIZED VIEW sums_%d;', 'REFRESH MATERIALIZED VIEW CONCURRENTLY one_%d;', 'REFRESH MATERIALIZED VIEW all_%d WITH NO DATA;') },
	sub { 'DO $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO plain_%d (n) VALUES (i); COMMIT; END LOOP; END $$;' });

# attach or detach the upper partition of a set
sub move_partition
{
	my ($set) = @_;

	$detached{$set} = !$detached{$set};
	return $detached{$set}
		? 'ALTER TABLE parted_%d DETACH PARTITION high_%d' . pick('', ' CONCURRENTLY') . '; INSERT INTO high_%d (n) VALUES (77);'
		: 'ALTER TABLE parted_%d ATTACH PARTITION high_%d FOR VALUES FROM (50) TO (100);';
}

# While the upper partition is detached some writes fail, which are rolled back ones.
sub do_something
{
	my ($set) = @_;
	my $sql = of_set(rand() < 0.15 ? move_partition($set) : pick(@happenings)->(), $set);

	# Who would have to wait for an open transaction of the test's gives up, which is one more way to fail.
	local $ENV{PGOPTIONS} = '-c perfkit.track=none -c lock_timeout=100ms';
	$node->psql('postgres', $sql, on_error_stop => 0);
	note("set $set: $sql");
	return;
}

# prepare_something(set), finish_prepared(): a prepared transaction that is still there when the round is over
my @open;

sub prepare_something
{
	my ($set) = @_;

	$prepared++;
	ask($node, of_set("BEGIN; INSERT INTO plain_%d (n) VALUES ($prepared); PREPARE TRANSACTION 'q$prepared'", $set));
	push @open, "q$prepared";
	note("set $set: prepared q$prepared");
	return;
}

sub finish_prepared
{
	ask($node, pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED '$_'") for splice @open;
	return;
}

# come_to_be_twins(test name): the twins are refreshed, and the views become the same by themselves
sub come_to_be_twins
{
	my ($name) = @_;
	my @pairs = map { my $set = $_; map { [ "${_}_$set", "${_}_twin_$set" ] } @kinds } 1 .. $SETS;
	my $different = join ' UNION ALL ',
		map { "(SELECT '$_->[0]' AS v FROM ((TABLE $_->[0] EXCEPT ALL TABLE $_->[1]) UNION ALL (TABLE $_->[1] EXCEPT ALL TABLE $_->[0])) d)" } @pairs;
	my $unfilled = q{SELECT count(*) FROM pg_class WHERE relkind = 'm' AND NOT relispopulated};

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ask($node, join '', map { "REFRESH MATERIALIZED VIEW $_->[1];" } @pairs);
	await($node, $unfilled, '0', 'postgres', 90) or return fail("$name: filled again");
	return ok(await($node, "SELECT count(DISTINCT v) FROM ($different) v", '0', 'postgres', 90), $name)
		|| diag("PERFKIT_TWIN_SEED=$SEED ", ask($node, "SELECT DISTINCT v FROM ($different) v"));
}

# crash(): a backend is killed, and with it the memory that statistics live in
sub crash
{
	my $worker = q{pg_stat_activity WHERE backend_type = 'perfkit worker'};
	my $pid;

	await($node, "SELECT count(*) FROM $worker", '1');
	$pid = ask($node, "SELECT pid FROM $worker");
	kill 'KILL', $pid;
	await($node, "SELECT count(*) FROM $worker AND pid <> $pid", '1');
	return;
}

# ---- at rest, all are skipped
come_to_be_twins('to begin with');
my $skipped = q{SELECT count(DISTINCT view) FROM perfkit.refresh_log WHERE status = 'skipped_unchanged'};
ok(await($node, $skipped, @kinds * ($SETS - int($SETS / 3))), 'where nothing happens, all that may be are skipped') or diag(ask($node, $skipped));

for my $round (1 .. $ROUNDS)
{
	my $long = do { local $ENV{PGOPTIONS} = '-c perfkit.track=none'; $node->background_psql('postgres', on_error_stop => 0); };

	$long->query_safe(of_set('BEGIN; INSERT INTO plain_%d (n) VALUES (5)', 1 + int rand $SETS)) if rand() < 0.5;
	for my $set (1 .. $SETS)
	{
		do_something($set) for 1 .. int rand 3;
	}
	finish_prepared();
	prepare_something(1 + int rand $SETS) if rand() < 0.4;
	crash() if $round == int(($ROUNDS + 1) / 2) || rand() < 0.05;
	eval { $long->query(pick('COMMIT', 'ROLLBACK')); $long->quit };
	come_to_be_twins("round $round");
}
finish_prepared();
come_to_be_twins('prepared transactions are ended');

# ---- numbers that come back to where they were: load n rows, refresh, crash, load n again
ask($node, 'TRUNCATE plain_1; INSERT INTO plain_1 (n) SELECT generate_series(1, 100)');
come_to_be_twins('100 rows');
my $file = ask($node, q{SELECT relfilenode FROM pg_class WHERE relname = 'plain_1'});
crash();
ask($node, 'INSERT INTO plain_1 (n) SELECT generate_series(1, 100)');
come_to_be_twins('... a crash, and 100 rows again');
is(ask($node, q{SELECT count(*) FROM one_1}), '200', '... are 200');
is(ask($node, q{SELECT relfilenode FROM pg_class WHERE relname = 'plain_1'}), $file, '... in the same file');

$node->stop;
done_testing();
