-- psql: what is typed and what stands in scripts.
\set ON_ERROR_STOP on
\pset pager off
begin;
create temp table t (id int primary key, note text) on commit drop;
\copy t from stdin with (format csv)
1,one
2,"two, with a comma"
\.
select count(*) as copied from t \gset
\if :{?copied}
\else
  \quit 3
\endif
insert into t select g, 'row ' || g from generate_series(3, 500) g;
savepoint before;
\set ON_ERROR_STOP off
insert into t values (1, 'again');
\set ON_ERROR_STOP on
rollback to before;
declare c cursor for select id from t order by id;
\set FETCH_COUNT 50
fetch 10 from c;
select * from t order by id;
\unset FETCH_COUNT
\copy t to /dev/null
commit;

-- The catalog, as the backslash commands and completion read it.
\d
\dt+
\df pg_catalog.abs
\dn
\du
\l
\dx
\conninfo
\encoding

-- Settings of the session, before and after other clients have had the server.
set statement_timeout = '7s';
set search_path = pg_catalog, public;
select current_setting('statement_timeout') = '7s' as kept \gset
\if :kept
\else
  \echo statement_timeout was lost
  \quit 3
\endif
show search_path;
\timing on
\x on
explain (analyze, costs off, timing off) select count(*) from generate_series(1, 1000);
\x off
select 'select ' || g from generate_series(1, 3) g \gexec
\errverbose
select pg_notify('bell', 'rings');
do $$ begin raise notice 'from a block'; end $$;
vacuum;
discard all;
