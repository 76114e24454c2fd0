/*
 * fuzz_qual.c - any text as a condition or a sort key of a plan: it is read within its bounds, and
 * a column that is told stands in it.
 *
 * Input: an alias, a line end, the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qual.h"

#define CHECK(cond)                                                                                \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
			abort();                                                                               \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A column's letters stand in the text in their order, quotation marks doubled or not. */
static void
check_column(const char *column, const char *text, size_t length)
{
	size_t n = strlen(column);

	CHECK(n > 0 && n < PERFKIT_QUAL_NAME_SIZE);
	CHECK(strchr(column, '"') != NULL || memmem(text, length, column, n) != NULL);
}

static void
check_quals(const char *text, size_t length, const char *alias)
{
	PerfkitQual quals[PERFKIT_MAX_QUALS];
	int n = perfkit_quals(text, length, alias, quals);

	CHECK(n >= -1 && n != 0 && n <= PERFKIT_MAX_QUALS);
	for (int i = 0; i < n; i++)
	{
		CHECK(strlen(quals[i].cast) < PERFKIT_QUAL_CAST_SIZE);
		if (quals[i].kind == PERFKIT_QUAL_OTHER)
			CHECK(quals[i].column[0] == '\0' && quals[i].cast[0] == '\0');
		else
			check_column(quals[i].column, text, length);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size);
	size_t length = line == NULL ? 0 : (size_t) (line - data);
	PerfkitSortKey key;
	char alias[64];
	char *text;

	if (line == NULL || length >= sizeof(alias))
		return 0;
	memcpy(alias, data, length);
	alias[length] = '\0';

	/* A copy of its own, so that a sanitizer sees who reads past it. */
	size -= length + 1;
	text = malloc(size + 1);
	CHECK(text != NULL);
	memcpy(text, line + 1, size);
	text[size] = '\0';
	text = realloc(text, size > 0 ? size : 1);
	CHECK(text != NULL);
	check_quals(text, size, alias);
	if (perfkit_sort_key(text, size, alias, &key))
		check_column(key.column, text, size);
	free(text);
	return 0;
}
