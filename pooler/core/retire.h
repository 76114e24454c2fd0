/*
 * retire.h - SHUTDOWN WAIT_FOR_CLIENTS: the process goes when its last client has left.
 *
 * Where the port is shared (so_reuseport) clients need not notice: a process that has taken over
 * gets the new ones, those who come at the wrong moment are still served here, and the unix socket
 * stays open for the console and for cancel requests that peers send on. Else nobody comes in any
 * more.
 */
#ifndef PERFKIT_CORE_RETIRE_H
#define PERFKIT_CORE_RETIRE_H

#include <stdbool.h>

struct registry;

/* Main thread, once. */
void retire_start(struct registry *r);

/* The last client has left, and nobody is about to become one. */
bool retire_done(struct registry *r);

#endif
