/*
 * test_command.c - the words of a console command.
 */
#include "core/command.h"

#include <string.h>

#include "unit.h"

static void
expect(const char *sql, enum command_result result, const char *words)
{
	struct command c;
	char all[COMMAND_MAX] = "";

	assert_int_equal(command_parse(&c, sql), result);
	for (int i = 0; i < COMMAND_WORDS; i++)
	{
		assert_int_equal(i < c.n || c.word[i][0] == '\0', 1);
		if (i < c.n)
		{
			strcat(all, c.word[i]);
			strcat(all, "|");
		}
	}
	assert_string_equal(all, words);
	if (result != COMMAND_TOO_LONG)
		assert_string_equal(c.text, sql);
}

static void
words(void **state)
{
	(void) state;
	expect("SHOW POOLS", COMMAND_OK, "SHOW|POOLS|");
	expect(" \t show\npools ; ; \n", COMMAND_OK, "show|pools|");
	expect("set a=b", COMMAND_OK, "set|a|=|b|");
	expect("set a = 'b c;=\"'", COMMAND_OK, "set|a|=|b c;=\"|");
	expect("set a = 'it''s'", COMMAND_OK, "set|a|=|it's|");
	expect("kill \"my \"\"db\"\"\"", COMMAND_OK, "kill|my \"db\"|");
	expect("set a = ''", COMMAND_OK, "set|a|=||");
	expect("pause\"a b\"", COMMAND_OK, "pause|a b|");
	expect("a b c d e", COMMAND_OK, "a|b|c|d|e|");
}

static void
no_command(void **state)
{
	char text[COMMAND_MAX + 1];

	(void) state;
	expect("", COMMAND_EMPTY, "");
	expect(" ;\n", COMMAND_EMPTY, "");
	expect("show stats; show version", COMMAND_BAD, "");
	expect("'", COMMAND_BAD, "");
	expect("kill \"a", COMMAND_BAD, "");
	expect("kill \"a\"\"", COMMAND_BAD, "");
	expect("a b c d e f", COMMAND_BAD, "");
	memset(text, 'x', sizeof(text));
	text[COMMAND_MAX] = '\0';
	expect(text, COMMAND_TOO_LONG, "");
	text[COMMAND_MAX - 1] = '\0';
	text[COMMAND_MAX - 2] = '=';
	assert_int_equal(command_parse(&(struct command){.n = 0}, text), COMMAND_OK);
}

static void
set(void **state)
{
	struct command c;
	const char *name;
	const char *value;

	(void) state;
	command_parse(&c, "SET verbose = '1'");
	assert_true(command_is_set(&c, &name, &value));
	assert_string_equal(name, "verbose");
	assert_string_equal(value, "1");
	command_parse(&c, "set verbose To 2");
	assert_true(command_is_set(&c, &name, &value));
	assert_string_equal(value, "2");
	command_parse(&c, "set verbose 2");
	assert_false(command_is_set(&c, &name, &value));
	command_parse(&c, "set verbose = 2 3");
	assert_false(command_is_set(&c, &name, &value));
	command_parse(&c, "show verbose = 2");
	assert_false(command_is_set(&c, &name, &value));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(no_command),
		cmocka_unit_test(set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
