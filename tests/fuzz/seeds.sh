#!/usr/bin/env bash
# seeds.sh - writes a small corpus for each fuzz target: well-formed input for the fuzzer to start from,
# and what once was a finding.
#
#   tests/fuzz/seeds.sh DIRECTORY      fills DIRECTORY/<target>/
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
out=$1

# seed <target> <name> <printf format>
seed()
{
    mkdir -p "$out/$1"
    # shellcheck disable=SC2059 # the format is the seed
    printf "$3" > "$out/$1/$2"
}

seed pgmsg query 'Q\0\0\0\15SELECT 1\0'
seed pgmsg batch 'P\0\0\0\10\0\0\0\0B\0\0\0\14\0\0\0\0\0\0\0\0E\0\0\0\11\0\0\0\0\0S\0\0\0\4'
seed pgmsg error 'E\0\0\0\45SERROR\0VERROR\0C42601\0Mno\0Dd\0Hh\0\0Z\0\0\0\5I'
seed pgmsg rows 'D\0\0\0\4D\0\0\0\6xyD\0\0\0\5zC\0\0\0\4'
seed pgmsg cut 'd\177\377\377\377abc'
seed pgmsg too_long 'd\377\377\377\377'
seed pgmsg too_short 'S\0\0\0\3'

seed command show 'SHOW POOLS;'
seed command set "SET server_check_query = 'it''s'"
seed command name 'kill "my ""db"""'
seed command two 'show stats; show version'
seed command open "set a to 'b"

seed startup protocol '\0\0\0\41\0\3\0\0user\0joe\0database\0db\0\0'
seed startup pq_option '\0\0\0\34\0\3\0\2_pq_.x\0on\0user\0a\0\0'
seed startup ssl '\0\0\0\10\4\322\26\57'
seed startup gssenc '\0\0\0\10\4\322\26\60'
seed startup cancel '\0\0\0\20\4\322\26\56\0\0\0\7key!'
seed startup cancel_long '\0\0\0\30\4\322\26\56\0\0\0\7key!key!key!'
seed startup version_2 '\0\0\0\11\0\2\0\0\0'
seed startup no_terminator '\0\0\0\21\0\3\0\0user\0joe\0'
seed startup http 'GET / HTTP/1.1\r\n'
seed startup tls '\26\3\1\2\0\1\0\1\374\3\3'

nonce='fyko+d2lbbFgONRv9qkxdawL'
proof='dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ='
salt='W22ZaJ0SNY7soEsUEjb6gQ=='
seed scram server_first "\\0n,,n=,r=$nonce"
seed scram server_first_y "\\0y,,n=user,r=$nonce,x=ext"
seed scram server_first_binding "\\0p=tls-server-end-point,,n=,r=$nonce"
seed scram plus_not_chosen "\\5p=tls-server-end-point,,n=,r=$nonce"
seed scram plus_chosen "\\6p=tls-server-end-point,,n=,r=$nonce"
seed scram server_final "\\1c=biws,r=${nonce}x,p=$proof"
seed scram server_final_ext "\\1c=biws,r=${nonce}x,x=y,p=$proof"
seed scram client_first "\\2r=${nonce}abc,s=$salt,i=4096"
seed scram client_verify "\\3v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
seed scram client_error '\3e=invalid-proof'
seed scram verifier "\\4SCRAM-SHA-256\$4096:$salt\$$proof:$proof"

seed txstate query '>Q<TDCZI'
seed txstate batches '>PBDESPBES<12TDE>Q<ZI12CZI'
seed txstate transaction '>Q<CZT>PBES<12CZT>Q<CZI'
seed txstate copy_in '>PBESdcS<12GCZI'
seed txstate copy_in_query '>QSdcdcS<GCGEZIZI'
seed txstate copy_failed '>PBES<12GE>S<ZIZI'
seed txstate copy_both '>Q<Wdd>ddc<dcTDCZI'
seed txstate copy_both_keepalive '>Q<Wd>c<dcdCZI'
seed txstate growing '>QQQQQQQQQQQQQQQQQQQQQQQQ<ZIZIZIZIZIZI>PBESPBES<ZIZI='
seed txstate finding_copy_outlives_its_request '>E<WcI'

seed hba usual 'local all all peer map=m\nhostssl app,other alice,bob 10.0.0.0/8 scram-sha-256 clientcert=verify-ca\nhost all all all md5\n\0m root alice\n'
seed hba list '# x\nhost "a b",@f all \\\n ::1/128 reject\nhostnossl sameuser replication 1.2.3.4 255.0.0.0 trust\n\0app, alice\n'
seed hba mistakes 'host all +x samenet ldap\nhost "'
seed hba forms 'hostgssenc all all all trust\nhostnogssenc replication,"all",sameuser all ::ffff:10.0.0.0/8 password\nhost all @f fe80::1%%e/64 plain\r\nhostssl all all all cert map=m clientcert=verify-full\nlocal all all ident map="m"\n\0m root all\nm "a b" bob\n'
seed saslprep prepared 'fi\357\254\201\302\240e\314\201\302\255'
seed saslprep forbidden '\330\247\061\302\252\007'
seed saslprep broken '\302\252\355\240\200\377'
seed hba loop 'local @f all md5\n\0@f\n'

seed sqlscan settings "1set x = 'a', \"b\", -5; reset all; set role none; set session characteristics as transaction read only"
seed sqlscan call "1select pg_catalog.set_config('search_path', '', false); select set_config(\$1, 'x', true)"
seed sqlscan state '1listen x; create temp table t(a int); select pg_advisory_lock(1); declare c cursor with hold for select 1'
seed sqlscan savepoints '1begin; savepoint "A"; release savepoint a; rollback work to savepoint b; commit'
seed sqlscan quotes "1select E'a\\\\''b', 'a\\\\', U&\"x\", \$a\$ ; \$b\$ \$a\$ /* /* */ ; */; listen x -- y"
seed sqlscan loose "0select 'a\\\\'; listen y'; listen x; set y = 'a\\\\'"
seed sqlscan atomic '1create function f() returns int begin atomic select case 1 when 1 then 2 end; end; discard all'

seed qual parts "t\n((a = 1) AND (t.b > '2'::numeric(10,2)) AND ((name)::text = ANY ('{x,y}'::text[])) AND (c IS NULL))"
seed qual values "t\n((at >= date_trunc('day'::text, (now() - '7 days'::interval))) AND (5 <= \"Q\"\"x\") AND (d = E'a\\\\\\\\''b'))"
seed qual others "o\n((o.a = c.b) AND ((x = 1) OR (y = 2)) AND (lower(z) = 'z'::text) AND (u = (InitPlan 1).col1))"
seed secret grammar "0\nalter role \"o'brien\" password E'a' -- it's\n'b'"
seed secret inside "0\ndo \$\$ begin execute E'alter role r password \\\\'x\\\\''; end \$\$"
seed secret options "3\nhost=h password = 'it\\\\'s' user=u"
seed secret uri "4\npostgres://u:p@h/d?password=x&user=u"
seed secret plan "2\n((password)::text = E'a\\\\\\\\''b'::text)"
seed secret unparsed "1\ncreate role x password y 'z' 4711"

seed qual sort "t\nt.\"A b\" DESC NULLS LAST"
