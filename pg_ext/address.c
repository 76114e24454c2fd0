/*-------------------------------------------------------------------------
 * address.c
 *	  The address of a client as text.
 *-------------------------------------------------------------------------
 */
#include "address.h"

#include <netdb.h>

#include "common/ip.h"


int
perfkit_address_text(const SockAddr *address, char *out, Size size)
{
	char service[NI_MAXSERV];
	char *scope;

	out[0] = '\0';
	if (address->addr.ss_family != AF_INET && address->addr.ss_family != AF_INET6)
		return -1;
	if (pg_getnameinfo_all(&address->addr, address->salen, out, (int) size, service,
						   sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
	{
		out[0] = '\0';
		return -1;
	}

	/* inet has no place for an IPv6 scope */
	scope = strchr(out, '%');
	if (scope != NULL)
		*scope = '\0';
	return atoi(service);
}
