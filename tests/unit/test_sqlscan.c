/*
 * test_sqlscan.c - which texts change what a session keeps.
 */
#include "proto/sqlscan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/sqlskim.h"
#include "unit.h"

struct told
{
	char text[2000];
};

static void
tell(void *arg, const struct sqlscan_found *f)
{
	static const char *const kinds[] = {"set",         "reset",     "reset_all",
										"discard_all", "savepoint", "release",
										"rollback_to", "keep",      "end"};
	struct told *t = arg;
	size_t n = strlen(t->text);

	n += (size_t) snprintf(t->text + n, sizeof(t->text) - n, "%s%u %s%s", n > 0 ? "; " : "",
						   f->statement, kinds[f->kind], f->maybe ? "?" : "");
	for (int i = 0; i < SQLSCAN_STATES; i++)
		if ((f->kinds & (1 << i)) != 0)
			n += (size_t) snprintf(t->text + n, sizeof(t->text) - n, " %s",
								   sqlscan_state_name((enum sqlscan_state)(1 << i)));
	if (f->name != NULL)
		n += (size_t) snprintf(t->text + n, sizeof(t->text) - n, " %s", f->name);
	if (f->value != NULL)
		snprintf(t->text + n, sizeof(t->text) - n, "%s%s", f->call ? "()=" : "=", f->value);
}

/* sqlskim may not call clean, whole or in two pieces, what tells of something. */
static void
check_skim(const char *sql, size_t len, bool tells)
{
	for (size_t cut = 0; cut <= len && tells; cut++)
	{
		struct sqlskim s;

		sqlskim_begin(&s);
		sqlskim_piece(&s, sql, cut);
		sqlskim_piece(&s, sql + cut, len - cut);
		if (sqlskim_end(&s))
			fail_msg("%s\n  was found clean when cut at %zu", sql, cut);
	}
	if (tells && sqlskim_is_clean(sql, len))
		fail_msg("%s\n  was found clean", sql);
}

struct scanned
{
	const char *sql;
	const char *told;
};

/* The text lies at the end of a block of its own, so that a sanitizer sees a read past it. */
static void
check(const struct scanned *table, size_t n, bool standard_strings)
{
	for (size_t i = 0; i < n; i++)
	{
		size_t len = strlen(table[i].sql);
		char *mem = malloc(len + 1);
		struct told t = {.text = ""};

		assert_non_null(mem);
		memcpy(mem, table[i].sql, len);
		sqlscan(mem, len, standard_strings, tell, &t);
		if (strcmp(t.text, table[i].told) != 0)
			fail_msg("%s\n  told: %s\n  not:  %s", table[i].sql, t.text, table[i].told);
		check_skim(mem, len, t.text[0] != '\0');
		/* Cut anywhere: whatever is told, nothing behind the end is read. */
		for (size_t cut = 0; cut < len; cut++)
		{
			char *part = malloc(cut + 1);

			assert_non_null(part);
			memcpy(part, mem, cut);
			part = realloc(part, cut > 0 ? cut : 1);
			assert_non_null(part);
			t.text[0] = '\0';
			sqlscan(part, cut, standard_strings, tell, &t);
			free(part);
		}
		free(mem);
	}
}

#define CHECK(table, standard_strings)                                                             \
	check(table, sizeof(table) / sizeof((table)[0]), standard_strings)

static void
test_nothing(void **state)
{
	static const struct scanned table[] = {
		{"", ""},
		{";;", ""},
		{"select 1", ""},
		{"select 'listen x'; insert into t values ('set x = 1')", ""},
		{"update t set x = 5", ""},
		{"alter role a set work_mem = 5", ""},
		{"alter table t set (fillfactor = 5); alter system set a = b", ""},
		{"set local x = 1", ""},
		{"SET LOCAL TIME ZONE 'UTC'", ""},
		{"set transaction isolation level serializable", ""},
		{"set constraints all deferred", ""},
		{"set time zone 'UTC'; set names 'utf8'", ""},
		{"set session authorization default; reset session authorization", ""},
		{"set transaction_isolation = serializable; set seed = 0.5", ""},
		{"select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)", ""},
		{"select pg_advisory_lock from t", ""},
		{"select 'pg_advisory_lock(1)', $$set_config('a','b',false)$$", ""},
		{"select set_config('a', 'b', true)", ""},
		{"select set_config($1, $2, TRUE), set_config('a', f(x, y), 't')", ""},
		{"prepare transaction 'x'; commit prepared 'x'; rollback prepared 'x'", ""},
		{"create table t(a int); create view v as select 1", ""},
		{"create temp table t(a int) on commit drop", ""},
		{"create temporary table t on commit drop as select 1", ""},
		{"with x as (select 1) insert into temp select * from x", ""},
		{"declare c cursor for select 'with hold'", ""},
		{"declare c cursor without hold for select 1", ""},
		{"begin; commit; rollback; abort; end; start transaction", ""},
		{"notify x; copy t from stdin; vacuum; call f(); do 'x'", ""},
		{"listening; setx = 1; resets", ""},
		{"/* listen x", ""},
		{"select 'listen x; listen y", ""},
		{"select \"listen x; listen y", ""},
		{"select $a$ ; listen x; $b$ listen y", ""},
	};

	(void) state;
	CHECK(table, true);
}

static void
test_settings(void **state)
{
	static const struct scanned table[] = {
		{"set x = 5", "1 set x=5"},
		{"SET SESSION Work_Mem TO '5MB';", "1 set work_mem='5MB'"},
		{"set x=-5", "1 set x=-5"},
		{"set x = - 5", "1 set x=- 5"},
		{"set x = 1.5e-3", "1 set x=1.5e-3"},
		{"set x = .5", "1 set x=.5"},
		{"set a.\"B\".c to on", "1 set a.b.c=on"},
		{"set search_path = a, \"B\",'c' /* , d */ -- e\n, f",
		 "1 set search_path=a, \"B\",'c' , f"},
		{"set search_path to ''", "1 set search_path=''"},
		{"set x = E'a\\'b'", "1 set x=E'a\\'b'"},
		{"set x = 'it''s'", "1 set x='it''s'"},
		{"set x = $$a$$", "1 set x=$$a$$"},
		{"set schema 'a'", "1 set search_path='a'"},
		{"set role a; set role to 'b'; set \"role\" = c",
		 "1 set role=a; 2 set role='b'; 3 set role=c"},
		{"set role none; reset role", "1 reset role; 2 reset role"},
		{"set xml option document", "1 set xmloption=document"},
		{"set x to default; set x = DEFAULT", "1 reset x; 2 reset x"},
		{"reset x; reset a.B; reset all", "1 reset x; 2 reset a.b; 3 reset_all"},
		{"set session characteristics as transaction isolation level repeatable read, read write, "
		 "deferrable",
		 "1 set default_transaction_isolation='repeatable read'; 1 set "
		 "default_transaction_read_only=off; 1 set default_transaction_deferrable=on"},
		{"set session characteristics as transaction isolation level read /*'*/ uncommitted not "
		 "deferrable",
		 "1 set default_transaction_isolation='read uncommitted'; 1 set "
		 "default_transaction_deferrable=off"},
		{"select 1;; select 2; set x = 3", "3 set x=3"},
		{"select set_config('search_path', '', false);", "1 set search_path()=''"},
		{"SELECT pg_catalog.set_config('My.X', E'a\\n', FALSE)", "1 set my.x()=E'a\\n'"},
		/* What cannot be said again elsewhere. */
		{"select set_config('x', $1, false)", "1 keep setting"},
		{"select set_config('x', 'a', $1)", "1 keep setting"},
		{"select set_config('x', 'a', false) from t", "1 keep setting"},
		{"select a, set_config('x', 'a', false)", "1 keep setting"},
		{"select set_config('x', 'a\\b', false)", "1 keep setting"},
		{"select \"set_config\"('x', 'a', false)", "1 keep setting"},
		{"insert into t select set_config('x', 'a', false)", "1 keep setting"},
		{"set x = 'a\\b'", "1 keep setting"},
		{"set x = 'a'\n'b'", "1 keep setting"},
		{"set x = U&'a'", "1 keep setting"},
		{"set x = $1", "1 keep setting"},
		{"set \"a b\" = 1", "1 keep setting"},
		{"set x", "1 keep setting"},
		{"set session_authorization = a", "1 keep session_authorization"},
		{"set session authorization a", "1 keep session_authorization"},
		{"select set_config('session_authorization', 'a', false)", "1 keep session_authorization"},
		{"discard all; discard plans; discard sequences", "1 discard_all"},
	};
	char big[3000];
	struct told t = {.text = ""};

	(void) state;
	CHECK(table, true);
	snprintf(big, sizeof(big), "set x = '%01500d'", 0);
	sqlscan(big, strlen(big), true, tell, &t);
	assert_string_equal(t.text, "1 keep setting");
}

static void
test_what_belongs_to_a_server(void **state)
{
	static const struct scanned table[] = {
		{"listen x; LISTEN \"y\"; unlisten x; unlisten *",
		 "1 keep listen; 2 keep listen; 3 end listen; 4 end listen"},
		{"create temp table t(a int); create local temporary view v as select 1",
		 "1 keep temporary_table; 2 keep temporary_table"},
		{"create or replace temp recursive view v(a) as select 1", "1 keep temporary_table"},
		{"create temp table t() on commit delete rows", "1 keep temporary_table"},
		{"create unlogged table pg_temp.t(); create function pg_temp.f() returns int as 'x'",
		 "1 keep temporary_table; 2 keep temporary_table"},
		{"select a into temp t from x; (select 1 into temporary table t)",
		 "1 keep temporary_table; 2 keep temporary_table"},
		{"select a into table pg_temp.t from x", "1 keep temporary_table"},
		{"with x as (select 1) select * into local temp t from x", "1 keep temporary_table"},
		{"explain analyze create temp table t as select 1", "1 keep temporary_table"},
		{"drop table t; discard temp; discard temporary",
		 "1 end temporary_table; 2 end temporary_table; 3 end temporary_table"},
		{"select pg_advisory_lock(1)", "1 keep advisory_lock"},
		{"select PG_ADVISORY_LOCK (1), pg_catalog.\"pg_advisory_lock_shared\"(2)",
		 "1 keep advisory_lock; 1 keep advisory_lock"},
		{"select pg_try_advisory_lock(1) and pg_try_advisory_lock_shared(2)",
		 "1 keep? advisory_lock; 1 keep? advisory_lock"},
		{"select pg_advisory_unlock(1), pg_advisory_unlock_shared(1); select "
		 "pg_advisory_unlock_all()",
		 "1 end advisory_lock; 1 end advisory_lock; 2 end advisory_lock"},
		{"prepare p as select pg_advisory_lock(1)",
		 "1 keep prepared_statement; 1 keep advisory_lock"},
		{"deallocate p; deallocate all", "1 end prepared_statement; 2 end prepared_statement"},
		{"declare c scroll cursor with hold for select 1; close c",
		 "1 keep held_cursor; 2 end held_cursor"},
		{"load 'x'", "1 keep load"},
		{"savepoint \"A\"; release b; release savepoint B; rollback to C; rollback work to "
		 "savepoint d; rollback transaction to e",
		 "1 savepoint A; 2 release b; 3 release b; 4 rollback_to c; 5 rollback_to d; 6 rollback_to "
		 "e"},
	};

	(void) state;
	CHECK(table, true);
}

/* What is seen through. */
static void
test_lexical(void **state)
{
	static const struct scanned table[] = {
		{"-- x\nlisten x", "1 keep listen"},
		{"-- x\rlisten x", "1 keep listen"},
		{"/* a /* b */ listen y */listen x", "1 keep listen"},
		{"select 1 --;\n;/**/listen x", "2 keep listen"},
		{"select 'a''b;'; listen x", "2 keep listen"},
		{"select 'a\\'; listen x; --'", "2 keep listen"},
		{"select E'a\\'; listen y'; listen x", "2 keep listen"},
		{"select e'a'\n'\\'; listen y'; listen x", "2 keep listen"},
		{"select e'a' -- c\n '\\'; listen y'; listen x", "2 keep listen"},
		{"select e'a' '\\'; listen x; --'", "2 keep listen"},
		{"select B'1', x'f', N'\\', U&'\\0041', u&\"a;b\"; listen x", "2 keep listen"},
		{"select \"a;\"\"b\"; listen x", "2 keep listen"},
		{"select $$;'$$, $a$ $$; $b$ $a$; listen x", "2 keep listen"},
		{"select $1; select a$b$ from t; listen x", "3 keep listen"},
		{"select 1$$ ; listen x", "2 keep listen"},
		{"select (1;2); listen x", "2 keep listen"},
		{"create rule r as on insert to t do (select 1; listen y); listen x", "2 keep listen"},
		{"create function f() returns int begin atomic select case 1 when 1 then 2 end; listen y; "
		 "end; listen x",
		 "2 keep listen"},
		{"create function f() returns int as $$ begin; listen y; end $$; listen x",
		 "2 keep listen"},
		{"begin; select 1; end; listen x", "4 keep listen"},
		{"\xc3\xa9 x; listen \xc3\xa9", "2 keep listen"},
	};
	static const struct scanned loose[] = {
		{"select 'a\\'; listen y'; listen x", "2 keep listen"},
		{"set x = 'a\\'b'", "1 keep setting"},
		{"select N'\\'; listen y'; listen x", "2 keep listen"},
		{"select B'\\'; listen x", "2 keep listen"},
	};
	struct told t = {.text = ""};

	(void) state;
	CHECK(table, true);
	CHECK(loose, false);
	/* A message ends with its zero byte. */
	sqlscan("select 1\0; listen x", 20, true, tell, &t);
	assert_string_equal(t.text, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_what_belongs_to_a_server),
		cmocka_unit_test(test_lexical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
