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

/* Out of the list in which it lies idle. */
static inline void
pool_unlist(struct pool *p, struct pool_member *m)
{
	walk_leaving(&p->walks, &m->node);
	list_remove(&m->node);
}

/* Keeps the counts. */
void pool_set_state(struct pool_member *m, enum member_state state);

/* Hands an idle member, out of its list already, to a loop and says what becomes of its park
 * watcher. */
void pool_own(struct pool_member *m, int loop, enum member_state state, struct pool_todo *todo);

/* Mail for a waiter, unless some is under way. */
void pool_wake(struct pool_waiter *w, struct pool_todo *todo);
/* Wakes the oldest waiter while it stays queued: its own loop will dial. */
void pool_nudge(struct pool *p, struct pool_todo *todo);
/* The most servers that the pool may have, reserve included. */
int64_t pool_most(const struct pool *p);

/* No more servers are open than are to be kept (min_pool_size). */
bool pool_at_minimum(const struct pool *p);

/* Somebody waits for whom no login runs, or fewer servers are open than are to be kept. */
bool pool_wants_login(const struct pool *p);

/* pool->blocked_by, with the quotas' counts. */
void pool_set_blocked(struct pool *p, struct quota *q);

/* Give back what a login took: its place among the logins under way, and those of its server.
 * Behind pool_want_server(), so that other pools come first. */
void pool_login_over(struct pool_member *m, struct pool_todo *todo);
void pool_give_places(struct pool *p, struct pool_todo *todo);

/* Takes the oldest waiter out of the queue, or NULL. */
struct pool_waiter *pool_pop_waiter(struct pool *p, enum waiter_state state);

/* Reserves a login where one is wanted and possible: todo->dial. Where it is not possible now, a
 * timer or a quota's list that will try again (P6). */
void pool_want_server(struct pool *p, uint64_t now_us, struct pool_todo *todo);

/* This server has ended by itself: back-off, when it was of no use to anybody (pool_lost()). */
void pool_blame_login(const struct pool_member *m, uint64_t now_us);

/* Ends a pause that was only waiting for the last idle server. */
void pool_end_pause(struct pool *p);

#endif
