/*
 * peer_addr.c - see peer_addr.h.
 */
#include "net/peer_addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/str.h"

/* As inet_ntop(), which goes through printf for it, at every login. */
static const char *
v4_text(const void *address, char *host, size_t cap)
{
	const uint8_t *byte = address;
	char text[INET_ADDRSTRLEN];
	char *p = text;

	for (int i = 0; i < 4; i++)
	{
		if (i > 0)
			*p++ = '.';
		if (byte[i] >= 100)
			*p++ = (char) ('0' + byte[i] / 100);
		if (byte[i] >= 10)
			*p++ = (char) ('0' + byte[i] / 10 % 10);
		*p++ = (char) ('0' + byte[i] % 10);
	}
	*p = '\0';
	return str_copy(host, cap, text) ? host : NULL;
}

void
peer_addr_text(const struct sockaddr_storage *ss, char *host, size_t cap, int *port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) ss;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) ss;
	const char *text = NULL;

	*port = 0;
	if (ss->ss_family == AF_INET)
	{
		text = v4_text(&v4->sin_addr, host, cap);
		*port = ntohs(v4->sin_port);
	}
	else if (ss->ss_family == AF_INET6)
	{
		/* A socket handed in from outside may serve both families; to the reader it is an IPv4
		 * address. */
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			text = v4_text(&v6->sin6_addr.s6_addr[12], host, cap);
		else
			text = inet_ntop(AF_INET6, &v6->sin6_addr, host, (socklen_t) cap);
		*port = ntohs(v6->sin6_port);
	}
	if (text == NULL)
		str_copy(host, cap, "unix");
}

bool
peer_addr_unix(struct peer_addr *a, const char *dir, int port)
{
	struct sockaddr_un *sun = (struct sockaddr_un *) &a->ss;
	bool abstract = dir[0] == '@';
	int n;

	memset(a, 0, sizeof(*a));
	sun->sun_family = AF_UNIX;
	n = snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/.s.PGSQL.%d", dir, port);
	if (n < 0 || (size_t) n >= sizeof(sun->sun_path))
		return false;
	/* unix(7): an abstract name begins with a zero byte and is as long as the address says. */
	if (abstract)
		sun->sun_path[0] = '\0';
	a->len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + (size_t) n + !abstract);
	return true;
}

/* RFC 4007 section 11: address%zone, the zone an interface's name or number. */
static bool
literal_v6(struct sockaddr_in6 *v6, const char *text)
{
	char address[INET6_ADDRSTRLEN];
	const char *zone = strchr(text, '%');
	int64_t number;

	if (zone == NULL)
		return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
	if ((size_t) (zone - text) >= sizeof(address))
		return false;
	memcpy(address, text, (size_t) (zone - text));
	address[zone - text] = '\0';
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		return false;
	v6->sin6_scope_id = if_nametoindex(zone + 1);
	if (v6->sin6_scope_id == 0)
	{
		if (!str_to_int64(zone + 1, 1, UINT32_MAX, &number))
			return false;
		v6->sin6_scope_id = (uint32_t) number;
	}
	return true;
}

bool
peer_addr_literal(struct peer_addr *a, const char *text, int port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) &a->ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &a->ss;

	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
	{
		v4->sin_family = AF_INET;
		a->len = sizeof(*v4);
	}
	else
	{
		memset(a, 0, sizeof(*a));
		if (!literal_v6(v6, text))
			return false;
		v6->sin6_family = AF_INET6;
		a->len = sizeof(*v6);
	}
	peer_addr_set_port(a, port);
	return true;
}

void
peer_addr_set_port(struct peer_addr *a, int port)
{
	if (a->ss.ss_family == AF_INET)
		((struct sockaddr_in *) &a->ss)->sin_port = htons((uint16_t) port);
	else if (a->ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *) &a->ss)->sin6_port = htons((uint16_t) port);
}

void
peer_addr_network(const char *text, char network[PEER_ADDR_TEXT_MAX])
{
	struct in6_addr v6;
	size_t len;

	if (inet_pton(AF_INET6, text, &v6) != 1)
	{
		str_copy(network, PEER_ADDR_TEXT_MAX, text);
		return;
	}
	memset(&v6.s6_addr[8], 0, 8);
	inet_ntop(AF_INET6, &v6, network, PEER_ADDR_TEXT_MAX);
	len = strlen(network);
	str_copy(network + len, PEER_ADDR_TEXT_MAX - len, "/64");
}
