# Every threshold that is shipped, by a stepped clock: a slow wave goes through all of them at once, and each
# alert opens when its time has come and not before, holds between the levels, and ends, once.
#
# A sample is due each minute, and time passes only when the test says so: a step is one sample, and one
# look at the thresholds. A series of the test's own, which changes with each step, tells that it is over.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use List::Util qw(max);
use PerfkitClock;
use PerfkitTest;
use POSIX qw(ceil);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $STEP = 60; # seconds, perfkit.sample_interval

my $clock = PerfkitClock->new;
plan skip_all => 'there is no C compiler' unless $clock;
my $node = perfkit_node('main', "perfkit.sample_interval = '${STEP}s'\nperfkit.slow_query_threshold = -1", clock => $clock);
my $session = do { local $ENV{PGOPTIONS} = '-c perfkit.track=none'; $node->background_psql('postgres'); };
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN perfkit_alert');

# What is shipped, and how many steps beyond a level it takes.
my @rules;
for my $line (split /\n/, ask($node, q{SELECT concat_ws('|', metric, direction, warning, coalesce(critical::text, ''), coalesce(clear_warning::text, ''),
	coalesce(clear_critical::text, ''), extract(epoch FROM for_duration), min_samples) FROM perfkit.threshold WHERE shipped ORDER BY metric}))
{
	my %rule;
	@rule{qw(metric direction warning critical clear_warning clear_critical for_s min_samples)} = split /\|/, $line;
	$rule{steps} = max($rule{min_samples}, ceil($rule{for_s} / $STEP) + 1);
	push @rules, \%rule;
}
cmp_ok(scalar @rules, '>=', 17, 'thresholds are shipped');
$node->safe_psql('postgres', q{INSERT INTO perfkit.threshold (metric, warning) VALUES ('step', 1)});

# between(a, b): in the middle; b if there is no a, and so no room for hysteresis
sub between
{
	my ($clear, $level) = @_;

	return $clear eq '' ? $level : ($clear + $level) / 2;
}

sub calm
{
	my ($rule) = @_;

	return $rule->{direction} eq 'above' ? 0 : 2 * $rule->{warning};
}

# nearly in trouble: not yet, where a warning that is there would be held
sub nearly
{
	my ($rule) = @_;

	return $rule->{clear_warning} ne '' ? between($rule->{clear_warning}, $rule->{warning}) : $rule->{warning} * ($rule->{direction} eq 'above' ? 0.99 : 1.01);
}

# of the grave level, or what counts for it where there is none
sub grave
{
	my ($rule) = @_;

	return $rule->{critical} ne '' ? $rule->{critical} : 10 * $rule->{warning};
}

my $number = 0; # of steps taken

# step(values by metric): a sample, and what it has led to: open alerts' levels by metric
sub step
{
	my ($value) = @_;
	my $odd = ++$number % 2;
	my $rows = join ', ', "('step', $odd)", map { "('$_', $value->{$_})" } sort keys %$value;
	my $open = q{SELECT string_agg(metric || ' ' || level, ',') FROM perfkit.alert WHERE source = 'application' AND resolved_at IS NULL};
	my %level;

	$session->query_safe("SELECT count(perfkit.log_metric(metric, value)) FROM (VALUES $rows) v (metric, value)");
	$clock->pass($STEP);
	until_true(
		sub {
			%level = map { split / / } split /,/, $session->query_safe($open);
			return $odd == exists $level{step};
		},
		"step $number") or die 'a step that does not end';
	delete $level{step};
	return \%level;
}

# phase(name, value, level, before, whether it takes its time): each rule's series has that value for as long
# as any needs; each alert is at the level all the time, or, if it must rise to it, when its own time has come,
# and `before` until then
sub phase
{
	my ($name, $value, $level, $before, $slow) = @_;
	my %value = map { $_->{metric} => $value->($_) } @rules;
	my @wrong;

	for my $i (1 .. ($slow ? max(map { $_->{steps} } @rules) + 1 : 2))
	{
		my $is = step(\%value);
		for my $rule (@rules)
		{
			my $expected = $slow && $i < $rule->{steps} ? $before : $level;
			$expected = 'warning' if $expected eq 'critical' && $rule->{critical} eq '';
			my $got = $is->{ $rule->{metric} } // 'ok';
			push @wrong, "$rule->{metric} at step $i: $got, not $expected" if $got ne $expected;
		}
	}
	is(join("\n", @wrong), '', $name);
	return;
}

phase('all is well', \&calm, 'ok');
phase('nearly in trouble: nothing opens', \&nearly, 'ok');
phase('at the warning level: each opens when it has lasted long enough', sub { $_[0]{warning} }, 'warning', 'ok', 1);
phase('between the levels of hysteresis: held', sub { between($_[0]{clear_warning}, $_[0]{warning}) }, 'warning');
phase('at the critical level: each escalates when it has lasted long enough', \&grave, 'critical', 'warning', 1);
phase('between its levels of hysteresis: held', sub { between($_[0]{clear_critical}, grave($_[0])) }, 'critical');
phase('behind them: eased', sub { ($_[0]{warning} + ($_[0]{clear_critical} || grave($_[0]))) / 2 }, 'warning');
phase('between those of the warning again: held', sub { between($_[0]{clear_warning}, $_[0]{warning}) }, 'warning');
phase('all is well: over', \&calm, 'ok');
phase('nearly in trouble again: nothing opens', \&nearly, 'ok');

# ---- once
my %told;
my $notices = $listener->query_safe('SELECT 1') . $listener->query_safe('SELECT 1');
push @{ $told{$1} }, $2 while $notices =~ /"metric" : "(\w+)", "source" : "application".*?"level" : "(\w+)"/g;
my %logged;
for my $line (split /\n/, slurp_file($node->logfile))
{
	push @{ $logged{$2} }, $1 if $line =~ /perfkit: alert \d+ (\w+): application (\w+)/;
}
for my $rule (@rules)
{
	my $metric = $rule->{metric};
	my @worse = $rule->{critical} eq '' ? () : ('critical', 'warning');
	my @words = @worse ? qw(escalated eased) : ();

	is( ask($node, "SELECT string_agg(concat_ws(' ', worst, resolved_at > opened_at), ', ') FROM perfkit.alert WHERE source = 'application' AND metric = '$metric'"),
		($worse[0] // 'warning') . ' t', "$metric: one alert");
	is(join(' ', @{ $logged{$metric} // [] }), join(' ', 'opened', @words, 'resolved'), '... one line in the server log for each transition');
	is(join(' ', @{ $told{$metric} // [] }), join(' ', 'warning', @worse, 'ok'), '... and one notification');
}
is(counter($node, 'flush_errors'), '0', 'nothing went wrong in the worker');
$_->quit for $session, $listener;
$node->stop;
done_testing();
