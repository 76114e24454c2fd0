/*
 * command.h - the words of a console command.
 *
 * command := word* ';'?           SHOW POOLS; PAUSE "my db"; SET name = 'value', SET name TO value
 * word    := a run of other characters, or anything between double or single quotes, where a
 * doubled quote stands for one. '=' is a word of its own.
 *
 * Words without quotes are compared without regard to case by who knows them; nothing is folded
 * here. Pure.
 */
#ifndef PERFKIT_CORE_COMMAND_H
#define PERFKIT_CORE_COMMAND_H

#include <stdbool.h>

#define COMMAND_MAX 2048 /* bytes of a command, its terminator with them */
#define COMMAND_WORDS 5

struct command
{
	char text[COMMAND_MAX];                /* as it was sent, for messages */
	char mem[COMMAND_MAX + COMMAND_WORDS]; /* the words */
	const char *word[COMMAND_WORDS];       /* "" behind the last */
	int n;
};

enum command_result
{
	COMMAND_OK,
	COMMAND_EMPTY,
	COMMAND_TOO_LONG, /* text and words are empty */
	COMMAND_BAD /* likewise, but for text: a quote without its end, words behind the semicolon, too
				   many words */
};

enum command_result command_parse(struct command *c, const char *sql);

/* "SET name = value" or "SET name TO value": true with both pointing into c. */
bool command_is_set(const struct command *c, const char **name, const char **value);

#endif
