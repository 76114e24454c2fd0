/*
 * worker.h - the threads of the loops.
 */
#ifndef PERFKIT_CORE_WORKER_H
#define PERFKIT_CORE_WORKER_H

#include <stdbool.h>

struct registry;

/* Starts one thread per shard. */
bool worker_start_all(struct registry *r);

/* Ends sessions and servers on every loop, stops the loops and then calls done on the main loop;
 * after that the threads are joined. */
void worker_stop_all(struct registry *r, void (*done)(struct registry *r));
void worker_join_all(struct registry *r);

#endif
