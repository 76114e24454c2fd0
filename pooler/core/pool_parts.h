/*
 * pool_parts.h - what the files behind pool.h share. Everything but pool_begin() is called with the
 * pool's lock held; nobody else includes this.
 */
#ifndef PERFKIT_CORE_POOL_PARTS_H
#define PERFKIT_CORE_POOL_PARTS_H

#include "core/pool.h"

/* Takes the lock and empties todo; pool_unlock() checks the invariants and releases it. */
void pool_begin(struct pool *p, struct pool_todo *todo);
void pool_unlock(struct pool *p);

/* Keeps the counts. */
void pool_set_state(struct pool_member *m, enum member_state state);

/* Hands an idle member, out of its list already, to a loop and says what becomes of its park
 * watcher. */
void pool_own(struct pool_member *m, int loop, enum member_state state, struct pool_todo *todo);

/* Mail for a waiter, unless some is under way. */
void pool_wake(struct pool_waiter *w, struct pool_todo *todo);
/* Wakes the oldest waiter while it stays queued: its own loop will dial. */
void pool_nudge(struct pool *p, struct pool_todo *todo);
/* Takes the oldest waiter out of the queue, or NULL. */
struct pool_waiter *pool_pop_waiter(struct pool *p, enum waiter_state state);

/* Reserves a login where one is wanted and possible: todo->dial. */
void pool_reserve(struct pool *p, uint64_t now_us, struct pool_todo *todo);
/* The same; where it is not possible now, a timer that will try again (P6). */
void pool_want_server(struct pool *p, uint64_t now_us, struct pool_todo *todo);

/* Ends a pause that was only waiting for the last idle server. */
void pool_end_pause(struct pool *p);

#endif
