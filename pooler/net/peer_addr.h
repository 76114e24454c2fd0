/*
 * peer_addr.h - a socket address of any family, to and from text. Pure but for an interface's
 * number.
 */
#ifndef PERFKIT_NET_PEER_ADDR_H
#define PERFKIT_NET_PEER_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Enough for an IPv6 address in text. */
#define PEER_ADDR_TEXT_MAX 64

struct peer_addr
{
	struct sockaddr_storage ss;
	socklen_t len;
};

/* "10.0.0.7", "unix" and the port (0 for unix) of an address. */
void peer_addr_text(const struct sockaddr_storage *ss, char *host, size_t cap, int *port);

/* The socket of `port` in "/dir", or the abstract one of "@name"; false when the path is too long
 * for the kernel. */
bool peer_addr_unix(struct peer_addr *a, const char *dir, int port);

/* From an address literal: IPv4, IPv6, IPv6 with a zone ("fe80::1%eth0"). False for anything else:
 * a name. */
bool peer_addr_literal(struct peer_addr *a, const char *text, int port);

/* What an address is counted under: itself, and the /64 of an IPv6 address, since whoever has one
 * has all of it. From text to text. */
void peer_addr_network(const char *text, char network[PEER_ADDR_TEXT_MAX]);

/* Sets the port of an IPv4 or IPv6 address. */
void peer_addr_set_port(struct peer_addr *a, int port);

#endif
