/*
 * dsn.h - perfkit_dsn: a connection string of libpq, key=value pairs or a URI, taken apart.
 *
 * It holds a password, so nothing here ever says what stands in it: libpq's own complaints quote
 * the text that they complain about.
 */
#ifndef PERFKIT_CONF_DSN_H
#define PERFKIT_CONF_DSN_H

#include <stdbool.h>
#include <stddef.h>

#define DSN_HOSTS_MAX 32 /* of one list */

/* One of the hosts of the string, to be tried in this order. */
struct dsn_host
{
	const char *host; /* name, address, "/dir" or "@abstract"; "": libpq's default */
	const char *addr; /* hostaddr; "": none is given */
	const char *port; /* "": libpq's default */
};

struct dsn
{
	char *text; /* as it was given */
	/* What was given but for hosts and ports, as PQconnectStartParams() takes it; ends with NULL.
	 */
	const char **keyword;
	const char **value;
	int n;
	struct dsn_host host[DSN_HOSTS_MAX];
	int n_hosts; /* at least 1 */
	char *mem;   /* of all texts */
	size_t mem_len;
};

/* NULL: it is none, or one that cannot be used here; *why (static) tells which. */
struct dsn *dsn_parse(const char *text, const char **why);

/* Wipes it; NULL does nothing. */
void dsn_free(struct dsn *d);

/* What was given for a keyword other than host, hostaddr and port; NULL: nothing. */
const char *dsn_value(const struct dsn *d, const char *keyword);

/* Puts stars in the place of each secret that stands in a text, and makes it one line. */
void dsn_clean(const struct dsn *d, char *text);

#endif
