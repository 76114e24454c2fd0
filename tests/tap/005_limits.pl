# Limits and hostile content: what does not fit is counted, what is cut is cut between characters, and
# nothing that a client sends keeps the rows of others out of the table.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $RING = 64 * 1024;

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = 0
perfkit.track = all
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
perfkit.ring_size = 64kB
EOF_CONF
my $case = 0;

# texts_of(application): the texts of its rows
sub texts_of
{
	my ($application, $database) = @_;

	settle($node, $database);
	return ask($node, "SELECT query FROM perfkit.slow_query_log WHERE application_name = '$application' ORDER BY sequence", $database);
}

# kept(name, sql, database): what psql sends is the text of its one row
sub kept
{
	my ($name, $sql, $database) = @_;
	my $application = 'kept' . ++$case;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	run_as($node, $application, $sql, $database);
	is(texts_of($application, $database), $sql, $name);
	return;
}

# ---- the ring is full: the worker cannot write, for somebody holds the table
my $holder = do
{
	local $ENV{PGOPTIONS} = '-c perfkit.track=none';
	$node->background_psql('postgres');
};
$holder->query_safe('BEGIN; LOCK TABLE perfkit.slow_query_log IN ACCESS EXCLUSIVE MODE;');
my ($out) = run_as($node, 'flood', join("\n", map { "SELECT $_;" } 1 .. 1000));
is(scalar(split /\n/, $out), 1000, 'a full ring: the client gets all its answers');
$holder->query_safe('ROLLBACK');
$holder->quit;
settle($node);
my $dropped = counter($node, 'dropped_ring_full');
cmp_ok($dropped, '>', 0, '... what did not fit is counted');
is(stored($node, q{application_name = 'flood'}) + $dropped, 1000, '... and the rest is stored');
is(ask($node, q{SELECT min(substr(query, 8)::int) = 1 AND max(substr(query, 8)::int) = count(*)
		FROM perfkit.slow_query_log WHERE application_name = 'flood'}),
	't', '... which is what came first');
books_ok($node, '... the books balance');
is(stored($node, q{application_name = 'flood' AND outcome <> 'ok'}), '0', '... nothing else went wrong');

# ---- one record too large for the whole ring
run_as($node, 'large', "SET perfkit.max_query_size = '1MB';\nSELECT '" . 'x' x (2 * $RING) . "';\nSELECT 'small';");
is(counter($node, 'dropped_too_large'), '1', 'a record larger than the ring is counted');
is(texts_of('large'), "SET perfkit.max_query_size = '1MB'\nSELECT 'small'", '... and the next one is stored');
books_ok($node, '... the books balance');

# ---- rates
sub rate_holds
{
	my ($name, $application, $setting, $sql, $counter) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = counter($node, $counter);
	run_as($node, $application, "SET $setting = 5;\n" . join("\n", ($sql) x 300));
	my $stored = stored($node, "application_name = '$application' AND command_tag IS DISTINCT FROM 'SET'");
	my $lost = counter($node, $counter) - $before;
	my $seconds = ask($node, "SELECT 1 + ceil(extract(epoch FROM max(ended_at) - min(started_at)))
		FROM perfkit.slow_query_log WHERE application_name = '$application'");

	is($stored + $lost, 300, "$name: what is not stored is counted");
	cmp_ok($stored, '>=', 4, '... some are stored');
	cmp_ok($stored, '<=', 5 * ($seconds + 1), '... at most so many a second');
	books_ok($node, '... the books balance');
	return;
}

rate_holds('record_rate', 'rate', 'perfkit.record_rate', 'SELECT 1;', 'dropped_rate');
rate_holds('log_errors_rate', 'errors', "perfkit.slow_query_threshold = -1; SET perfkit.log_errors_rate", 'SELECT 1/0;',
	'dropped_errors_rate');

# ---- nesting
$node->safe_psql('postgres', <<'EOF_SQL');
SET perfkit.track = none;
CREATE TABLE one AS SELECT 1 AS i;
CREATE FUNCTION down(n int) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN IF n > 0 THEN PERFORM down(n - 1) FROM one; END IF; RETURN n; END $$;
EOF_SQL
run_as($node, 'deep', 'SELECT down(45)');
is(stored($node, q{application_name = 'deep'}), '46', '45 levels of nesting give a row each');
is(ask($node, q{SELECT concat_ws('|', min(nesting_level), max(nesting_level), count(DISTINCT nesting_level))
		FROM perfkit.slow_query_log WHERE application_name = 'deep'}),
	'0|45|46', '... with its level');
is(ask($node, q{SELECT count(*) FROM perfkit.slow_query_log c JOIN perfkit.slow_query_log p ON p.id = c.parent_id
		WHERE c.application_name = 'deep' AND p.nesting_level = c.nesting_level - 1}),
	'45', '... and its parent');
run_as($node, 'deeper', 'SELECT down(150)');
cmp_ok(stored($node, q{application_name = 'deeper'}), '>', 45, 'at 150 levels the outer ones have rows');
is(stored($node, q{application_name = 'deeper'}) + counter($node, 'untracked_depth'), 151, '... and the others are counted');
run_as($node, 'deeper', "SET perfkit.track = 'top'; SELECT 'still alive';");
is(stored($node, q{application_name = 'deeper' AND query = 'SELECT ''still alive'''}), '1', '... and all goes on');
($out, my $err) = run_as($node, 'bottomless', 'SELECT down(1000000)');
like($err, qr/stack depth limit exceeded/, 'the stack limit is hit');
is(stored($node, q{application_name = 'bottomless' AND nesting_level = 0 AND sqlstate = '54001'}), '1', '... and the statement has its row');
books_ok($node, '... the books balance');

# ---- cut between characters
# cut(encoding, database, one character in that encoding)
sub cut
{
	my ($database, $character) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $shift (0 .. length($character) - 1)
	{
		my $sql = "SELECT '" . 'x' x $shift . $character x 200 . "'";
		my $limit = 128;
		my $head = $shift + 8;
		my $expected = substr($sql, 0, $limit - ($limit - $head) % length $character);
		my $application = 'cut' . ++$case;
		my $before = counter($node, 'truncated_query', $database);
		my $client = PerfkitWire->new($node, $database, application_name => $application,
			options => "-c perfkit.max_query_size=$limit", client_encoding => $database);

		$client->query($sql);
		$client->quit;
		settle($node, $database);
		is(ask($node, "SELECT encode(convert_to(query, getdatabaseencoding()), 'hex') FROM perfkit.slow_query_log
				WHERE application_name = '$application'", $database),
			unpack('H*', $expected), "$database: a long text is cut between characters, shifted by $shift");
		is(counter($node, 'truncated_query', $database), $before + 1, '... and counted');
	}
	return;
}

for my $encoding (qw(latin1 euc_jp sql_ascii))
{
	$node->safe_psql('postgres', "CREATE DATABASE $encoding TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	$node->safe_psql($encoding, 'CREATE EXTENSION perfkit');
}
$node->safe_psql('postgres', 'CREATE DATABASE utf8');
$node->safe_psql('utf8', 'CREATE EXTENSION perfkit');
cut('utf8', "\xc3\xa4");
cut('utf8', "\xf0\x9f\x98\x80");
cut('euc_jp', "\xa4\xa2");
cut('latin1', "\xe4");
cut('sql_ascii', "\xff");
books_ok($node, "$_: the books balance", $_) for qw(utf8 euc_jp latin1 sql_ascii);
run_as($node, 'message', qq{DO \$\$ BEGIN RAISE EXCEPTION '%', repeat(U&'\\+01F600', 2000); END \$\$});
is(stored($node, q{application_name = 'message' AND message ~ U&'^\+01F600+$' AND octet_length(message) BETWEEN 1000 AND 2048}),
	'1', 'a long message is cut between characters');

# ---- content that tables refuse
{
	my $client = PerfkitWire->new($node, 'sql_ascii', application_name => 'bytes');

	is_deeply([ $client->query("SELECT '\xff\xfe\xc3(\x80'") ], [], 'SQL_ASCII takes any bytes');
	is_deeply([ $client->query("SELEKT '\xff\xfe'") ], ['42601'], '... in errors too');
	is_deeply([ $client->query("SET application_name = 'byte\xff'") ], [], '... and names');
	is_deeply([ $client->query('SELECT 1') ], [], '... the session goes on');
	$client->quit;
	is(stored($node, q{application_name ~ '^byte'}, 'sql_ascii'), '4', '... and all of it is stored');
	books_ok($node, '... the books balance', 'sql_ascii');
}
{
	my $client = PerfkitWire->new($node, 'postgres', application_name => 'invalid');

	is_deeply([ $client->query("SELECT '\xff'") ], ['22021'], 'UTF8 refuses invalid bytes');
	$client->parse('', 'SELECT $1::text');
	$client->bind('', '', "\xff\xfe");
	$client->execute('');
	is_deeply([ $client->sync ], ['22021'], '... in a parameter too');
	is_deeply([ $client->query('SELECT 1') ], [], '... the session goes on');
	$client->quit;
	is(stored($node, q{application_name = 'invalid' AND query = 'SELECT $1::text' AND sqlstate = '22021'}), '1',
		'... the failed Bind has its row');
	is(stored($node, q{application_name = 'invalid' AND query = 'SELECT 1'}), '1', '... and so has what follows');
}
kept('what looks like a NUL', q{SELECT '\u0000', E'\\\\000', '{"a": "\\\\u0000"}'});
kept('an error about a NUL', q{SELECT '{"a": "\u0000"}'::jsonb});
kept('control characters', "SELECT '\x01\x02\x1b[31m\x7f'");
kept('quotes and backslashes', q{SELECT 'it''s', "i"."b\c", $x$ ' $x$ FROM (VALUES (1)) "i" ("b\c")});
kept('an empty identifier', 'SELECT 1 AS ""');

# ---- a table that refuses rows: a constraint of the DBA's
$node->safe_psql('postgres', q{ALTER TABLE perfkit.slow_query_log ADD CHECK (query NOT LIKE 'SELECT ''poison%')});
run_as($node, 'dba', join("\n", map { ("SELECT 'poison $_';", "SELECT 'wholesome $_';") } 1 .. 3));
is(texts_of('dba'), join("\n", map { "SELECT 'wholesome $_'" } 1 .. 3), 'rows that the table refuses do not keep the others out');
is(counter($node, 'dropped_invalid'), '3', '... and are counted');
books_ok($node, '... the books balance');

# ---- settings that hide errors from the server's log do not hide them from ours
run_as($node, 'hidden', "SET perfkit.track = 'top'; SET log_min_messages = 'panic'; SELECT 1/i FROM (VALUES (1), (0)) v (i);");
is(rows_of($node, 'hidden', "outcome <> 'ok'"), 'SELECT|error|22012|1|0', 'an error in execution is seen with log_min_messages = panic');
($out) = run_as($node, 'hidden',
	"SET log_min_messages = 'panic'; SELECT value FROM perfkit.status WHERE name = 'configuration_warnings';");
cmp_ok($out, '>=', 1, '... and status warns');

# ---- perfkit's own work
is(stored($node, q{query ILIKE '%perfkit.slow_query_log (%' OR query ILIKE '%ATTACH PARTITION%' AND application_name = ''}), '0',
	"the worker's own statements are not captured");
books_ok($node, 'the books balance');
is(counter($node, 'pending'), '0', 'nothing is pending');
$node->stop;

done_testing();
