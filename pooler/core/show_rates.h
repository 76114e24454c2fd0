/*
 * show_rates.h - SHOW RATES.
 */
#ifndef PERFKIT_CORE_SHOW_RATES_H
#define PERFKIT_CORE_SHOW_RATES_H

struct show;

void show_rates(struct show *show);

#endif
