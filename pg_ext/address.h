/*-------------------------------------------------------------------------
 * address.h
 *	  The address of a client as text that type inet understands.
 *-------------------------------------------------------------------------
 */
#ifndef PERFKIT_ADDRESS_H
#define PERFKIT_ADDRESS_H

#include "compat.h"

/*
 * Writes the numeric address, empty for a unix socket; returns the port, or -1.
 * Asks no name server.
 */
extern int perfkit_address_text(const SockAddr *address, char *out, Size size);

#endif /* PERFKIT_ADDRESS_H */
