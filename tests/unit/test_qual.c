/*
 * test_qual.c - conditions of plans: which columns they compare, and that what is not understood is
 * told as such.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "qual.h"

/* What the parts of a condition are, as "= a, < b::text, ?". */
static const char *
told(const char *alias, const char *text)
{
	static char out[4096];
	PerfkitQual quals[PERFKIT_MAX_QUALS];
	int n = perfkit_quals(text, strlen(text), alias, quals);
	size_t length = 0;

	if (n < 0)
		return "refused";
	out[0] = '\0';
	for (int i = 0; i < n; i++)
	{
		const PerfkitQual *q = &quals[i];

		length +=
			(size_t) snprintf(out + length, sizeof(out) - length, "%s%s%s%s%s%s", i > 0 ? ", " : "",
							  q->kind == PERFKIT_QUAL_EQUAL   ? "= "
							  : q->kind == PERFKIT_QUAL_RANGE ? "< "
															  : "?",
							  q->column, q->cast[0] != '\0' ? "::" : "", q->cast, "");
	}
	return out;
}

static void
comparisons_of_a_column(void **state)
{
	(void) state;
	assert_string_equal(told("t", "(a = 1)"), "= a");
	assert_string_equal(told("t", "(a = '-1'::integer)"), "= a");
	assert_string_equal(told("t", "(a = $1)"), "= a");
	assert_string_equal(told("t", "(a = ($1)::bigint)"), "= a");
	assert_string_equal(told("t", "(1 = a)"), "= a");
	assert_string_equal(told("t", "(a > 1.5e-3)"), "< a");
	assert_string_equal(told("t", "(5 <= a)"), "< a");
	assert_string_equal(told("t", "(a <> 1)"), "?");
	assert_string_equal(told("t", "(a ~~ 'x%'::text)"), "?");
	assert_string_equal(told("t", "(a IS NULL)"), "= a");
	assert_string_equal(told("t", "(a IS NOT NULL)"), "?");
	assert_string_equal(told("t", "(a = ANY ('{1,2}'::integer[]))"), "= a");
	assert_string_equal(told("t", "(a < ANY ('{1,2}'::integer[]))"), "?");
	assert_string_equal(told("t", "(a = ALL ('{1,2}'::integer[]))"), "?");
	assert_string_equal(told("t", "((name)::text = 'x'::text)"), "= name::text");
	assert_string_equal(told("t", "((name)::character varying(10) = 'x'::text)"),
						"= name::character varying(10)");
	assert_string_equal(told("t", "(at > (now() - '7 days'::interval))"), "< at");
	assert_string_equal(told("t", "(at >= date_trunc('day'::text, now()))"), "< at");
	assert_string_equal(told("t", "(day = CURRENT_DATE)"), "= day");
	assert_string_equal(told("t", "(at < '2024-01-01 00:00:00+00'::timestamp(3) with time zone)"),
						"< at");
	assert_string_equal(told("t", "(n = '5'::numeric(10,2))"), "= n");
	assert_string_equal(told("t", "(m = 'sad'::shop.mood)"), "= m");
	assert_string_equal(told("t", "(id = (InitPlan 1).col1)"), "= id");
	assert_string_equal(told("t", "(id = $0)"), "= id");
}

static void
names_are_quoted_and_qualified(void **state)
{
	(void) state;
	assert_string_equal(told("t", "(\"Weird \"\"Name\"\"\" = 1)"), "= Weird \"Name\"");
	assert_string_equal(told("t", "(t.a = 1)"), "= a");
	assert_string_equal(told("t", "(t.a = u.b)"), "= a");
	assert_string_equal(told("u", "(t.a = u.b)"), "= b");
	assert_string_equal(told("v", "(t.a = u.b)"), "?");
	assert_string_equal(told("t", "(t.a = t.b)"), "?");
	assert_string_equal(told("my t", "(\"my t\".\"Col\" >= 3)"), "< Col");
	assert_string_equal(told("t", "(a = b)"), "?");
	assert_string_equal(told("t", "(a = true)"), "= a");
	assert_string_equal(told("t", "(\"true\" = 1)"), "= true");
}

static void
conditions_are_taken_apart_at_and(void **state)
{
	(void) state;
	assert_string_equal(told("t", "((a = 1) AND (b > 2) AND (c IS NULL))"), "= a, < b, = c");
	assert_string_equal(told("t", "(((a = 1) AND (b > 2)) AND (c = 3))"), "= a, < b, = c");
	assert_string_equal(told("t", "((a = 1) OR (b = 2))"), "?");
	assert_string_equal(told("t", "((a = 1) AND ((b = 2) OR (c = 3)))"), "= a, ?");
	assert_string_equal(told("t", "((a = ' AND '::text) AND (b = 'it''s) AND ('::text))"),
						"= a, = b");
	assert_string_equal(told("t", "((a = E'\\\\'' AND '::text) AND (b = 2))"), "= a, = b");
	assert_string_equal(told("t", "(flag AND (NOT other) AND (a = 1))"), "?, ?, = a");
	assert_string_equal(told("t", "flag"), "?");
}

static void
expressions_are_not_columns(void **state)
{
	(void) state;
	assert_string_equal(told("t", "(lower(name) = 'x'::text)"), "?");
	assert_string_equal(told("t", "((a + 1) = 5)"), "?");
	assert_string_equal(told("t", "((a)::text = b)"), "?");
	assert_string_equal(told("t", "(((a)::text)::integer = 5)"), "?");
	assert_string_equal(told("t", "(a[1] = 5)"), "?");
	assert_string_equal(told("t", "((a).b = 5)"), "?");
	assert_string_equal(told("t", "(t.a.b = 5)"), "?");
	assert_string_equal(told("t", "(a = random())"), "?");
	assert_string_equal(told("t", "(a = lower(b))"), "?");
	assert_string_equal(told("t", "(a = (b + 1))"), "?");
	assert_string_equal(told("t", "(ROW(a, b) = ROW(1, 2))"), "?");
	assert_string_equal(told("t", "(a = 'x'::text COLLATE \"C\")"), "?");
	assert_string_equal(told("t", "(a OPERATOR(public.=) 1)"), "?");
	assert_string_equal(told("t", "(a = (SubPlan 1))"), "?");
	assert_string_equal(told("t", "(hashed SubPlan 1)"), "?");
	assert_string_equal(told("t", "(ANY (a = (hashed SubPlan 1).col1))"), "?");
	assert_string_equal(told("t", "(CASE WHEN (a = 1) THEN 2 ELSE 3 END = 2)"), "?");
}

static void
what_does_not_match_is_refused(void **state)
{
	char deep[1000];
	char many[4000] = "((a = 1)";

	(void) state;
	assert_string_equal(told("t", ""), "refused");
	assert_string_equal(told("t", "   "), "refused");
	assert_string_equal(told("t", "(a = 1"), "refused");
	assert_string_equal(told("t", "(a = 'x)"), "refused");
	assert_string_equal(told("t", "a = 1)"), "refused");
	assert_string_equal(told("t", "((a = 1) AND )"), "refused");
	memset(deep, '(', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_string_equal(told("t", deep), "refused");
	memset(deep + 500, ')', 499);
	deep[499] = 'a';
	assert_string_equal(told("t", deep), "?");
	for (int i = 0; i < PERFKIT_MAX_QUALS; i++)
		strcat(many, " AND (a = 1)");
	strcat(many, ")");
	assert_string_equal(told("t", many), "refused");
}

static bool
sorts(const char *alias, const char *text, const char *column, bool descending, bool nulls_first)
{
	PerfkitSortKey key;

	return perfkit_sort_key(text, strlen(text), alias, &key) && strcmp(key.column, column) == 0 &&
		   key.descending == descending && key.nulls_first == nulls_first;
}

static void
sort_keys(void **state)
{
	PerfkitSortKey key;

	(void) state;
	assert_true(sorts("t", "a", "a", false, false));
	assert_true(sorts("t", "t.a DESC", "a", true, true));
	assert_true(sorts("t", "t.\"A b\" DESC NULLS LAST", "A b", true, false));
	assert_true(sorts("t", "a NULLS FIRST", "a", false, true));
	assert_false(perfkit_sort_key("u.a", 3, "t", &key));
	assert_false(perfkit_sort_key("(lower(a))", 10, "t", &key));
	assert_false(perfkit_sort_key("a COLLATE \"C\"", 13, "t", &key));
	assert_false(perfkit_sort_key("a USING ~<~", 11, "t", &key));
	assert_false(perfkit_sort_key("(count(*)) DESC", 15, "t", &key));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparisons_of_a_column),
		cmocka_unit_test(names_are_quoted_and_qualified),
		cmocka_unit_test(conditions_are_taken_apart_at_and),
		cmocka_unit_test(expressions_are_not_columns),
		cmocka_unit_test(what_does_not_match_is_refused),
		cmocka_unit_test(sort_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
