# PerfkitWire - a client that speaks the protocol message by message, for what psql cannot say.
#
#   my $c = PerfkitWire->new($node, 'postgres', application_name => 'x');
#   $c->send(Parse => "s\0SELECT 1\0\0\0");    one message, by its name
#   my @answers = $c->until('Z');              [type, body] up to and including ReadyForQuery
#
# parse(), bind(), execute(), sync() spell out the usual messages. Trust authentication only.
package PerfkitWire;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);

my $PATIENCE = 30;

my %TYPES = (
	Parse => 'P',
	Bind => 'B',
	Execute => 'E',
	Describe => 'D',
	Close => 'C',
	Flush => 'H',
	Sync => 'S',
	Query => 'Q',
	FunctionCall => 'F',
	Terminate => 'X',
);

sub new
{
	my ($class, $node, $database, %settings) = @_;
	my ($host, $port) = ($node->host, $node->port);
	my $self = bless { buffer => '' }, $class;
	my %startup = (user => scalar getpwuid($<), database => $database, %settings);
	my $body = join('', map { "$_\0$startup{$_}\0" } sort keys %startup) . "\0";

	$self->{socket} =
	  $host =~ m{^/}
	  ? IO::Socket::UNIX->new(Peer => "$host/.s.PGSQL.$port")
	  : IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port);
	die "cannot connect: $!" unless $self->{socket};
	$self->{socket}->autoflush(1);
	$self->{socket}->print(pack('NN', 8 + length $body, 196608) . $body);
	$self->until('Z');
	return $self;
}

sub send
{
	my ($self, $name, $body) = @_;

	$body //= '';
	$self->{socket}->print($TYPES{$name} . pack('N', 4 + length $body) . $body);
	return;
}

# until(type): the messages up to the first of that type, which may be E for an error; dies when the
# server says nothing more
sub until
{
	my ($self, $type) = @_;
	my $deadline = time + $PATIENCE;
	my @answers;

	while (1)
	{
		while ($self->{buffer} =~ /^(.)(.{4})/s && length $self->{buffer} > unpack('N', $2))
		{
			my $length = unpack('N', $2);
			push @answers, [ $1, substr($self->{buffer}, 5, $length - 4) ];
			substr($self->{buffer}, 0, 1 + $length) = '';
			return @answers if $answers[-1][0] eq $type;
		}
		die "no message $type in time" if time > $deadline;
		IO::Select->new($self->{socket})->can_read(1) or next;
		sysread($self->{socket}, $self->{buffer}, 65536, length $self->{buffer})
		  or die "the server closed the connection\n";
	}
}

sub parse
{
	my ($self, $name, $query) = @_;

	$self->send(Parse => "$name\0$query\0" . pack('n', 0));
	return;
}

# bind(portal, statement, text values...): undef is NULL
sub bind
{
	my ($self, $portal, $statement, @values) = @_;

	$self->send(Bind => "$portal\0$statement\0"
		  . pack('nn', 0, scalar @values)
		  . join('', map { defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) } @values)
		  . pack('n', 0));
	return;
}

# execute(portal, at most so many rows): 0 is all
sub execute
{
	my ($self, $portal, $rows) = @_;

	$self->send(Execute => "$portal\0" . pack('N', $rows // 0));
	return;
}

# sync(): returns the SQLSTATEs of the errors up to ReadyForQuery
sub sync
{
	my ($self) = @_;

	$self->send('Sync');
	return map { $_->[1] =~ /\0C([0-9A-Z]{5})\0/ ? $1 : '?' } grep { $_->[0] eq 'E' } $self->until('Z');
}

# query(sql): a simple Query; the same
sub query
{
	my ($self, $sql) = @_;

	$self->send(Query => "$sql\0");
	return map { $_->[1] =~ /\0C([0-9A-Z]{5})\0/ ? $1 : '?' } grep { $_->[0] eq 'E' } $self->until('Z');
}

# quit(): and waits until the server has closed, so that the backend has nothing more to add
sub quit
{
	my ($self) = @_;

	$self->send('Terminate');
	eval { $self->until('nothing') };
	$self->{socket}->close;
	return;
}

1;
