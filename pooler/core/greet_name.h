/*
 * greet_name.h - application_name_add_host: who a server's client is, in its application_name.
 */
#ifndef PERFKIT_CORE_GREET_NAME_H
#define PERFKIT_CORE_GREET_NAME_H

struct session;

/* Once, when the startup packet has been read: "psql - 10.0.0.7:51234", on a unix socket
 * "psql - unix(1234@host):6432". */
void greet_name_add_host(struct session *s);

#endif
