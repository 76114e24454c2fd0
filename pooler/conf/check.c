/*
 * check.c - see check.h.
 */
#include "conf/check.h"

#include "conf/conf.h"
#include "conf/dsn.h"
#include "conf/endpoint.h"
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
	{"auth_type", "trust,any,plain,md5,scram-sha-256,cert,hba",
	 "trust,any,plain,md5,scram-sha-256,cert,hba",
	 "set auth_type to scram-sha-256, cert, hba, md5, plain, trust or any"},
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

/* The option's place, or the file as a whole. */
static struct ini_place
place_or_file(const struct conf *c, const struct ini_place *place)
{
	if (place->file != NULL)
		return *place;
	return (struct ini_place){.file = c->path, .line = 0};
}

static bool
refuse(const struct conf *c, const struct option *o, const struct ini_place *place,
	   const char *value, const struct refusal *r, struct conf_error *err)
{
	struct ini_place whole = place_or_file(c, place);

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

/*
 * With `any` a client's name is not even looked up, so who it becomes on the server must be the
 * file's choice and never the client's: without one nobody is let in (core/greet).
 */
static void
warn_of_any(const struct conf *c, const struct ini_place *place,
			void (*warn)(void *arg, const char *text), void *arg)
{
	char text[512];

	if (warn == NULL || c->auth_type != AUTH_ANY)
		return;
	for (size_t i = 0; i < c->n_databases; i++)
	{
		if (c->databases[i].user != NULL)
			continue;
		ini_say(text, sizeof text, place,
				"auth_type = any needs a user for every database; nobody can use \"%.100s\", which "
				"has none",
				c->databases[i].name);
		warn(arg, text);
	}
}

/* Whether users come from elsewhere too. */
static bool
looks_up(const struct conf *c)
{
	bool any = c->auth_user != NULL && *c->auth_user != '\0';

	for (size_t i = 0; i < c->n_databases; i++)
		any = any || c->databases[i].auth_user != NULL;
	return any;
}

/* Settings that are right one by one and together serve nobody. */
static bool
check_logins(const struct conf *c, const struct ini_place *places,
			 void (*warn)(void *arg, const char *text), void *arg, struct conf_error *err)
{
	struct ini_place place =
		place_or_file(c, &places[option_find(option_table, option_count, "auth_type")]);
	struct ini_place direct =
		place_or_file(c, &places[option_find(option_table, option_count, "server_tls_direct")]);
	char text[512];

	warn_of_any(c, &place, warn, arg);
	if (c->server_tls_direct && c->server_tls_sslmode < SSLMODE_REQUIRE)
		return ini_fail(err, &direct,
						"server_tls_direct needs server_tls_sslmode = require, verify-ca or "
						"verify-full");
	if (c->auth_type == AUTH_HBA && *c->auth_hba_file == '\0')
		return ini_fail(err, &place, "auth_type = hba needs auth_hba_file");
	if (c->auth_type == AUTH_CERT && c->client_tls_sslmode < SSLMODE_VERIFY_CA)
		return ini_fail(err, &place,
						"auth_type = cert needs client_tls_sslmode = verify-ca or verify-full");
	if (warn == NULL || c->auth_type != AUTH_SCRAM_SHA_256 ||
		(c->auth_file != NULL && *c->auth_file != '\0') || looks_up(c))
		return true;
	ini_say(text, sizeof text, &place,
			"auth_type is scram-sha-256 and auth_file is not set: nobody can log in");
	warn(arg, text);
	return true;
}

static bool
check_prometheus(const struct conf *c, const struct ini_place *places, struct conf_error *err)
{
	struct ini_place place =
		place_or_file(c, &places[option_find(option_table, option_count, "prometheus_listen")]);
	char address[ENDPOINT_ADDRESS_MAX];
	int port;

	if (*c->prometheus_listen == '\0' || endpoint_split(c->prometheus_listen, address, &port))
		return true;
	return ini_fail(
		err, &place,
		"bad value \"%.100s\" for \"prometheus_listen\"; allowed are port, address:port "
		"and [IPv6 address]:port",
		c->prometheus_listen);
}

/* Its text is never told: there may be a password in it. */
static bool
check_dsn(const struct conf *c, const struct ini_place *places, struct conf_error *err)
{
	struct ini_place place =
		place_or_file(c, &places[option_find(option_table, option_count, "perfkit_dsn")]);
	const char *why;
	struct dsn *dsn;

	if (c->perfkit_dsn == NULL || *c->perfkit_dsn == '\0')
		return true;
	dsn = dsn_parse(c->perfkit_dsn, &why);
	if (dsn == NULL)
		return ini_fail(err, &place, "perfkit_dsn %s", why);
	dsn_free(dsn);
	return true;
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
	return check_prometheus(c, places, err) && check_dsn(c, places, err) &&
		   check_logins(c, places, warn, arg, err);
}
