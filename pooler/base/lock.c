/*
 * lock.c - adaptive mutex with a known holder.
 *
 * The adaptive kind spins a little before it sleeps, which is right for sections of a few pointer
 * moves. The holder is written only by the thread that has the mutex, so a thread that compares it
 * with its own id reads either that id, which only itself could have written, or something else.
 */
#include "base/lock.h"

#include <stdatomic.h>

#include "base/assert.h"

/* One lock at most is held by a thread (P4); its address serves as the thread's id too. */
static _Thread_local const struct lock *held;

static unsigned long
lock_thread_id(void)
{
	return (unsigned long) (uintptr_t) &held;
}

void
lock_init(struct lock *l)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&l->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	atomic_init(&l->holder, 0);
}

void
lock_fini(struct lock *l)
{
	INVARIANT(atomic_load_explicit(&l->holder, memory_order_relaxed) == 0, "P4");
	pthread_mutex_destroy(&l->mutex);
}

void
lock_acquire(struct lock *l)
{
	INVARIANT(held == NULL, "P4");
	pthread_mutex_lock(&l->mutex);
	atomic_store_explicit(&l->holder, lock_thread_id(), memory_order_relaxed);
	held = l;
}

void
lock_release(struct lock *l)
{
	INVARIANT(lock_held(l), "P4");
	held = NULL;
	atomic_store_explicit(&l->holder, 0, memory_order_relaxed);
	pthread_mutex_unlock(&l->mutex);
}

bool
lock_held(const struct lock *l)
{
	return atomic_load_explicit(&l->holder, memory_order_relaxed) == lock_thread_id();
}
