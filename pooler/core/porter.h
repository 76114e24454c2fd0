/*
 * porter.h - lets clients in: which loop accepts, and on which loop a client will live.
 *
 * There is one porter. It stands in one loop at a time, where it accepts, and where most of those
 * whom it lets in stay: then no other thread is woken for them. It sees to it that all loops have
 * about the same number of sessions.
 */
#ifndef PERFKIT_CORE_PORTER_H
#define PERFKIT_CORE_PORTER_H

struct peer_addr;
struct registry;

/* Main thread, when the sockets are open and all is there that a client may ask for. */
void porter_start(struct registry *r);

/* Main thread, when no loop runs any more. */
void porter_stop(void);

/* Any thread: a client has been accepted elsewhere; the loop with the fewest sessions gets it.
 * fd is the porter's. arg: the registry. */
void porter_bring(int fd, const struct peer_addr *peer, void *arg);

#endif
