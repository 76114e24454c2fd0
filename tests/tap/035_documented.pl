# The queries of docs/coming-from.md, docs/statements.md and docs/slow-queries.md run, each of them, and give rows where
# there is something to tell.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = perfkit_node('documented', <<'EOF_CONF');
perfkit.slow_query_threshold = 0
perfkit.capture_plan = actual
EOF_CONF

# work, good and bad, in two intervals
for my $n (1, 2)
{
	run_as($node, 'app', "CREATE TABLE work$n AS SELECT i AS id, i % 100 AS a FROM generate_series(1, 1000) i;\n"
		  . "SELECT count(*) FROM work$n WHERE a = 1 AND id % 100 = 1;\n" x 12 . "SELECT 1 / 0;\nSELECT nothing;\n");
	ask($node, 'SELECT perfkit.snapshot_statements()');
}
settle($node);

# blocks(file): the SQL blocks of a page
sub blocks
{
	my ($file) = @_;

	return slurp_file("$FindBin::RealBin/../../docs/$file") =~ /^```sql\n(.*?)^```$/gms;
}

# those that tell of what happened above; others may have nothing to say
my $tells = qr/FROM perfkit\.(statements|statement_history|slow_queries ORDER|failed_queries|digest|timeline|histogram|status|slow_queries GROUP)/;
for my $file ('coming-from.md', 'statements.md', 'slow-queries.md')
{
	my @blocks = blocks($file);

	cmp_ok(scalar @blocks, '>=', 2, "$file has queries");
	for my $block (@blocks)
	{
		my ($out, $err) = ('', '');
		my ($first) = $block =~ /^(?!--)(.*)$/m;

		# a page may name what does not exist here: these are its examples' names
		$block =~ s/'other'/current_database()/g;
		$block =~ s/reset_statements\('app'\)/reset_statements(current_user)/g;
		$block =~ s/^SELECT perfkit\.reset_statements.*$//mg;
		is($node->psql('postgres', $block, stdout => \$out, stderr => \$err, on_error_stop => 1), 0, "$file: $first") or diag($err);
		next unless $file eq 'coming-from.md' && $block =~ $tells && $block !~ /blocking_pid/;
		isnt($out, '', '... and tells something');
	}
}
$node->stop;
done_testing();
