/*
 * show_sessions.h - SHOW CLIENTS and SHOW SERVERS.
 */
#ifndef PERFKIT_CORE_SHOW_SESSIONS_H
#define PERFKIT_CORE_SHOW_SESSIONS_H

struct show;

void show_clients(struct show *show);
void show_servers(struct show *show);

#endif
