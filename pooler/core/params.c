/*
 * params.c - see params.h.
 */
#include "core/params.h"

#include <stdio.h>
#include <string.h>

#include "base/intern.h"
#include "base/log.h"
#include "base/str.h"

static const char *names[PARAMS] = {
	[PARAM_CLIENT_ENCODING] = "client_encoding",
	[PARAM_DATESTYLE] = "DateStyle",
	[PARAM_TIMEZONE] = "TimeZone",
	[PARAM_STANDARD_CONFORMING_STRINGS] = "standard_conforming_strings",
	[PARAM_APPLICATION_NAME] = "application_name",
	[PARAM_INTERVALSTYLE] = "IntervalStyle",
};

/* Servers' own affairs, or not to be SET. */
static bool
is_untrackable(const char *name)
{
	static const char *const fixed[] = {
		"server_version", "server_encoding",       "integer_datetimes",
		"is_superuser",   "session_authorization", "in_hot_standby",
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (str_equal_nocase(name, fixed[i]))
			return true;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") !=
		   strlen(name);
}

static bool
is_list(int i)
{
	return str_equal_nocase(names[i], "search_path");
}

/* One more, when there is room for it. */
static bool
track(const char *name)
{
	static char extra[PARAMS - PARAM_EXTRA][PARAMS_NAME_MAX];
	int i = PARAM_EXTRA;

	while (i < PARAMS && names[i] != NULL)
		i++;
	if (i == PARAMS || is_untrackable(name) ||
		!str_copy(extra[i - PARAM_EXTRA], PARAMS_NAME_MAX, name))
		return false;
	names[i] = extra[i - PARAM_EXTRA];
	return true;
}

void
params_track(const char *list)
{
	char name[2 * PARAMS_NAME_MAX];

	if (params_find("search_path") < 0)
		track("search_path");
	while (*list != '\0')
	{
		size_t n = strcspn(list, ", \t");
		bool fits = n < sizeof(name);

		snprintf(name, sizeof(name), "%.*s", (int) (fits ? n : sizeof(name) - 1), list);
		if (n > 0 && params_find(name) < 0 && (!fits || !track(name)))
			log_warning("track_extra_parameters: \"%s\" cannot be tracked", name);
		list += n + (list[n] != '\0');
	}
}

void
params_init(struct params *p)
{
	memset(p, 0, sizeof(*p));
}

void
params_fini(struct params *p)
{
	for (int i = 0; i < PARAMS; i++)
		intern_drop(&p->value[i]);
}

int
params_find(const char *name)
{
	for (int i = 0; i < PARAMS && names[i] != NULL; i++)
		if (((name[0] ^ names[i][0]) & 0xdf) == 0 && str_equal_nocase(name, names[i]))
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
	const char *old = p->value[i];

	if (value == old)
		return;
	p->value[i] = value == NULL ? NULL : intern_get(value);
	intern_drop(&old);
}

/* One "SET a TO 'x'", or -1. */
static int
write_set(int i, const char *value, char *sql, size_t cap)
{
	char quoted[4 * PARAMS_MAX_VALUE];
	int n;

	if (str_quote_literal(quoted, sizeof(quoted), value) == 0)
		return -1;
	/* A list is reported as it is written, with its own quotes: it must not get more of them. */
	n = snprintf(sql, cap,
				 is_list(i) ? "SELECT pg_catalog.set_config('%s', %s, false)" : "SET %s TO %s",
				 names[i], quoted);
	return n < 0 || (size_t) n >= cap ? -1 : n;
}

int
params_diff(const struct params *want, const struct params *fallback, const struct params *have,
			char *sql, size_t cap)
{
	size_t len = 0;

	for (int i = 0; i < PARAMS && names[i] != NULL; i++)
	{
		const char *w = want->value[i] != NULL ? want->value[i] : fallback->value[i];
		const char *h = have->value[i];
		int n;

		if (w == h || w == NULL || (h == NULL && i >= PARAM_EXTRA))
			continue;
		if (len > 0 && len + 1 < cap)
			sql[len++] = ';';
		n = write_set(i, w, sql + len, cap - len);
		if (n < 0)
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
