/*
 * check.c - see check.h.
 */
#include "conf/check.h"

#include "conf/conf.h"
#include "conf/ini.h"
#include "conf/option.h"

#include <string.h>

/*
 * Values whose neglect would let somebody in, send something in clear, or let through what the file
 * forbids. A row leaves when its feature has come; the option's own NO_EFFECT stands in
 * options.def.
 */
struct refusal
{
	const char *key;
	const char *supported; /* comma-separated, as option_print() writes them */
	const char
		*honoured; /* of those, the ones that mean exactly what happens, so need no warning */
	const char *advice;
};

static const struct refusal refusals[] = {
	{"auth_type", "trust,any,scram-sha-256", "trust,any,scram-sha-256",
	 "set auth_type to scram-sha-256, trust or any"},
	{"client_tls_sslmode", "disable,allow,prefer", "disable",
	 "clients connect without TLS for now; set it to disable"},
	{"server_tls_sslmode", "disable,allow,prefer", "disable,prefer",
	 "servers are reached without TLS for now; set it to disable or prefer"},
	{"disable_pqexec", "0", "0", "simple queries cannot be forbidden yet"},
};

static const struct refusal *
find_refusal(const char *key)
{
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
	{
		if (strcmp(refusals[i].key, key) == 0)
			return &refusals[i];
	}
	return NULL;
}

static bool
refuse(const struct conf *c, const struct option *o, const struct ini_place *place,
	   const char *value, const struct refusal *r, struct conf_error *err)
{
	struct ini_place whole = {.file = c->path, .line = 0};

	if (place->file == NULL)
		return ini_fail(err, &whole, "%s is not set, and its default %s is not supported yet; %s",
						o->key, value, r->advice);
	return ini_fail(err, place, "%s = %s is not supported yet; %s", o->key, value, r->advice);
}

static bool
is_default(const struct conf *c, const struct option *o)
{
	struct conf defaults;

	memset(&defaults, 0, sizeof defaults);
	option_set(o, &defaults, o->dflt);
	return option_equal(o, c, &defaults);
}

bool
check_options(const struct conf *c, const struct ini_place *places,
			  void (*warn)(void *arg, const char *text), void *arg, struct conf_error *err)
{
	char value[1024];
	char text[1024];

	for (int i = 0; i < option_count; i++)
	{
		const struct option *o = &option_table[i];
		const struct refusal *r = find_refusal(o->key);

		option_print(o, c, value, sizeof value);
		if (r != NULL && !conf_list_has(r->supported, value))
			return refuse(c, o, &places[i], value, r, err);
		if (warn == NULL || o->effect || places[i].file == NULL)
			continue;
		if (is_default(c, o) || (r != NULL && conf_list_has(r->honoured, value)))
			continue;
		ini_say(text, sizeof text, &places[i], "%s has no effect yet", o->key);
		warn(arg, text);
	}
	return true;
}
