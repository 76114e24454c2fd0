/*
 * period.h - the periods of stats_period: at the end of each, what was added in it is put aside on
 * every loop, for the averages of SHOW STATS, log_stats has its line, and core/home its numbers.
 *
 * A new stats_period counts from the end of the one under way. Main thread.
 */
#ifndef PERFKIT_CORE_PERIOD_H
#define PERFKIT_CORE_PERIOD_H

struct registry;

void period_start(struct registry *r);
void period_stop(void);

/* The pooler ends: the period under way ends now, with the length that it has, and is the last. */
void period_last(void);

#endif
