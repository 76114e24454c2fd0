/*
 * startup_options.c - see startup_options.h.
 */
#include "proto/startup_options.h"

#include <stdbool.h>
#include <string.h>

static bool
is_space(char c)
{
	return c != '\0' && strchr(" \t\n\v\f\r", c) != NULL;
}

/* One argument, without its backslashes. Its length, -1 when it does not fit; 0: there is none. */
static int
next_argument(const char **p, char *out)
{
	size_t n = 0;

	while (is_space(**p))
		(*p)++;
	for (; **p != '\0' && !is_space(**p); (*p)++)
	{
		if (**p == '\\' && *++*p == '\0')
			break;
		if (n + 1 == STARTUP_OPTION_MAX)
			return -1;
		out[n++] = **p;
	}
	out[n] = '\0';
	return (int) n;
}

enum startup_option
startup_option_next(const char **p, struct startup_setting *out)
{
	int n = next_argument(p, out->text);
	char *name = out->text + 2;
	char *equals;

	if (n == 0)
		return STARTUP_OPTION_END;
	if (n < 2 || (strncmp(out->text, "-c", 2) != 0 && strncmp(out->text, "--", 2) != 0))
		return STARTUP_OPTION_BAD;
	if (n == 2 && out->text[1] == 'c')
	{
		name = out->text;
		if (next_argument(p, out->text) <= 0)
			return STARTUP_OPTION_BAD;
	}
	equals = strchr(name, '=');
	if (equals == NULL || equals == name)
		return STARTUP_OPTION_BAD;
	*equals = '\0';
	for (char *c = name; *c != '\0'; c++)
		*c = *c == '-' ? '_' : *c;
	out->name = name;
	out->value = equals + 1;
	return STARTUP_OPTION_SET;
}
