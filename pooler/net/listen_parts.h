/*
 * listen_parts.h - what listen.c and listen_bind.c share.
 */
#ifndef PERFKIT_NET_LISTEN_PARTS_H
#define PERFKIT_NET_LISTEN_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/list.h"
#include "net/peer_addr.h"

struct listen_where;

/* One listening socket. */
struct listener
{
	struct list node;
	int fd;
	struct peer_addr addr;
	char *path; /* of a unix socket in the file system, else NULL */
	dev_t dev;  /* what path named when it was bound */
	ino_t ino;
};

/* All sockets that where names, appended to listeners; false with one line in error when any of
 * them fails: those that were opened until then stand in the list. */
bool listen_bind(struct list *listeners, const struct listen_where *where, char *error, size_t cap);

/* Takes it out of its list, unlinks its path unless somebody has replaced it, closes and frees it.
 */
void listen_unbind(struct listener *l);

#endif
