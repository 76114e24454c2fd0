/*
 * fuzz_secret.c - any text as one that may hold passwords: what is told lies in it, in order, and a
 * password that is planted behind it is told, whatever stands before.
 *
 * Input: a digit (the kind of text, and from 4 on with backslashes), a line end, the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secret.h"

#define CHECK(cond)                                                                                \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
			abort();                                                                               \
	} while (0)

typedef struct Told
{
	PerfkitSecrets secrets; /* first */
	size_t end;             /* of the last one */
	size_t from;            /* of what was planted */
	size_t to;
	size_t covered; /* bytes of it */
} Told;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
found(PerfkitSecrets *s, size_t from, size_t to)
{
	Told *t = (Told *) s;
	size_t a = from > t->from ? from : t->from;
	size_t b = to < t->to ? to : t->to;

	CHECK(from >= t->end && from <= to && to <= s->length);
	t->end = to;
	t->covered += b > a ? b - a : 0;
}

static void
look(const char *text, size_t length, int digit, size_t from, size_t to)
{
	Told t = {.from = from, .to = to};

	t.secrets = (PerfkitSecrets){
		.text = text,
		.length = length,
		.until = length,
		.kind = (PerfkitSecretText) (digit % 4),
		.backslashes = digit >= 4,
		.found = found,
	};
	perfkit_secrets(&t.secrets);
	CHECK(t.secrets.until == length && t.covered == to - from);
}

/* The secret is what stands behind `before` in the planted text. */
static void
plant(const char *text, size_t size, int digit, const char *before, const char *after)
{
	static const char secret[] = "Xq7Zk";
	size_t from = size + strlen(before);
	size_t length = from + strlen(secret) + strlen(after);
	char *all = malloc(length + 1);

	CHECK(all != NULL);
	memcpy(all, text, size);
	strcpy(all + size, before);
	strcpy(all + from, secret);
	strcpy(all + from + strlen(secret), after);
	all = realloc(all, length);
	CHECK(all != NULL);
	look(all, length, digit, from, from + strlen(secret));
	free(all);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int digit = size > 0 ? data[0] % 8 : 0;
	char *text;

	if (size < 2)
		return 0;
	size -= 2;
	text = malloc(size > 0 ? size : 1);
	CHECK(text != NULL);
	memcpy(text, data + 2, size);
	look(text, size, digit, 0, 0);
	plant(text, size, digit, "\n PASSWORD '", "'");
	plant(text, size, digit, "\n PASSWORD '", "");
	plant(text, size, digit, "\n PASSWORD '", "';\nx");
	if (digit % 4 == PERFKIT_SECRET_VALUE)
	{
		plant(text, size, digit, "\n password=", " x=y");
		plant(text, size, digit, "\n password = ", "");
	}
	free(text);
	return 0;
}
