/*
 * show_sessions.h - SHOW CLIENTS, SERVERS, SOCKETS and ACTIVE_SOCKETS.
 */
#ifndef PERFKIT_CORE_SHOW_SESSIONS_H
#define PERFKIT_CORE_SHOW_SESSIONS_H

struct show;

void show_clients(struct show *show);
void show_servers(struct show *show);
void show_sockets(struct show *show);
void show_active_sockets(struct show *show);

#endif
