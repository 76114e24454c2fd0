/*
 * ini.h - the shape of the ini file: lines, sections, keys, connection strings. Works on memory
 * only and knows no key.
 *
 * Lines: `; comment`, `# comment`, `[section]`, `key = value`, `%include path`. A comment stands on
 * a line of its own. A key with blanks, quotes or an equals sign in it is written in double quotes,
 * with "" for a quote. A value is what stands after the equals sign, without the blanks around it.
 */
#ifndef PERFKIT_CONF_INI_H
#define PERFKIT_CONF_INI_H

#include <stdbool.h>
#include <stddef.h>

struct conf_error;

/* Longest line accepted, in bytes. */
#define INI_LINE_MAX 65536

/* Where something stands; line 0 is the file as a whole. */
struct ini_place
{
	const char *file;
	int line;
};

/* What is told about a file. Each returns false with err filled in to stop. Strings live until the
 * call returns. */
struct ini_reader
{
	bool (*section)(void *arg, const struct ini_place *at, const char *name,
					struct conf_error *err);
	bool (*entry)(void *arg, const struct ini_place *at, const char *key, char *value,
				  struct conf_error *err);
	bool (*include)(void *arg, const struct ini_place *at, const char *path,
					struct conf_error *err);
	void *arg;
};

/* Reads len bytes at text, which must have room for a terminator behind them and are changed. False
 * with err filled in. */
bool ini_parse(char *text, size_t len, const char *file, const struct ini_reader *reader,
			   struct conf_error *err);

/*
 * Takes the next line out of *text (end is one past the last byte, and writable), terminated and
 * without its line end. *text is NULL behind the last line. False, with err filled in, when the
 * line holds a NUL byte or is longer than INI_LINE_MAX.
 */
bool ini_next_line(char **text, char *end, char **line, const struct ini_place *at,
				   struct conf_error *err);

/*
 * Reads a quoted string at *p: `quote` doubled stands for itself. Unquotes in place and moves *p
 * behind the closing quote; NULL when *p is no quote or none closes it.
 */
char *ini_unquote(char **p, char quote);

enum ini_pair
{
	INI_PAIR,
	INI_PAIR_END,
	INI_PAIR_NO_EQUALS, /* *key is the word that lacks it */
	INI_PAIR_NO_KEY,    /* an equals sign without a word before it */
	INI_PAIR_OPEN_QUOTE /* the value of *key never ends */
};

/* Next key=value of a connection string at *p, cut out in place. Values with blanks are in single
 * quotes, '' for a quote. */
enum ini_pair ini_next_pair(char **p, char **key, char **value);

/*
 * Writes "file:line: …" into err, with control characters replaced and cut to fit, and is false for
 * the caller to return. Never hand it a secret. A macro, so that compilers and analysers see the
 * false.
 */
#define ini_fail(...) (ini_complain(__VA_ARGS__), false)
void ini_complain(struct conf_error *err, const struct ini_place *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same into a buffer, for warnings. */
void ini_say(char *dst, size_t cap, const struct ini_place *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
