/*
 * field.h - the lines of pg_hba.conf and pg_ident.conf, cut into fields of words.
 *
 * Fields are separated by blanks; a comma at the end of a word goes on with the same field. A word,
 * or a part of one, may stand in double quotes ("" is a quote): then it is no keyword, and blanks,
 * commas and # mean nothing. # begins a comment; a backslash at the end of a line joins it with the
 * next. Source: PostgreSQL, src/backend/libpq/hba.c, next_token() and tokenize_auth_file().
 */
#ifndef PERFKIT_CONF_FIELD_H
#define PERFKIT_CONF_FIELD_H

#include <stdbool.h>
#include <stddef.h>

struct conf_error;
struct ini_place;

enum field_result
{
	FIELD_WORD,
	FIELD_END, /* of the line */
	FIELD_BAD  /* a quote that is not closed */
};

struct field_word
{
	char *text; /* in the line's own memory, terminated */
	bool quoted;
	bool more; /* another word of the same field follows */
};

/* The next word at *p, which moves behind it. The line is changed. */
enum field_result field_next(char **p, struct field_word *word);

/* An unquoted word that reads so. */
bool field_is(const struct field_word *word, const char *keyword);

/* Calls `line` with each line of len bytes at text (changed; a byte of room behind them) that is
 * not empty. False with err filled in, by this or by line(). */
struct field_reader
{
	bool (*line)(void *arg, const struct ini_place *at, char *line, struct conf_error *err);
	void *arg;
};
bool field_lines(char *text, size_t len, const char *file, const struct field_reader *reader,
				 struct conf_error *err);

#endif
