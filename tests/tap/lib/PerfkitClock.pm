# PerfkitClock - a server whose clocks a test moves: see clock.c.
#
#   my $clock = PerfkitClock->new;              before the node is started
#   $clock->start($node);                       instead of $node->start; $clock->restart($node)
#   $clock->set(-3600);                         somebody sets the clock back by an hour
#   $clock->pass(60);                           a minute goes by
#
# The server's clock counts in such a test, not that of the machine.
package PerfkitClock;

use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;

# new(): clocks that are right; undef where there is no compiler
sub new
{
	my ($class) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $self = bless { file => "$dir/clock", library => "$dir/clock.so", wall => 0, counting => 0 }, $class;

	return if system('cc', '-O1', '-shared', '-fPIC', '-o', $self->{library}, dirname(__FILE__) . '/clock.c', '-ldl') != 0;
	$self->write_file;
	return $self;
}

# The same file all the time, which servers have mapped: written over, at once.
sub write_file
{
	my ($self) = @_;
	my $mode = -e $self->{file} ? '+<' : '>';

	open my $file, "$mode:raw", $self->{file} or die "cannot open $self->{file}: $!";
	syswrite($file, pack('qq', $self->{wall}, $self->{counting})) == 16 or die "cannot write $self->{file}: $!";
	close $file;
	return;
}

# set(seconds): the clock on the wall is set forward, or back
sub set
{
	my ($self, $seconds) = @_;

	$self->{wall} += int($seconds * 1_000_000);
	$self->write_file;
	return;
}

# pass(seconds): time goes by
sub pass
{
	my ($self, $seconds) = @_;

	$self->{counting} += int($seconds * 1_000_000);
	$self->set($seconds);
	return;
}

sub start
{
	my ($self, $node) = @_;

	local $ENV{LD_PRELOAD} = $self->{library};
	local $ENV{PERFKIT_CLOCK} = $self->{file};
	return $node->start;
}

1;
