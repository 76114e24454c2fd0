/*
 * forget.h - pools that nobody uses are forgotten: no client has them and no server is left of them
 * for pool_idle_timeout, or autodb_idle_timeout where their database is one of "*", or at once
 * where it is not configured any more. A database of "*", or one that is gone, goes with its last
 * pool, statistics and all; those of the others keep counting.
 */
#ifndef PERFKIT_CORE_FORGET_H
#define PERFKIT_CORE_FORGET_H

struct registry;

/* Main thread. Also after each reload: the timeouts may be others. */
void forget_start(struct registry *r);
void forget_stop(struct registry *r);

#endif
