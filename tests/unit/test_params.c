/*
 * test_params.c - which parameters follow a client, and the SET that makes a server fit.
 */
#include "core/params.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

static void
test_names_without_case(void **state)
{
	static const struct
	{
		const char *name;
		int param;
	} table[] = {
		{"client_encoding", PARAM_CLIENT_ENCODING},
		{"CLIENT_ENCODING", PARAM_CLIENT_ENCODING},
		{"datestyle", PARAM_DATESTYLE},
		{"timezone", PARAM_TIMEZONE},
		{"Standard_Conforming_Strings", PARAM_STANDARD_CONFORMING_STRINGS},
		{"application_name", PARAM_APPLICATION_NAME},
		{"intervalstyle", PARAM_INTERVALSTYLE},
		{"search_path", -1},
		{"TimeZon", -1},
		{"TimeZone ", -1},
		{"", -1},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(params_find(table[i].name), table[i].param);
	for (int i = 0; i < PARAM_EXTRA; i++)
		assert_int_equal(params_find(params_name(i)), i);
	assert_null(params_name(PARAM_EXTRA));
}

static void
test_set_copies_and_forgets(void **state)
{
	char value[] = "UTC";
	struct params p;

	(void) state;
	params_init(&p);
	params_set(&p, PARAM_TIMEZONE, value);
	value[0] = 'x';
	assert_string_equal(p.value[PARAM_TIMEZONE], "UTC");
	params_set(&p, PARAM_TIMEZONE, p.value[PARAM_TIMEZONE]);
	assert_string_equal(p.value[PARAM_TIMEZONE], "UTC");
	params_set(&p, PARAM_TIMEZONE, "GMT");
	assert_string_equal(p.value[PARAM_TIMEZONE], "GMT");
	params_set(&p, PARAM_TIMEZONE, NULL);
	assert_null(p.value[PARAM_TIMEZONE]);
	params_set(&p, PARAM_DATESTYLE, "ISO");
	params_fini(&p);
	assert_null(p.value[PARAM_DATESTYLE]);
}

struct values
{
	const char *timezone;
	const char *application_name;
};

static void
fill(struct params *p, const struct values *v)
{
	params_init(p);
	params_set(p, PARAM_TIMEZONE, v->timezone);
	params_set(p, PARAM_APPLICATION_NAME, v->application_name);
}

static void
test_diff(void **state)
{
	static const struct
	{
		struct values want;
		struct values fallback;
		struct values have;
		const char *sql;
	} table[] = {
		{{"UTC", "a"}, {0}, {"UTC", "a"}, ""},
		{{"UTC", NULL}, {0}, {"GMT", "a"}, "SET TimeZone TO 'UTC'"},
		{{"UTC", "b"}, {0}, {"GMT", "a"}, "SET TimeZone TO 'UTC';SET application_name TO 'b'"},
		/* Asked for nothing: as the first server logged in. */
		{{0}, {"UTC", "p"}, {"GMT", "p"}, "SET TimeZone TO 'UTC'"},
		{{"CET", NULL}, {"UTC", "p"}, {"UTC", "p"}, "SET TimeZone TO 'CET'"},
		/* Not reported by this server. */
		{{"UTC", NULL}, {0}, {0}, "SET TimeZone TO 'UTC'"},
		{{0}, {0}, {"GMT", "x"}, ""},
		/* A value is a value. */
		{{NULL, "x'; drop"}, {0}, {NULL, "x"}, "SET application_name TO 'x''; drop'"},
		{{NULL, "a\\'b"}, {0}, {NULL, ""}, "SET application_name TO E'a\\\\''b'"},
		{{NULL, ""}, {0}, {NULL, "x"}, "SET application_name TO ''"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		struct params want;
		struct params fallback;
		struct params have;
		char sql[200];
		size_t len = strlen(table[i].sql);

		fill(&want, &table[i].want);
		fill(&fallback, &table[i].fallback);
		fill(&have, &table[i].have);
		sql[0] = '\0';
		assert_int_equal(params_diff(&want, &fallback, &have, sql, sizeof(sql)), len);
		assert_string_equal(sql, table[i].sql);
		/* Room for all of it and its zero, or an error: never a statement cut short. */
		if (len > 0)
		{
			assert_int_equal(params_diff(&want, &fallback, &have, sql, len + 1), len);
			for (size_t cap = 0; cap <= len; cap++)
				assert_int_equal(params_diff(&want, &fallback, &have, sql, cap), -1);
		}
		params_fini(&want);
		params_fini(&fallback);
		params_fini(&have);
	}
}

/* The longest value that login lets in, of nothing but quotes and backslashes, still fits. */
static void
test_longest_value(void **state)
{
	struct params want;
	struct params none;
	char value[PARAMS_MAX_VALUE];
	char sql[PARAMS * (4 * PARAMS_MAX_VALUE + 64)];

	(void) state;
	for (size_t i = 0; i < sizeof(value) - 1; i++)
		value[i] = i % 2 == 0 ? '\'' : '\\';
	value[sizeof(value) - 1] = '\0';
	params_init(&want);
	params_init(&none);
	for (int i = 0; i < PARAMS; i++)
		params_set(&want, i, value);
	assert_true(params_diff(&want, &none, &none, sql, sizeof(sql)) > 0);
	params_fini(&want);
}

static void
test_adopt_takes_the_servers_spelling(void **state)
{
	struct params want;
	struct params have;

	(void) state;
	fill(&want, &(struct values){"utc", NULL});
	fill(&have, &(struct values){"UTC", "someone"});
	params_adopt(&want, &have);
	assert_string_equal(want.value[PARAM_TIMEZONE], "UTC");
	/* What was not asked for stays the server's. */
	assert_null(want.value[PARAM_APPLICATION_NAME]);
	params_set(&have, PARAM_TIMEZONE, NULL);
	params_adopt(&want, &have);
	assert_string_equal(want.value[PARAM_TIMEZONE], "UTC");
	params_fini(&want);
	params_fini(&have);
}

/* Which others are tracked is said by the configuration. Last: it stays so for the process. */
static void
test_extra(void **state)
{
	struct params want;
	struct params fallback;
	struct params have;
	char sql[300];
	char list[400] = "";
	int path;
	int read_only;

	(void) state;
	params_track("IntervalStyle,search_path , default_transaction_read_only,is_superuser,a;b");
	path = params_find("Search_Path");
	read_only = params_find("default_transaction_read_only");
	assert_int_equal(path, PARAM_EXTRA);
	assert_int_equal(read_only, PARAM_EXTRA + 1);
	assert_int_equal(params_find("is_superuser"), -1);
	assert_int_equal(params_find("a;b"), -1);
	params_init(&want);
	params_init(&fallback);
	params_init(&have);
	/* A list goes as it is reported, with its own quotes. */
	params_set(&want, path, "\"$user\", \"Odd, name\"");
	params_set(&have, path, "public");
	params_set(&fallback, read_only, "off");
	params_set(&have, read_only, "on");
	assert_true(params_diff(&want, &fallback, &have, sql, sizeof(sql)) > 0);
	assert_string_equal(sql, "SELECT pg_catalog.set_config('search_path', '\"$user\", \"Odd, "
							 "name\"', false);SET default_transaction_read_only TO 'off'");
	/* This server does not report it. */
	params_set(&have, path, NULL);
	params_set(&have, read_only, NULL);
	assert_int_equal(params_diff(&want, &fallback, &have, sql, sizeof(sql)), 0);
	params_fini(&want);
	params_fini(&fallback);
	params_fini(&have);
	/* As many as there is room for. */
	for (int i = 0; i < PARAMS; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%sextra.n%d", i > 0 ? "," : "",
				 i);
	params_track(list);
	assert_int_equal(params_find("extra.n0"), PARAM_EXTRA + 2);
	assert_int_equal(params_find("extra.n8"), PARAMS - 1);
	assert_int_equal(params_find("extra.n9"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_without_case),
		cmocka_unit_test(test_set_copies_and_forgets),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_longest_value),
		cmocka_unit_test(test_adopt_takes_the_servers_spelling),
		cmocka_unit_test(test_extra),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
