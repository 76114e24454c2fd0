/*
 * fuzz_command.c - the words of a console command. They lie within the command, are the same when
 * they are quoted and read again, and there are none when it is no command.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/command.h"

#define CHECK(cond)                                                                                \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
			abort();                                                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The words as one would write them who quotes each. */
static void
quote_all(const struct command *c, char *out)
{
	for (int i = 0; i < c->n; i++)
	{
		*out++ = '"';
		for (const char *p = c->word[i]; *p != '\0'; p++)
		{
			*out++ = *p;
			if (*p == '"')
				*out++ = '"';
		}
		*out++ = '"';
		*out++ = ' ';
	}
	*out = '\0';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct command c;
	static struct command again;
	static char quoted[2 * COMMAND_MAX + 4 * COMMAND_WORDS];
	char *text = malloc(size + 1);
	enum command_result result;

	memcpy(text, data, size);
	text[size] = '\0';
	result = command_parse(&c, text);
	CHECK(c.n >= 0 && c.n <= COMMAND_WORDS);
	CHECK((result == COMMAND_OK) == (c.n > 0));
	CHECK((result == COMMAND_TOO_LONG) == (strlen(text) >= COMMAND_MAX));
	CHECK(result == COMMAND_TOO_LONG || strcmp(c.text, text) == 0);
	for (int i = 0; i < c.n; i++)
		CHECK(c.word[i] >= c.mem && c.word[i] + strlen(c.word[i]) < c.mem + sizeof(c.mem));
	quote_all(&c, quoted);
	if (result == COMMAND_OK && strlen(quoted) < COMMAND_MAX)
	{
		CHECK(command_parse(&again, quoted) == COMMAND_OK && again.n == c.n);
		for (int i = 0; i < c.n; i++)
			CHECK(strcmp(c.word[i], again.word[i]) == 0);
	}
	free(text);
	return 0;
}
