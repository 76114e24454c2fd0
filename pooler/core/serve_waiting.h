/*
 * serve_waiting.h - a client that waits for a server is only looked at for its end.
 */
#ifndef PERFKIT_CORE_SERVE_WAITING_H
#define PERFKIT_CORE_SERVE_WAITING_H

struct session;

/* It says something: only its end matters now; what it wants is read when it has a server. */
void serve_waiting_event(struct session *s);

#endif
