/*
 * params.c - see params.h.
 */
#include "core/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"

static const char *const names[PARAMS] = {
	[PARAM_CLIENT_ENCODING] = "client_encoding",
	[PARAM_DATESTYLE] = "DateStyle",
	[PARAM_TIMEZONE] = "TimeZone",
	[PARAM_STANDARD_CONFORMING_STRINGS] = "standard_conforming_strings",
	[PARAM_APPLICATION_NAME] = "application_name",
	[PARAM_INTERVALSTYLE] = "IntervalStyle",
};

void
params_init(struct params *p)
{
	memset(p, 0, sizeof(*p));
}

void
params_fini(struct params *p)
{
	for (int i = 0; i < PARAMS; i++)
		free(p->value[i]);
	params_init(p);
}

int
params_find(const char *name)
{
	for (int i = 0; i < PARAMS; i++)
		if (str_equal_nocase(name, names[i]))
			return i;
	return -1;
}

const char *
params_name(int i)
{
	return names[i];
}

void
params_set(struct params *p, int i, const char *value)
{
	if (p->value[i] != NULL && value != NULL && strcmp(p->value[i], value) == 0)
		return;
	free(p->value[i]);
	p->value[i] = value == NULL ? NULL : mem_strdup(value);
}

int
params_diff(const struct params *want, const struct params *fallback, const struct params *have,
			char *sql, size_t cap)
{
	size_t len = 0;

	for (int i = 0; i < PARAMS; i++)
	{
		const char *w = want->value[i] != NULL ? want->value[i] : fallback->value[i];
		const char *h = have->value[i];
		char quoted[4 * PARAMS_MAX_VALUE];
		int n;

		if (w == NULL || (h != NULL && strcmp(w, h) == 0))
			continue;
		if (str_quote_literal(quoted, sizeof(quoted), w) == 0)
			return -1;
		n = snprintf(sql + len, cap - len, "%sSET %s TO %s", len > 0 ? ";" : "", names[i], quoted);
		if (n < 0 || (size_t) n >= cap - len)
			return -1;
		len += (size_t) n;
	}
	return (int) len;
}

void
params_adopt(struct params *want, const struct params *have)
{
	for (int i = 0; i < PARAMS; i++)
		if (want->value[i] != NULL && have->value[i] != NULL)
			params_set(want, i, have->value[i]);
}
