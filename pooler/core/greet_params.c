/*
 * greet_params.c - see greet_params.h.
 *
 * What a client may set at startup are the parameters that follow it from server to server
 * (core/params); ignore_startup_parameters names others that are let through without effect.
 */
#include "core/greet_params.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "conf/conf.h"
#include "core/params.h"
#include "core/registry.h"
#include "core/session.h"
#include "proto/startup.h"
#include "proto/startup_options.h"

enum taken
{
	TAKEN,
	NOT_KNOWN,
	REFUSED /* the session is gone */
};

static enum taken
take(struct session *s, const char *name, const char *value)
{
	char text[200];
	int i = params_find(name);

	if (i < 0)
		return conf_list_has(s->shard->conf->ignore_startup_parameters, name) ? TAKEN : NOT_KNOWN;
	if (strlen(value) >= PARAMS_MAX_VALUE)
	{
		snprintf(text, sizeof(text), "startup parameter \"%s\" is too long", params_name(i));
		session_fatal(s, "22023", text);
		return REFUSED;
	}
	params_set(&s->params, i, value);
	return TAKEN;
}

static bool
take_options(struct session *s, const char *options)
{
	struct startup_setting one;
	char text[200];

	for (;;)
		switch (startup_option_next(&options, &one))
		{
			case STARTUP_OPTION_END:
				return true;
			case STARTUP_OPTION_BAD:
				session_fatal(s, "08P01",
							  "unsupported options startup parameter: only '-c config=val' and "
							  "'--config=val' are allowed");
				return false;
			case STARTUP_OPTION_SET:
				switch (take(s, one.name, one.value))
				{
					case TAKEN:
						break;
					case NOT_KNOWN:
						snprintf(text, sizeof(text),
								 "unsupported startup parameter in options: %.100s", one.name);
						session_fatal(s, "08P01", text);
						return false;
					case REFUSED:
						return false;
				}
		}
}

static bool
take_parameter(struct session *s, const struct startup_param *p)
{
	static const char *const others[] = {"user", "database", "replication"};
	char text[200];

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (str_equal_nocase(p->name, others[i]))
			return true;
	switch (take(s, p->name, p->value))
	{
		case TAKEN:
			return true;
		case REFUSED:
			return false;
		case NOT_KNOWN:
			break;
	}
	if (str_equal_nocase(p->name, "options"))
		return take_options(s, p->value);
	snprintf(text, sizeof(text), "unsupported startup parameter: %.100s", p->name);
	session_fatal(s, "08P01", text);
	return false;
}

bool
greet_params_take(struct session *s, const struct startup *packet)
{
	/* A server of its own is asked for whatever the client asks for (core/replicate). */
	if (s->replicate != NULL)
	{
		for (uint32_t i = 0; i < packet->n_params; i++)
		{
			int known = params_find(packet->params[i].name);

			if (known >= 0)
				params_set(&s->params, known, packet->params[i].value);
		}
		return true;
	}
	for (uint32_t i = 0; i < packet->n_params; i++)
		if (!take_parameter(s, &packet->params[i]))
			return false;
	return true;
}
