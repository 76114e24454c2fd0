# One row for each statement and execution, with the right outcome, through real clients.
#
# Every case runs under an application name of its own; the whole of what the log has under that name
# is compared, so a row too many fails as well as one too few. A line is
# tag|outcome|sqlstate|rows|nesting_level; - is NULL.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/lib";
use PerfkitTest;
use PerfkitWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = perfkit_node('main', <<'EOF_CONF');
perfkit.slow_query_threshold = 0
perfkit.record_rate = 0
perfkit.log_errors_rate = 0
max_prepared_transactions = 5
deadlock_timeout = 100ms
restart_after_crash = on
EOF_CONF
my $case = 0;

$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 100) g;
CREATE TABLE child (t_id int REFERENCES t DEFERRABLE INITIALLY DEFERRED);
CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM count(*) FROM t; RETURN 2 * n; END $$;
CREATE FUNCTION careful() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM 1 / (id - id) FROM t; RETURN 'no'; EXCEPTION WHEN division_by_zero THEN RETURN 'caught'; END $$;
CREATE PROCEDURE batches() LANGUAGE plpgsql AS
$$ BEGIN FOR i IN 1 .. 3 LOOP INSERT INTO t VALUES (1000 + i, 'batch'); COMMIT; END LOOP; END $$;
EOF_SQL

# story(name, application, lines...): exactly these rows
sub story
{
	my ($name, $application, @lines) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(rows_of($node, $application), join("\n", @lines), $name);
	return;
}

# simple(name, sql, lines...): what psql sends gives exactly these rows
sub simple
{
	my ($name, $sql, @lines) = @_;
	my $application = 'simple' . ++$case;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	run_as($node, $application, $sql);
	story($name, $application, @lines);
	return $application;
}

# extended(name, code, lines...): the same for what code does with a PerfkitWire
sub extended
{
	my ($name, $code, @lines) = @_;
	my $application = 'extended' . ++$case;
	my $client = PerfkitWire->new($node, 'postgres', application_name => $application);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$code->($client);
	$client->quit;
	story($name, $application, @lines);
	return $application;
}

# value(application, expression): over its rows
sub value
{
	my ($application, $expression) = @_;

	settle($node);
	return ask($node, "SELECT $expression FROM perfkit.slow_query_log WHERE application_name = '$application'");
}

# texts(name, texts...): the rows of the last case have exactly these
sub texts
{
	my ($name, @texts) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	settle($node);
	is( ask($node, "SELECT string_agg(query, E'\n' ORDER BY sequence) FROM perfkit.slow_query_log
			WHERE application_name ~ '^(simple|extended)$case\$'"),
		join("\n", @texts), $name);
	return;
}

# ---- success
simple('SELECT', 'SELECT * FROM t WHERE id <= 7', 'SELECT|ok|-|7|0');
simple('no rows', 'SELECT * FROM t WHERE id < 0', 'SELECT|ok|-|0|0');
simple('INSERT', "INSERT INTO t SELECT g, 'x' FROM generate_series(201, 203) g", 'INSERT|ok|-|3|0');
simple('UPDATE RETURNING', 'UPDATE t SET v = v WHERE id > 200 RETURNING id', 'UPDATE|ok|-|3|0');
simple('DELETE', 'DELETE FROM t WHERE id > 200', 'DELETE|ok|-|3|0');
simple('MERGE', 'MERGE INTO t USING (VALUES (1), (2)) s (id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = v',
	'MERGE|ok|-|2|0');
simple('data-modifying WITH is one statement',
	"WITH d AS (DELETE FROM t WHERE id = -1 RETURNING *) INSERT INTO t SELECT * FROM d", 'INSERT|ok|-|0|0');
simple('statements of one session', "SELECT 1;\nSELECT 2;\n", 'SELECT|ok|-|1|0', 'SELECT|ok|-|1|0');
simple('statements of one message', 'SELECT 1 \; SELECT 1, 2 \; VALUES (1), (2);',
	'SELECT|ok|-|1|0', 'SELECT|ok|-|1|0', 'SELECT|ok|-|2|0');
texts('... each with its own text', 'SELECT 1', 'SELECT 1, 2', 'VALUES (1), (2)');
simple('a transaction', 'BEGIN; SELECT 1; COMMIT;', 'BEGIN|ok|-|-|0', 'SELECT|ok|-|1|0', 'COMMIT|ok|-|-|0');
simple('a transaction that is rolled back', 'BEGIN; SELECT 1; ROLLBACK;',
	'BEGIN|ok|-|-|0', 'SELECT|ok|-|1|0', 'ROLLBACK|ok|-|-|0');
simple('transactions chained',
	"BEGIN; COMMIT AND CHAIN; INSERT INTO t VALUES (601, 'x'); SELECT 1; ROLLBACK AND CHAIN; INSERT INTO t VALUES (602, 'x'); COMMIT;",
	'BEGIN|ok|-|-|0', 'COMMIT|ok|-|-|0', 'INSERT|ok|-|1|0', 'SELECT|ok|-|1|0',
	'ROLLBACK|ok|-|-|0', 'INSERT|ok|-|1|0', 'COMMIT|ok|-|-|0');
texts('... each with its own text', 'BEGIN', 'COMMIT AND CHAIN', "INSERT INTO t VALUES (601, 'x')", 'SELECT 1',
	'ROLLBACK AND CHAIN', "INSERT INTO t VALUES (602, 'x')", 'COMMIT');
simple('savepoints', "BEGIN; SAVEPOINT a; SELECT 1; ROLLBACK TO a; RELEASE a; COMMIT;",
	'BEGIN|ok|-|-|0', 'SAVEPOINT|ok|-|-|0', 'SELECT|ok|-|1|0', 'ROLLBACK|ok|-|-|0', 'RELEASE|ok|-|-|0', 'COMMIT|ok|-|-|0');
simple('DDL', 'CREATE TABLE d (); DROP TABLE d;', 'CREATE TABLE|ok|-|-|0', 'DROP TABLE|ok|-|-|0');
simple('CREATE TABLE AS', 'CREATE TABLE made AS SELECT * FROM t WHERE id <= 10', 'SELECT|ok|-|10|0');
simple('SELECT INTO', 'SELECT * INTO made2 FROM t WHERE id <= 11', 'SELECT|ok|-|11|0');
simple('REFRESH MATERIALIZED VIEW', 'REFRESH MATERIALIZED VIEW m', 'REFRESH MATERIALIZED VIEW|ok|-|1|0');
simple('EXPLAIN', 'EXPLAIN SELECT * FROM t', 'EXPLAIN|ok|-|-|0');
simple('EXPLAIN ANALYZE', 'EXPLAIN ANALYZE SELECT * FROM t', 'EXPLAIN|ok|-|-|0');
simple('COPY TO', 'COPY (SELECT * FROM t WHERE id <= 5) TO STDOUT', 'COPY|ok|-|5|0');
simple('COPY FROM', "COPY t FROM STDIN;\n301\tx\n302\ty\n\\.\n", 'COPY|ok|-|2|0');
simple('DO', 'DO $$ BEGIN PERFORM 1; END $$', 'DO|ok|-|-|0');
simple('CALL with COMMITs inside', 'CALL batches()', 'CALL|ok|-|-|0');
simple('a function', 'SELECT twice(2)', 'SELECT|ok|-|1|0');
simple('an error that PL/pgSQL catches is none', 'SELECT careful()', 'SELECT|ok|-|1|0');
simple('PREPARE and EXECUTE', 'PREPARE p AS SELECT * FROM t WHERE id <= $1; EXECUTE p(3); EXECUTE p(4); DEALLOCATE p',
	'PREPARE|ok|-|-|0', 'SELECT|ok|-|3|0', 'SELECT|ok|-|4|0', 'DEALLOCATE|ok|-|-|0');
simple('CREATE TABLE AS EXECUTE', 'PREPARE p AS SELECT * FROM t WHERE id <= 3; CREATE TABLE made3 AS EXECUTE p',
	'PREPARE|ok|-|-|0', 'SELECT|ok|-|3|0');
simple('EXPLAIN EXECUTE', 'PREPARE p AS SELECT * FROM t WHERE id <= 3; EXPLAIN ANALYZE EXECUTE p',
	'PREPARE|ok|-|-|0', 'EXPLAIN|ok|-|-|0');
simple('a cursor', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM t WHERE id <= 10; FETCH 4 FROM c; FETCH ALL FROM c; CLOSE c; COMMIT;',
	'BEGIN|ok|-|-|0', 'DECLARE CURSOR|ok|-|-|0', 'FETCH|ok|-|4|0', 'FETCH|ok|-|6|0', 'CLOSE CURSOR|ok|-|-|0', 'COMMIT|ok|-|-|0');
simple('a cursor left open at COMMIT', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM t; FETCH 4 FROM c; COMMIT;',
	'BEGIN|ok|-|-|0', 'DECLARE CURSOR|ok|-|-|0', 'FETCH|ok|-|4|0', 'COMMIT|ok|-|-|0');
simple('a cursor left open at ROLLBACK', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM t; FETCH 4 FROM c; ROLLBACK;',
	'BEGIN|ok|-|-|0', 'DECLARE CURSOR|ok|-|-|0', 'FETCH|ok|-|4|0', 'ROLLBACK|ok|-|-|0');
simple('a cursor WITH HOLD', 'DECLARE c CURSOR WITH HOLD FOR SELECT * FROM t WHERE id <= 10; FETCH 4 FROM c; MOVE ALL IN c; CLOSE c;',
	'DECLARE CURSOR|ok|-|-|0', 'FETCH|ok|-|4|0', 'MOVE|ok|-|6|0', 'CLOSE CURSOR|ok|-|-|0');
simple('two-phase commit', "BEGIN; INSERT INTO t VALUES (400, 'x'); PREPARE TRANSACTION 'x'; COMMIT PREPARED 'x';",
	'BEGIN|ok|-|-|0', 'INSERT|ok|-|1|0', 'PREPARE TRANSACTION|ok|-|-|0', 'COMMIT PREPARED|ok|-|-|0');
simple('PREPARE TRANSACTION that fails when it is carried out',
	"BEGIN; INSERT INTO t VALUES (401, 'x'); PREPARE TRANSACTION 'x'; BEGIN; PREPARE TRANSACTION 'x'; ROLLBACK PREPARED 'x';",
	'BEGIN|ok|-|-|0', 'INSERT|ok|-|1|0', 'PREPARE TRANSACTION|ok|-|-|0', 'BEGIN|ok|-|-|0', 'PREPARE TRANSACTION|error|42710|-|0',
	'ROLLBACK PREPARED|ok|-|-|0');
simple('an empty message', ';', ());
simple('settings', "SET work_mem = '5MB'; SHOW work_mem;", 'SET|ok|-|-|0', 'SHOW|ok|-|-|0');
run_as($node, 'before', "SET application_name = 'in between'; RESET ALL; SET application_name = 'in between'; DISCARD ALL; SELECT 1;");
story('settings are told under the name there was', 'in between', 'RESET|ok|-|-|0', 'DISCARD ALL|ok|-|-|0');
story('... before them', 'before', 'SET|ok|-|-|0', 'SET|ok|-|-|0', 'SELECT|ok|-|1|0');
simple('LISTEN and NOTIFY', 'LISTEN x; NOTIFY x;', 'LISTEN|ok|-|-|0', 'NOTIFY|ok|-|-|0');
simple('TRUNCATE, VACUUM, ANALYZE', 'TRUNCATE made; VACUUM made; ANALYZE made;',
	'TRUNCATE TABLE|ok|-|-|0', 'VACUUM|ok|-|-|0', 'ANALYZE|ok|-|-|0');
simple('a rule that adds a statement',
	'CREATE TABLE ruled (i int); CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO made2 VALUES (new.i); INSERT INTO ruled VALUES (1);',
	'CREATE TABLE|ok|-|-|0', 'CREATE RULE|ok|-|-|0', 'INSERT|ok|-|1|0');
is(value("simple$case", 'count(DISTINCT id) = 3'), 't', '... and ids are unique');

# ---- rules: what the client has sent is one statement, whatever is made of it
$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE ruled2 (i int);
INSERT INTO ruled2 VALUES (1), (2);
CREATE TABLE made4 (i int);
CREATE TABLE one AS SELECT 1 AS one;
CREATE RULE u AS ON UPDATE TO ruled2 DO INSTEAD INSERT INTO made4 VALUES (1), (2), (3);
CREATE RULE d AS ON DELETE TO ruled2 DO INSTEAD (SELECT count(*) FROM made4; INSERT INTO made4 VALUES (old.i));
CREATE RULE i AS ON INSERT TO ruled2 DO INSTEAD INSERT INTO made4 VALUES (new.i);
CREATE TABLE ruled3 (i int);
CREATE TABLE ruled4 (i int);
CREATE RULE u AS ON UPDATE TO ruled4 DO INSTEAD NOTIFY updated;
CREATE RULE i AS ON INSERT TO ruled4 DO INSTEAD NOTHING;
CREATE RULE i AS ON INSERT TO ruled3 DO ALSO INSERT INTO made4 SELECT 1 / (new.i - one) FROM one;
CREATE RULE u AS ON UPDATE TO ruled3 DO ALSO (SELECT pg_sleep(new.i / 50.0); SELECT twice(new.i));
CREATE RULE d AS ON DELETE TO ruled3 DO ALSO (NOTIFY deleted; DELETE FROM made4 WHERE 1 / i > 0);
EOF_SQL
simple('a rule that does another command instead', 'UPDATE ruled2 SET i = 2', 'UPDATE|ok|-|0|0');
simple('... and in the middle of a message', 'SELECT 1 \; UPDATE ruled2 SET i = 3 \; SELECT 2;',
	'SELECT|ok|-|1|0', 'UPDATE|ok|-|0|0', 'SELECT|ok|-|1|0');
texts('... with its own text', 'SELECT 1', 'UPDATE ruled2 SET i = 3', 'SELECT 2');
simple('... and two of them', 'DELETE FROM ruled2', 'DELETE|ok|-|0|0');
simple('... and of the same command', "SELECT 1 \\; INSERT INTO ruled2 VALUES (5), (6) \\; SELECT 2;",
	'SELECT|ok|-|1|0', 'INSERT|ok|-|2|0', 'SELECT|ok|-|1|0');
texts('... with its own text', 'SELECT 1', 'INSERT INTO ruled2 VALUES (5), (6)', 'SELECT 2');
simple('... and a utility statement', 'UPDATE ruled4 SET i = 2', 'UPDATE|ok|-|-|0');
simple('... and nothing', 'INSERT INTO ruled4 VALUES (2); SELECT 1', 'SELECT|ok|-|1|0');
extended('... in the extended protocol',
	sub { my ($client) = @_; $client->parse('', 'UPDATE ruled2 SET i = 2'); $client->bind('', ''); $client->execute(''); $client->sync },
	'UPDATE|ok|-|0|0');
simple('a rule that adds a statement, which fails',
	"INSERT INTO ruled3 VALUES (2); INSERT INTO ruled3 VALUES (1); INSERT INTO ruled3 VALUES (3);",
	'INSERT|ok|-|1|0', 'INSERT|error|22012|1|0', 'INSERT|ok|-|1|0');
is(value("simple$case", "count(DISTINCT queryid) || ' ' || count(*) FILTER (WHERE queryid IS NULL)"), '1 0', '... of one queryid');
simple('the same by EXECUTE', 'PREPARE p AS INSERT INTO ruled3 VALUES ($1); EXECUTE p(2); EXECUTE p(1); SELECT 1',
	'PREPARE|ok|-|-|0', 'INSERT|ok|-|1|0', 'INSERT|error|22012|1|0', 'SELECT|ok|-|1|0');
simple('rules that come first, and take long', 'UPDATE ruled3 SET i = 2 WHERE i = 3', 'UPDATE|ok|-|1|0');
is(value("simple$case", "execution_ms >= 40 AND duration_ms >= 40"), 't', '... their time is the statement\'s');
simple('with RETURNING', 'INSERT INTO ruled3 VALUES (2) RETURNING i', 'INSERT|ok|-|1|0');
simple('track = all: what runs in functions inside of it',
	"SET perfkit.track = 'all'; UPDATE ruled3 SET i = 0 WHERE i = (SELECT max(i) FROM ruled3);",
	'SET|ok|-|-|0', 'SELECT|ok|-|1|1', 'UPDATE|ok|-|4|0', ('SELECT|ok|-|1|1') x 3);
is(value("simple$case", "count(DISTINCT parent_id) || ' ' || count(parent_id)"), '1 4', '... has it as its parent');
simple('a utility statement is added', 'DELETE FROM made4 WHERE i = 0; DELETE FROM ruled3 WHERE i = 0;', 'DELETE|ok|-|1|0', 'DELETE|ok|-|4|0');
simple('with an error in a transaction', 'BEGIN; INSERT INTO ruled3 VALUES (1); ROLLBACK; SELECT 3;',
	'BEGIN|ok|-|-|0', 'INSERT|error|22012|1|0', 'ROLLBACK|ok|-|-|0', 'SELECT|ok|-|1|0');
simple('track = none', "SET perfkit.track = 'none'; UPDATE ruled2 SET i = 4; INSERT INTO ruled3 VALUES (2); INSERT INTO ruled3 VALUES (1);",
	'SET|ok|-|-|0');
my $application = simple('plans, of the statement and not of what was added',
	"SET perfkit.capture_plan = 'actual'; INSERT INTO ruled3 VALUES (2); UPDATE ruled3 SET i = 1 WHERE i = 77;",
	'SET|ok|-|-|0', 'INSERT|ok|-|1|0', 'UPDATE|ok|-|0|0');
is(value($application, "string_agg(concat_ws(' ', plan_kind, plan #>> '{Plan,Operation}', plan #>> '{Plan,Relation Name}'), ', ' ORDER BY sequence)"),
	', actual Insert ruled3, actual Update ruled3', '... are there');

# ---- nesting
$application = simple(
	'track = all: statements in functions too',
	"SET perfkit.track = 'all'; SELECT twice(1);",
	'SET|ok|-|-|0', 'SELECT|ok|-|1|1', 'SELECT|ok|-|1|0');
is( do { settle($node); ask($node, <<"EOF_SQL") }, 't', '... whose parent_id is the id of the statement they ran in');
SELECT c.parent_id = p.id FROM perfkit.slow_query_log p, perfkit.slow_query_log c
WHERE p.application_name = '$application' AND c.application_name = '$application'
	AND p.nesting_level = 0 AND p.command_tag = 'SELECT' AND c.nesting_level = 1
EOF_SQL
simple('track = all: an error that is caught gives the inner statement a row',
	"SET perfkit.track = 'all'; SELECT careful();",
	'SET|ok|-|-|0', 'SELECT|error|22012|0|1', 'SELECT|ok|-|1|0');
simple('track = all: CALL with COMMITs inside', "DELETE FROM t WHERE id > 1000; SET perfkit.track = 'all'; CALL batches();",
	'DELETE|ok|-|3|0', 'SET|ok|-|-|0', 'INSERT|ok|-|1|1', 'CALL|ok|-|-|0', 'INSERT|ok|-|1|1', 'INSERT|ok|-|1|1');
$node->safe_psql('postgres', <<'EOF_SQL');
CREATE TABLE late (i int);
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM twice(new.i); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
EOF_SQL
for my $sql ('INSERT INTO late VALUES (1)', 'BEGIN; INSERT INTO late VALUES (1); COMMIT')
{
	my $last = $sql =~ /COMMIT/ ? 'COMMIT' : 'INSERT';

	$application = simple("track = all: deferred triggers in the commit of $last", "SET perfkit.track = 'all'; $sql;",
		'SET|ok|-|-|0', ($last eq 'COMMIT' ? ('BEGIN|ok|-|-|0', 'INSERT|ok|-|1|0') : ()),
		'SELECT|ok|-|1|2', 'SELECT|ok|-|1|1', $last eq 'COMMIT' ? 'COMMIT|ok|-|-|0' : 'INSERT|ok|-|1|0');
	settle($node);
	is( ask($node, <<"EOF_SQL"), "SELECT in SELECT in $last", '... each has its parent');
SELECT concat_ws(' in ', c.command_tag, p.command_tag, g.command_tag) FROM perfkit.slow_query_log c
JOIN perfkit.slow_query_log p ON p.id = c.parent_id JOIN perfkit.slow_query_log g ON g.id = p.parent_id
WHERE c.application_name = '$application' AND c.nesting_level = 2
EOF_SQL
}
extended('... at Sync',
	sub {
		my ($client) = @_;
		$client->query(q{SET perfkit.track = 'all'});
		$client->parse('', 'INSERT INTO late VALUES (1)');
		$client->bind('', '');
		$client->execute('');
		$client->sync;
	},
	'SET|ok|-|-|0', 'SELECT|ok|-|1|2', 'SELECT|ok|-|1|1', 'INSERT|ok|-|1|0');
$node->safe_psql('postgres', 'DROP TABLE late');
simple('track = none', "SET perfkit.track = 'none'; SELECT 1; SELECT 1/0; SELEKT;", 'SET|ok|-|-|0');
simple('track_utility = off', 'SET perfkit.track_utility = off; CREATE TABLE u (); SELECT 1; DROP TABLE u;',
	'SET|ok|-|-|0', 'SELECT|ok|-|1|0');

# ---- errors
simple('a syntax error', 'SELEKT 1', '-|error|42601|-|0');
simple('an unknown table', 'SELECT * FROM nowhere', '-|error|42P01|-|0');
is(value("simple$case", "queryid IS NULL AND message LIKE '%\"nowhere\"%' AND reason = 'threshold'"), 't',
	'... has no queryid, but a message');
simple('an error in planning', 'SELECT 1/0', 'SELECT|error|22012|-|0');
simple('an error in execution', 'SELECT 1/(id - 5) FROM t ORDER BY id', 'SELECT|error|22012|4|0');
is(value("simple$case", 'queryid IS NOT NULL AND duration_ms >= 0 AND ended_at >= started_at'), 't', '... has a queryid');
simple('a unique violation', "INSERT INTO t VALUES (1, 'x')", 'INSERT|error|23505|0|0');
simple('an error in a utility statement', 'DROP TABLE nowhere', 'DROP TABLE|error|42P01|-|0');
simple('an error in DO', 'DO $$ BEGIN RAISE EXCEPTION USING errcode = $q$P0123$q$; END $$', 'DO|error|P0123|-|0');
simple('an error in a function', 'SELECT twice(2147483647)', 'SELECT|error|22003|0|0');
simple('a deferred constraint, implicit transaction', 'INSERT INTO child VALUES (-1)', 'INSERT|error|23503|1|0');
simple('a deferred constraint at COMMIT', 'BEGIN; INSERT INTO child VALUES (-1); COMMIT;',
	'BEGIN|ok|-|-|0', 'INSERT|ok|-|1|0', 'COMMIT|error|23503|-|0');
simple('a deferred constraint at SET CONSTRAINTS', 'BEGIN; INSERT INTO child VALUES (-1); SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK',
	'BEGIN|ok|-|-|0', 'INSERT|ok|-|1|0', 'SET CONSTRAINTS|error|23503|-|0', 'ROLLBACK|ok|-|-|0');
simple('a cursor WITH HOLD that fails at COMMIT, which has written nothing',
	'BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1/(id - 50) FROM t; COMMIT;',
	'BEGIN|ok|-|-|0', 'DECLARE CURSOR|ok|-|-|0', 'COMMIT|error|22012|-|0');
texts('... each with its own text', 'BEGIN', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1/(id - 50) FROM t', 'COMMIT');
is(value("simple$case", "string_agg(message, ',')"), 'division by zero', '... and the last with the message');
simple('the same without BEGIN', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1/(id - 50) FROM t',
	'DECLARE CURSOR|error|22012|-|0');
simple('a COMMIT that fails in the middle of a message', 'BEGIN \; INSERT INTO child VALUES (-1) \; COMMIT \; SELECT 1;',
	'BEGIN|ok|-|-|0', 'INSERT|ok|-|1|0', 'COMMIT|error|23503|-|0');
texts('... each with its own text', 'BEGIN', 'INSERT INTO child VALUES (-1)', 'COMMIT');
simple('what fails after a COMMIT in the same message', 'BEGIN \; SELECT 1 \; COMMIT \; SELECT * FROM nowhere;',
	'BEGIN|ok|-|-|0', 'SELECT|ok|-|1|0', 'COMMIT|ok|-|-|0', '-|error|42P01|-|0');
texts('... each with its own text', 'BEGIN', 'SELECT 1', 'COMMIT', 'SELECT * FROM nowhere');
simple('statements in a failed transaction', 'BEGIN; SELECT 1/0; SELECT 1; SELECT 2; ROLLBACK;',
	'BEGIN|ok|-|-|0', 'SELECT|error|22012|-|0', '-|error|25P02|-|0', '-|error|25P02|-|0', 'ROLLBACK|ok|-|-|0');
simple('ROLLBACK of a transaction that wrote and failed', "BEGIN; INSERT INTO t VALUES (603, 'x'); SELECT 1/0; ROLLBACK; SELECT 4;",
	'BEGIN|ok|-|-|0', 'INSERT|ok|-|1|0', 'SELECT|error|22012|-|0', 'ROLLBACK|ok|-|-|0', 'SELECT|ok|-|1|0');
texts('... each with its own text', 'BEGIN', "INSERT INTO t VALUES (603, 'x')", 'SELECT 1/0', 'ROLLBACK', 'SELECT 4');
simple('a long ROLLBACK of a transaction that wrote and failed',
	"BEGIN; INSERT INTO t VALUES (604, 'x'); SELECT 1/0; ROLLBACK /*" . 'x' x 3_000_000 . '*/; SELECT 4;',
	'BEGIN|ok|-|-|0', 'INSERT|ok|-|1|0', 'SELECT|error|22012|-|0', 'ROLLBACK|ok|-|-|0', 'SELECT|ok|-|1|0');
await($node, 'SELECT 1', '1');    # were it not
simple('ROLLBACK of what a message has begun', "INSERT INTO t VALUES (605, 'x') \\; ROLLBACK \\; SELECT 2;",
	'INSERT|ok|-|1|0', 'ROLLBACK|ok|-|-|0', 'SELECT|ok|-|1|0');
simple('COMMIT of a failed transaction', 'BEGIN; SELECT 1/0; COMMIT;',
	'BEGIN|ok|-|-|0', 'SELECT|error|22012|-|0', 'ROLLBACK|ok|-|-|0');
simple('the second of three in one message fails', 'SELECT 1 \; SELECT 1/0 \; SELECT 3;', 'SELECT|ok|-|1|0', 'SELECT|error|22012|-|0');
texts('... and has its own text', 'SELECT 1', 'SELECT 1/0');
simple('the second of two in one message is unknown', 'INSERT INTO made2 VALUES (1) \; SELECT * FROM nowhere \; SELECT 3;',
	'INSERT|ok|-|1|0', '-|error|42P01|-|0');
texts('... and has its own text', 'INSERT INTO made2 VALUES (1)', 'SELECT * FROM nowhere');
simple('bad data in COPY', "COPY t FROM STDIN;\nnot a number\tx\n\\.\n", 'COPY|error|22P02|-|0');
simple('an error in EXECUTE', 'PREPARE p AS SELECT 1/(id - $1) FROM t ORDER BY id; EXECUTE p(3)',
	'PREPARE|ok|-|-|0', 'SELECT|error|22012|2|0');
simple('EXECUTE that executes nothing: parameters that do not fit', "PREPARE p AS SELECT 1/(id - \$1) FROM t; EXECUTE p; EXECUTE p('x')",
	'PREPARE|ok|-|-|0', '-|error|42601|-|0', '-|error|22P02|-|0');
is(value("simple$case", q{bool_and(queryid IS NOT NULL)}), 't', '... has the queryid of EXECUTE');
simple('an error in a cursor', 'BEGIN; DECLARE c CURSOR FOR SELECT 1/(id - 3) FROM t ORDER BY id; FETCH 1 FROM c; FETCH ALL FROM c; ROLLBACK;',
	'BEGIN|ok|-|-|0', 'DECLARE CURSOR|ok|-|-|0', 'FETCH|ok|-|1|0', 'FETCH|error|22012|-|0', 'ROLLBACK|ok|-|-|0');
simple('a serialization failure is an error',
	"DO \$\$ BEGIN RAISE EXCEPTION USING errcode = 'serialization_failure'; END \$\$", 'DO|error|40001|-|0');
simple('EXPLAIN ANALYZE of what fails', 'EXPLAIN ANALYZE SELECT 1/(id - 5) FROM t', 'EXPLAIN|error|22012|-|0');
my $poor = simple('a permission error', "CREATE ROLE poor; SET ROLE poor; SELECT * FROM t; RESET ROLE;",
	'CREATE ROLE|ok|-|-|0', 'SET|ok|-|-|0', 'SELECT|error|42501|0|0', 'RESET|ok|-|-|0');
simple('log_errors = off', 'SET perfkit.log_errors = off; SET perfkit.slow_query_threshold = -1; SELECT 1/0; SELEKT;',
	'SET|ok|-|-|0');
simple('the threshold does not keep errors away', "SET perfkit.slow_query_threshold = '1h'; SELECT 1; SELECT 1/0;",
	'SELECT|error|22012|-|0');
is(value("simple$case", 'reason'), 'error', '... and the reason says so');

# ---- timeouts and cancels
simple('statement_timeout', "SET statement_timeout = '1s'; SELECT pg_sleep(60);",
	'SET|ok|-|-|0', 'SELECT|statement_timeout|57014|0|0');
is(value("simple$case", "max(duration_ms) FILTER (WHERE command_tag = 'SELECT') >= 1000"), 't', '... has lasted that long');
simple('statement_timeout in a utility statement', "SET statement_timeout = '1s'; DO \$\$ BEGIN PERFORM pg_sleep(60); END \$\$;",
	'SET|ok|-|-|0', 'DO|statement_timeout|57014|-|0');
simple('statement_timeout in planning or before',
	"CREATE OR REPLACE FUNCTION slow() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN 1; END'; SET statement_timeout = '1s'; SELECT slow();",
	'CREATE FUNCTION|ok|-|-|0', 'SET|ok|-|-|0', 'SELECT|statement_timeout|57014|-|0');
{
	my $holder = $node->background_psql('postgres');

	$holder->query_safe('BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE;');
	simple('lock_timeout', "SET lock_timeout = '20ms'; SELECT * FROM t; TRUNCATE t;",
		'SET|ok|-|-|0', '-|lock_timeout|55P03|-|0', 'TRUNCATE TABLE|lock_timeout|55P03|-|0');
	simple('NOWAIT is an error', "BEGIN; LOCK TABLE t NOWAIT; ROLLBACK;",
		'BEGIN|ok|-|-|0', 'LOCK TABLE|error|55P03|-|0', 'ROLLBACK|ok|-|-|0');
	simple('statement_timeout while it waits for a lock in analysis', "SET statement_timeout = '20ms'; SELECT * FROM t;",
		'SET|ok|-|-|0', '-|statement_timeout|57014|-|0');
	$holder->query_safe('ROLLBACK');
	$holder->quit;
}

# hurt(function): runs pg_sleep in a client, calls pg_cancel_backend or pg_terminate_backend on it
sub hurt
{
	my ($function, $sql) = @_;
	my $application = $function . ++$case;
	my $victim = $node->background_psql('postgres', on_error_stop => 0);

	$victim->query_safe("SET application_name = '$application'");
	$victim->query_until(qr/ready/, "\\echo ready\n$sql\n");
	await($node,
		"SELECT count(*) FROM pg_stat_activity WHERE application_name = '$application' AND state = 'active' AND wait_event = 'PgSleep'",
		'1');
	ask($node, "SELECT $function(pid) FROM pg_stat_activity WHERE application_name = '$application'");
	await($node,
		"SELECT count(*) FROM pg_stat_activity WHERE application_name = '$application' AND state = 'active'",
		'0');
	eval { $victim->quit };
	return $application;
}

$application = hurt('pg_cancel_backend', 'SELECT pg_sleep(60);');
is(rows_of($node, $application, "command_tag <> 'SET'"), 'SELECT|cancel|57014|0|0', 'pg_cancel_backend');
$application = hurt('pg_cancel_backend', 'COPY (SELECT pg_sleep(60)) TO STDOUT;');
is(rows_of($node, $application, "command_tag <> 'SET'"), 'COPY|cancel|57014|-|0', 'pg_cancel_backend of COPY');
$application = hurt('pg_terminate_backend', 'SELECT pg_sleep(60);');
is(rows_of($node, $application, "command_tag <> 'SET'"), 'SELECT|terminated|57P01|0|0', 'pg_terminate_backend');
$application = hurt('pg_terminate_backend', 'DO $$ BEGIN PERFORM pg_sleep(60); END $$;');
is(rows_of($node, $application, "command_tag <> 'SET'"), 'DO|terminated|57P01|-|0', 'pg_terminate_backend of DO');
$application = hurt('pg_terminate_backend', q{SET perfkit.track = 'all'; DO $$ BEGIN PERFORM pg_sleep(60); END $$;});
is(rows_of($node, $application, "command_tag <> 'SET'"), "SELECT|terminated|57P01|0|1\nDO|terminated|57P01|-|0",
	'pg_terminate_backend, track = all: every level has a row');
{
	my $idle = $node->background_psql('postgres', on_error_stop => 0);

	$idle->query_safe("SET application_name = 'idle'");
	$idle->query_safe('SELECT 1');
	ask($node, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'idle'});
	await($node, q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle'}, '0');
	eval { $idle->quit };
	story('an idle session that is terminated has run nothing', 'idle', 'SELECT|ok|-|1|0');
}

# ---- deadlock
{
	my @clients = map { PerfkitWire->new($node, 'postgres', application_name => "deadlock$_") } 1, 2;
	my @states;

	$_->query('BEGIN') for @clients;
	$clients[0]->query('UPDATE t SET v = v WHERE id = 1');
	$clients[1]->query('UPDATE t SET v = v WHERE id = 2');
	$clients[0]->send(Query => "UPDATE t SET v = v WHERE id = 2\0");
	$clients[1]->send(Query => "UPDATE t SET v = v WHERE id = 1\0");
	for my $client (@clients)
	{
		$client->until('Z');
		$client->query('ROLLBACK');
		$client->quit;
	}
	settle($node);
	is(ask($node, q{SELECT concat_ws('|', command_tag, outcome, sqlstate) FROM perfkit.slow_query_log
			WHERE application_name LIKE 'deadlock%' AND outcome <> 'ok'}),
		'UPDATE|error|40P01', 'a deadlock has one victim');
}

# ---- the extended protocol
extended(
	'Parse, Bind, Execute',
	sub {
		my ($c) = @_;
		$c->parse('', 'SELECT * FROM t WHERE id <= $1');
		$c->bind('', '', 9);
		$c->execute('');
		$c->sync;
	},
	'SELECT|ok|-|9|0');
extended(
	'a named statement executed three times',
	sub {
		my ($c) = @_;
		$c->parse('s', 'SELECT * FROM t WHERE id <= $1');
		for my $n (3 .. 5) { $c->bind('', 's', $n); $c->execute(''); $c->sync; }
	},
	map { "SELECT|ok|-|$_|0" } 3 .. 5);
extended(
	'a portal executed in chunks is one statement',
	sub {
		my ($c) = @_;
		$c->parse('', 'SELECT * FROM t WHERE id <= 10');
		$c->bind('p', '');
		$c->execute('p', 4);
		$c->execute('p', 4);
		$c->execute('p', 4);
		$c->sync;
	},
	'SELECT|ok|-|10|0');
extended(
	'a portal that is not read to its end',
	sub {
		my ($c) = @_;
		$c->parse('', 'SELECT * FROM t WHERE id <= 10');
		$c->bind('p', '');
		$c->execute('p', 4);
		$c->sync;
	},
	'SELECT|ok|-|4|0');
extended(
	'two portals interleaved',
	sub {
		my ($c) = @_;
		$c->query('BEGIN');
		$c->parse('', 'SELECT * FROM t WHERE id <= 10');
		$c->bind('p', '');
		$c->parse('', 'SELECT * FROM t WHERE id <= 20');
		$c->bind('q', '');
		$c->execute('p', 4);
		$c->execute('q', 4);
		$c->execute('p', 0);
		$c->execute('q', 0);
		$c->sync;
		$c->query('COMMIT');
	},
	'BEGIN|ok|-|-|0', 'SELECT|ok|-|10|0', 'SELECT|ok|-|20|0', 'COMMIT|ok|-|-|0');
extended(
	'an error in Parse',
	sub {
		my ($c) = @_;
		$c->parse('', 'SELECT * FROM nowhere');
		$c->bind('', '');
		$c->execute('');
		$c->sync;
	},
	'-|error|42P01|-|0');
extended(
	'an error in Bind',
	sub {
		my ($c) = @_;
		$c->parse('', 'SELECT * FROM t WHERE id = $1');
		$c->bind('', '', 'not a number');
		$c->execute('');
		$c->sync;
	},
	'-|error|22P02|-|0');
is(value("extended$case", 'query'), 'SELECT * FROM t WHERE id = $1', '... has its text');
extended(
	'an error in Execute',
	sub {
		my ($c) = @_;
		$c->parse('', 'SELECT 1/(id - 5) FROM t ORDER BY id');
		$c->bind('', '');
		$c->execute('');
		$c->sync;
	},
	'SELECT|error|22012|4|0');
extended(
	'an error in the second chunk',
	sub {
		my ($c) = @_;
		$c->parse('', 'SELECT 1/(id - 5) FROM t ORDER BY id');
		$c->bind('p', '');
		$c->execute('p', 2);
		$c->execute('p', 0);
		$c->sync;
	},
	'SELECT|error|22012|4|0');
extended(
	'a deferred constraint at Sync',
	sub {
		my ($c) = @_;
		$c->parse('', 'INSERT INTO child VALUES (-1)');
		$c->bind('', '');
		$c->execute('');
		$c->sync;
	},
	'INSERT|error|23503|1|0');
extended(
	'a pipeline in one implicit transaction, which fails in the middle',
	sub {
		my ($c) = @_;
		for my $sql ("INSERT INTO t VALUES (501, 'x')", 'SELECT 1/(id - 5) FROM t ORDER BY id', "INSERT INTO t VALUES (502, 'x')")
		{
			$c->parse('', $sql);
			$c->bind('', '');
			$c->execute('');
		}
		$c->sync;
	},
	'INSERT|ok|-|1|0', 'SELECT|error|22012|4|0');
extended(
	'a pipeline that commits',
	sub {
		my ($c) = @_;
		for my $id (503 .. 505)
		{
			$c->parse('', "INSERT INTO t VALUES ($id, 'x')");
			$c->bind('', '');
			$c->execute('');
		}
		$c->sync;
	},
	('INSERT|ok|-|1|0') x 3);
extended(
	'what is parsed and described, but never executed, is no statement',
	sub {
		my ($c) = @_;
		$c->parse('s', 'SELECT * FROM t');
		$c->send(Describe => "Ss\0");
		$c->send(Close => "Ss\0");
		$c->sync;
	},
	());
extended(
	'utility statements',
	sub {
		my ($c) = @_;
		for my $sql ('BEGIN', 'CREATE TABLE e ()', 'ROLLBACK')
		{
			$c->parse('', $sql);
			$c->bind('', '');
			$c->execute('');
			$c->sync;
		}
	},
	'BEGIN|ok|-|-|0', 'CREATE TABLE|ok|-|-|0', 'ROLLBACK|ok|-|-|0');
extended(
	'statement_timeout in Execute',
	sub {
		my ($c) = @_;
		$c->query(q{SET statement_timeout = '1s'});
		$c->parse('', 'SELECT pg_sleep(60)');
		$c->bind('', '');
		$c->execute('');
		$c->sync;
	},
	'SET|ok|-|-|0', 'SELECT|statement_timeout|57014|0|0');
extended(
	'a statement with RETURNING in chunks',
	sub {
		my ($c) = @_;
		$c->parse('', 'UPDATE t SET v = v WHERE id <= 10 RETURNING id');
		$c->bind('p', '');
		$c->execute('p', 4);
		$c->execute('p', 0);
		$c->sync;
	},
	'UPDATE|ok|-|10|0');

# ---- bind values, of statements that succeed and that fail
{
	my $client = PerfkitWire->new($node, 'postgres', application_name => 'bound');

	$client->parse('s', 'SELECT 10 / (id - $1::int), $2::text, $3::numeric, $4::timestamptz, $5::bool, $6::int4range, $7::text FROM t WHERE id = 5');
	for my $id (3, 5)
	{
		$client->bind('', 's', $id, "it's \"\\ \n \xc3\xa4", '12.50', '2026-03-01 10:00+00', 't', undef, 'host=h password=hunter2');
		$client->execute('');
		$client->sync;
	}
	$client->parse('', 'SELECT 10 / $1::int');
	$client->bind('', '', 0);
	is_deeply([ $client->sync ], ['22012'], 'an error in planning, at Bind');
	$client->quit;
	is(stored($node, q{application_name = 'bound' AND sqlstate = '22012' AND parameters = '["0"]' AND queryid IS NOT NULL}), '1',
		'... has the value, too');
	is( ask($node, q{SELECT outcome || ' ' || parameters::text FROM perfkit.slow_query_log WHERE application_name = 'bound' AND query ~ 'FROM t' ORDER BY sequence}),
		join("\n", map { qq{$_, "it's \\"\\\\ \\n \xc3\xa4", "12.50", "2026-03-01 10:00:00+00", "t", null, "host=h password=***"]} } 'ok ["3"', 'error ["5"'),
		'the values of a Bind, whether the statement succeeds or not');
}

# ---- a session with many prepared statements
{
	my $client = PerfkitWire->new($node, 'postgres', application_name => 'many prepared');

	$client->parse("s$_", "SELECT v, $_ FROM t WHERE id = \$1") for 1 .. 100;
	for my $n (1 .. 100)
	{
		$client->bind('', "s$n", $n);
		$client->execute('');
	}
	$client->sync;
	$client->quit;
	is(stored($node, q{application_name = 'many prepared' AND query_normalized = 'SELECT v, $2 FROM t WHERE id = $1'}), '100',
		'a hundred prepared statements: each has its normalized text');
}

# ---- pgbench, all three protocols: as many rows as transactions
$node->safe_psql('postgres', 'CREATE SEQUENCE n');
for my $protocol (qw(simple extended prepared))
{
	my $script = $node->basedir . "/$protocol.sql";

	append_to_file($script, "SELECT nextval('n');\nUPDATE t SET v = 'p' WHERE id = :client_id + 1;\n");
	local $ENV{PGAPPNAME} = "bench_$protocol";
	$node->command_ok(
		[ 'pgbench', '-n', '-M', $protocol, '-c', 2, '-t', 50, '-f', $script, 'postgres' ],
		"pgbench -M $protocol");
	is( do {
			settle($node);
			ask($node, "SELECT concat_ws('|', command_tag, outcome, rows, count(*)) FROM perfkit.slow_query_log
				WHERE application_name = 'bench_$protocol' AND query ~ 'nextval|UPDATE'
				GROUP BY command_tag, outcome, rows ORDER BY command_tag");
		},
		"SELECT|ok|1|100\nUPDATE|ok|1|100",
		'... gives a row for each statement');
}

# ---- the extension comes in the middle of a statement
$node->safe_psql('postgres', 'CREATE DATABASE late');
$node->safe_psql('late', q{CREATE FUNCTION waits() RETURNS int LANGUAGE plpgsql AS
	$$ BEGIN PERFORM pg_advisory_lock(7); PERFORM count(*) AS inside FROM pg_class; RETURN 1; END $$});
my $holder = $node->background_psql('late');
$holder->query_safe('SELECT pg_advisory_lock(7)');
my $early = $node->background_psql('late');
$early->query_until(qr/begun/, "\\echo begun\nSELECT waits();\nSELECT 2 AS next;\n");
ok($node->poll_query_until('late', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'advisory'}), 'a statement waits');
$holder->query_safe('CREATE EXTENSION perfkit');
$holder->query_safe('SELECT pg_advisory_unlock(7)');
$early->quit;
$holder->quit;
is(stored($node, q{query ~ 'next'}, 'late'), '1', 'the statement after CREATE EXTENSION in another session has its row');
is(stored($node, q{query ~ 'waits|inside'}, 'late'), '0', '... the one it came in the middle of has none, nor what ran inside of it');

# ---- of every row
is(stored($node, 'duration_ms < 0 OR planning_ms < 0 OR execution_ms < 0 OR commit_ms < 0'), '0', 'no time is negative');
is(stored($node, 'ended_at < started_at'), '0', 'nothing ends before it begins');
is(stored($node, "duration_ms > 1000 * extract(epoch FROM ended_at - started_at) + 1"), '0', 'nothing lasts longer than it ran');
is( ask($node, "SELECT DISTINCT concat_ws('|', database, username, pid > 0, CASE WHEN query <> '' THEN 't' ELSE l::text END) FROM perfkit.slow_query_log l
		WHERE application_name <> '$poor'"),
	'postgres|' . getpwuid($<) . '|t|t', 'database, user, process and text are known');
is( ask($node, "SELECT string_agg(DISTINCT username, ' ' ORDER BY username) FROM perfkit.slow_query_log
		WHERE application_name = '$poor'"),
	join(' ', sort(scalar(getpwuid($<)), 'poor')), '... and it is the role that runs it, not the one that logged in');
is(ask($node, 'SELECT count(*) - count(DISTINCT id) FROM perfkit.slow_query_log'), '0', 'ids are unique');
books_ok($node, 'the books balance');
is(counter($node, 'unclean_starts'), '0', 'the server has not crashed');
$node->stop;

done_testing();
