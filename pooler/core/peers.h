/*
 * peers.h - other processes that listen on the same port (so_reuseport), and the cancel requests
 * that come to the wrong one of them.
 *
 * The kernel gives a connection to any of the processes; a cancel request is a connection of its
 * own. So a process that has a peer_id puts it into the cancel keys of its clients, and whoever
 * gets a request that is another's sends it on, to where [peers] says that one is:
 *
 *     client --CancelRequest(pid, key)--> this one --CancelRequest(pid, key, hops)--> the peer
 *
 * A pid has 31 bits (clients read it as a signed integer): the 14 of the peer_id, and 17 of which
 * some are random; it need not be unique, since a session is found by pid and key together.
 *
 * A request that is sent on has one byte more at the end of its key, how often it may be sent on
 * again: keys of ours have 4 or 32 bytes. So a wrong [peers] section makes no ring that never ends.
 */
#ifndef PERFKIT_CORE_PEERS_H
#define PERFKIT_CORE_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/startup.h"

#define PEERS_HOPS 3 /* how often the first one may send it on */

struct conf;
struct registry;
struct shard;

/* A cancel request on its way. */
struct peers_request
{
	uint32_t pid;
	uint32_t key_len; /* without the hops */
	uint8_t key[STARTUP_MAX_CANCEL_KEY];
	uint8_t hops; /* left */
};

/* Takes the hops off the key of a request that a peer has sent on; another one has PEERS_HOPS. */
void peers_receive(struct peers_request *r);

/* Whether a request that is nobody's here can be sent on: its pid names another peer. */
bool peers_knows(const struct conf *conf, const struct peers_request *r);

/*
 * Sends it on. done(arg) is called on the loop of `from` when the peer has closed the connection,
 * or when that took longer than cancel_wait_timeout; never from within. Copies the request.
 */
void peers_send(struct shard *from, const struct peers_request *r, void (*done)(void *arg),
				void *arg);

/* SHOW PEER_POOLS: requests for a peer of this number. Any thread. */
struct peers_counts
{
	int64_t waiting; /* for one of the pool_size connections */
	int64_t active;  /* on their way */
	int64_t login;   /* of these, not connected yet */
};
void peers_counts(int id, struct peers_counts *out);

/* Ends all that are under way: the process is about to exit. On the loop that calls, nothing where
 * none is. */
void peers_abandon_all(struct shard *shard);

#endif
