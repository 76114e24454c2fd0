/*
 * lock.h - a mutex that knows its holder, so that "I hold it" can be asserted.
 *
 * Critical sections are a few pointer moves (P4); the lock is an adaptive pthread mutex. Locks
 * never nest: debug builds (PERFKIT_DEBUG) abort when a thread takes a second one, others count it
 * (INVARIANT).
 */
#ifndef PERFKIT_BASE_LOCK_H
#define PERFKIT_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

struct lock
{
	pthread_mutex_t mutex;
	_Atomic(unsigned long) holder; /* id of the thread that holds it, 0 when free */
};

void lock_init(struct lock *l);
void lock_fini(struct lock *l);
void lock_acquire(struct lock *l);
void lock_release(struct lock *l);
bool lock_held(const struct lock *l); /* by the calling thread */

#endif
