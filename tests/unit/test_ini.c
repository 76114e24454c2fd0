/*
 * test_ini.c - lines, quotes, connection strings.
 */
#include "conf/ini.h"

#include "conf/conf.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the reader was told, one "line|what|…" after the other. */
struct heard
{
	char text[4096];
};

static void
hear(struct heard *h, const char *fmt, const struct ini_place *at, const char *a, const char *b)
{
	size_t used = strlen(h->text);

	snprintf(h->text + used, sizeof h->text - used, fmt, at->line, a, b);
}

static bool
on_section(void *arg, const struct ini_place *at, const char *name, struct conf_error *err)
{
	(void) err;
	hear(arg, "%d[%s]%s ", at, name, "");
	return true;
}

static bool
on_entry(void *arg, const struct ini_place *at, const char *key, char *value,
		 struct conf_error *err)
{
	if (strcmp(value, "refuse") == 0)
		return ini_fail(err, at, "refused");
	hear(arg, "%d<%s|%s> ", at, key, value);
	return true;
}

static bool
on_include(void *arg, const struct ini_place *at, const char *path, struct conf_error *err)
{
	(void) err;
	hear(arg, "%d%%%s%s ", at, path, "");
	return true;
}

static bool
parse_bytes(const char *bytes, size_t len, struct heard *h, struct conf_error *err)
{
	const struct ini_reader reader = {on_section, on_entry, on_include, h};
	/* Exactly as large as needed, so that a sanitizer sees a byte too many. */
	char *copy = malloc(len + 1);
	bool ok;

	h->text[0] = '\0';
	err->text[0] = '\0';
	memcpy(copy, bytes, len);
	ok = ini_parse(copy, len, "f", &reader, err);
	free(copy);
	return ok;
}

static void
files_are_read(void **state)
{
	static const struct
	{
		const char *text;
		const char *heard;
	} rows[] = {
		{"", ""},
		{"\n\n", ""},
		{"[a]\nk=v\n", "1[a] 2<k|v> "},
		{"k=v", "1<k|v> "},
		{"k = v w  \n", "1<k|v w> "},
		{"\t k\t=\tv\r\n[b]\r\n", "1<k|v> 2[b] "},
		{"; c = d\n# e = f\n  ; g = h\n", ""},
		{"k =\n", "1<k|> "},
		{"k = a ; b\n", "1<k|a ; b> "},
		{"k = a = b\n", "1<k|a = b> "},
		{"* = host=x\n", "1<*|host=x> "},
		{"a-b.c = 1\n", "1<a-b.c|1> "},
		{"\"a b\"\"=c\" = 1\n", "1<a b\"=c|1> "},
		{"\"k\"=1\n", "1<k|1> "},
		{"%include other.ini\n%include\tb c\n", "1%other.ini 2%b c "},
		{"\xef\xbb\xbf[a]\n", "1[a] "},
		{"k = \xc3\xa4\n", "1<k|\xc3\xa4> "},
	};
	struct heard h;
	struct conf_error err;

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		if (!parse_bytes(rows[i].text, strlen(rows[i].text), &h, &err))
			fail_msg("row %zu: %s", i, err.text);
		assert_string_equal(h.text, rows[i].heard);
	}
}

static void
bad_lines_name_their_place(void **state)
{
	static const struct
	{
		const char *text;
		const char *error;
	} rows[] = {
		{"\n\nk\n", "f:3: \"k\" needs an equals sign behind it"},
		{"k v = 1\n", "f:1: \"k\" needs an equals sign behind it"},
		{"= v\n", "f:1: an equals sign without a key before it"},
		{"[a\n", "f:1: a section heading needs a closing bracket"},
		{"[a] b\n", "f:1: something stands behind the section heading"},
		{"\"a = b\n", "f:1: the quote at the start of the line is never closed"},
		{"\"\" = b\n", "f:1: an empty key"},
		{"\"a\"b = c\n", "f:1: \"a\" needs an equals sign behind it"},
		{"\"a\" c\n", "f:1: \"a\" needs an equals sign behind it"},
		{"%include\n", "f:1: %include needs the path of a file"},
		{"%includex y\n", "f:1: unknown directive \"%includex y\"; there is only %include"},
		{"%define a\n", "f:1: unknown directive \"%define a\"; there is only %include"},
		{"a=1\nb=refuse\nc=2\n", "f:2: refused"},
		{"k\x01\x1b[31m\n", "f:1: \"k??[31m\" needs an equals sign behind it"},
	};
	struct heard h;
	struct conf_error err;

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		if (parse_bytes(rows[i].text, strlen(rows[i].text), &h, &err))
			fail_msg("row %zu was accepted", i);
		assert_string_equal(err.text, rows[i].error);
	}
}

static void
binary_and_endless_lines_are_refused(void **state)
{
	struct heard h;
	struct conf_error err;
	size_t n = INI_LINE_MAX + 1;
	char *line = malloc(n + 1);

	(void) state;
	assert_false(parse_bytes("a=1\nb\0=2\n", 9, &h, &err));
	assert_string_equal(err.text, "f:2: a NUL byte: this is no text file");
	assert_false(parse_bytes("\0", 1, &h, &err));

	memset(line, ';', n);
	line[n] = '\n';
	assert_false(parse_bytes(line, n + 1, &h, &err));
	assert_string_equal(err.text, "f:1: line is longer than 65536 bytes");
	assert_true(parse_bytes(line, n - 1, &h, &err));
	free(line);
}

static void
an_error_is_cut_to_fit(void **state)
{
	struct conf_error err;
	char file[2000];
	char word[2000];
	struct ini_place at = {.file = file, .line = 12};

	(void) state;
	memset(file, 'f', sizeof file);
	file[sizeof file - 1] = '\0';
	memset(word, 'w', sizeof word);
	word[sizeof word - 1] = '\0';
	assert_false(ini_fail(&err, &at, "%s", word));
	assert_true(strlen(err.text) == sizeof err.text - 1);
	assert_non_null(strstr(err.text, ":12: www"));
}

static void
connection_strings_are_cut(void **state)
{
	static const struct
	{
		const char *text;
		const char *pairs;    /* "key=value|" each */
		enum ini_pair ending; /* what stops it */
	} rows[] = {
		{"", "", INI_PAIR_END},
		{"   ", "", INI_PAIR_END},
		{"a=1", "a=1|", INI_PAIR_END},
		{" a=1  b=2 ", "a=1|b=2|", INI_PAIR_END},
		{"a = 1 b =2", "a=1|b=2|", INI_PAIR_END},
		{"a='x y' b=''", "a=x y|b=|", INI_PAIR_END},
		{"a='it''s' b=z", "a=it's|b=z|", INI_PAIR_END},
		{"a=''''", "a='|", INI_PAIR_END},
		{"a=", "a=|", INI_PAIR_END},
		{"a= b=2", "a=b=2|", INI_PAIR_END}, /* as libpq and PgBouncer read it */
		{"a=x'y", "a=x'y|", INI_PAIR_END},
		{"a=/var/run,@abs", "a=/var/run,@abs|", INI_PAIR_END},
		{"a", "", INI_PAIR_NO_EQUALS},
		{"a=1 b c=2", "a=1|", INI_PAIR_NO_EQUALS},
		{"=1", "", INI_PAIR_NO_KEY},
		{"a='x", "", INI_PAIR_OPEN_QUOTE},
		{"a='x''", "", INI_PAIR_OPEN_QUOTE},
		{"a='x'b=1", "", INI_PAIR_OPEN_QUOTE},
	};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		char *copy = strdup(rows[i].text);
		char *p = copy;
		char *key;
		char *value;
		char pairs[256] = "";
		enum ini_pair result;

		while ((result = ini_next_pair(&p, &key, &value)) == INI_PAIR)
		{
			size_t used = strlen(pairs);

			snprintf(pairs + used, sizeof pairs - used, "%s=%s|", key, value);
		}
		assert_string_equal(pairs, rows[i].pairs);
		assert_int_equal(result, rows[i].ending);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(bad_lines_name_their_place),
		cmocka_unit_test(binary_and_endless_lines_are_refused),
		cmocka_unit_test(an_error_is_cut_to_fit),
		cmocka_unit_test(connection_strings_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
