/*
 * worker.h - the threads of the loops, and how clients reach them.
 */
#ifndef PERFKIT_CORE_WORKER_H
#define PERFKIT_CORE_WORKER_H

#include <stdbool.h>

struct peer_addr;
struct registry;

/* Starts one thread per shard. */
bool worker_start_all(struct registry *r);

/* Ends sessions and servers on every loop, stops the loops and then calls done on the main loop;
 * after that the threads are joined. */
void worker_stop_all(struct registry *r, void (*done)(struct registry *r));
void worker_join_all(struct registry *r);

/* Main thread: a client connected; the loop with the fewest sessions gets it. */
void worker_hand_over(struct registry *r, int fd, const struct peer_addr *peer);

#endif
