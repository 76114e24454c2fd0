/*
 * show_stats.h - SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.
 */
#ifndef PERFKIT_CORE_SHOW_STATS_H
#define PERFKIT_CORE_SHOW_STATS_H

struct show;

void show_stats(struct show *show);
void show_stats_totals(struct show *show);
void show_stats_averages(struct show *show);
void show_totals(struct show *show);

#endif
