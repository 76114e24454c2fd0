/*
 * endpoint.c - see endpoint.h.
 */
#include "conf/endpoint.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

static bool
is_address(int family, const char *text)
{
	struct in6_addr room; /* the larger of the two */

	return inet_pton(family, text, &room) == 1;
}

bool
endpoint_split(const char *text, char address[ENDPOINT_ADDRESS_MAX], int *port)
{
	const char *colon = strrchr(text, ':');
	bool bracket = text[0] == '[' && colon > text && colon[-1] == ']';
	int64_t number;
	size_t n;

	if (!str_to_int64(colon == NULL ? text : colon + 1, 1, 65535, &number))
		return false;
	*port = (int) number;
	if (colon == NULL)
		return str_copy(address, ENDPOINT_ADDRESS_MAX, "127.0.0.1");
	n = (size_t) (colon - text) - (bracket ? 2 : 0);
	if (n >= ENDPOINT_ADDRESS_MAX)
		return false;
	memcpy(address, text + (bracket ? 1 : 0), n);
	address[n] = '\0';
	return is_address(bracket ? AF_INET6 : AF_INET, address);
}
