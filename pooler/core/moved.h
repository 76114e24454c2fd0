/*
 * moved.h - when a host name stands for other addresses than before, the servers at the old ones
 * go: idle ones at once, the others when they are given back (core/server).
 */
#ifndef PERFKIT_CORE_MOVED_H
#define PERFKIT_CORE_MOVED_H

struct registry;

/* Listens to net/dns. Before the first look-up. */
void moved_start(struct registry *r);

#endif
