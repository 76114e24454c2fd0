# pg_upgrade of a cluster whose databases have the extension: no worker gets in the way, log and
# settings are there afterwards, and the workers come back.
#
# The new cluster is of the same version, which takes the same way through pg_dump --binary-upgrade; unless
# PERFKIT_OLD_INSTALL names the installation of an older version with perfkit in it (as tools/pgtree.sh makes
# it), whose cluster is then upgraded. PERFKIT_OLD_LIBRARIES: the libraries it needs and the system has not.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $install = $ENV{PERFKIT_OLD_INSTALL};
local $ENV{LD_LIBRARY_PATH} = $ENV{PERFKIT_OLD_LIBRARIES} if $ENV{PERFKIT_OLD_LIBRARIES};

# new_cluster(name, old cluster): to upgrade that to
sub new_cluster
{
	my ($name, $old) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name);

	# Since 18 initdb takes checksums for granted; both sides must have them or neither.
	my @sums = $old->pg_version < 18 && $new->pg_version >= 18 ? '--no-data-checksums' : ();
	$new->init(extra => [ '--encoding=UTF8', '--locale=C', @sums ]);
	return $new;
}

# pg_upgrade(old, new): the command
sub pg_upgrade
{
	my ($old, $new) = @_;
	my ($old_bindir, $bindir) = map { $_->config_data('--bindir') } $old, $new;

	chomp($old_bindir, $bindir);
	chdir $new->basedir or die "chdir: $!";
	return (
		'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old_bindir, '-B', $bindir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port);
}

# Can these two at all? A minor version may write catalogs that an older one of the next major cannot read; then
# the same version has to do.
if (defined $install)
{
	my $plain = PostgreSQL::Test::Cluster->new('plain', install_path => $install);

	$plain->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$plain->start;
	$plain->safe_psql('postgres', 'CREATE TABLE t (i int)');
	$plain->stop;
	my $upgraded = new_cluster('upgraded', $plain);
	unless (run_log([ pg_upgrade($plain, $upgraded) ]))
	{
		diag('pg_upgrade from ' . $plain->pg_version . ' to ' . $upgraded->pg_version . ' fails for a plain table, without perfkit');
		$install = undef;
		delete $ENV{LD_LIBRARY_PATH};
	}
}

my $old = perfkit_node('old', <<'EOF_CONF', install_path => $install);
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
EOF_CONF

$old->safe_psql('postgres', 'CREATE DATABASE second');
$old->safe_psql('second', 'CREATE EXTENSION perfkit');
run_as($old, 'old', "SELECT 'before'", $_) for qw(postgres second);
is(stored($old, q{application_name = 'old'}, $_), '1', "$_ has rows") for qw(postgres second);
ask($old, <<'EOF_SQL', $_) for qw(postgres second);
CREATE TABLE base AS SELECT 1 AS n;
CREATE MATERIALIZED VIEW refreshed AS SELECT n FROM base;
CREATE UNIQUE INDEX ON refreshed (n);
SELECT perfkit.schedule_refresh('refreshed', '@yearly', timezone => 'Europe/Berlin'),
	perfkit.schedule_refresh('refreshed', 'every 1 second', timezone => 'Europe/Berlin', skip_unchanged => true, priority => 7);
EOF_SQL
my $SCHEDULE = q{SELECT schedule_id, view_schema, view_name, schedule, timezone, skip_unchanged, max_staleness, priority, changed_at FROM perfkit.refresh_schedule};
my %schedules = map { $_ => ask($old, $SCHEDULE, $_) } qw(postgres second);
ok( await($old, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker'}, '2'),
	'both databases have workers');
$old->stop; # which may end a run
my $stopped = time;

my $new = new_cluster('new', $old);
$new->append_conf('postgresql.conf', <<'EOF_CONF');
shared_preload_libraries = 'perfkit'
max_worker_processes = 16
log_statement = none
perfkit.flush_interval = '50ms'
perfkit.slow_query_threshold = 0
EOF_CONF

command_ok([ pg_upgrade($old, $new) ], 'pg_upgrade with the library preloaded on both sides');
$new->start;
for my $database (qw(postgres second))
{
	is( ask($new, q{SELECT count(*) FROM perfkit.slow_query_log WHERE application_name = 'old'}, $database),
		'1', "$database: the rows are there");
	ok( await($new, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'perfkit worker' AND datname = '$database'", '1'),
		'... and a worker');
	run_as($new, 'new', "SELECT 'after'", $database);
	is(stored($new, q{application_name = 'new'}, $database), '1', '... that stores');
	is(ask($new, $SCHEDULE, $database), $schedules{$database}, '... schedules of materialized views are there');
	is( ask($new, "SELECT count(*) FROM perfkit.refresh_log WHERE status IN ('failed', 'timeout', 'cancelled', 'crashed') AND started_at > to_timestamp($stopped)", $database),
		'0', '... no run failed meanwhile')
	  or diag("stopped at $stopped: " . ask($new, q{SELECT string_agg(refresh_log::text, ' ') FROM perfkit.refresh_log WHERE status NOT IN ('success', 'skipped_unchanged')}, $database));
	ask($new, 'UPDATE base SET n = 2', $database);
	ok(await($new, 'SELECT n FROM refreshed', '2', $database), '... and hold');
	books_ok($new, '... the books balance', $database);
	is(counter($new, 'flush_errors', $database), '0', '... without an error');
	is( ask($new, q{SELECT count(*) FROM pg_inherits i WHERE inhparent = 'perfkit.slow_query_log'::regclass AND NOT EXISTS
			(SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.inhrelid AND d.deptype = 'e')}, $database),
		'0', '... the days still belong to the extension');
}
is($new->psql('second', 'DROP EXTENSION perfkit'), 0, 'DROP EXTENSION works there');
$new->stop;

done_testing();
