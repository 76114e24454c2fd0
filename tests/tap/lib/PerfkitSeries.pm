# PerfkitSeries - what performance_log says of a stretch of time, against what happened.
#
# A stretch begins and ends at a sample that has seen no statement, so that no work is cut in two.
package PerfkitSeries;

use strict;
use warnings;

use Exporter 'import';
use PerfkitTest;
use Test::More;

our @EXPORT = qw(at_rest happened close_to quantiles_ok rollups_ok);

# at_rest(node, database): waits for a sample of no statement, taken from now on; its time
sub at_rest
{
	my ($node, $database) = @_;
	my $from = ask($node, 'SELECT clock_timestamp()', $database);

	await($node, "SELECT count(*) > 0 FROM perfkit.performance_log WHERE metric = 'statements_per_second' AND value = 0 AND logged_at > '$from'",
		't', $database);
	return ask($node, "SELECT max(logged_at) FROM perfkit.performance_log WHERE metric = 'statements_per_second' AND value = 0 AND logged_at > '$from'",
		$database);
}

# happened(node, metric, from, to): the integral of its rate, from sample to sample
sub happened
{
	my ($node, $metric, $from, $to) = @_;

	return ask($node, "SELECT round(sum(value * extract(epoch FROM logged_at - before))) FROM (
		SELECT value, logged_at, lag(logged_at) OVER (ORDER BY logged_at) AS before FROM perfkit.performance_log
		WHERE metric = '$metric' AND logged_at BETWEEN '$from' AND '$to') r");
}

# close_to(got, expected, share, name)
sub close_to
{
	my ($got, $expected, $share, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	note("$name: got $got, expected $expected");
	ok(abs($got - $expected) <= $share * abs($expected), $name) or diag("got $got, expected $expected");
	return;
}

# quantiles_ok(node, from, to, ran): those of the histograms, against the durations; `ran` is FROM the rows of the
# statements that succeeded meanwhile
sub quantiles_ok
{
	my ($node, $from, $to, $ran) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $q (0.5, 0.95, 0.99)
	{
		close_to(
			ask($node, "SELECT perfkit._histogram_quantile(perfkit._histogram_sum(histogram), $q) / 1000 FROM perfkit.performance_log
				WHERE metric = 'statement_seconds' AND logged_at > '$from' AND logged_at <= '$to'"),
			ask($node, "SELECT percentile_disc($q) WITHIN GROUP (ORDER BY execution_ms) / 1000 $ran"),
			0.05, "quantile $q: within 5 % of that of the durations themselves");
	}
	return;
}

# rollups_ok(node, name): all that has been rolled up is as the rows themselves have it
sub rollups_ok
{
	my ($node, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ask($node, 'SELECT perfkit._roll_up()');
	is( ask($node, q{
			WITH direct AS (
				SELECT date_trunc(s.name, logged_at, 'UTC') AS bucket, s.step, source, metric, labels, count(*) AS n,
					sum(value), min(value), max(value), (array_agg(value ORDER BY logged_at DESC))[1] AS last,
					NULLIF(perfkit._histogram_sum(histogram), '{}') AS histogram
				FROM perfkit.performance_log, (VALUES ('minute', interval '1 minute'), ('hour', interval '1 hour')) s(name, step)
				WHERE pg_visible_in_snapshot(xid, (SELECT snapshot FROM perfkit.performance_rollup_state)) GROUP BY 1, 2, 3, 4, 5
			)
			-- a sum depends on its order, in its last digits
			SELECT count(*) > 0, count(*) FILTER (WHERE (r.n, r.min, r.max, r.last, r.histogram) IS DISTINCT FROM (d.n, d.min, d.max, d.last, d.histogram)
				OR abs(r.sum - d.sum) > 1e-9 * abs(d.sum))
			FROM direct d LEFT JOIN perfkit.performance_rollup r USING (bucket, step, source, metric, labels)}),
		't|0', $name);
	return;
}

1;
