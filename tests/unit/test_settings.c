/*
 * test_settings.c - a client's settings as a sorted list, and the statements between two of them.
 */
#include "core/settings.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

/* "name=value" each, name()=value by set_config(). */
static void
fill(struct settings *s, const char *const *entries)
{
	for (; *entries != NULL; entries++)
	{
		const char *equals = strchr(*entries, '=');
		bool call = equals[-1] == ')';
		char name[200];

		snprintf(name, sizeof(name), "%.*s", (int) (equals - *entries - (call ? 2 : 0)), *entries);
		assert_true(
			settings_set(s, &(struct setting){.name = name, .value = equals + 1, .call = call}));
	}
}

#define ENTRIES 4

static void
test_diff(void **state)
{
	static const struct
	{
		const char *want[ENTRIES];
		const char *have[ENTRIES];
		const char *sql;
	} table[] = {
		{{0}, {0}, ""},
		{{"a=1"}, {"a=1"}, ""},
		{{"b=2", "a=1"}, {"a=1", "b=2"}, ""},
		{{"a=1"}, {0}, "SET \"a\" TO 1"},
		{{0}, {"a=1"}, "RESET \"a\""},
		{{"a=1", "c=3"}, {"b=2", "a=2"}, "RESET \"b\";SET \"a\" TO 1;SET \"c\" TO 3"},
		{{"my.user='x'"}, {0}, "SET \"my\".\"user\" TO 'x'"},
		{{"a()='x'"}, {"a='x'"}, "SELECT pg_catalog.set_config('a', 'x', false)"},
		{{"a()='x'"}, {"a()='x'"}, ""},
		/* The role last, and put back first, for the others may need its absence. */
		{{"z=1", "role=r"}, {0}, "SET \"z\" TO 1;SET \"role\" TO r"},
		{{"z=1", "role=r"}, {"role=q"}, "RESET \"role\";SET \"z\" TO 1;SET \"role\" TO r"},
		{{0}, {"role=r", "a=1"}, "RESET \"role\";RESET \"a\""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		struct settings want = {0};
		struct settings have = {0};
		char sql[300];
		size_t len = strlen(table[i].sql);

		fill(&want, table[i].want);
		fill(&have, table[i].have);
		sql[0] = '\0';
		assert_int_equal(settings_diff(&want, &have, sql, sizeof(sql)), len);
		assert_string_equal(sql, table[i].sql);
		assert_int_equal(settings_equal(&want, &have), len == 0);
		if (len > 0)
			for (size_t cap = 1; cap <= len; cap++)
				assert_int_equal(settings_diff(&want, &have, sql, cap), -1);
		settings_fini(&want);
		settings_fini(&have);
	}
}

static void
test_changes(void **state)
{
	static const char *const three[] = {"b=2", "role=r", "a=1", NULL};
	struct settings s = {0};
	struct settings copy = {0};
	char sql[300];

	(void) state;
	fill(&s, three);
	settings_copy(&copy, &s);
	assert_true(settings_equal(&s, &copy));
	settings_set(&s, &(struct setting){.name = "b", .value = "22222"});
	settings_remove(&s, "a");
	settings_remove(&s, "nosuch");
	settings_diff(&s, &copy, sql, sizeof(sql));
	assert_string_equal(sql, "RESET \"role\";RESET \"a\";SET \"b\" TO 22222;SET \"role\" TO r");
	settings_reset_all(&s);
	settings_fini(&copy);
	settings_diff(&s, &copy, sql, sizeof(sql));
	assert_string_equal(sql, "SET \"role\" TO r");
	settings_remove(&s, "role");
	assert_null(s.mem);
	/* Spoilt: whoever comes next sets or resets every name. */
	fill(&s, three);
	settings_copy(&copy, &s);
	settings_spoil(&copy);
	settings_diff(&s, &copy, sql, sizeof(sql));
	assert_string_equal(sql, "RESET \"role\";SET \"a\" TO 1;SET \"b\" TO 2;SET \"role\" TO r");
	settings_fini(&s);
	settings_diff(&s, &copy, sql, sizeof(sql));
	assert_string_equal(sql, "RESET \"role\";RESET \"a\";RESET \"b\"");
	settings_fini(&copy);
}

/* Full of the shortest and of the longest entries: all of it is taken over, and no more. */
static void
test_bounds(void **state)
{
	static char sql[SETTINGS_SQL_MAX];
	struct settings want = {0};
	struct settings have = {0};
	struct setting one = {.value = "1"};
	char name[20];
	char value[SETTINGS_MAX];

	(void) state;
	one.name = name;
	for (int i = 0;; i++)
	{
		snprintf(name, sizeof(name), "%c.%c", 'a' + i / 26 % 26, 'a' + i % 26);
		if (i >= 26 * 26)
			snprintf(name, sizeof(name), "%c.%c.%c", 'a' + i / 676 % 26, 'a' + i / 26 % 26,
					 'a' + i % 26);
		if (!settings_fits(&want, &one))
			break;
		assert_true(settings_set(&want, &one));
		name[strlen(name) - 1] = '_';
		settings_set(&have, &one);
	}
	assert_false(settings_set(&want, &one));
	assert_in_range(want.len, SETTINGS_MAX - 10, SETTINGS_MAX);
	assert_true(settings_diff(&want, &have, sql, sizeof(sql)) > 0);
	settings_fini(&want);
	settings_fini(&have);
	memset(value, 'x', sizeof(value));
	value[SETTINGS_MAX - 2] = '\0';
	one = (struct setting){.name = "a", .value = value};
	assert_false(settings_set(&want, &one));
	value[SETTINGS_MAX - 3] = '\0';
	assert_true(settings_set(&want, &one));
	value[0] = 'y';
	assert_true(settings_set(&want, &one));
	settings_fini(&want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
