/*
 * accept.c - see accept.h.
 */
#include "core/accept.h"

#include <string.h>
#include <strings.h>

#define BLANKS " \t"

/* A part of a string. */
struct span
{
	const char *p;
	size_t n;
};

static struct span
trimmed(const char *p, size_t n)
{
	while (n > 0 && strchr(BLANKS, p[0]) != NULL)
	{
		p++;
		n--;
	}
	while (n > 0 && strchr(BLANKS, p[n - 1]) != NULL)
		n--;
	return (struct span){p, n};
}

/* What stands in front of the next separator, and the rest behind it. */
static struct span
next_part(struct span *rest, char separator)
{
	const char *end = memchr(rest->p, separator, rest->n);
	size_t n = end == NULL ? rest->n : (size_t) (end - rest->p);
	struct span part = trimmed(rest->p, n);

	rest->p += end == NULL ? n : n + 1;
	rest->n -= end == NULL ? n : n + 1;
	return part;
}

static bool
is(struct span s, const char *text)
{
	return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

/* The value of a parameter with this name; its p is NULL when it is another one. */
static struct span
parameter(struct span s, const char *name)
{
	size_t n = strlen(name);

	if (s.n <= n || strncasecmp(s.p, name, n) != 0 || s.p[n] != '=')
		return (struct span){NULL, 0};
	return (struct span){s.p + n + 1, s.n - n - 1};
}

/* 0 to 1000: as many thousandths; what is no weight is none. */
static int
weight(struct span s)
{
	int thousandths = 0;
	int unit = 1000;

	for (size_t i = 0; i < s.n && i < 5; i++)
	{
		if (i == 1 && s.p[i] == '.')
			continue;
		if (i == 1 || s.p[i] < '0' || s.p[i] > '9')
			return 0;
		thousandths += unit * (s.p[i] - '0');
		unit /= 10;
	}
	return thousandths > 1000 ? 1000 : thousandths;
}

/* One media range with its parameters. */
static void
weigh(struct span range, int *openmetrics, int *text)
{
	struct span type = next_part(&range, ';');
	bool right_version = true;
	int *whose;
	int q = 1000;

	while (range.n > 0)
	{
		struct span part = next_part(&range, ';');

		if (parameter(part, "q").p != NULL)
			q = weight(parameter(part, "q"));
		if (parameter(part, "version").p != NULL)
			right_version = is(parameter(part, "version"), "1.0.0");
	}
	if (is(type, "application/openmetrics-text") && right_version)
		whose = openmetrics;
	else if (is(type, "text/plain") || is(type, "text/*") || is(type, "*/*"))
		whose = text;
	else
		return;
	if (q > *whose)
		*whose = q;
}

bool
accept_openmetrics(const char *header)
{
	struct span rest = {header, header == NULL ? 0 : strlen(header)};
	int openmetrics = 0;
	int text = 0;

	while (rest.n > 0)
		weigh(next_part(&rest, ','), &openmetrics, &text);
	return openmetrics > 0 && openmetrics >= text;
}
