/*
 * dsn.c - see dsn.h.
 *
 * Names are resolved by c-ares and not by libpq, which would stop the loop meanwhile: so whatever
 * libpq takes a host from must be known here, its environment too. What a service file says is not.
 */
#include "conf/dsn.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"

static const char *const secrets[] = {"password", "sslpassword", "scram_client_key",
									  "scram_server_key", "oauth_client_secret"};

/* Keys that make something else of the connection than what is asked over it. */
static const char *const refused[] = {"service", "servicefile", "replication"};

static bool
is_one_of(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
	{
		if (strcmp(words[i], word) == 0)
			return true;
	}
	return false;
}

static bool
is_secret(const char *keyword)
{
	return is_one_of(secrets, sizeof(secrets) / sizeof(secrets[0]), keyword);
}

static const char *
given(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
	{
		if (strcmp(o->keyword, keyword) == 0)
			return o->val;
	}
	return NULL;
}

static void
drop_options(PQconninfoOption *options)
{
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
	{
		if (o->val != NULL)
			explicit_bzero(o->val, strlen(o->val));
	}
	PQconninfoFree(options);
}

/* ---- what is kept ---- */

static char *
keep(struct dsn *d, const char *text)
{
	size_t n = strlen(text) + 1;
	char *at = d->mem + d->mem_len;

	memcpy(at, text, n);
	d->mem_len += n;
	return at;
}

/* Room for everything that is given, each with its terminator, and the defaults. */
static size_t
room_for(const char *text, const PQconninfoOption *options, const PQconninfoOption *defaults)
{
	size_t n = strlen(text) + 1;
	int count = 0;

	for (const PQconninfoOption *o = options; o->keyword != NULL; o++, count++)
		n += strlen(o->keyword) + 1 + (o->val != NULL ? strlen(o->val) : 0) + 1;
	for (const PQconninfoOption *o = defaults; o != NULL && o->keyword != NULL; o++)
		n += (o->val != NULL ? strlen(o->val) : 0) + 1;
	return n;
}

/* What is given for a keyword of where the server is, or stands in libpq's environment; cut into
 * its items in place. How many they are; one, and "", when there is nothing. */
static int
list_of(struct dsn *d, const PQconninfoOption *options, const PQconninfoOption *defaults,
		const char *keyword, const char *items[DSN_HOSTS_MAX])
{
	const char *value = given(options, keyword);
	char *p;
	int n = 0;

	if (value == NULL || *value == '\0')
		value = given(defaults, keyword);
	p = keep(d, value != NULL ? value : "");
	while (p != NULL && n < DSN_HOSTS_MAX)
		items[n++] = strsep(&p, ",");
	return p == NULL ? n : -1;
}

/* As libpq: hosts and their addresses go in pairs, one port is for all. */
static const char *
take_hosts(struct dsn *d, const PQconninfoOption *options, const PQconninfoOption *defaults)
{
	const char *host[DSN_HOSTS_MAX];
	const char *addr[DSN_HOSTS_MAX];
	const char *port[DSN_HOSTS_MAX];
	int hosts = list_of(d, options, defaults, "host", host);
	int addrs = list_of(d, options, defaults, "hostaddr", addr);
	int ports = list_of(d, options, defaults, "port", port);
	bool no_host = hosts == 1 && *host[0] == '\0';
	bool no_addr = addrs == 1 && *addr[0] == '\0';

	if (hosts < 0 || addrs < 0 || ports < 0)
		return "names too many hosts";
	if (!no_host && !no_addr && hosts != addrs)
		return "has not as many addresses as hosts";
	d->n_hosts = no_host ? addrs : hosts;
	if (ports != 1 && ports != d->n_hosts)
		return "has not as many ports as hosts";
	for (int i = 0; i < ports; i++)
	{
		int64_t number;

		if (*port[i] != '\0' && !str_to_int64(port[i], 1, 65535, &number))
			return "has a port that is none";
	}
	for (int i = 0; i < d->n_hosts; i++)
		d->host[i] = (struct dsn_host){
			.host = no_host ? "" : host[i],
			.addr = no_addr ? "" : addr[i],
			.port = port[ports == 1 ? 0 : i],
		};
	return NULL;
}

/* NULL: all is well. */
static const char *
take(struct dsn *d, const PQconninfoOption *options, const PQconninfoOption *defaults)
{
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++)
	{
		if (o->val == NULL)
			continue;
		if (is_one_of(refused, sizeof(refused) / sizeof(refused[0]), o->keyword))
			return "must name its server itself: service and replication are not for it";
		if (strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0 ||
			strcmp(o->keyword, "port") == 0)
			continue;
		d->keyword[d->n] = keep(d, o->keyword);
		d->value[d->n++] = keep(d, o->val);
	}
	return take_hosts(d, options, defaults);
}

struct dsn *
dsn_parse(const char *text, const char **why)
{
	char *complaint = NULL;
	PQconninfoOption *options = PQconninfoParse(text, &complaint);
	PQconninfoOption *defaults;
	struct dsn *d;
	size_t count = 0;

	*why = "is no connection string of libpq (a value with blanks stands in single quotes)";
	if (complaint != NULL)
		explicit_bzero(complaint, strlen(complaint));
	PQfreemem(complaint);
	if (options == NULL)
		return NULL;
	while (options[count].keyword != NULL)
		count++;
	defaults = PQconndefaults();
	d = mem_zalloc(sizeof(*d));
	d->mem = mem_alloc(room_for(text, options, defaults));
	d->keyword = mem_zalloc((count + 1) * sizeof(*d->keyword));
	d->value = mem_zalloc((count + 1) * sizeof(*d->value));
	d->text = keep(d, text);
	*why = take(d, options, defaults);
	drop_options(options);
	drop_options(defaults);
	if (*why == NULL)
		return d;
	dsn_free(d);
	return NULL;
}

void
dsn_free(struct dsn *d)
{
	if (d == NULL)
		return;
	explicit_bzero(d->mem, d->mem_len);
	free(d->mem);
	free(d->keyword);
	free(d->value);
	free(d);
}

const char *
dsn_value(const struct dsn *d, const char *keyword)
{
	for (int i = 0; i < d->n; i++)
	{
		if (strcmp(d->keyword[i], keyword) == 0)
			return d->value[i];
	}
	return NULL;
}

/* Stars for every place where it stands. */
static void
hide(char *text, const char *secret)
{
	size_t n = strlen(secret);
	char *at = n > 0 ? strstr(text, secret) : NULL;

	for (; at != NULL; at = strstr(at + n, secret))
		memset(at, '*', n);
}

void
dsn_clean(const struct dsn *d, char *text)
{
	char *out = text;

	for (int i = 0; i < d->n; i++)
	{
		if (is_secret(d->keyword[i]))
			hide(text, d->value[i]);
	}
	/* What libpq says has lines, and blanks where they go on. */
	for (const char *p = text; *p != '\0'; p++)
	{
		bool blank = *p == ' ' || (*p >= '\t' && *p <= '\r');

		if (!blank)
			*out++ = *p;
		else if (out > text && out[-1] != ' ')
			*out++ = ' ';
	}
	while (out > text && out[-1] == ' ')
		out--;
	*out = '\0';
}
