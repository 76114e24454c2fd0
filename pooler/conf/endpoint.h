/*
 * endpoint.h - where to listen, in one word: port, address:port, [IPv6 address]:port.
 */
#ifndef PERFKIT_CONF_ENDPOINT_H
#define PERFKIT_CONF_ENDPOINT_H

#include <stdbool.h>

#define ENDPOINT_ADDRESS_MAX 64

/* A port alone is that of the loopback address, 127.0.0.1. False when it is none of the three:
 * names are not looked up. */
bool endpoint_split(const char *text, char address[ENDPOINT_ADDRESS_MAX], int *port);

#endif
