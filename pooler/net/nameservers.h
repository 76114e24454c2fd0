/*
 * nameservers.h - name servers with a port, as they may stand in a resolv.conf: c-ares 1.18 knows
 * addresses alone there.
 */
#ifndef PERFKIT_NET_NAMESERVERS_H
#define PERFKIT_NET_NAMESERVERS_H

#include <stdbool.h>
#include <stddef.h>

#define NAMESERVERS_TEXT_MAX 1024

/*
 * The "nameserver" lines of a file as ares_set_servers_ports_csv() wants them. An address with a
 * port is written as OpenBSD has it, "[127.0.0.1]:5353". False when no line has a port (or the file
 * cannot be read): then c-ares reads the file as well as we would.
 */
bool nameservers_with_ports(const char *path, char *out, size_t cap);

/* The same of one line: its server is appended to out. Sets *port when it has one. */
void nameservers_line(const char *line, char *out, size_t cap, bool *port);

#endif
