/*
 * greet.h - the first bytes of a client: SSL and GSS requests, cancel requests, startup packet,
 * authentication.
 */
#ifndef PERFKIT_CORE_GREET_H
#define PERFKIT_CORE_GREET_H

struct peer_addr;
struct shard;

/* An accepted socket, on the loop that it will stay on. */
void greet_client(struct shard *shard, int fd, const struct peer_addr *peer);

#endif
